// Package terminal prints for people: the status of a clock, what a tracker has seen,
// and the doctor's findings. It makes no decisions: package status has the words and
// the meaning of colors. All text from other programs is cleaned before it reaches a
// terminal.
package terminal

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/chrony-tracker/chrony-tracker/internal/doctor"
	"github.com/chrony-tracker/chrony-tracker/internal/status"
)

const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	cyan   = "\x1b[36m"
	bold   = "\x1b[1m"
	plain  = "\x1b[0m"
)

// tones are the colors on a terminal.
var tones = map[status.Tone]string{status.OK: green, status.Warning: yellow, status.Bad: red, status.Unknown: red}

// shades draw the terms of the bound, in a bar and before their names.
var shades = map[string]span{
	"offset":       {"\x1b[35m", "█"},
	"dispersion":   {cyan, "▓"},
	"delay":        {"\x1b[34m", "▒"},
	"drift":        {red, "░"},
	"reference":    {yellow, "▚"},
	"disagreement": {red, "▞"},
}

// Status prints a clock's status.
func Status(w io.Writer, s status.Status, style Style) error {
	p := newPage(style)
	p.flow(span{bold + tones[s.Tone()], s.Verdict()})
	p.line()
	var stripes []stripe
	for _, part := range s.Parts() {
		stripes = append(stripes, stripe{shades[part.Label], part.Start / 100, (part.Start + part.Size) / 100})
	}
	p.rows(s.Rows(), stripes)
	if len(s.Sources) > 0 {
		p.line()
		p.sources(s.Sources)
	}
	if rows := s.Witnesses.Rows(); rows != nil {
		p.line()
		p.flow(span{bold, "witnesses"})
		p.rows(rows, nil)
	}
	return p.print(w)
}

// longValue is the length in columns up to which a value has its note on the same line.
const longValue = 16

// rows adds rows in three columns: label, value, and note. The stripes are the parts of
// the bound.
func (p *page) rows(rows []status.Row, stripes []stripe) {
	label, value := 0, 0
	for _, r := range rows {
		label = max(label, columns(r.Label)+4)
		if n := columns(r.Value); n <= longValue {
			value = max(value, n+2)
		}
	}
	for _, r := range rows {
		before := []span{{text: r.Label}}
		if r.Term {
			before = []span{shades[r.Label], {text: " " + r.Label}}
		}
		if columns(r.Value) > longValue {
			p.hang(label, before, append(p.wrap(label, span{text: r.Value}), p.wrap(label, span{text: r.Note})...))
			continue
		}
		used := columns(r.Label)
		if r.Term {
			used += 2
		}
		before = append(before, span{text: strings.Repeat(" ", label-used) + r.Value})
		note := p.wrap(label+value, span{text: r.Note})
		if r.Label == "bound" && stripes != nil {
			note = [][]span{bar(p.room(label+value), stripes...)}
		}
		p.hang(label+value, before, note)
	}
}

// marks are the signs that chronyc prints for the states of sources.
var marks = map[string]string{"selected": "*", "nonselectable": "?", "falseticker": "x", "jittery": "~", "combined": "+", "selectable": "-"}

// sources adds a table of sources, or a list if the table doesn't fit.
func (p *page) sources(sources []status.ListedSource) {
	table := [][]string{{"", "source", "stratum", "poll", "reach", "sample", "offset ± error"}}
	for _, s := range sources {
		offset, sample := "unknown", "never"
		if s.SampleAge != nil {
			sample = status.Duration(*s.SampleAge) + " ago"
		}
		if s.Offset != nil && s.OffsetError != nil {
			offset = status.Signed(*s.Offset) + " ± " + status.Seconds(*s.OffsetError)
		}
		table = append(table, []string{marks[s.State], s.Name, fmt.Sprint(s.Stratum), status.Duration(s.Poll), fmt.Sprintf("%03o", s.Reach), sample, offset})
	}
	widths, total := make([]int, len(table[0])), -2
	for column := range widths {
		for _, row := range table {
			widths[column] = max(widths[column], columns(row[column])+2)
		}
		total += widths[column]
	}
	if fits := total <= p.style.Width; fits {
		for i, row := range table {
			line := ""
			for column, cell := range row {
				line += pad(cell, widths[column])
			}
			if i == 0 {
				p.line(span{bold, line})
				continue
			}
			p.line(span{text: line})
			p.reason(sources[i-1])
		}
		return
	}
	for i, row := range table[1:] {
		p.flow(span{bold, row[0]}, span{bold, row[1]})
		var cells []string
		for column := 2; column < len(row); column++ {
			cells = append(cells, table[0][column]+" "+row[column])
		}
		p.below(span{text: strings.Join(cells, ", ")})
		p.reason(sources[i])
	}
}

// below adds a text on a line of its own, indented.
func (p *page) below(text span) { p.hang(3, nil, p.wrap(3, text)) }

// reason says why a source is not used.
func (p *page) reason(s status.ListedSource) {
	if s.Tone() != status.OK {
		p.below(span{tones[s.Tone()], s.Reason})
	}
}

// shownEvents is how many of the latest events are printed.
const shownEvents = 10

