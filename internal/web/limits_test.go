package web

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

// TestPlaces has more requests than places while no answer ends. Those that wait too long
// must be told when to try again.
func TestPlaces(t *testing.T) {
	running, end := make(chan bool, 5), make(chan bool)
	server := httptest.NewServer(newPlaces(2).limit(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		running <- true
		<-end
	})))
	defer server.Close()
	status := make(chan int, 5)
	for range cap(status) {
		go func() {
			response, err := http.Get(server.URL)
			if err != nil {
				t.Error(err)
				status <- 0
				return
			}
			response.Body.Close()
			if response.StatusCode == http.StatusServiceUnavailable && response.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			status <- response.StatusCode
		}()
	}
	for range 3 {
		if got := <-status; got != http.StatusServiceUnavailable {
			t.Errorf("status %d", got)
		}
	}
	if n := len(running); n != 2 {
		t.Errorf("%d at the same time", n)
	}
	close(end)
	for range 2 {
		if got := <-status; got != http.StatusOK {
			t.Errorf("status %d", got)
		}
	}
}

// endless sends more than fits into the kernel's buffers, until the client is gone.
func endless(w http.ResponseWriter, ended chan<- error) {
	part := make([]byte, 32<<10)
	for {
		if _, err := w.Write(part); err != nil {
			ended <- err
			return
		}
	}
}

// request sends a request on a new connection, and reads no answer.
func request(t *testing.T, address, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestUnreadAnswersLeaveTheirPlaces has all places taken by clients that don't read.
func TestUnreadAnswersLeaveTheirPlaces(t *testing.T) {
	const n = 2
	ended := make(chan error, n)
	var begun sync.WaitGroup
	begun.Add(n)
	server := httptest.NewServer(newPlaces(n).limit(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			return
		}
		begun.Done()
		endless(w, ended)
	})))
	t.Cleanup(server.Close) // after the connections
	for range n {
		request(t, server.Listener.Addr().String(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	begun.Wait()
	response, err := http.Get(server.URL + "/small")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Error(response.Status)
	}
}

// TestConnections has more connections than a server may have: idle ones, such that never
// send a request, and such that never read an answer. A new one must always be served.
func TestConnections(t *testing.T) {
	const most = 4
	ended := make(chan error, 100)
	var begun sync.WaitGroup
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/endless" {
			begun.Done()
			endless(w, ended)
		}
	}))
	connections := NewConnections(most)
	server.Config.ConnState = connections.Track
	server.Start()
	t.Cleanup(server.Close) // after the connections
	address := server.Listener.Addr().String()
	open := func() int {
		connections.mu.Lock()
		defer connections.mu.Unlock()
		return len(connections.open)
	}
	served := func(when string) {
		t.Helper()
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Get(server.URL)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		response.Body.Close()
		if n := open(); n > most {
			t.Errorf("%s: %d connections", when, n)
		}
	}
	for range 3 * most {
		request(t, address, "GET / HT")
	}
	served("half of a request")
	for range 3 * most {
		request(t, address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	served("idle")
	for i := range most {
		begun.Add(1)
		request(t, address, "GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
		begun.Wait()
		chronytest.Await(t, fmt.Sprint("the connection ", i), func() bool { return open() <= most })
	}
	served("answers that nobody reads")
	select {
	case <-ended: // one had to go
	case <-time.After(chronytest.Patience):
		t.Error("all go on")
	}
}

// TestConnectionsOrder has a server whose connections all answer a request, and one that
// is new. The new one must live until its request is there. A scrape must survive many
// new connections.
func TestConnectionsOrder(t *testing.T) {
	now := time.Now()
	for _, test := range []struct {
		name      string
		gone, new connection // the first one must go
	}{
		{"slow answers and a new connection", connection{true, now.Add(-3 * time.Second)}, connection{false, now}},
		{"a new answer and new connections", connection{false, now.Add(-time.Millisecond)}, connection{true, now.Add(-500 * time.Millisecond)}},
		{"an old connection and a new one", connection{false, now.Add(-time.Second)}, connection{false, now}},
		{"a slow answer and a new one", connection{true, now.Add(-time.Second)}, connection{true, now}},
	} {
		c := NewConnections(2)
		gone, stays := new(net.TCPConn), new(net.TCPConn)
		c.open[gone], c.open[stays] = test.gone, test.new
		c.Track(new(net.TCPConn), http.StateNew)
		if _, open := c.open[stays]; !open || len(c.open) != 2 {
			t.Errorf("%s: the wrong one was closed", test.name)
		}
	}
}

// TestMostStall has more and more requests that wait. Each must get its turn in time, even
// if all others leave their answers unread.
func TestMostStall(t *testing.T) {
	p := newPlaces(4)
	for waiting, want := range map[int64]time.Duration{0: time.Second, 4: time.Second, 20: 500 * time.Millisecond, 100: 100 * time.Millisecond, 10_000: 50 * time.Millisecond} {
		p.waiting.Store(waiting)
		if got := p.mostStall(); got != want {
			t.Errorf("%d wait: %v, want %v", waiting, got, want)
		}
	}
}
