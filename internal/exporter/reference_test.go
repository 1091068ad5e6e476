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

// TestReference checks that docs/reference/metrics.md matches the table.
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

// reference returns the content of docs/reference/metrics.md.
func reference(t *testing.T) string {
	var b strings.Builder
	b.WriteString(`# Metrics

` + "`make docs`" + ` generates this page from the table in the code. A test checks that it is current.

` + "`/metrics`" + ` also has ` + "`chrony_tracker_build_info`" + ` and the usual ` + "`go_…`, `process_…` and `promhttp_…`" + ` metrics.

Each scrape reads the current values from chronyd. Simultaneous scrapes share one exchange with chronyd. The tracking report always arrives after the scrape began.
Totals, distribution and windows come from samples, which the tracker takes every second (` + "`--sample.interval`" + `). A scrape is not a sample.

The columns:

- *From* is chronyd's report, named as in chronyc and ` + "`opencommands`" + `. If it is empty, the tracker finds the value itself. If chronyd refuses or does not know a report, only the series from that report are absent. ` + "`chrony_tracker_report_readable`" + ` shows these reports.
- *Since* is the first version of chronyd that has the value. If it is empty, all versions have it. Tested versions are 3.5 to 4.8.

In PromQL, ` + "`max`, `topk` and `>`" + ` give correct results for +Inf. ` + "`avg` and `sum`" + ` become +Inf. Filter with ` + "`< +Inf`" + ` and count the nodes without a bound separately.

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
## Values without a metric

Some values that chronyd reports for each source have no metric. They would add a third more series, and an operator cannot act on them:

- root delay, root dispersion, precision and leap status of the source;
- the score and the limits of the selection, and the options in effect;
- ID, algorithm and length of keys;
- the offset as it was measured;
- the number of valid packets that failed a test.

` + "`chronyc ntpdata`, `selectdata` and `authdata`" + ` print them. The Go package ` + "`chrony`" + ` reads them.
`)
	b.WriteString("\n## Names outside of Prometheus conventions\n\nThese names are kept for compatibility.\n\n| name | compatible with |\n| --- | --- |\n")
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", name, kept[name])
	}
	return b.String()
}

// found returns the results of a watch of an idle node, with the kernel's view.
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

// seriesCounts returns the section on the number of series, counted as in TestSeries.
func seriesCounts(t *testing.T) string {
	none := countSeries(t, demanding(0))
	each := (countSeries(t, demanding(4)) - none) / 4
	refclock := countSeries(t, withReferenceClock(demanding(0))) - none
	watched := demanding(0)
	watched.Watched = found(t)
	const sumAndCount = 2
	buckets := len(watched.Watched.Distribution.Counts) + sumAndCount
	watching := countSeries(t, watched) - none - 1 // the rest is the distribution
	countWitnesses := func(servers int) int {
		watched.Witnesses = witnesses(servers)
		return countSeries(t, watched)
	}
	judging := countWitnesses(0) - none - watching - 1
	return fmt.Sprintf("Over chronyd's Unix socket, which gives all reports, a node has at most this many series:\n\n"+
		"| for | series |\n| --- | --- |\n| the node, without sources | %d |\n| each NTP source | %d |\n| each reference clock | %d |\n| each source with Network Time Security, in addition | %d |\n| the watch | %d, including %d for the distribution |\n| each objective | 7 |\n| witnesses of both kinds | %d |\n| each UTC witness | %d |\n\n"+
		"Each test that a source's last reply fails adds one series. rtcdata, smoothing and PTP clocks add series if they exist. The size and the time of the last step appear with the first step. "+
		"Sources beyond `--collector.sources.max` have no series of their own.\n\n"+
		"When chronyd selects another source, neither the number of series nor their labels change. The exceptions are `chrony_tracking_info` and `chrony_sources_state_info`, which are kept for compatibility.\n",
		none, each, refclock, len(authMetrics), watching+buckets, buckets, judging, countWitnesses(2)-countWitnesses(1))
}
