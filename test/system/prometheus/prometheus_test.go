//go:build system

// Package prometheus tests the metrics, rules and dashboards with a real Prometheus.
package prometheus

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

func TestMain(m *testing.M) { os.Exit(programtest.Main(m)) }

// TestPrometheus runs a real Prometheus that scrapes the program and has a plain rule,
// as users write it. The rule must fire when chronyd dies, and not fall silent.
func TestPrometheus(t *testing.T) {
	d := chronytest.NewSynchronized(t, "")
	s := programtest.Start(t, "--chrony.address="+d.Address)
	prometheus := startPrometheus(t, s)
	query := prometheus.query

	chronytest.Await(t, "a value", func() bool { return len(query("chrony_clock_error_ms < 50")) == 1 })
	if alerts := query(`ALERTS{alertstate="firing"}`); len(alerts) != 0 {
		t.Errorf("fires for a good clock: %v", alerts)
	}
	if states := query("chrony_clock_state == 1"); len(states) != 1 || states[0]["state"] != "synchronized" {
		t.Errorf("states %v", states)
	}

	fleet, err := programtest.Tool(t, programtest.Path, "fleet", "--json", "--prometheus.url="+prometheus.url).Output()
	if err != nil || !strings.Contains(string(fleet), `"nodes": 1,`) || !strings.Contains(string(fleet), `"synchronized": 1`) || !strings.Contains(string(fleet), `"drift": `) {
		t.Errorf("fleet: %v: %s", err, fleet)
	}

	d.Kill()
	chronytest.Await(t, "the alert", func() bool {
		alerts := query(`ALERTS{alertstate="firing"}`)
		return len(alerts) == 1 && alerts[0]["alertname"] == "ClockError"
	})
	if states := query("chrony_clock_state == 1"); len(states) != 1 || states[0]["state"] != "unreachable" {
		t.Errorf("states %v", states)
	}
	if known := query("chrony_clock_error_bound_seconds < +Inf"); len(known) != 0 {
		t.Errorf("still a bound: %v", known)
	}

	if err := d.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := d.WaitSynchronized(t.Context()); err != nil {
		t.Fatal(err)
	}
	chronytest.Await(t, "the alert to end", func() bool { return len(query(`ALERTS{alertstate="firing"}`)) == 0 })
}

// startPrometheus starts a Prometheus that scrapes the program five times per second.
// Its method query returns the labels of a result.
func startPrometheus(t *testing.T, s *programtest.Server) *prometheusServer {
	t.Helper()
	return runPrometheus(t, t.TempDir(), fmt.Sprintf(`
global: {scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}
rule_files: [rules.yml]
scrape_configs: [{job_name: chrony, static_configs: [{targets: [%q]}]}]
`, strings.TrimPrefix(s.URL, "http://")),
		`groups: [{name: clock, rules: [{alert: ClockError, expr: chrony_clock_error_ms > 50}]}]`,
	)
}

// A prometheusServer is a running Prometheus.
type prometheusServer struct{ url string }

// runPrometheus runs a Prometheus in a directory, with a configuration and rules.yml.
func runPrometheus(t *testing.T, dir, config, rules string) *prometheusServer {
	t.Helper()
	for name, text := range map[string]string{"prometheus.yml": config, "rules.yml": rules} {
		chronytest.Must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	return &prometheusServer{startPrometheusIn(t, dir).url}
}

// get returns an answer of the API, or nothing while Prometheus is not up.
func (p *prometheusServer) get(path string, answer any) {
	response, err := http.Get(p.url + "/api/v1/" + path)
	if err != nil {
		return
	}
	defer response.Body.Close()
	json.NewDecoder(response.Body).Decode(answer)
}

// query returns the labels of the result of a query.
func (p *prometheusServer) query(query string) []map[string]string {
	var answer struct {
		Data struct {
			Result []struct{ Metric map[string]string }
		}
	}
	p.get("query?query="+url.QueryEscape(query), &answer)
	var labels []map[string]string
	for _, r := range answer.Data.Result {
		labels = append(labels, r.Metric)
	}
	return labels
}
