//go:build system

// Package deploy tests what users install: the manifests, the chart, the image and the
// release.
package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

func TestMain(m *testing.M) { os.Exit(programtest.Main(m)) }

// These tests read what users apply, and check the promises of
// docs/guides/kubernetes.md. test/kubernetes.sh tries the manifests on a cluster.

type object = map[string]any

// kustomize returns the objects of a variant.
func kustomize(t *testing.T, variant string) []object {
	t.Helper()
	cmd := programtest.Tool(t, "kubectl", "kustomize", "../../../deploy/kubernetes/"+variant)
	if _, err := exec.LookPath("kubectl"); err != nil {
		cmd = programtest.Tool(t, "go", "run", "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1", "build", "../../../deploy/kubernetes/"+variant)
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", variant, err)
	}
	return decode(t, string(out))
}

// render returns the DaemonSet of a variant and the other objects' kinds.
func render(t *testing.T, variant string) (daemonset object, others []string) {
	t.Helper()
	for _, o := range kustomize(t, variant) {
		if kind := o["kind"].(string); kind == "DaemonSet" {
			daemonset = o
		} else {
			others = append(others, kind)
		}
	}
	return daemonset, others
}

func decode(t *testing.T, text string) []object {
	t.Helper()
	var objects []object
	for decoder := yaml.NewDecoder(strings.NewReader(text)); ; {
		var o object
		if decoder.Decode(&o) != nil {
			break
		}
		objects = append(objects, o)
	}
	if len(objects) == 0 {
		t.Fatalf("no object in %s", text)
	}
	return objects
}

// at follows keys, and numbers of list entries, into an object.
func at(o any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := o.(object)
			o = m[step]
		case int:
			l, _ := o.([]any)
			if step >= len(l) {
				return nil
			}
			o = l[step]
		}
	}
	return o
}

