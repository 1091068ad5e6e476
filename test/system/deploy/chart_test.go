//go:build system

package deploy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/objective"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

// These tests render the chart with every switch, and compare the result with the
// manifests for Kustomize.

const (
	chart     = "../../../deploy/helm/chrony-tracker"
	helm      = "helm.sh/helm/v3/cmd/helm@v3.22.0"
	helmDocs  = "github.com/norwoodj/helm-docs/cmd/helm-docs@v1.14.2"
	conform   = "github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0"
	kubeScore = "github.com/zegl/kube-score/cmd/kube-score@v1.20.0"
)

// tool returns the path of a Go program with a fixed version. It builds the program
// once and keeps it in a cache folder.
func tool(t *testing.T, program string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	path, version, _ := strings.Cut(program, "@")
	name := filepath.Base(path)
	dir := filepath.Join(cache, "chrony-tracker", "go", name+"@"+version)
	if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
		return filepath.Join(dir, name)
	}
	install := programtest.Tool(t, "go", "install", program)
	install.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", program, err, out)
	}
	return filepath.Join(dir, name)
}

// run runs a tool and returns its output: stdout, then stderr.
func run(t *testing.T, input string, program string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := programtest.Tool(t, tool(t, program), args...)
	cmd.Stdin = strings.NewReader(input)
	// Use no settings and no cluster of the user who runs the tests.
	cmd.Env = append(os.Environ(), "HELM_CONFIG_HOME="+t.TempDir(), "KUBECONFIG=/dev/null")
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	err = cmd.Run()
	return out.String(), problems.String(), err
}

// withDashboards returns a copy of the chart with only these dashboards, so that the
// test does not depend on the real ones.
func withDashboards(t *testing.T, names ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "chrony-tracker")
	chronytest.Must(t, os.CopyFS(dir, os.DirFS(chart)))
	dashboards := filepath.Join(dir, "files/dashboards")
	chronytest.Must(t, os.RemoveAll(dashboards))
	for _, name := range names {
		chronytest.Must(t, os.MkdirAll(dashboards, 0o755))
		chronytest.Must(t, os.WriteFile(filepath.Join(dashboards, name+".json"), []byte(`{"title": "`+name+`"}`+"\n"), 0o644))
	}
	return dir
}

// template renders the chart as the release chrony-tracker.
func template(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return templateOf(t, withDashboards(t, "try"), args...)
}

func templateOf(t *testing.T, chart string, args ...string) (string, error) {
	t.Helper()
	out, problems, err := run(t, "", helm, append([]string{"template", "chrony-tracker", chart, "--namespace=chrony-tracker"}, args...)...)
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, problems)
	}
	return out, nil
}

// values are the files that set the switches.
func values(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(chart + "/ci/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no values", err)
	}
	return files
}

// objects renders the chart and returns its objects by kind.
func objects(t *testing.T, args ...string) map[string]object {
	t.Helper()
	text, err := template(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	byKind := make(map[string]object)
	for _, o := range decode(t, text) {
		byKind[o["kind"].(string)] = o
	}
	return byKind
}

func TestChart(t *testing.T) {
	schemas := kubernetesSchemas(t)
	allowed := []string{"ConfigMap", "DaemonSet", "NetworkPolicy", "PodMonitor", "PrometheusRule", "Service", "ServiceAccount", "ServiceMonitor"}
	rendered := make(map[string]bool)
	for _, file := range values(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			if out, problems, err := run(t, "", helm, "lint", "--strict", withDashboards(t, "try"), "--values="+file); err != nil {
				t.Errorf("%v: %s%s", err, out, problems)
			}
			text, err := template(t, "--values="+file)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range decode(t, text) {
				kind := o["kind"].(string)
				rendered[kind] = true
				if !slices.Contains(allowed, kind) {
					t.Errorf("there is no reason for a %s", kind)
				}
			}
			if out, problems, err := run(t, text, conform, "-strict", "-summary", "-schema-location="+schemas); err != nil {
				t.Errorf("kubeconform: %s%s", out, problems)
			}
			if out, problems, err := run(t, text, kubeScore, "score", "--output-format=ci", "-"); err != nil || strings.Contains(out, "[WARNING]") {
				t.Errorf("kube-score: %s%s", out, problems)
			}
		})
	}
	for _, kind := range allowed {
		if !rendered[kind] {
			t.Errorf("no values make a %s", kind)
		}
	}
}

