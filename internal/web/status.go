// Package web renders a tracker's snapshots for people and scripts: as a page,
// as rows of words, and as JSON. It decides nothing about the clock.
package web

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// A Status is a snapshot as JSON. What doesn't exist is null: JSON knows no
// infinity, so a clock without a bound has a null beside its state.
type Status struct {
	Time        time.Time         `json:"time"`
	State       clockerror.State  `json:"state"`
	Bound       *float64          `json:"bound_seconds"`
	Terms       *clockerror.Terms `json:"bound_terms_seconds"`
	Error       *float64          `json:"error_seconds"`
	SampleAge   *float64          `json:"sample_age_seconds"`
	HoldoverAge *float64          `json:"holdover_age_seconds"`
	Untraced    bool              `json:"untraced"`
	Source      *Source           `json:"source"`
	Sources     []ListedSource    `json:"sources"`
	Chronyd     *Chronyd          `json:"chronyd"`
	Problem     *Problem          `json:"problem"`
}

// Source is what the clock follows.
type Source struct {
	Name    string `json:"name"`
	RefID   string `json:"refid"`
	Stratum uint16 `json:"stratum"` // of this clock: one more than the source's
}

// Chronyd is who answered, and what can be read over this connection.
type Chronyd struct {
	Address string    `json:"address"`
	Reads   []string  `json:"reads"`
	Refused []Refusal `json:"refused"`
}

// A Refusal is a report that chronyd did not give.
type Refusal struct {
	Report string `json:"report"`
	Problem
}

// A Problem is an error and what to do about it.
type Problem struct {
	Error string `json:"error"`
	Hint  string `json:"hint"`
}

// NewStatus returns a snapshot's status.
func NewStatus(s *tracker.Snapshot) Status {
	e := s.Estimate
	status := Status{
		Time:     s.At.UTC(),
		State:    e.State,
		Bound:    finite(e.Bound),
		Error:    finite(e.Error),
		Untraced: e.Untraced,
	}
	if e.HasBound() {
		status.Terms = &e.Terms
	}
	if e.HasSampleAge() {
		status.SampleAge, status.HoldoverAge = finite(e.SampleAge), finite(e.HoldoverAge)
	}
	if s.Report != nil {
		status.Chronyd = newChronyd(s.Report)
		status.Sources = newSources(s.Report.Sources)
	}
	if s.Err != nil {
		problem := newProblem(s.Err)
		status.Problem = &problem
		return status
	}
	if t := s.Report.Tracking; t.SourceName() != "" {
		status.Source = &Source{Name: t.SourceName(), RefID: t.RefID.String(), Stratum: t.Stratum}
	}
	return status
}

func newChronyd(r *chrony.Report) *Chronyd {
	c := &Chronyd{Address: r.Address, Reads: []string{}, Refused: []Refusal{}}
	for _, want := range r.Want.Each() {
		if err := r.Refused[want]; err != nil {
			c.Refused = append(c.Refused, Refusal{want.String(), newProblem(err)})
		} else if r.Given&want != 0 {
			c.Reads = append(c.Reads, want.String())
		}
	}
	return c
}

func newProblem(err error) Problem { return Problem{err.Error(), tracker.Hint(err)} }

func finite(v float64) *float64 {
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return nil
	}
	return &v
}

// Verdict is the status in a sentence.
func (s Status) Verdict() string {
	switch {
	case s.Bound != nil && s.Untraced:
		return "The clock is wrong by " + seconds(*s.Bound) + " at most, if its reference clock is right: nothing is known of that one's own error."
	case s.Bound != nil:
		return "The clock is wrong by " + seconds(*s.Bound) + " at most."
	case s.State == clockerror.Unreachable:
		return "Nothing is known of the clock: chronyd gives no answer."
	case s.State == clockerror.Unsynchronized:
		return "The clock can be wrong by any amount: chronyd follows no source."
	case s.State == clockerror.Local:
		return "The clock can be wrong by any amount: chronyd follows the clock itself."
	default:
		return "The clock can be wrong by any amount: chronyd has no sample of it."
	}
}

// A Row is one line of what a person is told.
type Row struct {
	Label, Value, Note string
	Term               bool // a part of the row above
}

// Rows is the status in words.
func (s Status) Rows() []Row {
	rows := slices.Concat(s.boundRows(), s.termRows(), s.factRows(), s.Chronyd.reportRows())
	if s.Problem != nil {
		rows = append(rows, Row{Label: "problem", Value: s.Problem.Error, Note: s.Problem.Hint})
	}
	return rows
}

func (s Status) boundRows() []Row {
	return []Row{
		{Label: "state", Value: s.State.String(), Note: stateNotes[s.State]},
		{Label: "bound", Value: secondsOrNone(s.Bound), Note: "the clock is wrong by no more than this"},
	}
}

func (s Status) termRows() []Row {
	if s.Terms == nil {
		return nil
	}
	var rows []Row
	for term, size := range s.Terms.All() {
		rows = append(rows, Row{term, seconds(size), termNotes[term], true})
	}
	return rows
}

var termNotes = map[string]string{
	"offset":       "where the last sample found the clock, less what was slewed since",
	"delay":        "up to half the network delay to the reference clock",
	"dispersion":   "the rest of the sample's own error",
	"drift":        "how far the clock may have drifted since the sample (--clock.max-wander)",
	"reference":    "the reference's own error (--clock.reference-error)",
	"disagreement": "what chrony's own estimate or other sources demand beyond these",
}

func (s Status) factRows() []Row {
	rows := []Row{{Label: "clock error", Value: secondsOrNone(s.Error), Note: "chrony_clock_error_ms: with the last offset, not a bound"}}
	if s.Source != nil {
		rows = append(rows, Row{Label: "source", Value: s.Source.Name, Note: fmt.Sprintf("reference ID %s, stratum %d", s.Source.RefID, s.Source.Stratum)})
	}
	if s.HoldoverAge != nil {
		age := "never"
		if s.SampleAge != nil {
			age = seconds(*s.SampleAge) + " ago"
		}
		rows = append(rows, Row{Label: "last sample", Value: age, Note: "holdover begins at " + seconds(*s.HoldoverAge)})
	}
	if s.Untraced {
		rows = append(rows, Row{Label: "traced to UTC", Value: "no", Note: "the source is a reference clock of unknown error: see --clock.reference-error"})
	}
	if s.Chronyd != nil {
		rows = append(rows, Row{Label: "chronyd", Value: s.Chronyd.Address, Note: "answered"})
	}
	return rows
}

// reportRows are what is read, and a row for each cause of a refusal.
func (c *Chronyd) reportRows() []Row {
	if c == nil {
		return nil
	}
	read := Row{Label: "reads", Value: strings.Join(c.Reads, ", "), Note: "over this connection"}
	return append([]Row{read}, c.refusals()...)
}

// refusals are a row for each cause of them.
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

var stateNotes = map[clockerror.State]string{
	clockerror.Synchronized:   "the clock follows a source",
	clockerror.Holdover:       "samples or updates have stopped, or no source is selected",
	clockerror.Contradicted:   "measurements exclude what chronyd claims",
	clockerror.Local:          "chronyd follows the clock itself",
	clockerror.Unsynchronized: "chronyd follows nothing",
	clockerror.Unreachable:    "chronyd gives no answer",
}

func secondsOrNone(v *float64) string {
	if v == nil {
		return "unknown"
	}
	return seconds(*v)
}

func seconds(v float64) string { return clockerror.Format(v) }