// written formats a value as a person would write it.
func written(t *testing.T, text string) (value any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// TestPods compares all settings that give permissions to a pod, or take them away.
func TestPods(t *testing.T) {
	for variant, more := range map[string]string{
		"host-network":       hostNetworkPod,
		"scrape/annotations": hostNetworkPod,
		"socket":             socketPod,
		"bounded-time":       boundedTimePod,
	} {
		daemonset, others := render(t, variant)
		if fmt.Sprint(others) != "[Namespace]" {
			t.Errorf("%s: also %v", variant, others)
		}
		want := written(t, commonPod+more).(object)
		got := at(daemonset, "spec", "template", "spec").(object)
		container := at(got, "containers", 0).(object)
		for key, value := range container { // the container's keys, in addition to the pod's
			got["container."+key] = value
		}
		delete(got, "containers")
		for key := range want {
			if !reflect.DeepEqual(got[key], want[key]) {
				t.Errorf("%s: %s is %v, want %v", variant, key, got[key], want[key])
			}
			delete(got, key)
		}
		if len(got) > 0 {
			t.Errorf("%s: there is no reason for %v", variant, got)
		}
		if update := at(daemonset, "spec", "updateStrategy", "rollingUpdate", "maxUnavailable"); update != "25%" {
			t.Errorf("%s: %v pods are updated at once", variant, update)
		}
	}
	daemonset, _ := render(t, "scrape/annotations")
	if got, want := at(daemonset, "spec", "template", "metadata", "annotations"), written(t, `
prometheus.io/scrape: "true"
prometheus.io/path: /metrics
prometheus.io/port: "9123"
`); !reflect.DeepEqual(got, want) {
		t.Errorf("annotations %v", got)
	}
}

// TestWitnesses checks what the pods need to find and ask each other: in the overlay and
// in the chart.
func TestWitnesses(t *testing.T) {
	made, err := template(t, "--values="+chart+"/ci/witness-values.yaml")
	chronytest.Must(t, err)
	for name, objects := range map[string][]object{"the overlay": kustomize(t, "witnesses"), "the chart": decode(t, made)} {
		var pod, service any
		for _, o := range objects {
			switch {
			case o["kind"] == "DaemonSet":
				pod = at(o, "spec", "template", "spec")
			case at(o, "metadata", "name") == "chrony-tracker-peers":
				service = at(o, "spec")
			}
		}
		if got, want := at(service, "ports"), written(t, "[{name: ntp, protocol: UDP, port: 9123, targetPort: 9123}]"); !reflect.DeepEqual(got, want) ||
			at(service, "clusterIP") != "None" || at(service, "publishNotReadyAddresses") != true || at(service, "selector", "app.kubernetes.io/name") != "chrony-tracker" {
			t.Errorf("%s: the service %v", name, service)
		}
		if at(pod, "dnsPolicy") != "ClusterFirstWithHostNet" || at(pod, "hostNetwork") != true {
			t.Errorf("%s: the pod %v", name, pod)
		}
		args := fmt.Sprint(at(pod, "containers", 0, "args"))
		if want := "--witness.peers=chrony-tracker-peers.chrony-tracker.svc"; !strings.Contains(args, want) {
			t.Errorf("%s: no %s in %s", name, want, args)
		}
	}
}

// TestChartWitnesses checks the chart's other settings of witnesses.
func TestChartWitnesses(t *testing.T) {
	pod := at(objects(t, "--values="+chart+"/ci/witness-values.yaml")["DaemonSet"], "spec", "template", "spec")
	args := fmt.Sprint(at(pod, "containers", 0, "args"))
	for _, want := range []string{"--witness.ntp=time2.example.com:1123", "--witness.ntp=[2001:db8::1]:123", "--witness.tolerance=2ms", "--witness.key-file=/etc/chrony-tracker-witness/keys"} {
		if !strings.Contains(args, want) {
			t.Errorf("no %s in %s", want, args)
		}
	}
	if mount := at(pod, "containers", 0, "volumeMounts", 0); at(mount, "mountPath") != "/etc/chrony-tracker-witness" || at(pod, "volumes", 0, "secret", "secretName") != "witness-keys" {
		t.Errorf("mounts %v of %v", mount, at(pod, "volumes"))
	}
	policy := objects(t, "--values="+chart+"/ci/everything-values.yaml", "--set=witness.peers=true")["NetworkPolicy"]
	if got, want := at(policy, "spec", "egress"), written(t, "[{ports: [{protocol: UDP}, {protocol: TCP, port: 53}]}]"); !reflect.DeepEqual(got, want) {
		t.Errorf("egress %v", got)
	}
	only := at(objects(t, "--set=image.repository=r,witness.ntp={time.example.com}")["DaemonSet"], "spec", "template", "spec")
	if text := fmt.Sprint(only); at(only, "dnsPolicy") != nil || strings.Contains(text, "witness.peers") || strings.Contains(text, "witness-keys") {
		t.Errorf("with NTP servers alone: %v", only)
	}
}

const commonPod = `
automountServiceAccountToken: false
enableServiceLinks: false
priorityClassName: system-node-critical
terminationGracePeriodSeconds: 10
nodeSelector: {kubernetes.io/os: linux}
affinity:
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms:
        - matchExpressions: [{key: type, operator: NotIn, values: [virtual-kubelet]}]
tolerations: [{operator: Exists}]
container.name: chrony-tracker
container.image: YOUR-REGISTRY/chrony-tracker:YOUR-TAG
container.ports: [{name: metrics, containerPort: 9123}]
container.securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
container.resources: {requests: {cpu: 10m, memory: 24Mi}, limits: {memory: 64Mi}}
container.livenessProbe: {httpGet: {path: /-/healthy, port: metrics}}
container.readinessProbe: {httpGet: {path: /-/healthy, port: metrics}}
`

const hostNetworkPod = `
hostNetwork: true
securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
container.args: [serve, "--web.listen-address=[$(HOST_IP)]:$(PORT)"]
container.env:
  - {name: HOST_IP, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
  - {name: PORT, value: "9123"}
  - {name: CHRONY_TRACKER_URL, value: "http://[$(HOST_IP)]:$(PORT)"}
  - {name: NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
`

// boundedTimePod has one writable directory of the node. An init container hands it
// over, as root with one capability.
const boundedTimePod = `
hostNetwork: true
securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
container.args: [serve, "--web.listen-address=[$(HOST_IP)]:$(PORT)"]
container.env:
  - {name: CHRONY_TRACKER_CLOCKBOUND_SHM, value: /var/run/clockbound/shm0}
  - {name: HOST_IP, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
  - {name: PORT, value: "9123"}
  - {name: CHRONY_TRACKER_URL, value: "http://[$(HOST_IP)]:$(PORT)"}
  - {name: NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
container.volumeMounts: [{name: clockbound, mountPath: /var/run/clockbound}]
volumes: [{name: clockbound, hostPath: {path: /var/run/clockbound, type: DirectoryOrCreate}}]
initContainers:
  - name: prepare
    image: YOUR-REGISTRY/chrony-tracker:YOUR-TAG
    args: [prepare, --clockbound.shm=/var/run/clockbound/shm0, --owner=65532]
    securityContext:
      {runAsUser: 0, runAsGroup: 0, runAsNonRoot: false, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL], add: [CHOWN]}}
    resources: {requests: {cpu: 10m, memory: 24Mi}, limits: {memory: 64Mi}}
    volumeMounts: [{name: clockbound, mountPath: /var/run/clockbound}]
`

const socketPod = `
securityContext: {runAsNonRoot: true, runAsUser: 999, runAsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
container.args: [serve, "--web.listen-address=:$(PORT)"]
container.env:
  - {name: CHRONY_TRACKER_CHRONY_ADDRESS, value: "unix:///run/chrony/chronyd.sock"}
  - {name: PORT, value: "9123"}
  - {name: CHRONY_TRACKER_URL, value: "http://127.0.0.1:$(PORT)"}
  - {name: NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
container.volumeMounts: [{name: chronyd, mountPath: /run/chrony}]
volumes: [{name: chronyd, hostPath: {path: /run/chrony, type: Directory}}]
`

// TestTrackerURL checks that commands in a pod ask that pod's tracker. Kubernetes
// expands a variable only if it was defined before.
func TestTrackerURL(t *testing.T) {
	const listen = "--web.listen-address="
	check := func(name, scheme string, daemonset object) {
		container := at(daemonset, "spec", "template", "spec", "containers", 0)
		known := make(map[string]string)
		expand := func(text string) string {
			for name, value := range known {
				text = strings.ReplaceAll(text, "$("+name+")", value)
			}
			return text
		}
		for _, variable := range at(container, "env").([]any) {
			value, ok := at(variable, "value").(string)
			if !ok {
				value = fmt.Sprint(at(variable, "valueFrom", "fieldRef", "fieldPath"))
			}
			known[at(variable, "name").(string)] = expand(value)
		}
		for _, arg := range at(container, "args").([]any) {
			address, ok := strings.CutPrefix(expand(arg.(string)), listen)
			if !ok {
				continue
			}
			if strings.HasPrefix(address, ":") {
				address = "127.0.0.1" + address
			}
			if got, want := known["CHRONY_TRACKER_URL"], scheme+"://"+address; got != want {
				t.Errorf("%s: the commands ask %s, and the tracker listens on %s", name, got, want)
			}
			return
		}
		t.Errorf("%s: no %s", name, listen)
	}
	for _, variant := range []string{"host-network", "socket", "scrape/annotations"} {
		daemonset, _ := render(t, variant)
		check(variant, "http", daemonset)
	}
	for _, file := range values(t) {
		scheme := "http"
		if strings.HasPrefix(filepath.Base(file), "tls-") {
			scheme = "https"
		}
		check(file, scheme, objects(t, "--values="+file)["DaemonSet"])
	}
}

// TestOverlay builds the overlay of docs/guides/kubernetes.md, on this copy of the
// manifests.
func TestOverlay(t *testing.T) {
	blocks := yamlOf(t, "kubernetes.md", 3) // the overlay, and the patches of its witnesses and of its user id
	witnessed := overlaid(t, "witnesses", blocks[0]+blocks[1])
	if args := fmt.Sprint(at(witnessed, "containers", 0, "args")); !strings.Contains(args, "--witness.ntp=time1.example.com") || !strings.Contains(args, "--witness.peers=") {
		t.Errorf("args %s", args)
	}
	pod := overlaid(t, "socket", blocks[0]+blocks[2])
	if image := at(pod, "containers", 0, "image"); image != "registry.example/chrony-tracker:v1.2.3" {
		t.Errorf("image %v", image)
	}
	if user := at(pod, "securityContext", "runAsUser"); user != 995 {
		t.Errorf("user %v", user)
	}
}

// TestTLSOverlay builds the same overlay with the patch of docs/guides/tls.md, with the
// probes for passwords and those without.
func TestTLSOverlay(t *testing.T) {
	overlay, patch := yamlOf(t, "kubernetes.md", 3)[0], yamlOf(t, "tls.md", 1)[0]
	open := strings.NewReplacer("{httpGet: null, tcpSocket: {port: metrics}}", "{httpGet: {scheme: HTTPS}}").Replace(patch)
	for patch, want := range map[string]string{
		patch: "map[tcpSocket:map[port:metrics]]",
		open:  "map[httpGet:map[path:/-/healthy port:metrics scheme:HTTPS]]",
	} {
		pod := overlaid(t, "host-network", overlay+patch)
		for _, probe := range []string{"livenessProbe", "readinessProbe"} {
			if got := fmt.Sprint(at(pod, "containers", 0, probe)); got != want {
				t.Errorf("%s %s, want %s", probe, got, want)
			}
		}
		if args := fmt.Sprint(at(pod, "containers", 0, "args")); !strings.Contains(args, "--web.config.file=/etc/chrony-tracker/web-config.yml") {
			t.Errorf("%s", args)
		}
		known := make(map[string]any)
		for _, variable := range at(pod, "containers", 0, "env").([]any) {
			v := variable.(map[string]any)
			known[v["name"].(string)] = v["value"]
		}
		if known["CHRONY_TRACKER_URL"] != "https://[$(HOST_IP)]:$(PORT)" || known["CHRONY_TRACKER_URL_CONFIG_FILE"] != "/etc/chrony-tracker/client.yml" {
			t.Errorf("%v", known)
		}
	}
}

// yamlOf returns the blocks of YAML in a guide.
func yamlOf(t *testing.T, guide string, want int) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile("../../../docs/guides/" + guide)
	chronytest.Must(t, err)
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, block[1])
	}
	if len(blocks) != want {
		t.Fatalf("%d blocks of YAML in %s, want %d", len(blocks), guide, want)
	}
	return blocks
}

