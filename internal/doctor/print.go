package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

const (
	lineWidth  = 80
	labelWidth = 13 // as long as the longest verdict, and two blanks
)

// colours are how a terminal shows the verdicts.
var colours = map[Verdict]string{Wrong: "\x1b[1;31m", Note: "\x1b[33m", Unchecked: "\x1b[36m", Fine: "\x1b[32m"}

// Print writes the findings for a person, in lines of 80 columns. Commands are not
// broken, so that they can be copied.
func (e *Examination) Print(w io.Writer, colour bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", e.Summary())
	last := Verdict("")
	for _, f := range e.Findings {
		if f.Verdict != Fine || last != Fine {
			b.WriteByte('\n')
		}
		last = f.Verdict
		label := fmt.Sprintf("%-*s", labelWidth, f.Verdict)
		if colour {
			label = colours[f.Verdict] + label + "\x1b[0m"
		}
		b.WriteString(label + wrap(f.Check+": "+f.Says) + "\n")
		for _, more := range []struct{ label, text string }{{"costs", f.Costs}, {"mend", f.Mend}} {
			if more.text != "" {
				fmt.Fprintf(&b, "%*s  %s\n", labelWidth-2, more.label, wrap(more.text))
			}
		}
		if f.Run != "" {
			fmt.Fprintf(&b, "%*s  %s\n", labelWidth-2, "run", f.Run)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Summary is the examination in a sentence.
func (e *Examination) Summary() string {
	var counts []string
	for _, v := range Verdicts {
		if n := e.count(v); n > 0 {
			count := fmt.Sprintf("%d %s", n, v)
			if v == Note && n > 1 {
				count += "s"
			}
			counts = append(counts, count)
		}
	}
	head := "Something is wrong"
	if e.Healthy() {
		head = "Nothing is wrong"
	}
	return head + ": " + strings.Join(counts, ", ") + "."
}

// wrap breaks a text that begins after a label.
func wrap(text string) string { return wrapFrom(text, labelWidth) }

// wrapFrom breaks a text that begins at a column into lines, all of which begin there.
func wrapFrom(text string, indent int) string {
	var b strings.Builder
	column := indent
	for i, word := range strings.Fields(text) {
		width := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+width > lineWidth:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += width
	}
	return b.String()
}

// MarshalJSON writes the examination with its verdict. A bound that doesn't exist is
// null.
func (e *Examination) MarshalJSON() ([]byte, error) {
	var bound *float64
	if e.Estimate.HasBound() && !math.IsNaN(e.Estimate.Bound) {
		bound = &e.Estimate.Bound
	}
	return json.Marshal(struct {
		Time     time.Time        `json:"time"`
		Healthy  bool             `json:"healthy"`
		State    clockerror.State `json:"state"`
		Bound    *float64         `json:"bound_seconds"`
		Findings []Finding        `json:"findings"`
	}{e.Time, e.Healthy(), e.Estimate.State, bound, e.Findings})
}
