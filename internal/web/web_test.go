package web_test

import (
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/status"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
	"github.com/chrony-tracker/chrony-tracker/internal/web"
)

func serve(t *testing.T, address string) *httptest.Server {
	t.Helper()
	client, err := chrony.NewClient(address)
	if err != nil {
		t.Fatal(err)
	}
	tr := tracker.New(tracker.Config{Node: "node-<7>", Client: client, Timeout: chronytest.Patience})
	t.Cleanup(func() { tr.Close() })
	mux := http.NewServeMux()
	web.Register(mux, tr, web.Config{Version: "chrony-tracker 1.2.3", Metrics: "/metrics", Handler: http.NotFoundHandler()})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}

func TestChecks(t *testing.T) {
	d := chronytest.New(t, chronytest.Config{})
	server, tr := serveWatched(t, d.Address, 100*time.Millisecond)
	awaitState(t, tr, clockerror.Unsynchronized)
	for _, test := range []struct {
		path   string
		alive  bool
		status int
		text   string
	}{
		{"/-/healthy", true, 200, "healthy"},
		{"/-/ready", true, 200, "ready"},
		{"/", true, 200, "follows no source"},
		{"/elsewhere", true, 404, ""},
		{"/-/healthy", false, 200, "healthy"},
		{"/-/ready", false, 503, "connection refused"},
		{"/", false, 200, "is chronyd running"},
	} {
		if !test.alive {
			d.Kill()
			awaitState(t, tr, clockerror.Unreachable)
		}
		response, text := get(t, server.URL+test.path)
		if response.StatusCode != test.status || !strings.Contains(text, test.text) {
			t.Errorf("%s, chronyd alive %v: %s: %s", test.path, test.alive, response.Status, text)
		}
	}
}

// TestPage follows a clock through its states.
func TestPage(t *testing.T) {
	d := chronytest.NewSynchronized(t, " offset 0.25")
	response, text := get(t, serve(t, d.Address).URL)
	for _, part := range []string{
		`<title>synchronized · node-&lt;7&gt; · `, `<h1>Chrony Tracker on node-&lt;7&gt;</h1>`,
		`<p class="verdict ok" id="verdict">[^<]* 2[56]\d ms [^<]*</p>`, `127\.0\.0\.1`, d.Address, `chrony-tracker 1\.2\.3`, `href="metrics"`,
		`<rect class="offset" x="0\.000%" width="(9\d|100)\.\d+%"`, `<td class="number">(&gt; )?(9\d|100) %</td>`, `<tr class="source selected">`, `\d of 8`,
	} {
		if !regexp.MustCompile(part).MatchString(text) {
			t.Errorf("the page lacks %s:\n%s", part, text)
		}
	}
	if policy := response.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
}

// awaitState waits until the latest sample has a state.
func awaitState(t *testing.T, tr *tracker.Tracker, state clockerror.State) {
	t.Helper()
	await(t, tr, state.String(), func(w *tracker.Watched) bool { return w.Samples > 0 && w.State == state })
}

// TestGate opens for a clock whose bound is within the limit, and for no other.
func TestGate(t *testing.T) {
	watched := func(address string, state clockerror.State) *httptest.Server {
		server, tr := serveWatched(t, address, time.Second)
		awaitState(t, tr, state)
		return server
	}
	right := watched(chronytest.NewSynchronized(t, " offset 0.25").Address, clockerror.Synchronized)
	wrong := watched(chronytest.New(t, chronytest.Config{}).Address, clockerror.Unsynchronized)
	local := watched(chronytest.New(t, chronytest.Config{Lines: []string{"local stratum 10"}}).Address, clockerror.Local)
	gone := chronytest.New(t, chronytest.Config{})
	gone.Kill()
	nobody := watched(gone.Address, clockerror.Unreachable)
	unwatched := serve(t, gone.Address)
	for _, test := range []struct {
		server *httptest.Server
		query  string
		status int
		state  string
		text   string
	}{
		{right, "?max_error=1s", 200, "synchronized", `^ready: .* 2\d\d ms .*\n$`},
		{right, "?max_error=10ms", 503, "synchronized", `^not ready: .* 2\d\d ms .*more than 10 ms\n$`},
		{right, "", 200, "synchronized", `^ready\n$`},
		{wrong, "", 200, "unsynchronized", `^ready\n$`},
		{wrong, "?max_error=1000000h", 503, "unsynchronized", `^not ready: .*follows no source\n$`},
		{local, "?max_error=1000000h", 503, "local", `^not ready: .*follows the clock itself\n$`},
		{nobody, "?max_error=1000000h", 503, "unreachable", `^not ready: .*no answer: connection refused\n.*is chronyd running`},
		{nobody, "", 503, "unreachable", `^not ready: .*no answer: connection refused\n.*is chronyd running`},
		{unwatched, "", 503, "unobserved", `^not ready: .*no recent sample.*\n$`},
		{unwatched, "?max_error=1000000h", 503, "unobserved", `^not ready: .*no recent sample.*\n$`},
		{right, "?max_error=10", 400, "", `^max_error=10:`},
		{right, "?max_error=0s", 400, "", `^max_error=`},
		{right, "?max_error=-1s", 400, "", `^max_error=`},
		{right, "?max_error=", 400, "", `^max_error=`},
		{right, "?max_error=1s&max_error=1ms", 400, "", `^max_error=`},
		{right, "?max_error=1ms;max_error=1s", 400, "", `invalid semicolon`},
		{right, "?max_error=%zz", 400, "", `invalid URL escape`},
		{right, "?maxerror=10ms", 400, "", `"maxerror"`},
	} {
		// A busy machine may be late with a sample: then there is no recent one.
		chronytest.Await(t, test.query, func() bool {
			response, text := get(t, test.server.URL+"/-/ready"+test.query)
			state := response.Header.Get(status.Header)
			if state == status.Unobserved && test.state != status.Unobserved {
				return false
			}
			if state != test.state {
				t.Errorf("%s: state %q, want %q", test.query, state, test.state)
			}
			if response.StatusCode != test.status || !regexp.MustCompile(test.text).MatchString(text) {
				t.Errorf("%s: %s: %s, want %d %s", test.query, response.Status, text, test.status, test.text)
			}
			return true
		})
	}
}

