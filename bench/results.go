package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A result holds the measurements of one setting.
type result struct {
	setting
	exchanges []exchange // ours first
	scrapes   []scrape   // ours first
}

func (r *result) print(exchanges, scrapes *table) {
	where := []string{r.access, strconv.Itoa(r.sources), r.reports}
	for i, e := range r.exchanges {
		mine := &r.exchanges[0]
		exchanges.row(append(where[:3:3], strconv.Itoa(e.requests), e.peer,
			number(e.median), ratioTo(i, mine.median/e.median),
			number(e.cpu), ratioTo(i, mine.cpu/e.cpu),
			strconv.Itoa(e.allocs))...)
	}
	for i, s := range r.scrapes {
		mine := &r.scrapes[0]
		scrapes.row(append(where[:3:3], strconv.Itoa(s.series), strconv.Itoa(s.bytes), s.peer,
			number(s.cpu/1000), ratioTo(i, mine.cpu/s.cpu),
			number(s.cpu/float64(s.series)),
			number(s.median/1000), ratioTo(i, mine.median/s.median),
			number(s.p99/1000), ratioTo(i, mine.p99/s.p99),
			number(s.rss/1024), ratioTo(i, mine.rss/s.rss), number(s.peak/1024))...)
	}
}

// ratioTo returns our figure divided by a peer's. Our figure is the first and has no
// ratio.
func ratioTo(i int, ratio float64) string {
	if i == 0 {
		return ""
	}
	return number(ratio)
}

func printResults(out io.Writer, results []result) {
	exchanges := table{{"access", "sources", "reports", "requests", "peer", "median µs", "ours/it", "CPU µs", "ours/it", "allocations"}}
	scrapes := table{{"access", "sources", "reports", "series", "bytes", "peer", "CPU ms", "ours/it", "µs/series", "median ms", "ours/it", "p99 ms", "ours/it", "RSS MiB", "ours/it", "peak MiB"}}
	for i := range results {
		results[i].print(&exchanges, &scrapes)
	}
	fmt.Fprint(out, "\n### Exchanges with chronyd\n\n")
	exchanges.print(out)
	fmt.Fprint(out, "\n### Scrapes\n\n")
	scrapes.print(out)
	fmt.Fprint(out, "\n### Goals\n\n")
	demands(results).print(out)
}

// demands compares the figures with the goals of this project, over the socket, with the
// largest number of sources. A series that only our program has may cost as much as
// with promhttp.
func demands(results []result) table {
	at := make(map[string]*result) // by reports
	for i := range results {
		if r := &results[i]; r.access == "socket" {
			at[r.reports] = r
		}
	}
	tracking, shared, all := at["tracking"], at["shared"], at["all"]
	t := table{{fmt.Sprintf("over the socket, with %d sources", all.sources), "ratio", "at most"}}
	demand := func(what string, ratio, most float64) { t.row(what, number(ratio), number(most)) }

	perSeries := further(tracking, all, constant)
	if theirs := shared.scrape(exporter); theirs != nil {
		for _, r := range []*result{shared, all} {
			mine := r.scrape(ours)
			common := mine.cpu - perSeries*float64(mine.series-theirs.series)
			demand(r.reports+": CPU of a scrape, for the series that both have / chrony_exporter's", common/theirs.cpu, 0.5)
			demand(r.reports+": memory after all scrapes / chrony_exporter's with the shared reports", mine.rss/theirs.rss, 1)
		}
		demand("shared: median latency of a scrape / chrony_exporter's", shared.scrape(ours).median/theirs.median, 0.5)
	}
	if theirs := tracking.scrape(exporter); theirs != nil {
		demand("tracking: CPU of a scrape / chrony_exporter's", tracking.scrape(ours).cpu/theirs.cpu, 1)
	}
	demand("all: CPU of each series more than tracking's / promhttp's", further(tracking, all, ours)/perSeries, 1)
	mine, least := all.exchanges[0], all.exchanges[1]
	demand("all: time of the exchange alone / the floor's", mine.median/least.median, 1.3)
	demand("all: CPU of the exchange alone / the floor's", mine.cpu/least.cpu, 1.3)
	return t
}

// further returns the CPU time that a peer needs for each additional series of the
// second result.
func further(few, many *result, name string) float64 {
	a, b := few.scrape(name), many.scrape(name)
	return (b.cpu - a.cpu) / float64(b.series-a.series)
}

func (r *result) scrape(peer string) *scrape {
	for i := range r.scrapes {
		if r.scrapes[i].peer == peer {
			return &r.scrapes[i]
		}
	}
	return nil
}

// A table is a table in Markdown, with aligned columns.
type table [][]string

func (t *table) row(cells ...string) { *t = append(*t, cells) }

func (t table) print(out io.Writer) {
	widths := make([]int, len(t[0]))
	for _, row := range t {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	line := func(cells []string, filler string) {
		for i, cell := range cells {
			fmt.Fprint(out, "| ", cell, strings.Repeat(filler, widths[i]-utf8.RuneCountInString(cell)), " ")
		}
		fmt.Fprintln(out, "|")
	}
	line(t[0], " ")
	line(make([]string, len(t[0])), "-")
	for _, row := range t[1:] {
		line(row, " ")
	}
}

// number formats a figure with two or three digits.
func number(v float64) string {
	switch size := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case size >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case size >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case size >= 0.1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
}
