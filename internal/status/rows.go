package status

import (
	"fmt"
	"slices"
	"strings"
)

// A Row is one line of text about the clock.
type Row struct {
	Label, Value, Note string
	Term               bool // the row is a part of the row above
}

// Rows returns the status in words.
func (s Status) Rows() []Row {
	rows := slices.Concat(s.nodeRows(), s.boundRows(), s.termRows(), s.factRows(), s.Chronyd.reportRows())
	if s.Problem != nil {
		rows = append(rows, Row{Label: "problem", Value: s.Problem.Error, Note: s.Problem.Hint})
	}
	return rows
}

// Facts returns the rows about the state, the source, and the ages of sample and
// update.
func (f Full) Facts() []Row {
	rows := append([]Row{f.StateRow()}, f.factRows()...)
	if f.Watch != nil && f.Watch.ClockBound != nil {
		rows = append(rows, f.Watch.ClockBound.row())
	}
	return rows
}

// StateRow shows the state, and how long it has lasted if the watch has seen it.
func (f Full) StateRow() Row {
	row := f.boundRows()[0]
	if w := f.Watch; w != nil && w.StateSince != nil && w.State == f.State.String() {
		row.Value += " for " + Duration(f.Time.Sub(*w.StateSince).Seconds())
	}
	return row
}

// ReportRows shows which reports this connection reads, and how to open the others.
func (f Full) ReportRows() []Row { return f.Chronyd.reportRows() }

// A Part is a term of the bound, with its position in a bar of length 100.
type Part struct {
	Row
	Start, Size float64
}

// Parts returns the terms of the bound, in proportion.
func (s Status) Parts() []Part {
	if s.Terms == nil {
		return nil
	}
	var parts []Part
	start, rows := 0.0, s.termRows()
	for _, seconds := range s.Terms.All() {
		size := 0.0
		if *s.Bound > 0 {
			size = 100 * min(1, seconds/(*s.Bound))
		}
		parts = append(parts, Part{rows[len(parts)], start, size})
		start += size
	}
	return parts
}

// Percent returns the part's share of the bound.
func (p Part) Percent() string { return Percent(p.Size / 100) }

func (s Status) nodeRows() []Row {
	if s.Node == "" {
		return nil
	}
	return []Row{{Label: "node", Value: s.Node}}
}

func (s Status) boundRows() []Row {
	bound := Row{Label: "bound", Value: secondsOrUnknown(s.Bound)}
	if s.Bound != nil {
		bound.Note = BoundNote
	}
	return []Row{{Label: "state", Value: s.State.String(), Note: s.note()}, bound}
}

func (s Status) termRows() []Row {
	if s.Terms == nil {
		return nil
	}
	var rows []Row
	for term, size := range s.Terms.All() {
		note := s.termNote(term)
		if term == "drift" && s.Growth != nil {
			note += fmt.Sprintf(", at %.3g ppm", *s.Growth)
		}
		rows = append(rows, Row{term, Seconds(size), note, true})
	}
	return rows
}

func (s Status) factRows() []Row {
	rows := []Row{{Label: "clock error", Value: secondsOrUnknown(s.Error), Note: "chrony_clock_error_ms: with the last offset, not a bound"}}
	if s.Source != nil {
		rows = append(rows, Row{Label: "source", Value: s.Source.Name, Note: fmt.Sprintf("reference ID %s, stratum %d", s.Source.RefID, s.Source.Stratum)})
	}
	rows = append(rows, s.ageRows()...)
	if s.Approximate {
		rows = append(rows, Row{Label: "estimate", Value: "yes", Note: s.WhyApproximate() + ": the bound is made of chronyd's own estimate"})
	}
	rows = append(rows, s.traceRows()...)
	if s.Chronyd != nil {
		rows = append(rows, Row{Label: "chronyd", Value: s.Chronyd.Address, Note: "answered"})
	}
	return rows
}

// traceRows say whether the bound is relative to UTC, and what a UTC server proves.
func (s Status) traceRows() []Row {
	if within, by := s.Witnesses.Proof(); within != "" {
		return []Row{{Label: "traced to UTC", Value: within, Note: "by " + by + ", which measures without chronyd"}}
	}
	if note := s.UntracedNote(); note != "" {
		return []Row{{Label: "traced to UTC", Value: "no", Note: note}}
	}
	return nil
}

// ageRows shows the ages of the last sample and the last update.
func (s Status) ageRows() []Row {
	if s.HoldoverAge == nil {
		return nil
	}
	sample := ago(s.SampleAge)
	if s.Approximate {
		sample = "unknown"
	}
	return []Row{
		{Label: "last sample", Value: sample, Note: "of the source that the clock follows"},
		{Label: "last update", Value: ago(s.UpdateAge), Note: "holdover begins when one of the two is " + Seconds(*s.HoldoverAge) + " old"},
	}
}

func ago(age *float64) string {
	if age == nil {
		return "never"
	}
	return Seconds(*age) + " ago"
}

// reportRows shows the reports that are read, and a row for each cause of a refusal.
func (c *Chronyd) reportRows() []Row {
	if c == nil {
		return nil
	}
	read := Row{Label: "reads", Value: strings.Join(c.Reads, ", "), Note: "over this connection"}
	return append([]Row{read}, c.refusals()...)
}

// refusals returns a row for each cause of a refusal.
func (c *Chronyd) refusals() (rows []Row) {
	for _, refused := range c.Refused {
		same := slices.IndexFunc(rows, func(r Row) bool { return r.Note == refused.Hint })
		if same >= 0 {
			rows[same].Value += ", " + refused.Report
		} else {
			rows = append(rows, Row{Label: "refused", Value: refused.Report, Note: refused.Hint})
		}
	}
	return rows
}

func secondsOrUnknown(v *float64) string {
	if v == nil {
		return "unknown"
	}
	return Seconds(*v)
}
