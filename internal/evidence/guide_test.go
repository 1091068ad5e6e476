package evidence

import (
	"os"
	"regexp"
	"testing"
)

// TestKeptMetrics wants the guide to keep every metric that a report reads, and no other.
func TestKeptMetrics(t *testing.T) {
	guide, err := os.ReadFile("../../docs/guides/evidence.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`regex: (kube_node_info\S+)`).FindSubmatch(guide)
	if found == nil {
		t.Fatal("the guide has no list of metrics to keep")
	}
	keep := regexp.MustCompile("^(?:" + string(found[1]) + ")$")
	r := &reader{Request: request(1)}
	asked := make(map[string]bool)
	for _, q := range r.queries() {
		for _, name := range regexp.MustCompile(`\b(chrony|kube)_[a-z_]+`).FindAllString(q, -1) {
			asked[name] = true
			if !keep.MatchString(name) {
				t.Errorf("the guide drops %s", name)
			}
		}
	}
	for _, name := range regexp.MustCompile(`[a-z_]+`).FindAllString(string(found[1]), -1) {
		matched := false
		for metric := range asked {
			matched = matched || regexp.MustCompile(name).MatchString(metric)
		}
		if !matched {
			t.Errorf("no report reads %s", name)
		}
	}
}
