//go:build system

package deploy

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

func readGate(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../../deploy/kubernetes/gate", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestGateExamples checks that Kubernetes accepts the examples, and that the tracker
// answers their requests.
func TestGateExamples(t *testing.T) {
	schemas := kubernetesSchemas(t)
	for _, name := range []string{"init-container.yaml", "node-readiness.yaml", "node-problem-detector.yaml"} {
		text := readGate(t, name)
		if out, problems, err := run(t, text, conform, "-strict", "-skip=NodeReadinessRule", "-schema-location="+schemas); err != nil {
			t.Errorf("%s: %s%s", name, out, problems)
		}
		if !regexp.MustCompile(`/-/ready\?max_error=|- waitsync\n.*--url=http://\$\(HOST_IP\):9123\n.*--max-error=10ms\n`).MatchString(text) {
			t.Errorf("%s does not ask", name)
		}
	}
}

// TestNodeProblemDetectorGivesUp asks a server that never answers. The script must end
// before node-problem-detector ends it.
func TestNodeProblemDetectorGivesUp(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	chronytest.Must(t, err)
	defer silent.Close()
	manifest := decode(t, readGate(t, "node-problem-detector.yaml"))[0]
	config := written(t, at(manifest, "data", "clock.json").(string))
	timeout, err := time.ParseDuration(at(config, "pluginConfig", "timeout").(string))
	chronytest.Must(t, err)
	host, port, _ := net.SplitHostPort(silent.Addr().String())
	script := at(manifest, "data", "clock.sh").(string)
	cmd := programtest.Tool(t, "bash", "-c", script)
	cmd.Env = []string{"HOST_IP=" + host, "PORT=" + port}
	out, _ := cmd.Output()
	if cmd.ProcessState.ExitCode() != 2 || string(out) != "no answer\n" {
		t.Errorf("%v, %q", cmd.ProcessState, out)
	}
	var longest time.Duration
	for _, read := range regexp.MustCompile(`read -r -t (\d+)`).FindAllStringSubmatch(script, -1) {
		patience, err := time.ParseDuration(read[1] + "s")
		chronytest.Must(t, err)
		longest += patience
	}
	if longest == 0 || longest >= timeout {
		t.Errorf("it may wait for %v, and is ended after %v", longest, timeout)
	}
}

// TestNodeProblemDetector runs the script as node-problem-detector does.
func TestNodeProblemDetector(t *testing.T) {
	d := chronytest.NewSynchronized(t, " offset 0.25")
	s := programtest.Start(t, "--chrony.address="+d.Address)
	script := at(decode(t, readGate(t, "node-problem-detector.yaml"))[0], "data", "clock.sh").(string)
	file := filepath.Join(t.TempDir(), "clock.sh")
	if err := os.WriteFile(file, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	ask := func(maxError string) (string, int) {
		host, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), ":")
		cmd := programtest.Tool(t, "bash", file)
		cmd.Env = []string{"HOST_IP=" + host, "PORT=" + port, "MAX_ERROR=" + maxError}
		out, _ := cmd.Output()
		return string(out), cmd.ProcessState.ExitCode()
	}
	for _, test := range []struct {
		before   func()
		maxError string
		status   int
		text     string
	}{
		{func() {}, "1s", 0, `^ready: .* 2\d\d ms .*\n$`},
		{func() {}, "10ms", 1, `^not ready: .* 2\d\d ms .*more than 10 ms\n$`},
		{func() {}, "soon", 2, `^max_error=soon: must be one duration`},
		{func() {
			d.Kill()
			chronytest.Await(t, "a sample without an answer", func() bool { _, status := ask("1s"); return status != 0 })
		}, "1s", 1, `^not ready: .*no answer`},
		{func() { s.Stop(t) }, "1s", 2, `^no tracker answers\n$`},
	} {
		test.before()
		if text, status := ask(test.maxError); status != test.status || !regexp.MustCompile(test.text).MatchString(text) {
			t.Errorf("%s: status %d, %q", test.maxError, status, text)
		}
	}
}
