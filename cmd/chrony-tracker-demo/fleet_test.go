package main

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/objective"
)

// serveTest serves a fleet and returns a function that fetches a path of it.
func serveTest(t *testing.T, config fleetConfig) (*fleet, func(path string) *http.Response) {
	t.Helper()
	config.interval = 100 * time.Millisecond
	f, err := startFleet(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	server := httptest.NewServer(f.routes())
	t.Cleanup(server.Close)
	return f, func(path string) *http.Response {
		t.Helper()
		response, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { response.Body.Close() })
		return response
	}
}

// TestFaults checks the state that the tracker shows for each fault.
func TestFaults(t *testing.T) {
	f, fetch := serveTest(t, fleetConfig{size: len(faults) + 2, clusters: 1})
	states := map[string]clockerror.State{
		"lost-source": clockerror.Holdover, "unreachable": clockerror.Unreachable,
		"local": clockerror.Local, "unsynchronized": clockerror.Unsynchronized,
		"paused": clockerror.Contradicted, "refused-updates": clockerror.Contradicted,
	}
	for _, n := range f.nodes {
		t.Run(n.fault.name, func(t *testing.T) {
			want := states[n.fault.name] // or synchronized
			// One answer may fail: the overloaded chronyd has no time to answer twice
			// when it updates the clock in between.
			var status struct {
				State string
				Bound *float64 `json:"bound_seconds"`
			}
			chronytest.Await(t, want.String(), func() bool {
				chronytest.Must(t, json.NewDecoder(fetch("/nodes/"+n.name+"/api/v1/status").Body).Decode(&status))
				return status.State == want.String() && (status.Bound != nil) == want.CanHaveBound()
			}, func() any { return status })
		})
	}
}

// TestTruth checks that the metrics of each node end with the truth, for every requested
// format, and even if chronyd does not answer.
func TestTruth(t *testing.T) {
	f, _ := serveTest(t, fleetConfig{size: len(faults) + 2, clusters: 1})
	for _, n := range f.nodes {
		request := httptest.NewRequest("GET", "/nodes/"+n.name+"/metrics", nil)
		request.Header.Set("Accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")
		response := httptest.NewRecorder()
		f.routes().ServeHTTP(response, request)
		page := response.Body.String()
		before, value, found := strings.Cut(page, "\nchrony_demo_clock_error_seconds ")
		got, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if !found || err != nil || !strings.Contains(before, "\nchrony_up ") || strings.Contains(page, "# EOF") {
			t.Errorf("%s: the page ends with %q", n.name, page[max(0, len(page)-200):])
		}
		if want := n.truth(n.elapsed()); math.Abs(got-want) > 1e-3 {
			t.Errorf("%s: %v s off, want %v s", n.name, got, want)
		}
	}
}

// TestClocks checks that a healthy node's clocks do not jump.
func TestClocks(t *testing.T) {
	n := newNode("", "", 1, nil)
	first, _ := n.Read()
	second, _ := n.Read()
	if first.Real-first.Boot != second.Real-second.Boot {
		t.Errorf("the clock jumps: %+v, %+v", first, second)
	}
	n.Close()
	if n.AwaitSet() == nil {
		t.Error("a closed clock was set")
	}
}

// TestTargets checks the labels of all targets, and that there is one node without a
// tracker.
func TestTargets(t *testing.T) {
	crdb := objective.Objective{Name: "crdb", Limit: 0.5}
	_, fetch := serveTest(t, fleetConfig{size: 4, clusters: 2, witnesses: true, objectives: []objective.Objective{crdb}})
	var targets []target
	if err := json.NewDecoder(fetch("/targets").Body).Decode(&targets); err != nil {
		t.Fatal(err)
	}
	if len(targets) != 4+2 || targets[1].Labels["node"] != "node-0002" || targets[1].Labels["cluster"] != "demo-2" {
		t.Errorf("targets %v", targets)
	}
	for _, target := range targets {
		if status := fetch(target.Labels["__metrics_path__"]).StatusCode; status != http.StatusOK {
			t.Errorf("%v: status %d", target.Labels, status)
		}
	}
	known := read(t, fetch("/clusters/demo-1/metrics"))
	for i, want := range []bool{true, false, true, false, true} {
		if node := fmt.Sprintf(`node="node-%04d"`, i+1); strings.Contains(known, node) != want {
			t.Errorf("%s in the cluster: %v", node, !want)
		}
	}
	if list := read(t, fetch("/")); !strings.Contains(list, "its source is silent") || !strings.Contains(list, `href="nodes/node-0001/"`) {
		t.Errorf("the list: %s", list)
	}
	if status := fetch("/nodes/node-9999/metrics").StatusCode; status != http.StatusNotFound {
		t.Errorf("a node that is not there: status %d", status)
	}
	if config := read(t, fetch("/prometheus.yml")); !strings.Contains(config, "http_sd_configs") {
		t.Errorf("the configuration: %s", config)
	}
}

func read(t *testing.T, response *http.Response) string {
	t.Helper()
	var b strings.Builder
	if err := response.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
