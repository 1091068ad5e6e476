package test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

// queries returns those of all panels, with the dashboard's variables filled in.
func queries(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(chart + "/files/dashboards/clocks.json")
	must(t, err)
	var dashboard struct {
		UID, Title string
		Panels     []struct {
			Title, Description string
			Targets            []struct{ Expr string }
		}
	}
	must(t, json.Unmarshal(text, &dashboard))
	found := make(map[string]string)
	for _, panel := range dashboard.Panels {
		if panel.Description == "" || len(panel.Targets) != 1 || found[panel.Title] != "" {
			t.Errorf("panel %q: %d queries, or no description, or there twice", panel.Title, len(panel.Targets))
			continue
		}
		found[panel.Title] = strings.NewReplacer("$cluster", ".*", "$node", ".*", "$__rate_interval", "5m").Replace(panel.Targets[0].Expr)
	}
	if dashboard.UID == "" || len(found) == 0 {
		t.Fatalf("no dashboard: %+v", dashboard)
	}
	return found
}

// TestDashboard wants every query to be one, of metrics that there are.
func TestDashboard(t *testing.T) {
	metrics, err := os.ReadFile("../docs/metrics.md")
	must(t, err)
	var rules []object
	for title, query := range queries(t) {
		rules = append(rules, object{"record": "x", "expr": query, "labels": object{"panel": title}})
		for _, name := range regexp.MustCompile(`chrony_[a-z0-9_]+`).FindAllString(query, -1) {
			if !strings.Contains(string(metrics), "`"+name+"`") {
				t.Errorf("%s: there is no %s", title, name)
			}
		}
	}
	text, err := yaml.Marshal(object{"groups": []any{object{"name": "panels", "rules": rules}}})
	must(t, err)
	file := filepath.Join(t.TempDir(), "rules.yaml")
	must(t, os.WriteFile(file, text, 0o644))
	promtool, err := chronytest.Program("prometheus", "promtool")
	must(t, err)
	if out, err := exec.Command(promtool, "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
