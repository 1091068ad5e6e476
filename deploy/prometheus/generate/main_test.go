package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

const root = "../../.."

// defaults are what make rules uses.
func defaults() settings {
	return settings{limit: 0.1, target: 0.999, faster: 1, scrape: usualScrape, runbooks: "https://github.com/chrony-tracker/chrony-tracker/blob/main/docs/runbooks"}
}

func readSource(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, source))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func alerts(t *testing.T) []rule {
	t.Helper()
	groups, err := parse(defaults().apply(readSource(t)))
	if err != nil {
		t.Fatal(err)
	}
	var alerts []rule
	for _, g := range groups {
		for _, r := range g.Rules {
			if r.Alert != "" {
				alerts = append(alerts, r)
			}
		}
	}
	if len(alerts) == 0 {
		t.Fatal("no alerts")
	}
	return alerts
}

// TestFiles checks that the generated files are current.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(source)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, source), []byte(readSource(t)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{"-C", dir}); err != nil {
		t.Fatal(err)
	}
	for _, f := range forms {
		want, err := os.ReadFile(filepath.Join(dir, f.file))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(root, f.file))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s does not match %s (%v): run make rules", f.file, source, err)
		}
	}
}

// TestAlerts wants each alert to have all that whoever is called needs.
func TestAlerts(t *testing.T) {
	list, err := os.ReadFile(filepath.Join(root, "docs/runbooks/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, alert := range alerts(t) {
		if severity := alert.Labels["severity"]; severity != "warning" && severity != "critical" {
			t.Errorf("%s: severity %q", alert.Alert, severity)
		}
		if alert.For == "" {
			t.Errorf("%s: no for", alert.Alert)
		}
		if summary := alert.Annotations["summary"]; !strings.HasSuffix(summary, ".") || !strings.Contains(summary, "{{ $") {
			t.Errorf("%s: the summary is not a sentence with a label or value: %q", alert.Alert, summary)
		}
		if url := alert.Annotations["runbook_url"]; url != defaults().runbooks+"/"+alert.Alert+".md" {
			t.Errorf("%s: runbook %s", alert.Alert, url)
		}
		if _, err := os.Stat("../tests/" + alert.Alert + ".yaml"); err != nil {
			t.Errorf("%s: no test: %v", alert.Alert, err)
		}
		runbook, err := os.ReadFile(filepath.Join(root, "docs/runbooks", alert.Alert+".md"))
		if err != nil {
			t.Error(err)
			continue
		}
		shape := regexp.MustCompile(`^# ` + alert.Alert + `\n\n## What it means\n\n(?s:.+)\n\n## Check\n\n([^\n ].+\n\n)?(    \S.*\n){3}\n## What to do\n\n(?s:.+)\n\n## When to ignore it\n\n(?s:.+)\n$`)
		if !shape.Match(runbook) {
			t.Errorf("%s: the runbook lacks a section, or does not have exactly three commands to check", alert.Alert)
		}
		if row := "| [" + alert.Alert + "](" + alert.Alert + ".md) | " + alert.Labels["severity"] + " |"; !strings.Contains(string(list), row) {
			t.Errorf("the list of runbooks lacks %s", row)
		}
	}
}

// TestMetrics checks that the metrics in the rules exist.
func TestMetrics(t *testing.T) {
	metrics, err := os.ReadFile(filepath.Join(root, "docs/reference/metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	// A rule's own series has a colon before its name.
	for _, found := range regexp.MustCompile(`[^:a-z_](chrony_[a-z0-9_]+)`).FindAllStringSubmatch(readSource(t), -1) {
		if !strings.Contains(string(metrics), "`"+strings.TrimSuffix(found[1], "_bucket")+"`") {
			t.Errorf("there is no metric %s", found[1])
		}
	}
}

// TestStates checks that each state except synchronized has its number. The dashboards
// map these numbers to words.
func TestStates(t *testing.T) {
	rules := readSource(t)
	for number, state := range clockerror.States {
		coded := fmt.Sprintf(`%d * (max by (cluster, node, state) (last_over_time(chrony_clock_state{state="%[2]v"}[${2m}]) or chrony_clock_state{state="%[2]v"}) == 1)`, number, state)
		if strings.Contains(rules, coded) != (state != clockerror.Synchronized) {
			t.Errorf("%v does not have the number %d", state, number)
		}
	}
}

// TestSettings checks that every form applies every setting, except the chart's.
func TestSettings(t *testing.T) {
	s := settings{limit: 0.0125, pairLimit: 0.0375, target: 0.9995, faster: 1, scrape: 3 * time.Minute, runbooks: "https://books.example"}
	for _, f := range forms {
		made, err := f.make(readSource(t), s)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"0.0125", "0.0375", "0.9995", "https://books.example/ClockStepped.md", "[45m:45s]", "last 45 minutes"} {
			if strings.Contains(made, want) == (f.name == "chart") {
				t.Errorf("%s: setting %s", f.name, want)
			}
		}
		if strings.Contains(made, "${") && f.name != "chart" {
			t.Errorf("%s: a setting was left open", f.name)
		}
	}
}

// TestScrapeInterval checks which scrape intervals are allowed.
func TestScrapeInterval(t *testing.T) {
	dir := t.TempDir()
	for interval, allowed := range map[string]bool{"15s": true, "5m": true, "301s": false, "0s": false} {
		err := run([]string{"-C", filepath.Join(dir, "none"), "-scrape-interval", interval})
		if refused := err != nil && strings.Contains(err.Error(), "-scrape-interval"); refused == allowed {
			t.Errorf("%s: %v", interval, err)
		}
	}
}

// TestFaster wants all times to be shortened.
func TestFaster(t *testing.T) {
	s := defaults()
	s.faster = 60
	made, err := prometheus(readSource(t), s)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"for: 5000ms", "[2000ms]", "[4320000ms]", "offset 20000ms", "[15000ms:250ms]"} {
		if !strings.Contains(made, want) {
			t.Errorf("no %q", want)
		}
	}
	if long := regexp.MustCompile(`(?m)(for: |\[|:|offset )\d+[smhd]\b.*$`).FindAllString(made, -1); long != nil {
		t.Errorf("not shortened: %q", long)
	}
}

// TestForms checks that all forms have the same rules as the rule file.
func TestForms(t *testing.T) {
	groups, err := parse(defaults().apply(readSource(t)))
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		for _, f := range forms {
			if f.name == name {
				text, err := f.make(readSource(t), defaults())
				if err != nil {
					t.Fatal(err)
				}
				return text
			}
		}
		t.Fatal(name)
		return ""
	}
	var object struct {
		Kind string
		Spec struct{ Groups []group }
	}
	if err := yaml.Unmarshal([]byte(read("prometheusrule")), &object); err != nil || object.Kind != "PrometheusRule" {
		t.Fatal(err, object.Kind)
	}
	var template struct {
		Resources []struct {
			Type       string
			Properties struct {
				Scopes []string
				Rules  []azureRule
			}
		}
	}
	if err := json.Unmarshal([]byte(read("arm")), &template); err != nil {
		t.Fatal(err)
	}
	if len(object.Spec.Groups) != len(groups) || len(template.Resources) != len(groups) {
		t.Fatalf("%d groups, and %d, %d", len(groups), len(object.Spec.Groups), len(template.Resources))
	}
	oneLine := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	for i, g := range groups {
		resource := template.Resources[i]
		if resource.Type != ruleGroups || len(resource.Properties.Rules) != len(g.Rules) || len(object.Spec.Groups[i].Rules) != len(g.Rules) {
			t.Fatalf("%s: some rules are missing", g.Name)
		}
		for j, r := range g.Rules {
			azure, own := resource.Properties.Rules[j], object.Spec.Groups[i].Rules[j]
			if own.Alert != r.Alert || own.Record != r.Record || own.Expr != r.Expr || own.For != r.For {
				t.Errorf("PrometheusRule: %+v", own)
			}
			if azure.Alert != r.Alert || azure.Record != r.Record || oneLine(azure.Expression) != oneLine(r.Expr) || !azure.Enabled {
				t.Errorf("ARM: %+v", azure)
			}
			if r.Alert == "" {
				continue
			}
			if azure.Severity == nil || azure.Resolve == nil || azure.Annotations["summary"] != queries.ReplaceAllString(r.Annotations["summary"], "") || strings.Contains(azure.Annotations["summary"], "query") || azure.Actions != "[variables('actions')]" {
				t.Errorf("ARM: %+v", azure)
			}
			if !regexp.MustCompile(`^PT\d+M$`).MatchString(azure.For) {
				t.Errorf("%s: for %s", r.Alert, azure.For)
			}
		}
	}
}

