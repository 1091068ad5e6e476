// Package screen shows a tracker's snapshots on a terminal.
package screen

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/doctor"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
	"github.com/chrony-tracker/chrony-tracker/internal/web"
)

// DefaultWidth is how many columns are filled where there is no terminal to ask.
const DefaultWidth = 80

// Style is how a snapshot is shown.
type Style struct {
	Width  int // in columns; DefaultWidth if zero
	Colour bool
}

const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	bold   = "\x1b[1m"
	plain  = "\x1b[0m"
)

func (s Style) paint(colour, text string) string {
	if !s.Colour || text == "" {
		return text
	}
	return colour + text + plain
}

// Write shows a snapshot.
func Write(w io.Writer, snapshot *tracker.Snapshot, style Style) error {
	if style.Width == 0 {
		style.Width = DefaultWidth
	}
	var b bytes.Buffer
	status := web.NewStatus(snapshot)
	for _, line := range wrap(status.Verdict(), style.Width) {
		b.WriteString(style.paint(bold+verdictColour(status), line) + "\n")
	}
	b.WriteByte('\n')
	writeRows(&b, status, style)
	if snapshot.Report != nil && len(snapshot.Report.Sources) > 0 {
		b.WriteByte('\n')
		writeSources(&b, snapshot.Report.Sources, style)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func verdictColour(s web.Status) string {
	switch {
	case s.Bound == nil:
		return red
	case s.State != clockerror.Synchronized, s.Untraced, s.Approximate:
		return yellow
	default:
		return green
	}
}

// shades draw the terms of the bound, in a bar and before their names.
var shades = map[string]struct{ letter, colour string }{
	"offset":       {"█", "\x1b[35m"},
	"dispersion":   {"▓", "\x1b[36m"},
	"delay":        {"▒", "\x1b[34m"},
	"drift":        {"░", red},
	"reference":    {"▚", yellow},
	"disagreement": {"▞", red},
}

// writeRows writes what is known in three columns: what, how much, and in words.
func writeRows(b *bytes.Buffer, status web.Status, style Style) {
	rows := status.Rows()
	label, value := 0, 0
	for _, r := range rows {
		label = max(label, columns(r.Label)+2)
		if columns(r.Value) <= longValue {
			value = max(value, columns(r.Value))
		}
	}
	for _, r := range rows {
		name := pad(r.Label, label)
		if r.Term {
			shade := shades[r.Label]
			name = style.paint(shade.colour, shade.letter) + " " + pad(r.Label, label-2)
		}
		note := r.Note
		if r.Label == "bound" && status.Terms != nil {
			note = bar(*status.Terms, style.Width-label-value-4, style)
		}
		b.WriteString(name + "  ")
		writeCells(b, r.Value, note, label+2, value, style.Width)
	}
}

// longValue is how long a value may be that has its note beside it.
const longValue = 16

// writeCells writes a value and a note that begin at a column. A long value has lines
// of its own.
func writeCells(b *bytes.Buffer, value, note string, column, valueWidth, total int) {
	indent := strings.Repeat(" ", column)
	if columns(value) > longValue {
		lines := append(wrap(value, total-column), wrap(note, total-column)...)
		b.WriteString(strings.Join(lines, "\n"+indent) + "\n")
		return
	}
	indent += strings.Repeat(" ", valueWidth+2)
	lines := []string{note} // a bar is not to be broken
	if !strings.ContainsRune(note, '\x1b') {
		lines = wrap(note, total-len(indent))
	}
	b.WriteString(strings.TrimRight(pad(value, valueWidth)+"  "+strings.Join(lines, "\n"+indent), " ") + "\n")
}

// bar draws the terms in proportion to one another.
func bar(t clockerror.Terms, length int, style Style) string {
	total := t.Sum()
	if !(total > 0) {
		return ""
	}
	var drawn strings.Builder
	sum, done := 0.0, 0
	for term, seconds := range t.All() {
		sum += seconds
		end := int(math.Round(sum / total * float64(length)))
		shade := shades[term]
		drawn.WriteString(style.paint(shade.colour, strings.Repeat(shade.letter, end-done)))
		done = end
	}
	return drawn.String()
}

// marks are the signs that chronyc prints for the states of sources.
var marks = map[chrony.SourceState]string{
	chrony.StateSelected:      "*",
	chrony.StateNonselectable: "?",
	chrony.StateFalseticker:   "x",
	chrony.StateJittery:       "~",
	chrony.StateCombined:      "+",
	chrony.StateSelectable:    "-",
}

func writeSources(b *bytes.Buffer, sources []chrony.Source, style Style) {
	table := [][]string{{"", "source", "stratum", "poll", "reach", "sample", "offset, ± its bound"}}
	for _, c := range sources {
		offset, sample := "", "never"
		if c.SampleAge != chrony.Never {
			sample = short(c.SampleAge) + " ago"
			offset = signed(c.AdjustedOffset) + " ± " + clockerror.Format(c.OffsetError)
		}
		table = append(table, []string{
			marks[c.State], c.Name(), fmt.Sprint(c.Stratum), short(time.Duration(math.Ldexp(float64(time.Second), int(c.Poll)))),
			fmt.Sprintf("%03o", c.Reach), sample, offset,
		})
	}
	widths := make([]int, len(table[0]))
	for _, row := range table {
		for i, cell := range row {
			widths[i] = max(widths[i], columns(cell))
		}
	}
	for i, row := range table {
		line := ""
		for j, cell := range row {
			line += pad(cell, widths[j]) + "  "
		}
		line = strings.TrimRight(line, " ")
		if i == 0 {
			b.WriteString(style.paint(bold, line) + "\n")
			continue
		}
		b.WriteString(line + "\n")
		writeReason(b, sources[i-1], style)
	}
}

// writeReason says of a source that the clock does not follow why not.
func writeReason(b *bytes.Buffer, c chrony.Source, style Style) {
	if c.State == chrony.StateSelected || c.State == chrony.StateCombined {
		return
	}
	colour := yellow
	if c.State == chrony.StateFalseticker {
		colour = red
	}
	const indent = 3
	for _, line := range wrap(doctor.Standing(c), style.Width-indent) {
		b.WriteString(strings.Repeat(" ", indent) + style.paint(colour, line) + "\n")
	}
}

// signed writes an offset: above zero, the clock is ahead of the source.
func signed(seconds float64) string {
	if seconds > 0 {
		return "+" + clockerror.Format(seconds)
	}
	return clockerror.Format(seconds)
}

// short writes a time in one unit.
func short(d time.Duration) string {
	for _, u := range []struct {
		name string
		size time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"min", time.Minute}} {
		if d >= 10*u.size {
			return fmt.Sprintf("%d %s", d/u.size, u.name)
		}
	}
	if d >= time.Second || d == 0 {
		return fmt.Sprintf("%d s", d/time.Second)
	}
	return clockerror.Format(d.Seconds())
}
