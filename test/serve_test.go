// Package test tests the program as its users run it: the real binary with a real
// chronyd.
package test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

func TestMain(m *testing.M) { os.Exit(programtest.Main(m)) }

func TestServe(t *testing.T) {
	d := chronytest.NewSynchronized(t, "")
	for _, address := range d.Addresses() {
		s := programtest.Start(t, "--chrony.address="+address)
		values := s.MustScrape(t)
		if programtest.StateOf(values) != "synchronized" || values["chrony_up"] != 1 {
			t.Errorf("%s: state %s", address, programtest.StateOf(values))
		}
		if bound := values["chrony_clock_error_bound_seconds"]; !(bound > 0 && bound < 0.1) {
			t.Errorf("%s: bound %v", address, bound)
		}
		s.Stop(t)
		if files, _ := filepath.Glob(filepath.Join(filepath.Dir(d.Socket), "chrony-tracker.*")); files != nil {
			t.Errorf("%s: left behind: %v", address, files)
		}
	}
}

// TestStartsBeforeChronyd starts the program before chronyd.
func TestStartsBeforeChronyd(t *testing.T) {
	d := chronytest.New(t, chronytest.Config{})
	d.Kill()
	s := programtest.Start(t, "--chrony.address=unix://"+d.Socket)
	if values := s.MustScrape(t); programtest.StateOf(values) != "unreachable" || values["chrony_up"] != 0 {
		t.Errorf("state %s", programtest.StateOf(values))
	}
	if err := d.Restart(); err != nil {
		t.Fatal(err)
	}
	var values map[string]float64
	chronytest.Await(t, "an answer that is not shared with the scrape before", func() bool {
		values = s.MustScrape(t)
		return values["chrony_up"] == 1
	})
	if state := programtest.StateOf(values); state != "unsynchronized" {
		t.Errorf("state %s", state)
	}
}

// TestSystemdSocket passes a listener to the program as systemd does.
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
	cmd := chronytest.Command("sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@"`, programtest.Path, "--web.systemd-socket", "--chrony.address="+d.Address)
	cmd.ExtraFiles = []*os.File{file}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	s := &programtest.Server{URL: "http://" + listener.Addr().String()}
	chronytest.Await(t, "an answer", func() bool {
		values, err := s.Scrape()
		return err == nil && values["chrony_up"] == 1
	})
}

// TestHealthyFromTheStart runs a chronyd that hangs for longer than a liveness probe
// waits.
func TestHealthyFromTheStart(t *testing.T) {
	d := chronytest.New(t, chronytest.Config{})
	if err := d.Pause(); err != nil {
		t.Fatal(err)
	}
	programtest.Start(t, "--chrony.address="+d.Address, "--chrony.timeout=1h") // waits until it is healthy
}

// TestStopsWhileChronydHangs ends the program in the middle of a scrape.
func TestStopsWhileChronydHangs(t *testing.T) {
	d := chronytest.New(t, chronytest.Config{})
	s := programtest.Start(t, "--chrony.address="+d.Address)
	s.MustScrape(t)
	d.Pause()
	answered := make(chan error)
	go func() {
		_, err := s.Scrape()
		answered <- err
	}()
	chronytest.Await(t, "the scrape to ask chronyd", func() bool { return hasQueue(t, d.Address) })
	s.Stop(t)
	if err := <-answered; err != nil {
		t.Errorf("the scrape under way got no answer: %v", err)
	}
}

// hasQueue reports whether packets wait in the queue of a UDP address.
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
