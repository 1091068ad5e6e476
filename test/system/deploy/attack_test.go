//go:build system

package deploy

import (
	"bytes"
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

var attackTime = flag.Duration("attack", 15*time.Second, "how long TestAttack goes on")

// The limits of the program under attack.
const (
	memoryLimit = 64 << 20 // of the pods
	mostMemory  = 48 << 20
)

// TestAttack has two hundred clients that do what they like, and one scraper. The program
// runs as in a pod, with its memory limit. It must lose no sample, need little memory and
// not be restarted. How long a scrape takes depends on the machine, so it is only printed.
func TestAttack(t *testing.T) {
	needsPodman(t)
	d := chronytest.NewSynchronized(t, "")
	s, pid := newEngine(t).runProgram(t, d.Address)
	before := awaitSamples(t, s, 5) // a history of some seconds, which is long in milliseconds
	asked := asksOf(before)

	a := &attack{address: strings.TrimPrefix(s.URL, "http://")}
	a.ctx, a.end = context.WithCancel(t.Context())
	begin := time.Now()
	a.begin()
	times, failed := scrapeFor(t, s, *attackTime)
	probe(t, s)
	a.end()
	took := time.Since(begin)
	a.wait.Wait()

	after := awaitSamples(t, s, 1)
	if after["process_start_time_seconds"] != before["process_start_time_seconds"] {
		t.Error("it was restarted")
	}
	for _, series := range []string{"chrony_clock_state_seconds_total/unobserved", "chrony_clock_state_seconds_total/unreachable"} {
		if lost := after[series] - before[series]; lost != 0 {
			t.Errorf("%s: %v s are lost", series, lost)
		}
	}
	peak := peakMemory(t, pid)
	if peak > mostMemory {
		t.Errorf("it needed %d MiB", peak>>20)
	}
	if len(times) == 0 {
		t.Fatal("no scrape was answered")
	}
	slices.Sort(times)
	exchanges := (asksOf(after) - asked) / time.Since(begin).Seconds()
	t.Logf("%d requests, %d of them answered, in %v; %d scrapes failed, %d took %v in the middle and %v at most; peak %.1f MiB, of the cgroup %s; %.1f exchanges a second",
		a.sent.Load(), a.answered.Load(), took.Round(time.Second), failed, len(times), times[len(times)/2], times[len(times)-1], float64(peak)/(1<<20), cgroupMemory(pid), exchanges)
	if most := 1 + 20.0 + 1; exchanges > most { // the watch's, the clients', and one to spare
		t.Errorf("%v exchanges a second", exchanges)
	}
}

func asksOf(values map[string]float64) float64 { return values["chrony_tracker_exchanges_total"] }

func needsPodman(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("podman"); err != nil || os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("CI needs podman, and to be root")
		}
		t.Skip("needs podman, and to be root")
	}
}

// runProgram runs the program alone in a container with the pods' memory limit, and
// returns its process.
func (e *engine) runProgram(t *testing.T, chronyd string) (s *programtest.Server, pid int) {
	t.Helper()
	root := t.TempDir()
	build := programtest.Tool(t, "go", "build", "-C", "../../..", "-o", filepath.Join(root, "chrony-tracker"), "./cmd/chrony-tracker")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	listen := programtest.FreeAddress(t)
	id := e.podman(t, "run", "--detach", "--timeout=600", "--memory="+strconv.Itoa(memoryLimit), "--memory-swap="+strconv.Itoa(memoryLimit), "--read-only", "--read-only-tmpfs=false",
		"--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=host", "--user=65532:65532", "--rootfs", root, "/chrony-tracker", "--chrony.address="+chronyd, "--web.listen-address="+listen)
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := e.command(t, "logs", id).CombinedOutput()
			t.Log(string(log))
		}
		exec.Command("podman", append(slices.Clone(e.flags), "rm", "--force", "--time=0", id)...).Run()
	})
	s = &programtest.Server{URL: "http://" + listen}
	chronytest.Await(t, "the container to serve", func() bool { return programtest.IsServed(s.URL + "/-/healthy") })
	pid, err := strconv.Atoi(e.podman(t, "inspect", "--format={{.State.Pid}}", id))
	chronytest.Must(t, err)
	return s, pid
}

// awaitSamples waits until the watch has some more samples.
func awaitSamples(t *testing.T, s *programtest.Server, n float64) (values map[string]float64) {
	t.Helper()
	enough := s.MustScrape(t)["chrony_tracker_samples_total"] + n
	chronytest.Await(t, "samples", func() bool {
		values = s.MustScrape(t)
		return values["chrony_tracker_samples_total"] >= enough
	})
	return values
}