// NoPast says why it is not known what the tracker at an address has seen.
func NoPast(w io.Writer, address string, err error, style Style) error {
	p := newPage(style)
	p.line()
	p.flow(span{text: "What happened before is unknown. Asking the tracker at " + address + " failed: " + err.Error() + "."})
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		p.below(span{text: "hint: " + hinted.Hint()})
	}
	return p.print(w)
}

// Past prints what the tracker at an address has seen.
func Past(w io.Writer, address string, watch *status.Watch, events []status.Event, style Style) error {
	p := newPage(style)
	p.line()
	p.flow(span{text: "Seen by the tracker at " + address + " since " + status.Clock(watch.Since) + ":"})
	p.rows(watch.Rows(), nil)
	var rows []status.Row
	for _, e := range events[max(0, len(events)-shownEvents):] {
		rows = append(rows, e.Row())
	}
	p.rows(rows, nil)
	return p.print(w)
}

// verdicts are the colors of the doctor's verdicts.
var verdicts = map[doctor.Verdict]string{doctor.Wrong: "\x1b[1;31m", doctor.Note: yellow, doctor.Unchecked: cyan, doctor.Fine: green}

// labelWidth is the width of the longest verdict and two blanks.
const labelWidth = 13

// Examination prints findings. It does not wrap commands, so that they can be copied.
func Examination(w io.Writer, e *doctor.Examination, style Style) error {
	p := newPage(style)
	p.flow(span{text: e.Summary()})
	last := doctor.Verdict("")
	for _, f := range e.Findings {
		if f.Verdict != doctor.Fine || last != doctor.Fine {
			p.line()
		}
		last = f.Verdict
		p.hang(labelWidth, []span{{verdicts[f.Verdict], string(f.Verdict)}}, p.wrap(labelWidth, span{text: f.Check + ": " + f.Summary}))
		for _, more := range []struct {
			label string
			lines [][]span
		}{
			{"impact", p.wrap(labelWidth, span{text: f.Impact})}, {"fix", p.wrap(labelWidth, span{text: f.Fix})}, {"command", [][]span{{{text: f.Command}}}},
		} {
			if more.lines != nil && more.lines[0][0].text != "" {
				p.hang(labelWidth, []span{{text: fmt.Sprintf("%*s", labelWidth-2, more.label)}}, more.lines)
			}
		}
	}
	return p.print(w)
}

// Explanation prints why the bound is as large as it is.
func Explanation(w io.Writer, e *doctor.Explanation, style Style) error {
	p := newPage(style)
	p.flow(span{text: e.Summary})
	if e.Witnesses != "" {
		p.line()
		p.flow(span{text: e.Witnesses})
	}
	for _, part := range e.Parts {
		const column, longest = 36, 40
		p.line()
		head := []span{{text: pad(part.Term, 14)}, {text: pad(status.Seconds(part.Seconds), 11)}, {text: pad(status.Percent(part.Share), 11)}}
		p.hang(column, head, [][]span{bar(min(longest, p.room(column)), stripe{shades[part.Term], 0, part.Share})})
		p.below(span{text: part.Cause})
		if part.Gain != "" {
			p.below(span{text: "gain: " + part.Gain})
		}
	}
	if e.Hint != "" {
		p.line()
		p.flow(span{text: e.Hint})
	}
	return p.print(w)
}

// mostNames is how many nodes of one kind are listed.
const mostNames = 20

// Fleet prints the clocks of all nodes.
func Fleet(w io.Writer, f *status.Fleet, style Style) error {
	p := newPage(style)
	p.flow(span{bold + tones[f.Tone()], f.Verdict()})
	for _, pair := range f.Pairs {
		p.flow(span{text: pair.Text()})
	}
	p.line()
	name, bound, state := columns("node"), columns("bound"), columns("state")
	for _, n := range f.Worst {
		name, bound, state = max(name, columns(nodeName(n))), max(bound, columns(n.BoundText())), max(state, columns(n.State))
	}
	p.line(span{bold, pad("node", name+2) + pad("bound", bound+2) + pad("state", state+2) + "terms"})
	for _, n := range f.Worst {
		head := []span{{text: pad(nodeName(n), name+2)}, {text: pad(n.BoundText(), bound+2)}, {tones[n.Tone()], pad(n.State, state+2)}}
		column := name + bound + state + 6
		p.hang(column, head, p.wrap(column, span{text: n.TermsText()}))
	}
	p.nodes("Contradicted", f.Excluded)
	p.nodes("Without a tracker", f.Silent)
	return p.print(w)
}

func nodeName(n status.FleetNode) string {
	if n.Cluster == "" {
		return n.Node
	}
	return n.Cluster + "/" + n.Node
}

// nodes lists some nodes.
func (p *page) nodes(title string, nodes []status.FleetNode) {
	if len(nodes) == 0 {
		return
	}
	var names []string
	for _, n := range nodes[:min(len(nodes), mostNames)] {
		names = append(names, nodeName(n))
	}
	text := fmt.Sprintf("%s (%d): %s", title, len(nodes), strings.Join(names, ", "))
	if len(nodes) > mostNames {
		text += ", …"
	}
	p.line()
	p.flow(span{text: text})
}
