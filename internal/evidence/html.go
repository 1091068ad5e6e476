package evidence

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"html/template"
	"slices"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/status"
)

//go:embed report.html
var pageText string

// How many rows the page has. The other files have all.
const (
	mostNodes      = 100
	mostExcursions = 300
	mostDays       = 200
	mostShares     = 50
)

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"seconds":  status.Seconds,
	"duration": duration,
	"percent":  percent,
	"bound":    boundText,
	"time":     func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
	"day":      func(t time.Time) string { return t.UTC().Format(time.DateOnly) },
	"number":   func(v float64) string { return fmt.Sprintf("%.0f", v) },
	"coverage": func(a Account) string { return percent(a.Coverage()) },
	"picture":  func(s string) template.URL { return template.URL("data:image/png;base64," + s) },
	"share": func(part float64, a Account) string {
		if a.Expected == 0 {
			return "0 %"
		}
		return percent(part / a.Expected)
	},
}).Parse(pageText))

// duration has every second: sums must be seen to be right.
func duration(v float64) string {
	if v < 1 && v > 0 {
		return status.Seconds(v)
	}
	total := int64(v + 0.5)
	days, rest := total/86400, total%86400
	text := fmt.Sprintf("%d:%02d:%02d", rest/3600, rest/60%60, rest%60)
	if days > 0 {
		text = fmt.Sprintf("%d d %s", days, text)
	}
	return text
}

func boundText(v *float64) string {
	if v == nil {
		return "–"
	}
	return status.Seconds(*v)
}

// pageData is what the page shows of a report.
type pageData struct {
	*Report
	Heatmap     heatmap
	Worst       []Node
	Longest     []Excursion
	WorstDays   []NodeDay
	Disturbed   []NodeDay // with steps, suspensions or restarts
	TopSources  []Share
	TopVersions []Share
	Files       []hashed
	Listed      int // nodes that the store lists
	Untraced    int // nodes
}

type hashed struct{ Name, Sum string }

func (r *Report) html(files []file) ([]byte, error) {
	data := pageData{Report: r, Heatmap: r.heatmap()}
	data.Worst = first(sorted(r.Nodes, worseNode), mostNodes)
	data.Longest = first(sorted(r.Excursions, func(a, b Excursion) int { return cmp.Compare(b.Seconds(), a.Seconds()) }), mostExcursions)
	data.WorstDays = first(sorted(r.Days, func(a, b NodeDay) int {
		return cmp.Or(cmp.Compare(b.Bad(), a.Bad()), cmp.Compare(b.Uncovered, a.Uncovered), cmp.Compare(value(b.Largest), value(a.Largest)))
	}), mostDays)
	for _, d := range r.Days {
		if d.Starts > 0 || d.Events["clock_stepped"]+d.Events["suspended"]+d.Events["chronyd_restarted"] > 0 {
			data.Disturbed = append(data.Disturbed, d)
		}
	}
	data.Disturbed = first(data.Disturbed, mostDays)
	data.TopSources, data.TopVersions = first(r.Sources, mostShares), first(r.Versions, mostShares)
	for _, n := range r.Nodes {
		if n.ExpectedBy == byNodes {
			data.Listed++
		}
		if n.Claimed-n.Traced > 1 {
			data.Untraced++
		}
	}
	for _, f := range files {
		data.Files = append(data.Files, hashed{f.name, fmt.Sprintf("%x", sha256.Sum256(f.data))})
	}
	var b bytes.Buffer
	err := page.Execute(&b, data)
	return b.Bytes(), err
}

func value(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}

func sorted[T any](list []T, order func(a, b T) int) []T {
	list = slices.Clone(list)
	slices.SortStableFunc(list, order)
	return list
}

func first[T any](list []T, n int) []T { return list[:min(n, len(list))] }

var severity = map[Verdict]int{Fail: 0, Insufficient: 1, Pass: 2}

func worseNode(a, b Node) int {
	return cmp.Or(cmp.Compare(severity[a.Verdict], severity[b.Verdict]), cmp.Compare(b.Bad(), a.Bad()),
		cmp.Compare(b.Uncovered, a.Uncovered), cmp.Compare(value(b.Largest), value(a.Largest)))
}
