package web_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/chrony-tracker/chrony-tracker/chrony"
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
	server := serve(t, d.Address)
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

// TestGate opens for a clock whose bound is within the limit, and for no other.
func TestGate(t *testing.T) {
	d := chronytest.NewSynchronized(t, " offset 0.25")
	right := serve(t, d.Address)
	wrong := serve(t, chronytest.New(t, chronytest.Config{}).Address)
	local := serve(t, chronytest.New(t, chronytest.Config{Lines: []string{"local stratum 10"}}).Address)
	gone := chronytest.New(t, chronytest.Config{})
	gone.Kill()
	nobody := serve(t, gone.Address)
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
		{right, "?max_error=10", 400, "", `^max_error=10:`},
		{right, "?max_error=0s", 400, "", `^max_error=`},
		{right, "?max_error=-1s", 400, "", `^max_error=`},
		{right, "?max_error=", 400, "", `^max_error=`},
		{right, "?max_error=1s&max_error=1ms", 400, "", `^max_error=`},
		{right, "?max_error=1ms;max_error=1s", 400, "", `invalid semicolon`},
		{right, "?max_error=%zz", 400, "", `invalid URL escape`},
		{right, "?maxerror=10ms", 400, "", `"maxerror"`},
	} {
		response, text := get(t, test.server.URL+"/-/ready"+test.query)
		if state := response.Header.Get(status.Header); state != test.state {
			t.Errorf("%s: state %q, want %q", test.query, state, test.state)
		}
		if response.StatusCode != test.status || !regexp.MustCompile(test.text).MatchString(text) {
			t.Errorf("%s: %s: %s, want %d %s", test.query, response.Status, text, test.status, test.text)
		}
	}
}
