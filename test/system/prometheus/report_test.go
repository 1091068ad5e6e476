//go:build system

package prometheus

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

// A known is the history of a node, by the second since the begin.
type known struct {
	name  string
	runs  []run
	gaps  [][2]int // in which Prometheus did not scrape
	joins int      // when the node was created
}

// A run is one process of a tracker.
type run struct {
	pod      string
	from, to int
	outside  [][2]int
}

const (
	backfilledDays  = 3
	backfilledNodes = 100
	backfilledEvery = 30
	dayLength       = 86400
)

// histories are one hundred nodes: some calm, and some with every trouble.
func histories() (all []known) {
	const end = (backfilledDays + 1) * dayLength
	for i := range backfilledNodes {
		k := known{name: fmt.Sprintf("node-%03d", i), runs: []run{{pod: "a", from: -dayLength, to: end}}, joins: -dayLength}
		noon := dayLength + 12*3600 + i
		switch i % 10 {
		case 1: // a pod replaced
			k.runs = []run{{pod: "a", from: -dayLength, to: noon}, {pod: "b", from: noon + 7, to: end}}
		case 2: // restarts in place
			k.runs = []run{{pod: "a", from: -dayLength, to: noon}, {pod: "a", from: noon + 3, to: noon + 4000}, {pod: "a", from: noon + 4003, to: end}}
		case 3: // three seconds outside, between two scrapes
			k.runs[0].outside = [][2]int{{noon + 5, noon + 8}}
		case 4: // Prometheus did not scrape for two hours over midnight; ten minutes were outside
			k.gaps = [][2]int{{dayLength - 3600, dayLength + 3600}}
			k.runs[0].outside = [][2]int{{dayLength - 300, dayLength + 300}}
		case 5: // it joined at noon
			k.joins = noon
			k.runs = []run{{pod: "a", from: noon + 20, to: end}}
		case 6: // the tracker was down for an hour
			k.runs = []run{{pod: "a", from: -dayLength, to: noon}, {pod: "a", from: noon + 3600, to: end}}
		}
		all = append(all, k)
	}
	return all
}

func (r run) seconds(until int) (outside int) {
	for _, o := range r.outside {
		outside += max(0, min(o[1], until)-max(o[0], r.from))
	}
	return outside
}

// truth is what happened in the period of the report: seconds observed and outside.
func (k known) truth() (observed, outside int) {
	for _, r := range k.runs {
		from, to := max(r.from, 0), min(r.to, backfilledDays*dayLength)
		observed += max(0, to-from)
		outside += r.seconds(to) - r.seconds(from)
	}
	return observed, outside
}

// writeMetrics writes what Prometheus would have scraped, by series, as OpenMetrics.
func writeMetrics(t *testing.T, path string, all []known, begin int64) {
	t.Helper()
	file, err := os.Create(path)
	chronytest.Must(t, err)
	w := bufio.NewWriter(file)
	type value func(r run, age, outside int) float64
	for _, m := range []struct {
		name, kind, labels string
		value              value
	}{
		{"chrony_objective_class_seconds", "counter", `,objective="finra-cat",class="claimed"`, func(_ run, age, outside int) float64 { return float64(age - outside) }},
		{"", "", `,objective="finra-cat",class="contradicted"`, func(run, int, int) float64 { return 0 }},
		{"", "", `,objective="finra-cat",class="outside"`, func(_ run, _, outside int) float64 { return float64(outside) }},
		{"", "", `,objective="finra-cat",class="proven"`, func(run, int, int) float64 { return 0 }},
		{"chrony_objective_seconds", "counter", `,objective="finra-cat"`, func(_ run, age, _ int) float64 { return float64(age) }},
		{"chrony_objective_limit_seconds", "gauge", `,objective="finra-cat"`, func(run, int, int) float64 { return 0.05 }},
		{"chrony_clock_untraced", "gauge", "", func(run, int, int) float64 { return 0 }},
		{"chrony_clock_error_bound_max_seconds", "gauge", `,window="1m"`, func(r run, age, outside int) float64 {
			if outside > r.seconds(r.from+age-60) {
				return 0.25
			}
			return 0.002
		}},
		{"kube_node_info", "gauge", "", nil},
	} {
		if m.name != "" {
			fmt.Fprintf(w, "# TYPE %s %s\n", m.name, m.kind)
		}
		name := map[string]string{`,objective="finra-cat"`: "chrony_objective_seconds_total"}[m.labels]
		switch {
		case m.kind == "gauge":
			name = m.name
		case name == "":
			name = "chrony_objective_class_seconds_total"
		}
		for i, k := range all {
			for _, r := range k.runs {
				labels := fmt.Sprintf(`cluster="prod",node=%q,instance="%[1]s:9123",pod=%q`, k.name, k.name+"-"+r.pod) + m.labels
				from, to := r.from, r.to
				if m.value == nil {
					labels, from, to = fmt.Sprintf(`cluster="prod",node=%q`, k.name), k.joins, (backfilledDays+1)*dayLength
					if r.pod != k.runs[len(k.runs)-1].pod || r.to != k.runs[len(k.runs)-1].to {
						continue
					}
				}
				phase := i % backfilledEvery
				for at := -7200 + phase; at < backfilledDays*dayLength+7200; at += backfilledEvery {
					if at < from || at >= to || k.isGap(at) {
						continue
					}
					v := 1.0
					if m.value != nil {
						v = m.value(r, at-r.from, r.seconds(at))
					}
					fmt.Fprintf(w, "%s{%s} %g %d\n", name, labels, v, begin+int64(at))
				}
			}
		}
	}
	fmt.Fprintln(w, "# EOF")
	chronytest.Must(t, w.Flush())
	chronytest.Must(t, file.Close())
}