// TestGateAsksNobody has a storm of requests to the gate and the present time. chronyd
// has no request from them, even if the answer is that it is too far off.
func TestGateAsksNobody(t *testing.T) {
	fake := chronytest.NewFake(t, chronytest.Truthful(known))
	server, tr := serveWatched(t, fake.Address, time.Hour)
	awaitState(t, tr, clockerror.Synchronized)
	before := fake.Requests()
	var wg sync.WaitGroup
	for _, path := range []string{"/-/ready?max_error=1ns", "/-/ready?max_error=1h", "/-/ready", "/api/v1/now"} {
		wg.Go(func() {
			for range 500 {
				get(t, server.URL+path)
			}
		})
	}
	wg.Wait()
	if after := fake.Requests(); after != before {
		t.Errorf("chronyd had %d requests", after-before)
	}
}

// known is what the scripted daemons here say of themselves.
var known = chrony.Report{
	Tracking: &chrony.Tracking{Stratum: 2, Address: chrony.Address{IP: netip.MustParseAddr("192.0.2.1")}, RefTime: time.Now(), LastUpdateInterval: 1024},
	Sources:  []chrony.Source{{State: chrony.StateSelected, Poll: 6}},
}

// TestStormsShareAnswers has a storm of requests to all paths that ask chronyd, one after
// the other and in parallel. However many they are, at most twenty exchanges a second begin.
func TestStormsShareAnswers(t *testing.T) {
	fake := chronytest.NewFake(t, chronytest.Truthful(known))
	server, tr := serveWatched(t, fake.Address, time.Hour)
	awaitState(t, tr, clockerror.Synchronized)
	get(t, server.URL+"/metrics")
	begin, before := time.Now(), tr.Snapshot(t.Context()).Health.Exchanges
	const each = 100
	var wg sync.WaitGroup
	for _, path := range []string{"/metrics", "/api/v1/status", "/", "/metrics?collect[]=tracking"} {
		wg.Go(func() {
			for range each {
				get(t, server.URL+path)
			}
		})
	}
	wg.Wait()
	exchanges := tr.Snapshot(t.Context()).Health.Exchanges - before
	if most := 2 + uint64(time.Since(begin)/maxAge); exchanges > most {
		t.Errorf("%d exchanges for %d requests, want %d at most", exchanges, 4*each, most)
	}
}

// TestAbsurdPoll has a source with a poll interval that no number can hold.
func TestAbsurdPoll(t *testing.T) {
	absurd := known
	absurd.Sources = []chrony.Source{{State: chrony.StateSelected, Poll: math.MaxInt16}, {Poll: math.MinInt16}}
	server, tr := serveWatched(t, chronytest.NewFake(t, chronytest.Truthful(absurd)).Address, time.Hour)
	await(t, tr, "a sample", func(w *tracker.Watched) bool { return w.Samples > 0 })
	for _, path := range []string{"/api/v1/status", "/", "/metrics", "/api/v1/now", "/api/v1/history", "/api/v1/events"} {
		if response, text := get(t, server.URL+path); response.StatusCode != http.StatusOK {
			t.Errorf("%s: %s: %s", path, response.Status, text)
		}
	}
}