// overlaid returns the pod that an overlay makes of a variant in this copy of the
// manifests.
func overlaid(t *testing.T, variant, overlay string) any {
	t.Helper()
	manifests, err := filepath.Abs("../../../deploy/kubernetes")
	chronytest.Must(t, err)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	chronytest.Must(t, err)
	local, err := filepath.Rel(dir, filepath.Join(manifests, variant))
	chronytest.Must(t, err)
	overlay = regexp.MustCompile(`https://github\S+`).ReplaceAllLiteralString(overlay, local)
	chronytest.Must(t, os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(overlay), 0o644))
	path, err := filepath.Rel(manifests, dir)
	chronytest.Must(t, err)
	daemonset, _ := render(t, path)
	return at(daemonset, "spec", "template", "spec")
}

// TestOneFile compares the single file with the output of Kustomize.
func TestOneFile(t *testing.T) {
	text, err := os.ReadFile("../../../deploy/kubernetes/chrony-tracker.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := decode(t, string(text)), kustomize(t, "host-network"); !reflect.DeepEqual(got, want) {
		t.Errorf("make manifests would change deploy/kubernetes/chrony-tracker.yaml")
	}
}

// TestScraping reads the two ways for Azure Managed Prometheus. Both must find exactly
// the pods of the manifests, and set the label node.
func TestScraping(t *testing.T) {
	read := func(name string) object {
		text, err := os.ReadFile(filepath.Join("../../../deploy/kubernetes/scrape", name))
		if err != nil {
			t.Fatal(err)
		}
		return decode(t, string(text))[0]
	}
	daemonset, _ := render(t, "host-network")
	labels := at(daemonset, "spec", "template", "metadata", "labels")

	monitor := read("azure-podmonitor.yaml")
	if got, want := monitor["spec"], written(t, `
labelLimit: 63
labelNameLengthLimit: 511
labelValueLengthLimit: 1023
selector: {matchLabels: {app.kubernetes.io/name: chrony-tracker}}
podMetricsEndpoints:
  - port: metrics
    interval: 30s
    relabelings: [{sourceLabels: [__meta_kubernetes_pod_node_name], targetLabel: node}]
`); monitor["apiVersion"] != "azmonitoring.coreos.com/v1" || !reflect.DeepEqual(got, want) {
		t.Errorf("PodMonitor: %v", monitor)
	}
	if selected := at(monitor, "spec", "selector", "matchLabels"); !reflect.DeepEqual(selected, labels) {
		t.Errorf("the PodMonitor selects %v, the pods have %v", selected, labels)
	}

	config := read("ama-metrics-prometheus-config.yaml")
	if at(config, "metadata", "name") != "ama-metrics-prometheus-config" || at(config, "metadata", "namespace") != "kube-system" {
		t.Errorf("ConfigMap: %v", config["metadata"])
	}
	job := at(written(t, at(config, "data", "prometheus-config").(string)), "scrape_configs", 0)
	if got, want := at(job, "relabel_configs", 0), written(t, `
source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_name, __meta_kubernetes_pod_container_port_name]
regex: chrony-tracker;metrics
action: keep
`); !reflect.DeepEqual(got, want) {
		t.Errorf("the job keeps %v", got)
	}
	if got := at(job, "relabel_configs", 1, "target_label"); got != "node" {
		t.Errorf("the job does not name the node: %v", job)
	}
}
