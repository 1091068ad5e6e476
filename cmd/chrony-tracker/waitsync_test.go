package main

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"testing"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

func TestWaitsync(t *testing.T) {
	d := chronytest.NewSynchronized(t, " offset 0.25")
	never := chronytest.New(t, chronytest.Config{})
	gate := func(status int, text string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/-/ready" || r.URL.RawQuery != "max_error=10ms" {
				t.Errorf("asked for %s", r.URL)
			}
			w.WriteHeader(status)
			io.WriteString(w, text)
		}))
		t.Cleanup(server.Close)
		return "--url=" + server.URL
	}
	for _, test := range []struct {
		name   string
		args   []string
		status int
		stdout string
		stderr string
	}{
		{"within the limit", []string{"--max-error=1s", "--chrony.address=" + d.Address}, 0, `^waited \d+s: .* 2\d\d ms .*\n$`, `^$`},
		{"beyond the limit", []string{"--max-error=10ms", "--timeout=2s", "--interval=100ms", "--chrony.address=" + d.Address}, 1,
			`^waiting, \d+s: .* 2\d\d ms .*more than 10 ms\n$`, `^chrony-tracker: error: .*2s: .* 2\d\d ms .*more than 10 ms\n$`},
		{"never synchronized", []string{"--max-error=1000h", "--timeout=2s", "--interval=100ms", "--chrony.address=" + never.Address}, 1,
			`^waiting, \d+s: .*follows no source\n$`, `error: .*2s: .*follows no source`},
		{"no chronyd", []string{"--max-error=1s", "--timeout=2s", "--interval=100ms", "--chrony.address=unix:///nowhere/chronyd.sock"}, 1,
			`^waiting, \d+s: .*no answer: .*no such file`, `error: .*2s: .*no answer: .*\n.*hint: is chronyd running`},
		{"a tracker says yes", []string{"--max-error=10ms", gate(200, "ready: the clock is at most 1 ms off\n")}, 0, `^waited \d+s: the clock is at most 1 ms off\n$`, `^$`},
		{"a tracker says no", []string{"--max-error=10ms", "--timeout=2s", "--interval=100ms", gate(503, "not ready: no answer: connection refused\nis chronyd running?\n")}, 1,
			`^waiting, \d+s: no answer: connection refused\n$`, `error: .*2s: no answer: connection refused\n.*hint: is chronyd running\?`},
		{"an old tracker", []string{"--max-error=10ms", gate(200, "ready\n")}, 1, `^$`, `is not a tracker's gate: .*"ready"`},
		{"another program", []string{"--max-error=10ms", gate(404, "404 page not found\n")}, 1, `^$`, `404 Not Found`},
		{"no tracker", []string{"--max-error=10ms", "--timeout=2s", "--interval=100ms", "--url=http://127.0.0.1:1"}, 1, `^waiting, \d+s: .*connection refused`, `hint: .*--url`},
		{"no client configuration", []string{"--max-error=1s", "--url=https://127.0.0.1:1", "--url.config.file=nowhere.yml"}, 2, `^$`, `--url.config.file=nowhere.yml: .*no such file.*\n.*hint: check the file`},
		{"no limit", nil, 2, `^$`, `max-error.*\n.*--help`},
		{"no error at all", []string{"--max-error=0s"}, 2, `^$`, `--max-error=0s: must be above zero`},
		{"negative timeout", []string{"--max-error=1s", "--timeout=-1s"}, 2, `^$`, `--timeout=-1s`},
		{"no interval", []string{"--max-error=1s", "--interval=0s"}, 2, `^$`, `--interval=0s`},
		{"no url with a password", []string{"--max-error=1s", "--url=ftp://me:secret@10.0.0.4"}, 2, `^$`, `--url=ftp://me:xxxxx@10.0.0.4: must begin`},
		{"no url", []string{"--max-error=1s", "--url=10.0.0.4/x"}, 2, `^$`, `--url=10.0.0.4/x: must begin with http://`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, status := program(t, nil, append([]string{"waitsync"}, test.args...)...)
			if status != test.status {
				t.Errorf("status %d, want %d", status, test.status)
			}
			if !regexp.MustCompile(test.stdout).MatchString(stdout) || !regexp.MustCompile(test.stderr).MatchString(stderr) {
				t.Errorf("stdout %q, want %s\nstderr %q, want %s", stdout, test.stdout, stderr, test.stderr)
			}
		})
	}
}

// TestWaitsyncWaits begins before there is a chronyd, and ends when there is a bound.
func TestWaitsyncWaits(t *testing.T) {
	d := chronytest.NewSynchronized(t, "")
	d.Kill()
	out, end := startWaitsync(t, "--max-error=1s", "--interval=20ms", "--chrony.address="+d.Address)
	if line, err := out.ReadString('\n'); err != nil || !regexp.MustCompile(`^waiting, \d+s: .*no answer`).MatchString(line) {
		t.Errorf("%q, %v", line, err)
	}
	if err := d.Launch(); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(out)
	if err != nil || !regexp.MustCompile(`(?m)^waited \d+s: .* off\n\z`).Match(rest) {
		t.Errorf("%q, %v", rest, err)
	}
	if status := end(); status != 0 {
		t.Errorf("status %d", status)
	}
}

// TestWaitsyncStops sends a signal while the command waits.
func TestWaitsyncStops(t *testing.T) {
	d := chronytest.New(t, chronytest.Config{})
	out, end := startWaitsync(t, "--max-error=1s", "--chrony.address="+d.Address)
	if _, err := out.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if status := end(); status != 1 {
		t.Errorf("status %d", status)
	}
}

// startWaitsync runs the command. end stops it if it still runs.
func startWaitsync(t *testing.T, args ...string) (out *bufio.Reader, end func() (status int)) {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"waitsync"}, args...)...)
	cmd.Env = append(os.Environ(), "BE_THE_PROGRAM=1")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return bufio.NewReader(stdout), func() int {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		return cmd.ProcessState.ExitCode()
	}
}
