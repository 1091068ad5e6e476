package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

// If this variable is set, the test binary runs the program.
func TestMain(m *testing.M) {
	if os.Getenv("BE_THE_PROGRAM") != "" {
		main()
	}
	os.Exit(m.Run())
}

// program runs the program and returns its output and exit status.
func program(t *testing.T, environment []string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), "BE_THE_PROGRAM=1"), environment...)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return out.String(), problems.String(), cmd.ProcessState.ExitCode()
}

// TestErrors checks that each error prints one line and a hint, and nothing to stdout.
func TestErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	badConfig := filepath.Join(dir, "bad.yml")
	if err := os.WriteFile(badConfig, []byte("tls_server_config: {cert_file: nowhere.pem, key_file: nowhere.key}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	emptyConfig := filepath.Join(dir, "empty.yml")
	if err := os.WriteFile(emptyConfig, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	free, err := chronytest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	noChronyd := fmt.Sprintf("--chrony.address=127.0.0.1:%d", free)
	listen := fmt.Sprintf("--web.listen-address=127.0.0.1:%d", free)

	for _, test := range []struct {
		name   string
		args   []string
		env    []string
		status int
		error  string
		hint   string
	}{
		{"port in use", []string{noChronyd, "--web.listen-address=" + taken.Addr().String()}, nil, 1, "address already in use", "--web.listen-address"},
		{"bad listen address", []string{noChronyd, "--web.listen-address=nonsense"}, nil, 2, "missing port", "--web.listen-address"},
		{"bad listen address with a file", []string{noChronyd, "--web.listen-address=127.0.0.1:bad", "--web.config.file=" + emptyConfig}, nil, 2, "bad", "--web.listen-address"},
		{"no TLS file", []string{noChronyd, listen, "--web.config.file=" + filepath.Join(dir, "none.yml")}, nil, 2, "no such file", "check the file"},
		{"no certificate", []string{noChronyd, listen, "--web.config.file=" + badConfig}, nil, 2, "nowhere", "check the file"},
		{"bad address", []string{"--chrony.address=127.0.0.1"}, nil, 2, `--chrony.address: .*"127.0.0.1"`, "127.0.0.1:323"},
		{"bad address of the environment", nil, []string{"CHRONY_TRACKER_CHRONY_ADDRESS=unix://here"}, 2, "unix://here", "host:port"},
		{"bad address for status", []string{"status", "--chrony.address=:323"}, nil, 2, "host is missing", "host:port"},
		{"unknown flag", []string{"--no-such-flag"}, nil, 2, "no-such-flag", "--help"},
		{"unknown command", []string{"no-such-command"}, nil, 2, "no-such-command", "--help"},
		{"bad duration", []string{"--chrony.timeout=soon"}, nil, 2, "soon", "--help"},
		{"no time at all", []string{"--chrony.timeout=0s"}, nil, 2, "--chrony.timeout", "--help"},
		{"a clock without drift", []string{"--clock.max-drift=0"}, nil, 2, "--clock.max-drift", "--help"},
		{"a drift that is no number", []string{"--clock.max-drift=NaN"}, nil, 2, "--clock.max-drift", "--help"},
		{"a clock without wander", []string{"--clock.max-wander=0"}, nil, 2, "--clock.max-wander=0: must be above zero", "--help"},
		{"a wander that is no number", []string{"--clock.max-wander=NaN"}, nil, 2, "--clock.max-wander=NaN: must be above zero", "--help"},
		{"a negative wander", []string{"--clock.max-wander=-1"}, nil, 2, "--clock.max-wander=-1: must be above zero", "--help"},
		{"an infinite wander", []string{"--clock.max-wander=+Inf"}, nil, 2, `--clock.max-wander=\+Inf: must be above zero`, "--help"},
		{"a wander of the environment", []string{"status"}, []string{"CHRONY_TRACKER_CLOCK_MAX_WANDER=0"}, 2, "--clock.max-wander=0", "--help"},
		{"a negative error", []string{"--clock.reference-error=-1ms"}, nil, 2, "--clock.reference-error", "--help"},
		{"no sources at all", []string{"--collector.sources.max=-1"}, nil, 2, "--collector.sources.max", "--help"},
		{"a path that is taken", []string{"--web.telemetry-path=/-/ready"}, nil, 2, "--web.telemetry-path", "--help"},
		{"no path", []string{"--web.telemetry-path=metrics"}, nil, 2, "--web.telemetry-path", "--help"},
		{"nothing to watch on", []string{"status", "--watch"}, nil, 2, "--watch needs a terminal", "--help"},
		{"watch for a script", []string{"status", "--watch", "--json"}, nil, 2, "--watch or --json", "--help"},
		{"too often", []string{"status", "--interval=1us"}, nil, 2, "--interval=1µs", "--help"},
		{"no chronyd", []string{"status", noChronyd}, nil, 1, "no answer: connection refused", "is chronyd running"},
		{"no socket", []string{"status", "--chrony.address=unix:///nowhere/chronyd.sock"}, nil, 1, "no such file", "is chronyd running"},
	} {
		t.Run(test.name, func(t *testing.T) {
			stdout, stderr, status := program(t, test.env, test.args...)
			if stdout != "" || status != test.status {
				t.Errorf("status %d, want %d; stdout %q", status, test.status, stdout)
			}
			for _, pattern := range []string{`(?m)^chrony-tracker: error: .*` + test.error, `(?m)^chrony-tracker: hint: .*` + regexp.QuoteMeta(test.hint)} {
				if !regexp.MustCompile(pattern).MatchString(stderr) {
					t.Errorf("stderr does not match %s:\n%s", pattern, stderr)
				}
			}
		})
	}
}

func TestVersionAndHelp(t *testing.T) {
	// A Kubernetes service with the name of the program sets such variables.
	environment := []string{"CHRONY_TRACKER_VERSION=1", "CHRONY_TRACKER_HELP=1", "CHRONY_TRACKER_PORT=tcp://10.0.0.1:9123"}
	stdout, _, status := program(t, environment, "--version")
	if status != 0 || !strings.HasPrefix(stdout, "chrony-tracker, version ") || !strings.Contains(stdout, "go1.") || !strings.Contains(stdout, "revision") {
		t.Errorf("status %d: %s", status, stdout)
	}
	stdout, _, status = program(t, environment, "--help")
	for _, part := range []string{"serve", "status", "--chrony.address", "CHRONY_TRACKER_CHRONY_ADDRESS", "--web.listen-address=:9123", "--web.config.file", "web.systemd-socket", "--log.level", "--clock.max-wander=10", "--clock.max-drift=50", "--clock.reference-error", "--[no-]collector.sources.with-ntpdata", "--collector.sources.max=64", "--phc.device"} {
		if status != 0 || !strings.Contains(stdout, part) {
			t.Errorf("status %d, help lacks %q", status, part)
		}
	}
}

func TestStatus(t *testing.T) {
	d := chronytest.NewSynchronized(t, " offset 0.25")
	stdout, stderr, status := program(t, nil, "status", "--chrony.address="+d.Address)
	if status != 0 || stderr != "" {
		t.Errorf("status %d, stderr %s", status, stderr)
	}
	for _, pattern := range []string{
		`^.* 2[56]\d ms .*\n`,
		`\nstate +synchronized `,
		`\nbound +2[56]\d ms +█+`,
		`\n█ offset +250 ms `,
		`\n▒ delay `, `\n▓ dispersion `, `\n░ drift `, `\n▚ reference `, `\n▞ disagreement `,
		`\nclock error +\d`,
		`\nsource +127\.0\.0\.1 +reference ID 7F000001, stratum 2\n`,
		`\nlast sample +\d s ago `, `\nlast update +\S+ \S+ ago +holdover begins `,
		`\nchronyd +` + d.Address,
	} {
		if !regexp.MustCompile(pattern).MatchString(stdout) {
			t.Errorf("no %q in\n%s", pattern, stdout)
		}
	}

	// The environment sets the address and the reference error.
	environment := []string{"CHRONY_TRACKER_CHRONY_ADDRESS=unix://" + d.Socket, "CHRONY_TRACKER_CLOCK_REFERENCE_ERROR=1s"}
	stdout, _, status = program(t, environment, "status", "--json")
	var got struct {
		State string  `json:"state"`
		Bound float64 `json:"bound_seconds"`
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || status != 0 {
		t.Fatalf("status %d, %v: %s", status, err, stdout)
	}
	if got.State != "synchronized" || got.Bound < 1.25 || got.Bound > 1.3 {
		t.Errorf("%+v", got)
	}

	d.Kill()
	stdout, stderr, status = program(t, environment, "status", "--json")
	if status != 1 || !strings.Contains(stderr, "chrony-tracker: error: ") {
		t.Errorf("status %d, stderr %s", status, stderr)
	}
	if !strings.Contains(stdout, `"state": "unreachable"`) || !strings.Contains(stdout, `"bound_seconds": null`) {
		t.Errorf("a script can't see the state: %s", stdout)
	}
}

// TestBrokenPipe prints to a closed pipe. No socket may stay behind.
func TestBrokenPipe(t *testing.T) {
	d := chronytest.New(t, chronytest.Config{})
	for range 5 {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		read.Close()
		cmd := exec.Command(os.Args[0], "status", "--chrony.address=unix://"+d.Socket)
		cmd.Env = append(os.Environ(), "BE_THE_PROGRAM=1")
		cmd.Stdout = write
		cmd.Run()
		write.Close()
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(d.Socket), "chrony-tracker.*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}
