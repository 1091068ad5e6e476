//go:build system

package prometheus

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

// mayBeEmpty are the queries of panels that show nothing if there is no problem.
var mayBeEmpty = map[string]bool{
	"Nodes C": true, "Nodes D": true, "Nodes E": true, "Nodes F": true,
	"How many nodes are in doubt A": true, "Which nodes are in doubt A": true, "Silent nodes A": true,
	"Events A": true, "Last step A": true, "Failures, dropped packets A": true, "Failures, dropped packets B": true,
	"The terms of the bound B":    true, // limits far above the bound
	"Contradicted by witnesses A": true, "Contradicted by witnesses B": true,
}

// TestDashboards runs every query of every dashboard in a real Prometheus. It scrapes a
// healthy fleet, whose series have no label cluster, and a broken one.
func TestDashboards(t *testing.T) {
	p, another := watchFleets(t)
	var asked []*question
	for _, name := range []string{"fleet", "node", "objectives"} {
		asked = append(asked, questions(t, name)...)
	}
	for _, fleet := range []struct{ name, cluster string }{{"healthy", ""}, {"broken", "broken"}} {
		t.Run(fleet.name, func(t *testing.T) {
			for _, q := range asked {
				if fleet.name == "healthy" && mayBeEmpty[q.name] {
					p.answer(t, q, fleet.cluster)
					continue
				}
				chronytest.Await(t, fmt.Sprintf("an answer to %s (%s): %s", q.name, q.dashboard, q.expr), func() bool { return p.answer(t, q, fleet.cluster) })
			}
		})
	}
	expr := make(map[string]string) // by the name of the query, for the broken fleet
	for _, q := range asked {
		expr[q.name] = variables{cluster: "broken", node: "$node", span: "5s", interval: "8s"}.fill(q.expr)
	}
	t.Run("states", func(t *testing.T) { testStates(t, p, expr) })
	t.Run("gone", func(t *testing.T) { testGone(t, p, expr, another) })
}

// testStates checks the states of the broken fleet, and of a node that does not exist.
func testStates(t *testing.T, p *prometheus, expr map[string]string) {
	chronytest.Await(t, "the states of the worst nodes", func() bool {
		states := p.byNode(t, expr["Ten worst nodes, and why B"])
		return states["node-0005"] == 5 && states["node-0007"] == 4 && states["node-0006"] == 3 && states["node-0012"] == 2 && has(states, "node-0008", 0)
	})
	chronytest.Await(t, "the number of nodes without a bound", func() bool { return has(p.byNode(t, expr["Worst node A"]), "3 nodes", math.Inf(1)) })
	chronytest.Await(t, "the causes of the worst nodes", func() bool {
		causes := slices.Sorted(maps.Keys(p.byNode(t, `label_join(`+expr["Ten worst nodes, and why L"]+`, "node", " ", "node", "cause")`)))
		return strings.Contains(fmt.Sprint(causes), "node-0005 unreachable: ") && slices.Contains(causes, "node-0007 unsynchronized") &&
			slices.Contains(causes, "node-0006 local") && strings.Contains(fmt.Sprint(causes), "node-0008 mostly ")
	})
	for node, state := range map[string]float64{"node-0005": 5, "node-0006": 3, "node-0012": 2, "node-0008": 0, "nobody": -1} {
		for _, panel := range []string{"State A", "States A"} {
			if got := p.byNode(t, strings.ReplaceAll(expr[panel], "$node", node)); !has(got, "", state) {
				t.Errorf("%s of %s: %v, want %v", panel, node, got, state)
			}
		}
	}
	for limit, others := range map[string]float64{"> 20": 0, "> 2": 99} {
		if got := p.byNode(t, strings.Replace(expr["Which nodes are in doubt B"], "> 20", limit, 1)); !has(got, "", others) {
			t.Errorf("%s in doubt: %v, want %v", limit, got, others)
		}
	}
	if got := p.byNode(t, expr["Nodes D"]); got[""] < 1 {
		t.Errorf("%v contradicted nodes", got)
	}
	chronytest.Await(t, "an alert for a contradicted node", func() bool {
		return has(p.byNode(t, `ALERTS{alertname="ClockContradicted",alertstate="firing",cluster="broken"}`), "node-0012", 1)
	})
	if got := p.byNode(t, expr["Worst pair A"]); !math.IsInf(got[""], 1) {
		t.Errorf("a pair with an unknown clock is said to be %v apart", got)
	}
}