// TestChartRefuses checks that mistakes are reported before anything is installed.
func TestChartRefuses(t *testing.T) {
	for _, test := range []struct {
		set     string
		message string
	}{
		{"", `image\.repository is not set.*--set image\.repository=`},
		{"hostNetwork=false", `socket\.userId must be chronyd's user id.*stat -c %u /run/chrony`},
		{"hostNetwork=false,socket.userId=0", `/socket/userId`},
		{"networkPolicy.enabled=true", `networkPolicy has no effect`},
		{"prometheus.monitor.enabled=true,prometheus.podMonitor.enabled=true", `scrape every pod twice`},
		{"prometheus.monitor.enabled=true,service.enabled=false", `needs service\.enabled`},
		{"prometheus.monitor.enabled=true,prometheus.monitor.apiVersion=v1", `/prometheus/monitor/apiVersion`},
		{"prometheusRule.enabled=true,prometheusRule.disabled={NoSuchAlert}", `no alert is called NoSuchAlert`},
		{"prometheusRule.target=1.5", `/prometheusRule/target`},
		{"objectives={orders=fast}", `/objectives/0`},
		{"objectives={cockroach}", `/objectives/0`},
		{"objektives={orders=1s}", `objektives`},
		{`commonLabels.app\.kubernetes\.io/name=x`, `invalid propertyName 'app.kubernetes.io/name'`},
		{`podLabels.app\.kubernetes\.io/instance=x`, `invalid propertyName 'app.kubernetes.io/instance'`},
		{"service.port=99999", `/service/port`},
		{"clock.maxWander=0", `/clock/maxWander`},
	} {
		args := []string{"--set=" + test.set}
		if test.set != "" {
			args = append(args, "--set=image.repository=registry.example/chrony-tracker")
		}
		if _, err := template(t, args...); err == nil || !regexp.MustCompile(test.message).MatchString(strings.ReplaceAll(err.Error(), "\n", " ")) {
			t.Errorf("%s: %v", test.set, err)
		}
	}
}

// TestChartIsTheManifests compares the chart with the manifests.
func TestChartIsTheManifests(t *testing.T) {
	for variant, set := range map[string]string{
		"host-network": "hostNetwork=true",
		"socket":       "hostNetwork=false,socket.userId=999",
		"bounded-time": "clockbound.enabled=true",
	} {
		made := objects(t, "--set=image.repository=YOUR-REGISTRY/chrony-tracker,image.tag=YOUR-TAG", "--set="+set)["DaemonSet"]
		want, _ := render(t, variant)
		pod := at(made, "spec", "template", "spec").(object)
		delete(pod, "serviceAccountName") // the chart has an account of its own, without permissions
		delete(at(pod, "containers", 0).(object), "imagePullPolicy")
		if prepare, _ := at(pod, "initContainers", 0).(object); prepare != nil {
			delete(prepare, "imagePullPolicy")
		}
		wanted := at(want, "spec", "template", "spec").(object)
		for key := range pod {
			if !reflect.DeepEqual(pod[key], wanted[key]) {
				t.Errorf("%s: %s is %v, and in the chart %v", variant, key, wanted[key], pod[key])
			}
		}
		if len(pod) != len(wanted) {
			t.Errorf("%s: the chart has %d settings of the pod, not %d", variant, len(pod), len(wanted))
		}
		if got, want := at(made, "spec", "updateStrategy", "rollingUpdate"), at(want, "spec", "updateStrategy", "rollingUpdate"); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: updates %v, and in the chart %v", variant, want, got)
		}
	}
}

// TestChartMonitors compares the chart's monitors and rules with the ones for use
// without the chart.
func TestChartMonitors(t *testing.T) {
	read := func(name string) object {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return decode(t, string(text))[0]
	}
	made := objects(t, "--set=image.repository=r,prometheusRule.enabled=true,prometheus.podMonitor.enabled=true,prometheus.podMonitor.apiVersion=azmonitoring.coreos.com/v1")
	monitor, want := made["PodMonitor"], read("../../../deploy/kubernetes/scrape/azure-podmonitor.yaml")
	endpoint := at(monitor, "spec", "podMetricsEndpoints", 0).(object)
	delete(endpoint, "scheme") // the default
	delete(endpoint, "scrapeTimeout")
	delete(at(monitor, "spec", "selector", "matchLabels").(object), "app.kubernetes.io/instance")
	if monitor["apiVersion"] != want["apiVersion"] || !reflect.DeepEqual(monitor["spec"], want["spec"]) {
		t.Errorf("PodMonitor %v, and in the chart %v", want, monitor)
	}
	if got, want := made["PrometheusRule"]["spec"], read("../../../deploy/prometheus/prometheusrule.yaml")["spec"]; !reflect.DeepEqual(got, want) {
		t.Errorf("PrometheusRule %v, and in the chart %v", want, got)
	}
}

// TestChartRules changes the rules with values.
func TestChartRules(t *testing.T) {
	rules := objects(t, "--values="+chart+"/ci/operator-values.yaml")["PrometheusRule"]["spec"]
	severities := make(map[any]any)
	for _, group := range at(rules, "groups").([]any) {
		for _, rule := range at(group, "rules").([]any) {
			severities[at(rule, "alert")] = at(rule, "labels", "severity")
		}
	}
	if got := severities["ClockErrorUnknown"]; got != "critical" {
		t.Errorf("ClockErrorUnknown has severity %v", got)
	}
	spec := fmt.Sprint(rules)
	for _, want := range []string{"* 0.05", "record:job:chrony_up:sum"} {
		if !strings.Contains(spec, want) {
			t.Errorf("no %q in %s", want, spec)
		}
	}
	if strings.Contains(spec, "ClockPairApart") || strings.Contains(spec, "${") {
		t.Errorf("disabled, or not set: %s", spec)
	}
}

