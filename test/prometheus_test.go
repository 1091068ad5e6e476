package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

// TestPrometheus has a real Prometheus scrape the program, with the plain rule
// that users have: it must fire when chronyd dies, not fall silent.
func TestPrometheus(t *testing.T) {
	d := chronytest.NewSynchronized(t, "")
	s := start(t, "--chrony.address="+d.Address)
	query := startPrometheus(t, s)

	await(t, "a value", func() bool { return len(query("chrony_clock_error_ms < 50")) == 1 })
	if alerts := query(`ALERTS{alertstate="firing"}`); len(alerts) != 0 {
		t.Errorf("fires for a good clock: %v", alerts)
	}
	if states := query("chrony_clock_state == 1"); len(states) != 1 || states[0]["state"] != "synchronized" {
		t.Errorf("states %v", states)
	}

	d.Kill()
	await(t, "the alert", func() bool {
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
	await(t, "the alert to end", func() bool { return len(query(`ALERTS{alertstate="firing"}`)) == 0 })
}

// startPrometheus returns a function that puts a query to a Prometheus that
// scrapes the program five times a second, and gets the labels of the result.
func startPrometheus(t *testing.T, s *server) func(query string) []map[string]string {
	t.Helper()
	program, err := chronytest.Program("prometheus", "prometheus")
	if err != nil {
		t.Fatal(err)
	}
	port, err := chronytest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	dir, address := t.TempDir(), "127.0.0.1:"+strconv.Itoa(port)
	for name, text := range map[string]string{
		"prometheus.yml": fmt.Sprintf(`
global: {scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}
rule_files: [rules.yml]
scrape_configs: [{job_name: chrony, static_configs: [{targets: [%q]}]}]
`, strings.TrimPrefix(s.url, "http://")),
		"rules.yml": `groups: [{name: clock, rules: [{alert: ClockError, expr: chrony_clock_error_ms > 50}]}]`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return func(query string) []map[string]string {
		response, err := http.Get("http://" + address + "/api/v1/query?query=" + url.QueryEscape(query))
		if err != nil {
			return nil // not up yet
		}
		defer response.Body.Close()
		var answer struct {
			Data struct {
				Result []struct{ Metric map[string]string }
			}
		}
		if json.NewDecoder(response.Body).Decode(&answer) != nil {
			return nil
		}
		var labels []map[string]string
		for _, r := range answer.Data.Result {
			labels = append(labels, r.Metric)
		}
		return labels
	}
}
