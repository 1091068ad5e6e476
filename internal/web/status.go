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
	Growth      *float64          `json:"bound_growth_ppm"`
	Approximate bool              `json:"approximate"`
	Error       *float64          `json:"error_seconds"`
	SampleAge   *float64          `json:"sample_age_seconds"`
	UpdateAge   *float64          `json:"update_age_seconds"`
	HoldoverAge *float64          `json:"holdover_age_seconds"`
	Untraced    bool              `json:"untraced"`
	ServerLocal bool              `json:"server_local"`
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
		Time:        s.At.UTC(),
		State:       e.State,
		Bound:       finite(e.Bound),
		Approximate: e.Approximate,
		Error:       finite(e.Error),
		Untraced:    e.Untraced,
		ServerLocal: e.ServerLocal,
	}
	if e.HasBound() {
		growth := e.Growth * 1e6
		status.Terms, status.Growth = &e.Terms, &growth
	}
	if e.HasSampleAge() {
		status.SampleAge, status.UpdateAge, status.HoldoverAge = finite(e.SampleAge), finite(e.UpdateAge), finite(e.HoldoverAge)
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

// Verdict is the status in a sentence, and one more for each doubt.
func (s Status) Verdict() string {
	if s.Bound == nil {
		return "The clock's error is unknown: " + s.cause() + "."
	}
	verdict := "The clock is at most " + seconds(*s.Bound) + " off"
	switch {
	case s.ServerLocal:
		verdict += " its server" + s.sourceName() + ". The server follows its own clock."
	case s.Untraced:
		verdict += " its reference" + s.sourceName() + ". The reference's own error is unknown."
	default:
		verdict += "."
	}
	if s.State == clockerror.Contradicted {
		verdict += " Measurements contradict what chronyd claims."
	}
	if s.Approximate {
		verdict += " This bound is an estimate: " + s.whyApproximate() + "."
	}
	return verdict
}

// cause says why there is no bound.
func (s Status) cause() string {
	switch {
	case s.State == clockerror.Unreachable:
		return "chronyd does not answer"
	case s.State == clockerror.Unsynchronized:
		return "chronyd follows no source"
	case s.State == clockerror.Local:
		return "chronyd follows the clock itself"
	case s.SampleAge != nil:
		return "another program has set it, and chronyd has not updated it since"
	default:
		return "chronyd has no sample of it"
	}
}

// sourceName is what the clock follows, after a comma.
func (s Status) sourceName() string {
	if s.Source == nil {
		return ""
	}
	return ", " + s.Source.Name
}

// whyApproximate says why the last sample is unknown.
func (s Status) whyApproximate() string {
	if s.Sources == nil {
		return "chronyd does not list its sources"
	}
	return "the last sample of its source is unknown"
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
	bound := Row{Label: "bound", Value: secondsOrNone(s.Bound)}
	if s.Bound != nil {
		bound.Note = boundNote
	}
	return []Row{{Label: "state", Value: s.State.String(), Note: stateNotes[s.State]}, bound}
}

const boundNote = "the clock is at most this far off"

func (s Status) termRows() []Row {
	if s.Terms == nil {
		return nil
	}
	var rows []Row
	for term, size := range s.Terms.All() {
		note := termNotes[term]
		if term == "drift" && s.Growth != nil {
			note += fmt.Sprintf(", at %.3g ppm", *s.Growth)
		}
		rows = append(rows, Row{term, seconds(size), note, true})
	}
	return rows
}

var termNotes = map[string]string{
	"offset":       "what the last sample found, less slews since",
	"delay":        "the sample's own error: network delay",
	"dispersion":   "the sample's own error: the rest",
	"drift":        "possible drift since the sample",
	"reference":    "the reference's own error, as assumed",
	"disagreement": "more, by chronyd's estimate or other sources",
}

func (s Status) factRows() []Row {
	rows := []Row{{Label: "clock error", Value: secondsOrNone(s.Error), Note: "chrony_clock_error_ms: with the last offset, not a bound"}}
	if s.Source != nil {
		rows = append(rows, Row{Label: "source", Value: s.Source.Name, Note: fmt.Sprintf("reference ID %s, stratum %d", s.Source.RefID, s.Source.Stratum)})
	}
	rows = append(rows, s.ageRows()...)
	if s.Approximate {
		rows = append(rows, Row{Label: "estimate", Value: "yes", Note: s.whyApproximate() + ": the bound is made of chronyd's own estimate"})
	}
	switch {
	case s.ServerLocal:
		rows = append(rows, Row{Label: "traced to UTC", Value: "no", Note: "the server follows its own clock: the bound is relative to that server"})
	case s.Untraced:
		rows = append(rows, Row{Label: "traced to UTC", Value: "no", Note: "the source is a reference clock of unknown error: see --clock.reference-error"})
	}
	if s.Chronyd != nil {
		rows = append(rows, Row{Label: "chronyd", Value: s.Chronyd.Address, Note: "answered"})
	}
	return rows
}

// ageRows say how fresh what is known of the clock is.
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
		{Label: "last update", Value: ago(s.UpdateAge), Note: "holdover begins when one of the two is " + seconds(*s.HoldoverAge) + " old"},
	}
}

func ago(age *float64) string {
	if age == nil {
		return "never"
	}
	return seconds(*age) + " ago"
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
	clockerror.Contradicted:   "measurements contradict what chronyd claims",
	clockerror.Local:          "chronyd follows the clock itself",
	clockerror.Unsynchronized: "chronyd follows nothing",
	clockerror.Unreachable:    "chronyd does not answer",
}

func secondsOrNone(v *float64) string {
	if v == nil {
		return "unknown"
	}
	return seconds(*v)
}

func seconds(v float64) string { return clockerror.Format(v) }
