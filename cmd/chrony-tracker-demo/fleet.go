package main

import (
	"context"
	"encoding/json"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/exporter"
	"github.com/chrony-tracker/chrony-tracker/internal/objective"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
	"github.com/chrony-tracker/chrony-tracker/internal/web"
)

type fleetConfig struct {
	size, clusters int
	healthy        bool
	witnesses      bool
	interval       time.Duration
	objectives     []objective.Objective
}

// A fleet is a set of nodes. Unless all are healthy, it has one more node without a
// tracker.
type fleet struct {
	fleetConfig
	network  *network // nil without witnesses
	nodes    []*node
	handlers map[string]http.Handler // by the name of the node
	end      []func()
}

func newFleet(config fleetConfig) *fleet {
	f := &fleet{fleetConfig: config, handlers: make(map[string]http.Handler)}
	if config.witnesses {
		f.network = newNetwork(f)
	}
	return f
}

// startFleet starts the nodes one by one, spread over one sampling interval, so that
// they do not all take samples at once.
func startFleet(ctx context.Context, config fleetConfig) (*fleet, error) {
	f := newFleet(config)
	pace := time.NewTicker(max(1, config.interval/time.Duration(config.size)))
	defer pace.Stop()
	for i := range config.size {
		if err := f.add(f.newNode(i)); err != nil {
			f.close()
			return nil, err
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return f, nil
		}
	}
	return f, nil
}

// newNode returns the node with an index. The first node is healthy. The next ones
// have one fault each.
func (f *fleet) newNode(i int) *node {
	var fault *fault
	if i > 0 && i <= len(faults) && !f.healthy {
		fault = &faults[i-1]
	}
	return newNode(f.nodeName(i), f.clusterName(i), i+1, fault)
}

func (f *fleet) nodeName(i int) string    { return fmt.Sprintf("node-%04d", i+1) }
func (f *fleet) clusterName(i int) string { return fmt.Sprintf("demo-%d", i%f.clusters+1) }

// historyKept is how long a node keeps its samples. For a thousand nodes, they need
// 30 MB.
const historyKept = 10 * time.Minute

// reports are those that the trackers ask for.
const reports = chrony.WantTracking | chrony.WantActivity | chrony.WantSources | chrony.WantSourceStats | chrony.WantSelectData

// add starts a node's chronyd and its tracker.
func (f *fleet) add(n *node) error {
	chronyd, err := chronytest.StartFake("127.0.0.1:0", n.answer)
	if err != nil {
		return err
	}
	f.end = append(f.end, chronyd.Close)
	t, err := f.watch(n, n, chronyd.Address, historyKept)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	metrics := exporter.NewHandler(exporter.Config{Tracker: t, Collect: reports, MaxSources: exporter.DefaultMaxSources, Logger: slog.New(slog.DiscardHandler)})
	web.Register(mux, t, web.Config{Version: "chrony-tracker-demo", Metrics: "/metrics", Handler: n.withTruth(metrics)})
	f.nodes, f.handlers[n.name] = append(f.nodes, n), mux
	return nil
}

// watch starts the tracker of a node, whose chronyd has an address.
func (f *fleet) watch(n *node, clocks tracker.Clocks, chronyd string, history time.Duration) (*tracker.Tracker, error) {
	client, err := chrony.NewClient(chronyd)
	if err != nil {
		return nil, err
	}
	t := tracker.New(tracker.Config{Node: n.name, Client: client, Want: reports})
	f.end = append(f.end, func() { t.Close() })
	config := tracker.WatchConfig{Interval: f.interval, History: history, Objectives: f.objectives, Clocks: clocks}
	if f.network != nil {
		config.Witness = f.network.witnesses(n, clocks)
		defer f.network.join(member{n, clocks, t})
	}
	return t, t.Watch(config)
}