// TestChartSet sets numbers on the command line. Helm turns numbers with a decimal
// point into strings there.
func TestChartSet(t *testing.T) {
	made := objects(t, "--set=image.repository=r,prometheusRule.enabled=true,prometheusRule.limit=0.0125,prometheusRule.pairLimit=1,prometheusRule.target=0.9995,prometheusRule.scrapeMinutes=4,clock.maxDrift=1.5,clock.maxWander=0.5")
	spec := fmt.Sprint(made["PrometheusRule"]["spec"])
	for _, want := range []string{"* 0.0125", "> 1 ", "(1 - 0.9995)", "[8m]", "[60m:1m]", "last 40 minutes"} {
		if !strings.Contains(spec, want) {
			t.Errorf("no %q in %s", want, spec)
		}
	}
	if args := fmt.Sprint(at(made["DaemonSet"], "spec", "template", "spec", "containers", 0, "args")); !strings.Contains(args, "--clock.max-wander=0.5 --clock.max-drift=1.5") {
		t.Errorf("args %s", args)
	}
}

// TestChartPairLimit sets the limit of two clocks, and leaves it to the objectives. It
// also sets a URL of the runbooks that ends with a slash.
func TestChartPairLimit(t *testing.T) {
	for set, want := range map[string]string{
		"": "pair_error_seconds:max > on (cluster) 2 * min by (cluster) (node:chrony_objective_limit_seconds:max)", "prometheusRule.pairLimit=0.3": "more than 0.3 s.",
		"prometheusRule.runbookUrl=https://books.example/": "https://books.example/ClockPairApart.md",
	} {
		made := objects(t, "--set=image.repository=r,prometheusRule.enabled=true,"+set)
		if spec := fmt.Sprint(made["PrometheusRule"]["spec"]); !strings.Contains(spec, want) {
			t.Errorf("%s: no %q in %s", set, want, spec)
		}
	}
}

// TestChartDashboards checks what Grafana's sidecar needs, and the error if there are
// no dashboards.
func TestChartDashboards(t *testing.T) {
	set := "--set=image.repository=r,dashboards.enabled=true"
	text, err := templateOf(t, withDashboards(t, "one", "two"), set)
	chronytest.Must(t, err)
	var found []string
	for _, o := range decode(t, text) {
		if o["kind"] == "ConfigMap" && at(o, "metadata", "labels", "grafana_dashboard") == "1" {
			for name := range at(o, "data").(object) {
				found = append(found, name)
			}
		}
	}
	if slices.Sort(found); !slices.Equal(found, []string{"one.json", "two.json"}) {
		t.Errorf("dashboards %q", found)
	}
	if _, err := templateOf(t, withDashboards(t), set); err == nil || !strings.Contains(err.Error(), "no files/dashboards/*.json") {
		t.Errorf("without any: %v", err)
	}
}

// TestChartProfiles checks that the schema has the tracker's profiles.
func TestChartProfiles(t *testing.T) {
	text, err := os.ReadFile(chart + "/values.schema.json")
	chronytest.Must(t, err)
	var schema struct {
		Properties struct {
			Objectives struct {
				Items struct {
					AnyOf []struct{ Enum []string }
				}
			}
		}
	}
	chronytest.Must(t, json.Unmarshal(text, &schema))
	var want []string
	for _, p := range objective.Profiles {
		want = append(want, p.Name)
	}
	if got := schema.Properties.Objectives.Items.AnyOf[0].Enum; !slices.Equal(got, want) {
		t.Errorf("profiles %q, and in the schema %q", want, got)
	}
}

// TestChartReadme checks that the README lists the current values.
func TestChartReadme(t *testing.T) {
	want, err := os.ReadFile(chart + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	got, problems, err := run(t, "", helmDocs, "--dry-run", "--chart-search-root="+chart)
	if err != nil || strings.TrimSpace(got) != strings.TrimSpace(string(want)) {
		t.Errorf("make docs would change the chart's README: %v %s", err, problems)
	}
}

// TestProbes wants the probes to ask as the tracker serves. The kubelet has no password
// and no client certificate.
func TestProbes(t *testing.T) {
	for values, want := range map[string]string{
		"web.auth=true":                                     "map[httpGet:map[path:/-/healthy port:metrics]]",
		"web.existingSecret=x":                              "map[tcpSocket:map[port:metrics]]",
		"web.existingSecret=x,web.auth=false":               "map[httpGet:map[path:/-/healthy port:metrics scheme:HTTPS]]",
		"web.existingSecret=x,web.tls=false":                "map[tcpSocket:map[port:metrics]]",
		"web.existingSecret=x,web.auth=false,web.tls=false": "map[httpGet:map[path:/-/healthy port:metrics]]",
	} {
		daemonset := objects(t, "--set=image.repository=registry.example/x", "--set="+values)["DaemonSet"]
		for _, probe := range []string{"livenessProbe", "readinessProbe"} {
			if got := fmt.Sprint(at(daemonset, "spec", "template", "spec", "containers", 0, probe)); got != want {
				t.Errorf("%s: %s %s, want %s", values, probe, got, want)
			}
		}
	}
}