// testGone checks that a removed node counts as silent, and that its state is unknown.
func testGone(t *testing.T, p *prometheus, expr map[string]string, another func(*testing.T)) {
	of := strings.NewReplacer("broken", "gone", "$node", "node-0001")
	silent, state, states := of.Replace(expr["Silent nodes A"]), of.Replace(expr["State A"]), of.Replace(expr["States A"])
	t.Run("watched", func(t *testing.T) {
		another(t)
		chronytest.Await(t, "the node", func() bool { return has(p.byNode(t, states), "", 0) })
		chronytest.Await(t, "the node not to be missed", func() bool { return !has(p.byNode(t, silent), "node-0001", 1) }) // scrapes may be late
	})
	chronytest.Await(t, "its state to be unknown", func() bool { return has(p.byNode(t, state), "", -1) })
	if got := p.byNode(t, states); !has(got, "", -1) {
		t.Errorf("its state is drawn as %v", got)
	}
	chronytest.Await(t, "the node to be missed", func() bool { return has(p.byNode(t, silent), "node-0001", 1) })
}

func has(values map[string]float64, node string, want float64) bool {
	got, ok := values[node]
	return ok && got == want
}

// A question is a query of a panel, by its title and letter, or a variable's.
type question struct {
	dashboard, name, expr string
	instant               bool
}

