package web_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
	"github.com/chrony-tracker/chrony-tracker/internal/web"
)

// watched returns the handler of a tracker that watches a scripted chronyd.
func watched(f *testing.F, leap chrony.LeapStatus) http.Handler {
	fake := chronytest.NewFake(f, func(r chronytest.Request) []chronytest.Packet {
		return chronytest.Truthful(chrony.Report{
			Tracking: &chrony.Tracking{
				RefID: 0x7f000001, Address: chrony.Address{IP: netip.MustParseAddr("127.0.0.1")}, Stratum: 2, Leap: leap,
				RefTime: time.Now(), RootDelay: 1e-3, RootDispersion: 1e-3, LastUpdateInterval: 1,
			},
			Sources: []chrony.Source{},
		})(r)
	})
	client, err := chrony.NewClient(fake.Address)
	chronytest.Must(f, err)
	tr := tracker.New(tracker.Config{Client: client})
	f.Cleanup(func() { tr.Close() })
	chronytest.Must(f, tr.Watch(tracker.WatchConfig{Interval: time.Second}))
	chronytest.Await(f, "a sample", func() bool { return tr.Watched().Samples > 0 })
	mux := http.NewServeMux()
	web.Register(mux, tr, web.Config{Version: "chrony-tracker 1.2.3", Metrics: "/metrics", Handler: http.NotFoundHandler()})
	return mux
}

// FuzzParameters gives any parameters to the API and the gate. A clock without a bound
// never passes the gate, no mistake in a parameter disables it, and every answer of the
// API is JSON of a limited size.
func FuzzParameters(f *testing.F) {
	known, unknown := watched(f, chrony.LeapNormal), watched(f, chrony.LeapNotSynchronized)
	for _, query := range []string{
		"", "max_error=10ms", "max_error=1ns", "max_error=-1s", "max_error=10ms&max_error=1h", "max-error=1s", "max_error=9223372036854775807ns",
		"max_error=1s;max_error=1h", "max_error=%zz", "step=1s", "step=1ms&start=0", "step=1e-3&end=1e300", "start=NaN", "end=Inf", "step=24h&start=-253402300799",
		"start=2026-01-02T03:04:05Z&end=9999-12-31T23:59:59Z", "start=9999999999999&step=0x1p-4", "start=1e9&end=-1&step=00:01",
	} {
		f.Add(true, "/-/ready", query)
		f.Add(true, "/api/v1/history", query)
	}
	f.Add(false, "/-/ready", "max_error=2562047h")
	f.Add(false, "/api/v1/status", "")
	f.Add(true, "/api/v1/now", "x=y")
	f.Add(true, "/api/v1/events", "a")
	f.Add(true, "/api/v1/../../-/ready", "")
	f.Fuzz(func(t *testing.T, bounded bool, path, query string) {
		if !strings.HasPrefix(path, "/") {
			path = "/" + path
		}
		handler := unknown
		if bounded {
			handler = known
		}
		request := (&http.Request{Method: http.MethodGet, URL: &url.URL{Path: path, RawQuery: query}, Host: "node", Header: http.Header{}}).WithContext(t.Context())
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		if n := answer.Body.Len(); n > 8<<20 {
			t.Errorf("%d bytes", n)
		}
		switch {
		case path == "/-/ready":
			checkGate(t, bounded, query, answer)
		case strings.HasPrefix(path, "/api/v1/") && answer.Code == http.StatusBadRequest, strings.HasPrefix(answer.Header().Get("Content-Type"), "application/json"):
			if !json.Valid(answer.Body.Bytes()) {
				t.Errorf("%d: %q", answer.Code, answer.Body)
			}
		}
		if answer.Code == http.StatusInternalServerError {
			t.Errorf("%s", answer.Body)
		}
	})
}

// checkGate passes an answer of the gate only if a single right limit was asked for, and
// the bound, a millisecond and more, is within it.
func checkGate(t *testing.T, bounded bool, query string, answer *httptest.ResponseRecorder) {
	t.Helper()
	if answer.Code != http.StatusOK || query == "" {
		return
	}
	values, err := url.ParseQuery(query)
	limits := values["max_error"]
	if err != nil || len(values) != len(limits) || len(limits) > 1 {
		t.Errorf("%q passes: %s", query, answer.Body)
	}
	if len(limits) == 0 { // as in "&": no parameter at all
		return
	}
	if limit, err := time.ParseDuration(limits[0]); err != nil || limit < time.Millisecond || !bounded {
		t.Errorf("%q passes: %s", query, answer.Body)
	}
}
