package test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

// startWithHistory starts the program and returns the path of a history of about a
// megabyte: some seconds in steps of a millisecond.
func startWithHistory(t *testing.T) (s *programtest.Server, history string) {
	t.Helper()
	t.Parallel() // it mostly waits
	d := chronytest.New(t, chronytest.Config{})
	s = programtest.Start(t, "--chrony.address="+d.Address, "--sample.interval=100ms", "--chrony.timeout=100ms")
	begin := time.Now()
	history = fmt.Sprintf("/api/v1/history?step=1ms&end=%d", begin.Unix()+9)
	chronytest.Await(t, "a history", func() bool {
		return time.Since(begin) > 6*time.Second && s.MustScrape(t)["chrony_tracker_samples_total"] > 20
	})
	return s, history
}

// TestBigHistories has sixty clients read a large history at the same time. All get an
// answer, and the program stays small.
func TestBigHistories(t *testing.T) {
	s, path := startWithHistory(t)
	var wg sync.WaitGroup
	var full, later atomic.Int64
	for range 60 {
		wg.Go(func() {
			response, err := http.Get(s.URL + path)
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			n, err := io.Copy(io.Discard, response.Body)
			switch {
			case err != nil:
				t.Error(err)
			case response.StatusCode == http.StatusOK && n > 300_000:
				full.Add(1)
			case response.StatusCode == http.StatusServiceUnavailable && response.Header.Get("Retry-After") != "":
				later.Add(1)
			default:
				t.Errorf("%s, %d bytes", response.Status, n)
			}
		})
	}
	wg.Wait()
	const most = 48 << 20
	peak := peakMemory(t, s)
	t.Logf("%d answers, %d have to come later, %.1f MiB", full.Load(), later.Load(), float64(peak)/(1<<20))
	if peak > most || full.Load() == 0 {
		t.Error("too much memory, or no answer")
	}
}

// peakMemory returns the most memory that the program has had, in bytes.
func peakMemory(t *testing.T, s *programtest.Server) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	chronytest.Must(t, err)
	_, rest, _ := bytes.Cut(text, []byte("VmHWM:"))
	kilobytes, err := strconv.ParseInt(string(bytes.Fields(rest)[0]), 10, 64)
	chronytest.Must(t, err)
	return kilobytes << 10
}

// TestUnreadAnswers has clients that never read their answer, or never end their request.
// The program lets go of their connections.
func TestUnreadAnswers(t *testing.T) {
	s, path := startWithHistory(t)
	address := strings.TrimPrefix(s.URL, "http://")
	files := func() float64 { return s.MustScrape(t)["process_open_fds"] }
	before := files()
	const n = 10
	for i := range n {
		conn, err := net.Dial("tcp", address)
		chronytest.Must(t, err)
		t.Cleanup(func() { conn.Close() })
		chronytest.Must(t, conn.(*net.TCPConn).SetReadBuffer(4<<10))
		text := "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n"
		if i%2 == 0 {
			text = text[:20]
		}
		_, err = io.WriteString(conn, text)
		chronytest.Must(t, err)
	}
	begin := time.Now()
	chronytest.Await(t, "the connections", func() bool { return files() >= before+n }, func() any { return files() })
	chronytest.Await(t, "the connections to end", func() bool { return files() <= before+1 }, func() any { return files() })
	t.Logf("after %v", time.Since(begin))
}