// TestAzure checks that clusterName is a parameter, and that a comment in an expression
// is an error.
func TestAzure(t *testing.T) {
	made, err := arm(readSource(t), defaults())
	if err != nil {
		t.Fatal(err)
	}
	var template struct {
		Parameters map[string]struct{ DefaultValue string }
		Variables  map[string]string
	}
	if err := json.Unmarshal([]byte(made), &template); err != nil {
		t.Fatal(err)
	}
	if p := template.Parameters["clusterName"]; p.DefaultValue != "[last(split(parameters('clusterId'), '/'))]" || template.Variables["clusterName"] != "" {
		t.Errorf("clusterName: %+v", template)
	}
	if _, err := azure(rule{Record: "a", Expr: "b # more\n + c"}); err == nil {
		t.Error("a comment was taken into the one line")
	}
}

// TestAzureFields wants no field that Azure does not know. The types repeat the API's
// description of 2023-03-01: in github.com/Azure/azure-resource-manager-schemas,
// schemas/2023-03-01/Microsoft.AlertsManagement.json. Its numbers are Azure's limits.
func TestAzureFields(t *testing.T) {
	type (
		resolve struct {
			AutoResolved  bool
			TimeToResolve string
		}
		rule struct {
			Record, Alert, Expression, For string
			Enabled                        bool
			Severity                       *int
			Labels, Annotations            map[string]string
			ResolveConfiguration           *resolve
			Actions                        string // here an expression; else a list
		}
		resource struct {
			Type, APIVersion, Name, Location string
			Properties                       struct {
				Description, ClusterName, Interval string
				Enabled                            bool
				Scopes                             []string
				Rules                              []rule
			}
		}
		parameter struct {
			Type         string
			DefaultValue *string
			Metadata     struct{ Description string }
		}
	)
	var template struct {
		Schema         string `json:"$schema"`
		ContentVersion string
		Metadata       struct{ Comments string }
		Parameters     map[string]parameter
		Variables      map[string]string
		Resources      []resource
	}
	made, err := arm(readSource(t), defaults())
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(strings.NewReader(made))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&template); err != nil {
		t.Fatal(err)
	}
	for _, r := range template.Resources {
		if r.APIVersion != "2023-03-01" || r.Type != "Microsoft.AlertsManagement/prometheusRuleGroups" || len(r.Properties.Scopes) == 0 || len(r.Properties.Rules) == 0 || len(r.Properties.Rules) > 20 {
			t.Errorf("resource %s of %s %s, with %d scopes and %d rules", r.Name, r.Type, r.APIVersion, len(r.Properties.Scopes), len(r.Properties.Rules))
		}
		for _, rule := range r.Properties.Rules {
			if rule.Expression == "" || (rule.Record == "") == (rule.Alert == "") {
				t.Errorf("neither an alert nor a record, or both: %+v", rule)
			}
			if rule.Alert != "" && (rule.Severity == nil || *rule.Severity < 0 || *rule.Severity > 4) {
				t.Errorf("%s: severity %v", rule.Alert, rule.Severity)
			}
		}
	}
	for name, p := range template.Parameters {
		if !strings.Contains(made, "parameters('"+name+"')") || p.Metadata.Description == "" {
			t.Errorf("parameter %s is not used, or not described", name)
		}
	}
}