// withTruth appends the simulated truth to the metrics. It requests plain text, because
// OpenMetrics ends with a marker.
func (n *node) withTruth(metrics http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Accept")
		metrics.ServeHTTP(w, r)
		fmt.Fprintf(w, `# HELP chrony_demo_clock_error_seconds True error of the simulated clock, in seconds. Positive if it is ahead of UTC.
# TYPE chrony_demo_clock_error_seconds gauge
chrony_demo_clock_error_seconds %g
`, n.truth(n.elapsed()))
	})
}

func (f *fleet) close() {
	for _, end := range f.end {
		end()
	}
}

func (f *fleet) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", f.serveList)
	mux.HandleFunc("GET /nodes/{node}/", f.serveNode)
	mux.HandleFunc("GET /clusters/{cluster}/metrics", f.serveCluster)
	mux.HandleFunc("GET /targets", f.serveTargets)
	mux.HandleFunc("GET /prometheus.yml", servePrometheus)
	return mux
}

// serveNode serves the page, the API and the metrics of the node's tracker.
func (f *fleet) serveNode(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("node")
	handler := f.handlers[name]
	if handler == nil {
		http.NotFound(w, r)
		return
	}
	http.StripPrefix("/nodes/"+name, handler).ServeHTTP(w, r)
}

// serveCluster serves the nodes of a cluster as kube-state-metrics does, including the
// node without a tracker.
func (f *fleet) serveCluster(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	fmt.Fprintln(w, "# TYPE kube_node_info gauge")
	for i := range f.all() {
		if f.clusterName(i) == r.PathValue("cluster") {
			fmt.Fprintf(w, "kube_node_info{node=%q,os_image=\"Ubuntu 24.04 LTS\",kubelet_version=\"v1.34.4\"} 1\n", f.nodeName(i))
		}
	}
}

// all returns the number of nodes, with and without trackers.
func (f *fleet) all() int {
	if f.healthy {
		return len(f.nodes)
	}
	return len(f.nodes) + 1
}

// A target is a scrape target for Prometheus' HTTP discovery (http_sd_configs).
type target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

func (f *fleet) serveTargets(w http.ResponseWriter, r *http.Request) {
	var targets []target
	for _, n := range f.nodes {
		targets = append(targets, target{[]string{r.Host}, map[string]string{
			"__metrics_path__": "/nodes/" + n.name + "/metrics", "instance": n.name, "job": "chrony-tracker", "cluster": n.cluster, "node": n.name,
		}})
	}
	for i := range min(f.clusters, len(f.nodes)) {
		name := f.clusterName(i)
		targets = append(targets, target{[]string{r.Host}, map[string]string{
			"__metrics_path__": "/clusters/" + name + "/metrics", "instance": name, "job": "kube-state-metrics", "cluster": name,
		}})
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(targets)
}

// servePrometheus serves a configuration for Prometheus that scrapes the fleet.
// Prometheus looks for rule files relative to the configuration's folder.
func servePrometheus(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, `global: {scrape_interval: 15s, evaluation_interval: 15s}
rule_files: ["*.rules.yaml", "deploy/prometheus/*.rules.yaml"]
scrape_configs:
  - job_name: fleet
    http_sd_configs: [{url: "http://%s/targets"}]
`, r.Host)
}

var list = template.Must(template.New("list").Parse(`<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>A simulated fleet</title>
<style>body { font: 16px/1.5 system-ui, sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em }</style>
<h1>A simulated fleet</h1>
<p>All clocks are simulated, so the true error of each clock is known. It is the last metric of each node's /metrics: <code>chrony_demo_clock_error_seconds</code>.</p>
<p>For Prometheus: <a href="targets">targets</a> and <a href="prometheus.yml">configuration</a>.</p>
<ul>
{{range .}}<li><a href="nodes/{{.Name}}/">{{.Name}}</a>, {{.Cluster}}: {{.What}}</li>
{{end}}</ul>
`))

func (f *fleet) serveList(w http.ResponseWriter, _ *http.Request) {
	type row struct{ Name, Cluster, What string }
	var rows []row
	for _, n := range f.nodes {
		rows = append(rows, row{n.name, n.cluster, n.fault.what})
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	list.Execute(w, rows)
}