// scrapeFor scrapes as Prometheus does, but once a second.
func scrapeFor(t *testing.T, s *programtest.Server, how time.Duration) (times []time.Duration, failed int) {
	t.Helper()
	end := time.After(how)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		begin := time.Now()
		if _, err := s.Fetch(); err != nil {
			failed++
			t.Logf("a scrape failed after %v: %v", time.Since(begin), err)
		} else {
			times = append(times, time.Since(begin))
		}
		select {
		case <-ticker.C:
		case <-end:
			return times, failed
		}
	}
}

// probe asks as the kubelet does, and may fail twice.
func probe(t *testing.T, s *programtest.Server) {
	t.Helper()
	for range 3 {
		client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Get(s.URL + "/-/healthy")
		if err == nil {
			response.Body.Close()
			return
		}
		t.Logf("a probe failed: %v", err)
	}
	t.Error("the kubelet would restart it")
}

// An attack is many clients without manners.
type attack struct {
	address        string
	ctx            context.Context
	end            func()
	wait           sync.WaitGroup
	sent, answered atomic.Int64
}

func (a *attack) begin() {
	huge := "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-Padding: "+strings.Repeat("x", 1000)+"\r\n", 1000)
	for _, group := range []struct {
		clients int
		client  func(n int)
	}{
		{100, a.read},
		{20, func(int) { a.send(a.history() + a.history() + a.history()) }}, // and does not read
		{20, func(int) { a.send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") }},
		{30, func(int) { a.send("GET /metrics HTTP/1.1\r\nHo") }}, // half-open
		{10, func(int) { a.send("") }},
		{10, func(int) { a.send(huge) }},
		{10, func(int) { a.send(garbage()) }},
	} {
		for n := range group.clients {
			a.wait.Go(func() {
				for a.ctx.Err() == nil {
					group.client(n)
				}
			})
		}
	}
}

// history is the largest answer that there is.
func (a *attack) history() string {
	start := time.Now().Add(-10 * time.Second).UnixMilli()
	return fmt.Sprintf("GET /api/v1/history?step=1ms&start=%d.%03d HTTP/1.1\r\nHost: x\r\n\r\n", start/1000, start%1000)
}

// garbage begins as a client of TLS does.
func garbage() string {
	b := make([]byte, 500)
	rand.Read(b)
	copy(b, "\x16\x03\x01\x01\xf0\x01")
	return string(b)
}

// read reads all paths in turns, over one connection.
func (a *attack) read(n int) {
	paths := []string{"/metrics", "/", "/api/v1/status", "/api/v1/now", "/api/v1/events", "/api/v1/history", "/-/ready?max_error=1ms", "/-/healthy", "/-/uplot.js", "/nothing"}
	client := http.Client{Transport: &http.Transport{DisableCompression: n%2 == 0}}
	defer client.CloseIdleConnections()
	for i := n; a.ctx.Err() == nil; i++ {
		request, _ := http.NewRequestWithContext(a.ctx, "GET", "http://"+a.address+paths[i%len(paths)], nil)
		a.sent.Add(1)
		response, err := client.Do(request)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, response.Body); err == nil && response.StatusCode < 500 {
			a.answered.Add(1)
		}
		response.Body.Close()
	}
}

// send sends a text on a new connection and waits, without reading, until the other side
// ends it or five seconds have passed.
func (a *attack) send(text string) {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(a.ctx, "tcp", a.address)
	if err != nil {
		return
	}
	defer conn.Close()
	conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	a.sent.Add(1)
	conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		return
	}
	deadline := time.After(5 * time.Second)
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-a.ctx.Done():
			return
		case <-deadline:
			return
		case <-ticker.C:
			if !isOpen(conn) {
				return
			}
		}
	}
}

// isOpen looks at a connection without reading from it.
func isOpen(conn net.Conn) bool {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return false
	}
	open := true
	raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		const established = 1
		open = err == nil && info.State == established
	})
	return open
}

// peakMemory returns the most memory that a process has had.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	chronytest.Must(t, err)
	_, rest, _ := bytes.Cut(text, []byte("VmHWM:"))
	fields := bytes.Fields(rest)
	kilobytes, err := strconv.ParseInt(string(fields[0]), 10, 64)
	chronytest.Must(t, err)
	return kilobytes << 10
}

// cgroupMemory describes the most memory that a process's cgroup has had, with the
// kernel's share and cached files.
func cgroupMemory(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	for _, line := range strings.Split(string(text), "\n") {
		parts := strings.SplitN(line, ":", 3)
		for _, file := range []string{"/sys/fs/cgroup/memory" + parts[len(parts)-1] + "/memory.max_usage_in_bytes", "/sys/fs/cgroup" + parts[len(parts)-1] + "/memory.peak"} {
			if peak, err := os.ReadFile(file); err == nil && (parts[1] == "memory" || parts[1] == "") {
				if n, err := strconv.ParseInt(strings.TrimSpace(string(peak)), 10, 64); err == nil {
					return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
				}
			}
		}
	}
	return "unknown"
}
