package exporter

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

var update = flag.Bool("update", false, "write docs/reference/metrics.md")

// TestReference wants docs/reference/metrics.md to tell what the table does.
func TestReference(t *testing.T) {
	const file = "../../docs/reference/metrics.md"
	if *update {
		if err := os.WriteFile(file, []byte(reference(t)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != reference(t) {
		t.Error("docs/reference/metrics.md is stale: make docs")
	}
}

// reference returns docs/reference/metrics.md: every metric of the table.
func reference(t *testing.T) string {
	var b strings.Builder
	b.WriteString(`# Metrics

Made from the table that the program itself uses (` + "`make docs`" + `); a test holds it true.

Beside these, /metrics has ` + "`chrony_tracker_build_info`" + `, the same as ` + "`chrony_exporter_build_info`" + ` for those who come from there, and the usual ` + "`go_…`, `process_…` and `promhttp_…`" + `.
What is true now is read from chronyd while the scrape waits. Scrapes at the same time share one exchange with it; what tracking says has arrived after the scrape began.
What was true between the scrapes is from the samples that are taken each second (` + "`--sample.interval`" + `): totals, distribution, windows. A scrape is no sample.

*From* is chronyd's report, in the word that chronyc and ` + "`opencommands`" + ` have for it; nothing there means that the program finds it itself. A report that chronyd refuses, or doesn't know, takes its own series away and no others: ` + "`chrony_tracker_report_readable`" + ` tells. *Since* is the first chronyd that tells it, if not all do (3.5 to 4.8 were tried).

What is +Inf here does this in PromQL: ` + "`max`, `topk` and `>`" + ` are right; ` + "`avg` and `sum`" + ` become +Inf, so filter with ` + "`< +Inf`" + ` and count the rest beside it.

## How many series

`)
	b.WriteString(seriesCounts(t))
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
	b.WriteString(`
## What is left out

Of what chronyd tells of each source: what its own sources say (root delay and dispersion, precision, leap status), the score and the limits of the selection, the options in effect, keys' numbers, algorithms and lengths, the offset as it was measured, and the packets that were valid but failed a test: it would be a third more series, and none of it tells an operator what to do. ` + "`chronyc ntpdata`, `selectdata` and `authdata`" + ` print it, and package chrony reads it.
`)
	b.WriteString("\n## Names that Prometheus would not choose\n\nKept for those who know them.\n\n| name | kept for |\n| --- | --- |\n")
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", name, kept[name])
	}
	return b.String()
}

// found is what a watch has found of an idle node, with the kernel's view.
func found(t *testing.T) *tracker.Watched {
	t.Helper()
	d := chronytest.NewSynchronized(t, "")
	_, tr := serveWatched(t, d.Address, 20*time.Millisecond)
	awaitSamples(t, tr, 2)
	w := *tr.Watched()
	w.Objectives, w.Steps, w.Kernel = nil, tracker.Jumps{}, &tracker.Kernel{}
	for i := range w.Windows {
		w.Windows[i].Bound = 1
	}
	return &w
}

// seriesCounts tells how many series of a node there are: what TestSeries counts.
func seriesCounts(t *testing.T) string {
	none := countSeries(t, demanding(0))
	each := (countSeries(t, demanding(4)) - none) / 4
	refclock := countSeries(t, withReferenceClock(demanding(0))) - none
	watched := demanding(0)
	watched.Watched = found(t)
	const sumAndCount = 2
	buckets := len(watched.Watched.Distribution.Counts) + sumAndCount
	watching := countSeries(t, watched) - none - 1 // which is the distribution
	return fmt.Sprintf("At most %d for a node without sources, %d more for each NTP source and %d for each reference clock, over chronyd's socket, by which it gives all reports. "+
		"A source with Network Time Security has %d more, one whose last reply fails tests one for each, and rtcdata, smoothing and PTP clocks add theirs where there are any. "+
		"Sources beyond `--collector.sources.max` have none.\n\nThe watch has %d more, %d of them the distribution, and each objective 3; the last step's size and time come with the first step. Neither the number nor the labels change when chronyd selects another source, but for `chrony_tracking_info` and `chrony_sources_state_info`, which are kept for compatibility.\n",
		none, each, refclock, len(authMetrics), watching+buckets, buckets)
}
