//go:build system

package deploy

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

// TestReportExample wants the example to be what Kubernetes takes, and its arguments to
// be what the program takes.
func TestReportExample(t *testing.T) {
	text, err := os.ReadFile("../../../deploy/kubernetes/report/cronjob.yaml")
	chronytest.Must(t, err)
	// These fields are newer than the schemas.
	known := regexp.MustCompile(`(?m)^  timeZone: .*\n|^      podFailurePolicy:\n(?:        .*\n)+`).ReplaceAllString(string(text), "")
	if out, problems, err := run(t, known, conform, "-strict", "-schema-location="+kubernetesSchemas(t)); err != nil {
		t.Errorf("%s%s", out, problems)
	}
	var args []string
	container := at(decode(t, string(text))[1], "spec", "jobTemplate", "spec", "template", "spec", "containers", 0)
	for _, arg := range at(container, "args").([]any) {
		args = append(args, strings.Replace(strings.Replace(arg.(string), "prometheus.monitoring:9090", "127.0.0.1:1", 1), "/reports", t.TempDir(), 1))
	}
	out, err := programtest.Tool(t, programtest.Path, args...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "cannot reach http://127.0.0.1:1") {
		t.Errorf("%v: %s", err, out)
	}
}
