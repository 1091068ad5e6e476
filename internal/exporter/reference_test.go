package exporter

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
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

Beside these, /metrics has ` + "`chrony_tracker_build_info`" + `, the same as ` + "`chrony_exporter_build_info`" + ` for those who come from there, and the usual ` + "`go_…`, `process_…` and `promhttp_…`" + `.
All values are read from chronyd while the scrape waits. Scrapes at the same time share one exchange with it; what tracking says has arrived after the scrape began.

*From* is chronyd's report, in the word that chronyc and ` + "`opencommands`" + ` have for it; nothing there means that the program finds it itself. A report that chronyd refuses, or doesn't know, takes its own series away and no others: ` + "`chrony_tracker_report_readable`" + ` tells. *Since* is the first chronyd that tells it, if not all do (3.5 to 4.8 were tried).

What is +Inf here does this in PromQL: ` + "`max`, `topk` and `>`" + ` are right; ` + "`avg` and `sum`" + ` become +Inf, so filter with ` + "`< +Inf`" + ` and count the rest beside it.

## How many series

`)
	b.WriteString(seriesCounts())
	b.WriteString(`
## All metrics

| name | type | unit | labels | from | since | meaning |
| --- | --- | --- | --- | --- | --- | --- |
`)
	for _, m := range table {
		labels := ""
		if len(m.labels) > 0 {
			labels = "`" + strings.Join(m.labels, "`, `") + "`"
		}
		help := strings.NewReplacer("|", `\|`, "*", `\*`).Replace(m.help)
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", m.name, strings.ToLower(m.kind.String()), m.unit, labels, m.from, m.since, help)
	}
	b.WriteString("\n## Names that Prometheus would not choose\n\nKept for those who know them.\n\n| name | kept for |\n| --- | --- |\n")
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", name, kept[name])
	}
	return b.String()
}

// seriesCounts tells how many series of a node there are: what TestSeries counts.
func seriesCounts() string {
	none := countSeries(demanding(0))
	each := (countSeries(demanding(4)) - none) / 4
	refclock := countSeries(withReferenceClock(demanding(0))) - none
	return fmt.Sprintf("At most %d for a node without sources, %d more for each NTP source and %d for each reference clock, over chronyd's socket, by which it gives all reports. "+
		"A source with Network Time Security has %d more, one whose last reply fails tests one for each, and rtcdata, smoothing and PTP clocks add theirs where there are any. "+
		"Sources beyond `--collector.sources.max` have none. Neither the number nor the labels change when chronyd selects another source, but for `chrony_tracking_info` and `chrony_sources_state_info`, which are kept for compatibility.\n",
		none, each, refclock, len(authMetrics))
}
