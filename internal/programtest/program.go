// Package programtest runs the program as its users do: it builds the real binary and
// starts it with a real chronyd.
package programtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sys/unix"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

const (
	module = "github.com/chrony-tracker/chrony-tracker"
	name   = "chrony-tracker"
)

// Path is the path of the program. [Main] sets it.
var Path string

// Main builds the program, runs a package's tests, removes the program and returns
// the exit status. If the test binary is called as [Alias] does, it becomes the program
// instead.
func Main(m *testing.M) int {
	if path := os.Getenv(aliasVariable); path != "" && filepath.Base(os.Args[0]) == name {
		fmt.Fprintln(os.Stderr, become(path))
		return 127
	}
	dir, err := os.MkdirTemp("", name)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	Path = filepath.Join(dir, name)
	// Build it with this module's dependencies, even if another module runs the tests.
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		fmt.Fprintln(os.Stderr, "where is", module, err)
		return 1
	}
	build := exec.Command("go", "build", "-C", strings.TrimSpace(string(root)), "-o", Path, "./cmd/"+name)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return 1
	}
	return m.Run()
}

const aliasVariable = "CHRONY_TRACKER_TEST_PROGRAM"

// Alias makes a folder for PATH in which chrony-tracker is the program. It also returns
// the environment variable that this needs. It is for other programs that start the
// tracker, such as a shell or testscript. The tracker ends with them, as with
// [chronytest.Command].
func Alias(dir string) (variable, value string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", "", err
	}
	return aliasVariable, Path, os.Symlink(self, filepath.Join(dir, name))
}

func become(path string) error {
	runtime.LockOSThread() // both calls must come from the same thread
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	return syscall.Exec(path, os.Args, os.Environ())
}

// A Server is the running program.
type Server struct {
	URL  string // without a slash at its end
	Args []string
	Log  bytes.Buffer // its log; read it only after the program has ended

	program string
	cmd     *exec.Cmd
}

// Start runs the program until the test ends, and waits until it serves.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	return StartOther(t, Path, args...)
}

// StartOther does the same with any exporter that has the flag --web.listen-address.
func StartOther(t testing.TB, program string, args ...string) *Server {
	t.Helper()
	address := FreeAddress(t)
	s := &Server{URL: "http://" + address, Args: append(args, "--web.listen-address="+address), program: program}
	s.Launch(t)
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Log(s.Log.String())
		}
	})
	return s
}

// Launch runs it again, after [Server.Kill] or [Server.Stop].
func (s *Server) Launch(t testing.TB) {
	t.Helper()
	s.cmd = chronytest.Command(s.program, s.Args...)
	s.cmd.Stderr = &s.Log
	chronytest.Must(t, s.cmd.Start())
	// Another exporter may not have this page, but it answers.
	chronytest.Await(t, "the program to serve", func() bool { return IsServed(s.URL + "/-/healthy") })
}

// PID returns its process ID.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Signal sends a signal to it.
func (s *Server) Signal(signal os.Signal) error { return s.cmd.Process.Signal(signal) }

// Kill kills it with SIGKILL.
func (s *Server) Kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// Stop ends it as a service manager does. It checks the exit status.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	chronytest.Must(t, s.Signal(syscall.SIGTERM))
	// If it does not end, it is killed, as a service manager does. Then this test
	// fails.
	timer := time.AfterFunc(chronytest.Patience, func() { s.cmd.Process.Kill() })
	defer timer.Stop()
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// Fetch returns the page of metrics.
func (s *Server) Fetch() ([]byte, error) {
	response, err := http.Get(s.URL + "/metrics")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, text)
	}
	return text, err
}

// Scrape returns the values of all series, by their names and label values as in
// chrony_clock_state/local.
func (s *Server) Scrape() (map[string]float64, error) {
	text, err := s.Fetch()
	if err != nil {
		return nil, err
	}
	return Parse(text)
}

// MustScrape is Scrape, but the test fails if the program does not answer.
func (s *Server) MustScrape(t testing.TB) map[string]float64 {
	t.Helper()
	values, err := s.Scrape()
	chronytest.Must(t, err)
	return values
}

// Parse reads a page of metrics.
func Parse(text []byte) (map[string]float64, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	values := make(map[string]float64)
	for name, family := range families {
		for _, m := range family.Metric {
			series := name
			for _, label := range m.Label {
				series += "/" + label.GetValue()
			}
			values[series] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values, nil
}

// StateOf returns the only state whose value is 1.
func StateOf(values map[string]float64) string {
	state := ""
	for series, value := range values {
		if name, ok := strings.CutPrefix(series, "chrony_clock_state/"); ok && value == 1 {
			state += name
		}
	}
	return state
}

// FreeAddress returns an address on loopback at which no program listens.
func FreeAddress(t testing.TB) string {
	t.Helper()
	port, err := chronytest.FreePort()
	chronytest.Must(t, err)
	return "127.0.0.1:" + strconv.Itoa(port)
}

// IsServed reports whether the server answers with a status other than 503.
func IsServed(url string) bool {
	response, err := http.Get(url)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode != http.StatusServiceUnavailable
}

// Run runs another program until the end of the test.
func Run(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	var log strings.Builder
	cmd.Stderr = &log
	chronytest.Must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
}

// toolLimit is the longest run of a tool. Building the program twice for two platforms
// takes minutes on a busy machine.
const toolLimit = 10 * time.Minute

// Tool returns a command that ends with the test, and after toolLimit at the latest.
// All processes that it has started end with it.
func Tool(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), toolLimit)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}
