package test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestManifests renders what users apply, where kubectl or kustomize is there to
// do it, and holds the promises of docs/kubernetes.md. test/kubernetes.sh tries
// them on a cluster.
func TestManifests(t *testing.T) {
	if _, err := exec.LookPath("kubectl"); err != nil {
		t.Skip("needs kubectl")
	}
	promises := []string{
		"runAsNonRoot: true", "readOnlyRootFilesystem: true", "allowPrivilegeEscalation: false", "- ALL", "type: RuntimeDefault",
		"automountServiceAccountToken: false", "priorityClassName: system-node-critical", "- operator: Exists", "kubernetes.io/os: linux",
		"virtual-kubelet", "path: /-/healthy", `value: "9123"`, "image: YOUR-REGISTRY/chrony-tracker:YOUR-TAG",
	}
	for variant, more := range map[string]struct{ has, lacks []string }{
		"host-network": {
			has:   []string{"hostNetwork: true", "--web.listen-address=[$(HOST_IP)]:$(PORT)", "runAsUser: 65532"},
			lacks: []string{"hostPath", "volume"},
		},
		"socket": {
			has:   []string{"path: /run/chrony", "mountPath: /run/chrony", "type: Directory\n", "unix:///run/chrony/chronyd.sock"},
			lacks: []string{"hostNetwork", "DirectoryOrCreate"},
		},
		"scrape/annotations": {has: []string{"hostNetwork: true", `prometheus.io/port: "9123"`, `prometheus.io/scrape: "true"`}},
	} {
		out, err := exec.Command("kubectl", "kustomize", "../deploy/kubernetes/"+variant).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v: %s", variant, err, out)
			continue
		}
		for _, part := range append(more.has, promises...) {
			if !strings.Contains(string(out), part) {
				t.Errorf("%s lacks %q", variant, part)
			}
		}
		for _, part := range append(more.lacks, "cpu: null", "secret", "kind: ClusterRole") {
			if strings.Contains(string(out), part) {
				t.Errorf("%s has %q", variant, part)
			}
		}
	}
}
