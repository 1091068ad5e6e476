//go:build system

package prometheus

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

// TestAlerts runs a real Prometheus with the shipped rules and the relabeling of the
// shipped scrape job. It watches three real trackers of three real chronyds. One
// chronyd dies, one loses a source, and one tracker stops. Each must fire one alert,
// and the alerts must end again. The error budget may burn too, because the dead
// chronyd stays dead for long, and a chronyd in a test does not steer its clock. All
// times of the rules are divided by 60.
func TestAlerts(t *testing.T) {
	t.Parallel()
	const objective = "--objective=cockroachdb"
	dead := chronytest.NewSynchronized(t, "")
	_, one := chronytest.NewServer(t)
	cut, other := secondServer(t)
	lonely := chronytest.New(t, chronytest.Config{Lines: []string{one + chronytest.Fast, other + chronytest.Fast}})
	chronytest.Must(t, lonely.WaitSynchronized(t.Context()))
	unwatched := chronytest.NewSynchronized(t, "")
	stopped := programtest.Start(t, objective, "--chrony.address="+unwatched.Address)
	p := startFleet(t, map[string]*programtest.Server{
		"dead":      programtest.Start(t, objective, "--chrony.address="+dead.Address),
		"lonely":    programtest.Start(t, objective, "--chrony.address="+lonely.Address),
		"unwatched": stopped,
	})
	p.await("three good clocks, by two sources", func() bool {
		return len(p.query("node:chrony_clock_error_bound_seconds:max < 0.1")) == 3 &&
			len(p.query(`sum by (node) (node:chrony_sources:max{state=~"selected|combined|selectable"}) == 2`)) == 1
	})

	dead.Kill()
	cut.Kill()
	stopped.Stop(t)
	want := []string{"ClockErrorUnknown dead", "ClockSourceSuspicious lonely", "ClockTrackerMissing unwatched"}
	p.await("three alerts", func() bool { return slices.Equal(p.firing(), want) })
	for _, alert := range p.alerts() {
		node := alert.Labels["node"]
		detail := map[string]string{"dead": "unreachable", "lonely": " 1 "}[node]
		if summary := alert.Annotations["summary"]; alert.State == "firing" && !(strings.Contains(summary, node) && strings.Contains(summary, detail)) {
			t.Errorf("%s: the summary is %q, want %q and %q in it", alert.Labels["alertname"], summary, node, detail)
		}
	}

	chronytest.Must(t, dead.Restart())
	chronytest.Must(t, cut.Restart())
	again := programtest.Start(t, objective, "--chrony.address="+unwatched.Address)
	p.targets(map[string]*programtest.Server{"unwatched": again})
	p.await("the alerts to end", func() bool { return len(p.firing()) == 0 })
	var ever []string
	for _, alert := range p.query(`max by (alertname, node) (max_over_time(ALERTS{alertname!~"ClockBudget.*|ClockForeignDiscipline",alertstate="firing"}[1h]))`) {
		ever = append(ever, alert["alertname"]+" "+alert["node"])
	}
	slices.Sort(ever)
	if !slices.Equal(ever, want) {
		t.Errorf("fired: %q, want %q", ever, want)
	}
}

// secondServer starts a chronyd that serves time at another address than the first.
// chronyd does not accept two sources with one address, even at different ports.
func secondServer(t *testing.T) (server *chronytest.Chronyd, line string) {
	t.Helper()
	lines, port, err := chronytest.Server()
	chronytest.Must(t, err)
	elsewhere := func(line string) string { return strings.ReplaceAll(line, "127.0.0.1", "127.0.0.2") }
	for i, line := range lines {
		lines[i] = elsewhere(line)
	}
	return chronytest.New(t, chronytest.Config{Lines: lines}), elsewhere(chronytest.ServerLine(port))
}

// A fleet is a Prometheus with the shipped rules, and its targets.
type fleet struct {
	t       *testing.T
	dir     string
	current map[string]*programtest.Server
	*prometheusServer
}

type object = map[string]any