func questions(t *testing.T, dashboard string) []*question {
	t.Helper()
	text, err := os.ReadFile("../../../deploy/grafana/" + dashboard + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Templating struct {
			List []struct{ Name, Definition string }
		}
		Panels []struct {
			Title   string
			Targets []struct {
				RefID, Expr string
				Instant     bool
			}
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	var all []*question
	for _, v := range file.Templating.List {
		if parts := labelValues.FindStringSubmatch(v.Definition); parts != nil {
			all = append(all, &question{dashboard, "variable " + v.Name, "group by (" + parts[2] + ") (" + parts[1] + ")", true})
		}
	}
	for _, p := range file.Panels {
		for _, q := range p.Targets {
			all = append(all, &question{dashboard, p.Title + " " + q.RefID, q.Expr, q.Instant})
		}
	}
	return all
}

// variables are the user's choices and Grafana's own variables for the range.
type variables struct{ cluster, node, span, interval string }

// fill replaces the variables in a query.
func (v variables) fill(expr string) string {
	return strings.NewReplacer(
		"$cluster", v.cluster, "$node", v.node, "$objective", ".*", "$target", "0.999",
		"$__rate_interval", v.interval, "$__range", v.span,
	).Replace(expr)
}

// fallback is the answer of a query without data.
var fallback = regexp.MustCompile(` or (0 \* count\(|\(?vector\(-1\)|on \(\) label_replace\().*$`)

var labelValues = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)

// fleetNodes is the number of nodes of each fleet. The broken fleet has each fault
// once.
const fleetNodes = 15

// A prometheus is a running Prometheus, with the queries for it.
type prometheus struct{ url string }

// answer reports whether the answer has any series. If the query is about one node,
// some node must have a series. The test fails if the query fails.
func (p *prometheus) answer(t *testing.T, q *question, cluster string) bool {
	t.Helper()
	nodes := 1
	if strings.Contains(q.expr, "$node") {
		nodes = fleetNodes
	}
	for i := range nodes {
		values := variables{cluster: cluster, node: fmt.Sprintf("node-%04d", i+1), span: "1m", interval: "8s"}
		expr := values.fill(fallback.ReplaceAllString(q.expr, ""))
		if p.askOver(t, expr, q.instant, time.Minute) {
			return true
		}
	}
	return false
}

// askOver asks as Grafana does: for the instant, or for up to a thousand points of a
// range. It reports whether the answer has any series.
func (p *prometheus) askOver(t *testing.T, expr string, instant bool, span time.Duration) bool {
	t.Helper()
	path, values := "/api/v1/query", url.Values{"query": {expr}}
	if !instant {
		const points = 1000
		now := time.Now()
		path = "/api/v1/query_range"
		values.Set("start", fmt.Sprint(now.Add(-span).Unix()))
		values.Set("end", fmt.Sprint(now.Unix()))
		values.Set("step", fmt.Sprint(max(1, int(span.Seconds())/points)))
	}
	response, err := http.PostForm(p.url+path, values)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Error string
		Data  struct{ Result []json.RawMessage }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Error != "" {
		t.Fatalf("%s: %s%v", expr, answer.Error, err)
	}
	return len(answer.Data.Result) > 0
}

// watchFleets starts both fleets, and a Prometheus that scrapes them every second. It
// has the rules, with all their times divided by sixty. Another fleet, with one node in
// the cluster gone, lives as long as the test that starts it.
func watchFleets(t *testing.T) (p *prometheus, another func(*testing.T)) {
	t.Helper()
	dir := t.TempDir()
	rules, err := programtest.Tool(t, "go", "run", "../../../deploy/prometheus/generate", "-C", "../../..", "-print", "prometheus", "-faster", "60").Output()
	if err != nil {
		t.Fatal(err)
	}
	program, later := buildDemo(t, dir), programtest.FreeAddress(t)
	config := fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
scrape_configs:
  - job_name: healthy
    http_sd_configs: [{url: "http://%s/targets"}]
    relabel_configs: [{action: labeldrop, regex: cluster}]
  - job_name: broken
    http_sd_configs: [{url: "http://%s/targets"}]
    relabel_configs: [{target_label: cluster, replacement: broken}]
  - job_name: gone
    http_sd_configs: [{url: "http://%s/targets", refresh_interval: 1s}]
    relabel_configs: [{target_label: cluster, replacement: gone}]
`, startDemo(t, program, fleetNodes, "-healthy"), startDemo(t, program, fleetNodes), later)
	for name, text := range map[string]string{"prometheus.yml": config, "rules.yml": string(rules)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	another = func(t *testing.T) { runDemo(t, program, later, 1, "-healthy") }
	return startPrometheusIn(t, dir), another
}

func buildDemo(t *testing.T, dir string) string {
	t.Helper()
	program := filepath.Join(dir, "chrony-tracker-demo")
	if out, err := programtest.Tool(t, "go", "build", "-o", program, "../../../cmd/chrony-tracker-demo").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

// startDemo runs a fleet with a number of nodes, and returns its address.
func startDemo(t *testing.T, program string, nodes int, args ...string) string {
	t.Helper()
	address := programtest.FreeAddress(t)
	runDemo(t, program, address, nodes, args...)
	return address
}

// runDemo runs a fleet at an address, until the end of the test.
func runDemo(t *testing.T, program, address string, nodes int, args ...string) {
	t.Helper()
	programtest.Run(t, chronytest.Command(program, append(args, "-nodes", strconv.Itoa(nodes), "-listen", address)...))
	chronytest.Await(t, "the fleet", func() bool { return programtest.IsServed("http://" + address) })
}

// startPrometheusIn runs a Prometheus with the files of a folder.
func startPrometheusIn(t *testing.T, dir string) *prometheus {
	t.Helper()
	program := chronytest.Need(t, "prometheus", "prometheus")
	address := programtest.FreeAddress(t)
	programtest.Run(t, chronytest.Command(program, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address))
	p := &prometheus{"http://" + address}
	chronytest.Await(t, "Prometheus", func() bool { return programtest.IsServed(p.url + "/-/ready") })
	return p
}
