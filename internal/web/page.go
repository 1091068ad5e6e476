package web

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"math/bits"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

//go:embed page/page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"seconds": seconds,
	"signed":  signed,
	"length":  length,
	"clock":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"machine": func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
}).Parse(pageText))

// policy allows the page to load only files from this program.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// A page is the data of page.html. The script fetches the page periodically and
// replaces the changed parts. So all text is made here, and the page also works
// without the script.
type page struct {
	apiStatus
	Config
	events []tracker.Event
}

func servePage(w http.ResponseWriter, r *http.Request, t *tracker.Tracker, config Config) {
	var b bytes.Buffer
	p := page{newAPIStatus(t.Snapshot(r.Context())), config, t.Events()}
	if err := pageTemplate.Execute(&b, &p); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	writeCompressed(w, r, "text/html; charset=utf-8", b.Bytes())
}

// MetricsLink is a relative link, so that it works behind a proxy.
func (p *page) MetricsLink() string { return strings.TrimPrefix(p.Metrics, "/") }

// Class is the CSS class of the verdict's color.
func (p *page) Class() string {
	switch {
	case p.Bound == nil:
		return "none"
	case p.State != clockerror.Synchronized, p.Untraced, p.Approximate:
		return "doubt"
	default:
		return "good"
	}
}

// StateRow is the state, and how long it has lasted if the watch has seen it too.
func (p *page) StateRow() Row {
	row := p.boundRows()[0]
	if w := p.Watch; w != nil && w.StateSince != nil && w.state == p.State {
		row.Value += " for " + length(p.Time.Sub(*w.StateSince).Seconds())
	}
	return row
}

// Facts are the state and further values of the clock.
func (p *page) Facts() []Row { return append([]Row{p.StateRow()}, p.factRows()...) }

// BoundNote explains the bound.
func (p *page) BoundNote() string { return boundNote }

// A Term is a term of the bound, and its part of a bar. The bar has the length 100.
type Term struct {
	Row
	Start, Size float64
}

// Parts are the terms of the bound, sized relative to the bound.
func (p *page) Parts() []Term {
	if p.Terms == nil {
		return nil
	}
	var parts []Term
	start, rows := 0.0, p.termRows()
	for _, seconds := range p.Terms.All() {
		size := 0.0
		if *p.Bound > 0 {
			size = 100 * min(1, seconds/(*p.Bound))
		}
		parts = append(parts, Term{rows[len(parts)], start, size})
		start += size
	}
	return parts
}

// Percent is the size of the part as text.
func (t Term) Percent() string {
	if t.Size > 0 && t.Size < 1 {
		return "< 1 %"
	}
	return fmt.Sprintf("%.0f %%", t.Size)
}

// ReportRows are the reports of this connection, and how to get the refused ones.
func (p *page) ReportRows() []Row { return p.Chronyd.reportRows() }

// A Poll is one of the last polls of a source.
type Poll struct {
	X        int // position in the drawing
	Answered bool
}

// Polls are the last eight polls, the latest at the end.
func (s ListedSource) Polls() []Poll {
	const width = 6
	polls := make([]Poll, 8)
	for i := range polls {
		polls[i] = Poll{i * width, s.Reach&(1<<(7-i)) != 0}
	}
	return polls
}

// Answered is the number of the last eight polls that were answered.
func (s ListedSource) Answered() int { return bits.OnesCount8(s.Reach) }

// OtherName is the name in chrony.conf. It is empty if it is the same as the address.
func (s ListedSource) OtherName() string {
	if s.Configured == nil || *s.Configured == s.Name {
		return ""
	}
	return *s.Configured
}

// VerdictOrState is chronyd's verdict, or the state if there is no verdict.
func (s ListedSource) VerdictOrState() string {
	if s.Verdict != nil {
		return strings.ReplaceAll(*s.Verdict, "_", " ")
	}
	return s.State
}

// EventCount is the number of events since the start.
func (p *page) EventCount() (n uint64) {
	if p.Watch != nil {
		n = p.Watch.eventCount
	}
	return n
}

// shownEvents is the number of events in the table. The plot marks all events.
const shownEvents = 10

// Events are the latest events, the latest first.
func (p *page) Events() []EventRow {
	latest := p.events[max(0, len(p.events)-shownEvents):]
	rows := make([]EventRow, 0, len(latest))
	for _, e := range slices.Backward(latest) {
		rows = append(rows, EventRow{e.At, eventText(e)})
	}
	return rows
}

// An EventRow is a row of the table of events.
type EventRow struct {
	Time time.Time
	Text string
}

func eventText(e tracker.Event) string {
	switch e.Kind {
	case tracker.ClockStepped:
		return "the clock was stepped by " + signed(e.Seconds)
	case tracker.Suspended:
		return "the machine was suspended for " + length(e.Seconds)
	}
	if e.From == "" {
		return e.Kind.String()
	}
	return fmt.Sprintf("%v: from %s to %s", e.Kind, e.From, e.To)
}

// Kept is the fraction of time within an objective, in percent, rounded down.
func (o objective) Kept() string {
	if o.Total == 0 {
		return "not yet known"
	}
	const digits = 1e3
	return fmt.Sprintf("%.6g %%", math.Floor(100*digits*o.Good/o.Total)/digits)
}

// signed is like seconds, but with a sign.
func signed(v float64) string {
	if v < 0 {
		return "−" + seconds(-v)
	}
	return "+" + seconds(v)
}

// length formats a duration with its two largest units.
func length(s float64) string {
	d := time.Duration(s * float64(time.Second))
	days, hours := d/(24*time.Hour), d/time.Hour%24
	minutes, whole := d/time.Minute%60, d/time.Second%60
	switch {
	case days > 0:
		return fmt.Sprintf("%d d %d h", days, hours)
	case hours > 0:
		return fmt.Sprintf("%d h %d min", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%d min %d s", minutes, whole)
	case d >= time.Second:
		return fmt.Sprintf("%d s", whole)
	default:
		return seconds(max(0, s))
	}
}