// startFleet starts a Prometheus that scrapes the trackers of the given nodes, and the
// series that kube-state-metrics has for them.
func startFleet(t *testing.T, trackers map[string]*programtest.Server) *fleet {
	t.Helper()
	rules, err := programtest.Tool(t, "go", "run", "../../../deploy/prometheus/generate", "-C", "../../..", "-print", "prometheus", "-faster", "60").Output()
	chronytest.Must(t, err)
	nodes := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for node := range trackers {
			fmt.Fprintf(w, "kube_node_info{node=%q,os_image=\"Ubuntu 24.04.3 LTS\",kubelet_version=\"v1.34.4\"} 1\n", node)
		}
		fmt.Fprintln(w, `kube_node_info{node="akswin000000",os_image="Windows Server 2022 Datacenter",kubelet_version="v1.34.4"} 1`)
		fmt.Fprintln(w, `kube_node_info{node="aci",os_image="",kubelet_version="v1.25.0-vk-azure-aci-1.6.2"} 1`)
	}))
	t.Cleanup(nodes.Close)

	// The shipped job, except for the discovery of the pods.
	text, err := os.ReadFile("../../../deploy/kubernetes/scrape/ama-metrics-prometheus-config.yaml")
	chronytest.Must(t, err)
	var configMap struct{ Data map[string]string }
	chronytest.Must(t, yaml.Unmarshal(text, &configMap))
	var shipped struct {
		Jobs []object `yaml:"scrape_configs"`
	}
	chronytest.Must(t, yaml.Unmarshal([]byte(configMap.Data["prometheus-config"]), &shipped))
	job := shipped.Jobs[0]
	delete(job, "kubernetes_sd_configs")
	delete(job, "scrape_interval")
	job["file_sd_configs"] = []any{object{"files": []string{"pods.json"}}}

	config, err := yaml.Marshal(object{
		"global":     object{"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
		"rule_files": []string{"rules.yml"},
		"scrape_configs": []any{job, object{
			"job_name":       "kube-state-metrics",
			"static_configs": []any{object{"targets": []string{strings.TrimPrefix(nodes.URL, "http://")}}},
		}},
	})
	chronytest.Must(t, err)
	f := &fleet{t: t, dir: t.TempDir(), current: make(map[string]*programtest.Server)}
	f.targets(trackers)
	f.prometheusServer = runPrometheus(t, f.dir, string(config), string(rules))
	return f
}

// targets writes the addresses of the trackers, as the discovery of pods reports them.
func (f *fleet) targets(trackers map[string]*programtest.Server) {
	f.t.Helper()
	var pods []object
	for node, s := range trackers {
		f.current[node] = s
	}
	for node, s := range f.current {
		pods = append(pods, object{
			"targets": []string{strings.TrimPrefix(s.URL, "http://")},
			"labels": object{
				"__meta_kubernetes_pod_label_app_kubernetes_io_name": "chrony-tracker",
				"__meta_kubernetes_pod_container_port_name":          "metrics",
				"__meta_kubernetes_pod_node_name":                    node,
				"__meta_kubernetes_pod_name":                         "chrony-tracker-" + strings.ReplaceAll(s.URL[len(s.URL)-5:], ":", ""),
			},
		})
	}
	text, err := json.Marshal(pods)
	chronytest.Must(f.t, err)
	// Write it atomically. Otherwise Prometheus might read half a file.
	file := filepath.Join(f.dir, "pods.json")
	chronytest.Must(f.t, os.WriteFile(file+".new", text, 0o644))
	chronytest.Must(f.t, os.Rename(file+".new", file))
}

// await waits longer than others do: the alerts themselves wait for minutes.
func (f *fleet) await(what string, condition func() bool) {
	f.t.Helper()
	chronytest.AwaitFor(f.t, 3*time.Minute, what, condition, func() any { return f.alerts() })
}

// An alert is a pending or firing alert.
type alert struct {
	State       string
	Labels      map[string]string
	Annotations map[string]string
}

func (f *fleet) alerts() []alert {
	var answer struct{ Data struct{ Alerts []alert } }
	f.get("alerts", &answer)
	return answer.Data.Alerts
}

// expected are the alerts that may fire for other reasons than those of the test.
var expected = regexp.MustCompile("^(ClockBudget.*|ClockForeignDiscipline)$")

// firing returns the name and the node of each other alert that fires.
func (f *fleet) firing() []string {
	var names []string
	for _, a := range f.alerts() {
		if a.State == "firing" && !expected.MatchString(a.Labels["alertname"]) {
			names = append(names, a.Labels["alertname"]+" "+a.Labels["node"])
		}
	}
	slices.Sort(names)
	return names
}