func (k known) isGap(at int) bool {
	for _, g := range k.gaps {
		if at >= g[0] && at < g[1] {
			return true
		}
	}
	return false
}

// TestReport has a real Prometheus with the known history of 100 nodes in three days, and
// wants the report to say exactly that.
func TestReport(t *testing.T) {
	begin := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -backfilledDays-1)
	dir := t.TempDir()
	promtool := chronytest.Need(t, "prometheus", "promtool")
	all := histories()
	metrics := filepath.Join(dir, "metrics.txt")
	writeMetrics(t, metrics, all, begin.Unix())
	data := filepath.Join(dir, "data")
	if out, err := programtest.Tool(t, promtool, "tsdb", "create-blocks-from", "openmetrics", "--quiet", "--max-block-duration=24h", metrics, data).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p := runPrometheus(t, dir, "global: {scrape_interval: 30s}", "groups: []")

	output := filepath.Join(dir, "report")
	cmd := programtest.Tool(t, programtest.Path, "report", "--prometheus.url="+p.url, "--objective=finra-cat", "--output="+output,
		"--from="+begin.Format(time.DateOnly), "--to="+begin.AddDate(0, 0, backfilledDays).Format(time.DateOnly))
	out, _ := cmd.CombinedOutput()
	if status := cmd.ProcessState.ExitCode(); status != 1 {
		t.Fatalf("exit status %d: %s", status, out)
	}
	var report struct {
		Nodes []struct {
			Node                 string
			Expected             float64 `json:"expected_seconds"`
			Claimed              float64 `json:"claimed_seconds"`
			Outside              float64 `json:"outside_seconds"`
			Uncovered            float64 `json:"uncovered_seconds"`
			Starts               int     `json:"tracker_starts"`
			Contradicted, Proven float64
		}
		Failures []any
	}
	text, err := os.ReadFile(filepath.Join(output, "report.json"))
	chronytest.Must(t, err)
	chronytest.Must(t, json.Unmarshal(text, &report))
	if len(report.Nodes) != len(all) || len(report.Failures) > 0 {
		t.Fatalf("%d nodes, failures %v", len(report.Nodes), report.Failures)
	}
	for i, k := range all {
		n := report.Nodes[i]
		observed, outside := k.truth()
		expected := backfilledDays*dayLength - max(k.joins, 0)
		ends := float64(len(k.runs) - 1) // each loses the seconds since its last scrape
		slack := (ends + 1) * (backfilledEvery + 1)
		if math.Abs(n.Outside-float64(outside)) > 0.001 || math.Abs(n.Claimed-float64(observed-outside)) > slack || math.Abs(n.Expected-float64(expected)) > 61 {
			t.Errorf("%s: claimed %.3f of %d, outside %.3f of %d, expected %.3f of %d", k.name, n.Claimed, observed-outside, n.Outside, outside, n.Expected, expected)
		}
	}
	file, err := os.Open(filepath.Join(output, "excursions.csv"))
	chronytest.Must(t, err)
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	chronytest.Must(t, err)
	if len(rows) != 1+20 {
		t.Errorf("%d excursions: %v", len(rows)-1, rows)
	}
	one := filepath.Join(dir, "one")
	out, err = programtest.Tool(t, programtest.Path, "report", "--prometheus.url="+p.url, "--objective=finra-cat", "--output="+one, "--format=csv",
		"--from="+begin.Format(time.DateOnly), "--to="+begin.AddDate(0, 0, 1).Format(time.DateOnly), "--cluster=PROD", "--node=NODE-000").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "the clocks of 1 node kept") {
		t.Errorf("one node: %v: %s", err, out)
	}
	if check, err := programtest.Tool(t, "sh", "-c", "cd "+output+" && sha256sum --strict -c SHA256SUMS").CombinedOutput(); err != nil || strings.Count(string(check), ": OK") != 4 {
		t.Errorf("%v: %s", err, check)
	}
}
