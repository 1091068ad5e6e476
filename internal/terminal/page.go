package terminal

import (
	"io"
	"math"
	"strings"
)

// A span is a piece of a line, in one color.
type span struct{ color, text string }

// A page is text to print. Only its method line adds to it.
type page struct {
	style Style
	lines strings.Builder
}

func newPage(style Style) *page {
	if style.Width == 0 {
		style.Width = DefaultWidth
	}
	return &page{style: style}
}

func (p *page) print(w io.Writer) error {
	_, err := io.WriteString(w, p.lines.String())
	return err
}

// line adds a line. It cleans and colors every text.
func (p *page) line(spans ...span) {
	for len(spans) > 0 && strings.TrimSpace(spans[len(spans)-1].text) == "" {
		spans = spans[:len(spans)-1]
	}
	for i, s := range spans {
		text := clean(s.text)
		if i == len(spans)-1 {
			text = strings.TrimRight(text, " ")
		}
		if p.style.Color && s.color != "" {
			text = s.color + text + plain
		}
		p.lines.WriteString(text)
	}
	p.lines.WriteByte('\n')
}

// The widths, in columns, at which the layout changes.
const (
	narrow    = 60  // below this, there is only one column
	mostProse = 100 // longer lines are hard to read
)

// isNarrow reports whether there is only room for one column.
func (p *page) isNarrow() bool { return p.style.Width < narrow }

// indent is the column at which text begins below its label.
func (p *page) indent() int { return min(2, p.style.Width/8) }

// room returns the number of columns from a column to the edge.
func (p *page) room(column int) int {
	if p.isNarrow() {
		column = p.indent()
	}
	return p.style.Width - column
}

// wrap breaks texts into lines that begin at a column. It does not break words.
func (p *page) wrap(column int, texts ...span) [][]span {
	return wrap(min(p.room(column), mostProse), texts...)
}

func wrap(most int, texts ...span) (lines [][]span) {
	var line []span
	used := 0
	for _, text := range texts {
		begins := true
		for word := range strings.FieldsSeq(clean(text.text)) {
			size := columns(word)
			switch {
			case line == nil:
				line, used = []span{{text.color, word}}, size
			case used+1+size > most:
				lines, line, used = append(lines, line), []span{{text.color, word}}, size
			case begins:
				line, used = append(line, span{text: " "}, span{text.color, word}), used+1+size
			default:
				line[len(line)-1].text += " " + word
				used += 1 + size
			}
			begins = false
		}
	}
	if line != nil {
		lines = append(lines, line)
	}
	return lines
}

// flow adds texts as one paragraph.
func (p *page) flow(texts ...span) {
	for _, line := range wrap(min(p.style.Width, mostProse), texts...) {
		p.line(line...)
	}
}

// hang adds a label, and to the right of it lines that begin at a column.
func (p *page) hang(column int, label []span, lines [][]span) {
	if p.isNarrow() {
		p.flow(label...)
		label, column = nil, p.indent()
	}
	used := 0
	for _, s := range label {
		used += columns(s.text)
	}
	if len(lines) == 0 {
		lines = [][]span{nil}
		if label == nil {
			return
		}
	}
	for _, line := range lines {
		p.line(append(append(label, span{text: strings.Repeat(" ", max(0, column-used))}), line...)...)
		label, used = nil, 0
	}
}

// A stripe is a part of a bar. Its ends are fractions of the bar.
type stripe struct {
	shade      span
	start, end float64
}

// bar draws stripes side by side.
func bar(length int, stripes ...stripe) (drawn []span) {
	at := func(share float64) int { return int(math.Round(share * float64(max(1, length)))) }
	for _, s := range stripes {
		if n := at(s.end) - at(s.start); n > 0 {
			drawn = append(drawn, span{s.shade.color, strings.Repeat(s.shade.text, n)})
		}
	}
	return drawn
}
