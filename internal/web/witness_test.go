package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/beevik/ntp"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/status"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
	"github.com/chrony-tracker/chrony-tracker/internal/witness"
)

// TestWitnesses has a clock that one NTP server judges, and no peers. The server begins
// to lie.
func TestWitnesses(t *testing.T) {
	source := chronytest.NewTimeSource(t)
	d := chronytest.NewSynchronized(t, "")
	config := &tracker.WitnessConfig{Config: witness.Config{NTP: []string{source.Address}, Interval: time.Second, Peers: "127.0.0.1", Node: "this"}}
	server, _ := serveWatch(t, d.Address, tracker.WatchConfig{Interval: 100 * time.Millisecond, Witness: config})
	document := readDocument(t)
	await := func(verdict witness.Verdict) *status.Witnesses {
		t.Helper()
		var w *status.Witnesses
		chronytest.Await(t, "the verdict "+verdict.String(), func() bool {
			_, text := get(t, server.URL+"/api/v1/status")
			var found struct{ Witnesses *status.Witnesses }
			if err := json.Unmarshal([]byte(text), &found); err != nil {
				t.Fatal(err)
			}
			w = found.Witnesses
			return w.UTC.Verdict == verdict.String()
		}, func() any { return w.UTC })
		for _, path := range []string{"status", "events"} {
			value := answer[any](t, server.URL+"/api/v1/"+path)
			schema := document.at("paths", "/api/v1/"+path, "get", "responses", "200", "content", "application/json", "schema")
			for _, problem := range document.check(schema, value, path) {
				t.Errorf("%v: %s", verdict, problem)
			}
		}
		return w
	}

	w := await(witness.Consistent)
	if s := w.UTC.Servers[0]; s.Name != source.Address || s.Offset == nil || *w.UTC.By != source.Address || *w.UTC.Bound > 1 {
		t.Errorf("%+v", w.UTC)
	}
	if w.Peers.Verdict != "unproven" || w.Peers.Addresses != 0 || w.Peers.Authentic {
		t.Errorf("the peers are this node: %+v", w.Peers)
	}
	if w.Actionable.State != "synchronized" {
		t.Errorf("%+v", w.Actionable)
	}
	_, page := get(t, server.URL+"/")
	for _, want := range []string{`id="witnesses"`, source.Address, "UTC servers: consistent", "Peers: unproven", ">traced to UTC<"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}

	source.SetError(300 * time.Millisecond) // this clock is behind it
	w = await(witness.Disputed)
	if s := w.UTC.Servers[0]; !s.Contradicts || *s.Offset > -0.25 || *w.UTC.Far < 0.25 || *w.Actionable.Bound < 0.25 {
		t.Errorf("%+v", w)
	}
	text := ""
	chronytest.Await(t, "the gate to close", func() bool {
		var response *http.Response
		response, text = get(t, server.URL+"/-/ready?max_error=100ms")
		return response.StatusCode == http.StatusServiceUnavailable && response.Header.Get(status.Header) == "synchronized" && strings.Contains(text, "UTC server")
	}, func() any { return text })
	if _, page := get(t, server.URL+"/"); !strings.Contains(page, `class="verdict warning"`) {
		t.Error("the page says nothing of the doubt")
	}
}

// TestNoWitnesses wants nothing of them on the page, without any.
func TestNoWitnesses(t *testing.T) {
	server := serve(t, chronytest.NewSynchronized(t, "").Address)
	if _, page := get(t, server.URL+"/"); strings.Contains(strings.ToLower(page), "witness") {
		t.Errorf("%s", page)
	}
	if got := answer[map[string]any](t, server.URL+"/api/v1/status"); got["witnesses"] != nil {
		t.Errorf("%v", got["witnesses"])
	}
}

// TestGateIgnoresStrangers has peers that anybody could forge. They contradict the clock,
// but close the gate only if they are trusted.
func TestGateIgnoresStrangers(t *testing.T) {
	source := chronytest.NewTimeSource(t)
	source.SetError(time.Minute)
	d := chronytest.NewSynchronized(t, "")
	for _, trusted := range []bool{false, true} {
		config := &tracker.WitnessConfig{TrustPeers: trusted, Config: witness.Config{
			Peers: "peers.example", Node: "this",
			Lookup: func(context.Context, string) ([]netip.Addr, error) {
				return []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")}, nil
			},
			Exchange: func(_ context.Context, to netip.AddrPort, _ *witness.Key, timeout time.Duration) (*ntp.Response, error) {
				response, err := ntp.QueryWithOptions(source.Address, ntp.QueryOptions{Timeout: timeout})
				if err == nil {
					response.ReferenceID = witness.ReferenceID(to.String()) // each is another node
				}
				return response, err
			},
		}}
		server, _ := serveWatch(t, d.Address, tracker.WatchConfig{Interval: 100 * time.Millisecond, Witness: config})
		var response *http.Response
		var gate string
		chronytest.Await(t, fmt.Sprintf("the gate with peers that are trusted: %v", trusted), func() bool {
			contradicted := answer[struct{ State string }](t, server.URL+"/api/v1/status").State == "contradicted"
			now := answer[nowAnswer](t, server.URL+"/api/v1/now")
			response, gate = get(t, server.URL+"/-/ready?max_error=30s")
			state, open := response.Header.Get(status.Header), response.StatusCode == http.StatusOK
			if !contradicted || now.Bound == nil {
				return false
			}
			if trusted {
				return !open && state == "contradicted" && now.State == "contradicted" && *now.Bound > 59 && strings.Contains(gate, "peers contradict")
			}
			return open && state == "synchronized" && now.State == "synchronized" && *now.Bound < 30
		}, func() any { return gate })
	}
}
