// Package test tries the program as its users run it: the real binary, beside a
// real chronyd and a real Prometheus.
package test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

var binary string // of the program, built once

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "chrony-tracker")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "chrony-tracker")
	build := exec.Command("go", "build", "-o", binary, "../cmd/chrony-tracker")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return 1
	}
	return m.Run()
}

// A server is the program, running.
type server struct {
	url string
	cmd *exec.Cmd
	log bytes.Buffer
}

// start runs the program and waits until it serves.
func start(t *testing.T, args ...string) *server {
	t.Helper()
	return startProgram(t, binary, args...)
}

// startProgram does so with any exporter that has the flag.
func startProgram(t *testing.T, program string, args ...string) *server {
	t.Helper()
	port, err := chronytest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:" + strconv.Itoa(port)
	s := &server{url: "http://" + address}
	s.cmd = exec.Command(program, append(args, "--web.listen-address="+address)...)
	s.cmd.Stderr = &s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		if t.Failed() {
			t.Log(s.log.String())
		}
	})
	await(t, "the program to serve", func() bool {
		response, err := http.Get(s.url + "/-/healthy") // which another program may not have
		if err != nil {
			return false
		}
		response.Body.Close()
		return true
	})
	return s
}

// await waits for a condition, and not for ever.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	awaitFor(t, 30*time.Second, what, condition)
}

func awaitFor(t *testing.T, patience time.Duration, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", patience, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// stop ends the program as a service manager does.
func (s *server) stop(t *testing.T) {
	t.Helper()
	begin := time.Now()
	s.cmd.Process.Signal(syscall.SIGTERM)
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("it took %v to stop", took)
	}
}

// scrape returns the values of all series, by their names and label values as
// in chrony_clock_state/local.
func (s *server) scrape() (map[string]float64, error) {
	text, err := s.fetch()
	if err != nil {
		return nil, err
	}
	return parse(text)
}

func (s *server) fetch() ([]byte, error) {
	response, err := http.Get(s.url + "/metrics")
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

func parse(text []byte) (map[string]float64, error) {
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

func (s *server) mustScrape(t *testing.T) map[string]float64 {
	t.Helper()
	values, err := s.scrape()
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// stateOf returns the one state that is 1.
func stateOf(values map[string]float64) string {
	state := ""
	for series, value := range values {
		if name, ok := strings.CutPrefix(series, "chrony_clock_state/"); ok && value == 1 {
			state += name
		}
	}
	return state
}

func TestServe(t *testing.T) {
	d := chronytest.NewSynchronized(t, "")
	for _, address := range d.Addresses() {
		s := start(t, "--chrony.address="+address)
		values := s.mustScrape(t)
		if stateOf(values) != "synchronized" || values["chrony_up"] != 1 {
			t.Errorf("%s: state %s", address, stateOf(values))
		}
		if bound := values["chrony_clock_error_bound_seconds"]; !(bound > 0 && bound < 0.1) {
			t.Errorf("%s: bound %v", address, bound)
		}
		s.stop(t)
		if files, _ := filepath.Glob(filepath.Join(filepath.Dir(d.Socket), "chrony-tracker.*")); files != nil {
			t.Errorf("%s: left behind: %v", address, files)
		}
	}
}

// TestStartsBeforeChronyd has no chronyd at first.
func TestStartsBeforeChronyd(t *testing.T) {
	d := chronytest.New(t, chronytest.Config{})
	d.Kill()
	s := start(t, "--chrony.address=unix://"+d.Socket)
	if values := s.mustScrape(t); stateOf(values) != "unreachable" || values["chrony_up"] != 0 {
		t.Errorf("state %s", stateOf(values))
	}
	if err := d.Restart(); err != nil {
		t.Fatal(err)
	}
	if values := s.mustScrape(t); stateOf(values) != "unsynchronized" || values["chrony_up"] != 1 {
		t.Errorf("state %s", stateOf(values))
	}
}

// TestSystemdSocket gets its listener as systemd passes one.
func TestSystemdSocket(t *testing.T) {
	d := chronytest.New(t, chronytest.Config{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@"`, binary, "--web.systemd-socket", "--chrony.address="+d.Address)
	cmd.ExtraFiles = []*os.File{file}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	s := &server{url: "http://" + listener.Addr().String()}
	await(t, "an answer", func() bool {
		values, err := s.scrape()
		return err == nil && values["chrony_up"] == 1
	})
}

// TestHealthyFromTheStart has a chronyd that hangs for longer than a liveness
// probe would wait.
func TestHealthyFromTheStart(t *testing.T) {
	d := chronytest.New(t, chronytest.Config{})
	if err := d.Pause(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	start(t, "--chrony.address="+d.Address, "--chrony.timeout=25s")
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("healthy after %v", took)
	}
}

// TestStopsWhileChronydHangs ends the program in the middle of a scrape.
func TestStopsWhileChronydHangs(t *testing.T) {
	d := chronytest.New(t, chronytest.Config{})
	s := start(t, "--chrony.address="+d.Address)
	s.mustScrape(t)
	d.Pause()
	answered := make(chan error)
	go func() {
		_, err := s.scrape()
		answered <- err
	}()
	await(t, "the scrape to ask chronyd", func() bool { return hasQueue(t, d.Address) })
	s.stop(t)
	if err := <-answered; err != nil {
		t.Errorf("the scrape under way got no answer: %v", err)
	}
}

// hasQueue reports whether packets wait to be read by who has the UDP address.
func hasQueue(t *testing.T, address string) bool {
	t.Helper()
	table, err := os.ReadFile("/proc/net/udp")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(address, ":")
	n, _ := strconv.Atoi(port)
	for line := range strings.Lines(string(table)) {
		// number, local and remote address, state, send and receive queue
		fields := strings.Fields(line)
		if strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", n)) && !strings.HasSuffix(fields[4], ":00000000") {
			return true
		}
	}
	return false
}
