//go:build system

package prometheus

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

var (
	loadNodes   = flag.Int("nodes", 100, "how many nodes TestLoad simulates")
	loadFor     = flag.Duration("for", 0, "for how long TestLoad has them scraped before it asks")
	loadSlowest = flag.Duration("slowest", 0, "how long TestLoad lets a query of the fleet's dashboard take; 0 only prints the times")
)

// TestLoad measures the time of each query of the fleet's dashboard, and the cost of a
// node. For the figures of docs/background/fleet.md:
//
//	go test -tags=system ./test/system/prometheus -run TestLoad -v -nodes=1000 -for=4m
func TestLoad(t *testing.T) {
	dir := t.TempDir()
	interval := max(1, *loadNodes/100) // seconds between two scrapes
	rules, err := programtest.Tool(t, "go", "run", "../../../deploy/prometheus/generate", "-C", "../../..", "-print", "prometheus", "-faster", strconv.Itoa(max(1, 60/interval))).Output()
	if err != nil {
		t.Fatal(err)
	}
	address := startDemo(t, buildDemo(t, dir), *loadNodes, "-clusters", "4", "-witnesses=false", "-interval", fmt.Sprintf("%ds", max(1, *loadNodes/1000)))
	for name, text := range map[string]string{"rules.yml": string(rules), "prometheus.yml": fmt.Sprintf(`
global: {scrape_interval: %[1]ds, scrape_timeout: %[1]ds, evaluation_interval: %[1]ds}
rule_files: [rules.yml]
scrape_configs: [{job_name: fleet, http_sd_configs: [{url: "http://%[2]s/targets"}]}]
`, interval, address)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p := startPrometheusIn(t, dir)
	begin := time.Now()
	patience := 30*time.Second + time.Duration(4*interval)*time.Second + *loadFor
	chronytest.AwaitFor(t, patience, "all nodes", func() bool {
		return time.Since(begin) >= *loadFor && p.value(t, "count(node:chrony_clock_error_bound_seconds:max)") == float64(*loadNodes)
	})
	for _, figure := range []struct{ name, query string }{
		{"series of a node, a PTP clock", `min(scrape_samples_scraped{job="chrony-tracker"} and on (node) chrony_up == 1 and on (node) chrony_clock_state{state="synchronized"} == 1)`},
		{"series of a node, at most", `max(scrape_samples_scraped{job="chrony-tracker"})`},
		{"series of the rules, for each node", fmt.Sprintf(`count({__name__=~"(node|cluster):.+"}) / %d`, *loadNodes)},
	} {
		t.Logf("%s: %g", figure.name, p.value(t, figure.query))
	}
	for _, q := range questions(t, "fleet") {
		took := p.time(t, q, max(*loadFor, time.Minute), interval)
		t.Logf("%v: %s", took, q.name)
		if *loadSlowest > 0 && took > *loadSlowest {
			t.Errorf("%s took %v: %s", q.name, took, q.expr)
		}
	}
}

// value returns the single number of a query, or 0 while there is none.
func (p *prometheus) value(t *testing.T, expr string) float64 {
	t.Helper()
	return p.byNode(t, expr)[""]
}

// byNode returns the number of a query for each node.
func (p *prometheus) byNode(t *testing.T, expr string) map[string]float64 {
	t.Helper()
	response, err := http.PostForm(p.url+"/api/v1/query", url.Values{"query": {expr}})
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Error string
		Data  struct {
			Result []struct {
				Metric struct{ Node string }
				Value  [2]any
			}
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Error != "" {
		t.Fatalf("%s: %s%v", expr, answer.Error, err)
	}
	values := make(map[string]float64)
	for _, r := range answer.Data.Result {
		if values[r.Metric.Node], err = strconv.ParseFloat(r.Value[1].(string), 64); err != nil {
			t.Fatal(err)
		}
	}
	return values
}

// time returns how long a query takes: the median of five runs. The interval between
// scrapes is in seconds.
func (p *prometheus) time(t *testing.T, q *question, span time.Duration, interval int) time.Duration {
	t.Helper()
	expr := variables{cluster: ".*", span: fmt.Sprintf("%ds", int(span.Seconds())), interval: fmt.Sprintf("%ds", 4*interval)}.fill(q.expr)
	var took []time.Duration
	for range 5 {
		begin := time.Now()
		p.askOver(t, expr, q.instant, span)
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	return took[len(took)/2].Round(time.Millisecond / 10)
}
