package exporter

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

// TestReference wants docs/metrics.md to tell what the table does.
func TestReference(t *testing.T) {
	const file = "../../docs/metrics.md"
	if *update {
		if err := os.WriteFile(file, []byte(reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != reference() {
		t.Error("docs/metrics.md is stale: make docs")
	}
}

// reference returns docs/metrics.md: every metric of the table.
func reference() string {
	var b strings.Builder
	b.WriteString(`# Metrics

Made from the table that the program itself uses (` + "`make docs`" + `); a test holds it true.

Beside these, /metrics has ` + "`chrony_tracker_build_info`" + ` and the usual ` + "`go_…`, `process_…` and `promhttp_…`" + `.
What is true now is read from chronyd while the scrape waits. Scrapes at the same time share one exchange with it; what tracking says has arrived after the scrape began.
What was true between the scrapes is from the samples that are taken each second (` + "`--sample.interval`" + `): totals, distribution, windows. A scrape is no sample.

What is +Inf here does this in PromQL: ` + "`max`, `topk` and `>`" + ` are right; ` + "`avg` and `sum`" + ` become +Inf, so filter with ` + "`< +Inf`" + ` and count the rest beside it.

| name | type | labels | meaning |
| --- | --- | --- | --- |
`)
	for _, m := range table {
		labels := ""
		if len(m.labels) > 0 {
			labels = "`" + strings.Join(m.labels, "`, `") + "`"
		}
		help := strings.NewReplacer("|", `\|`, "*", `\*`).Replace(m.help)
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.name, strings.ToLower(m.kind.String()), labels, help)
	}
	return b.String()
}
