// Package status turns a tracker's snapshots into everything that people and scripts
// read: JSON, verdicts, notes, reasons and events. Codes and their texts are in the
// same tables. It makes no decision about the clock.
package status

import (
	"errors"
	"math"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// A Status is a snapshot as JSON. What doesn't exist is null. JSON has no infinity, so
// a missing bound is null too, and the state shows why.
type Status struct {
	Time        time.Time         `json:"time"`
	Node        string            `json:"node"` // empty if unknown
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
	Witnesses   *Witnesses        `json:"witnesses"`

	ownDoubt   bool // chronyd's own measurements contradict what it claims
	stepped    bool // the clock was set since
	sameUpdate bool // tracking and sources belong to the same update of the clock
}

// Source is the source that the clock follows.
type Source struct {
	Name    string `json:"name"`
	RefID   string `json:"refid"`
	Stratum uint16 `json:"stratum"` // of this clock: one more than the source's
}

// Chronyd is the chronyd that answered, and the reports that this connection can read.
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

// A Problem is an error, with a hint that says what to do.
type Problem struct {
	Error string `json:"error"`
	Hint  string `json:"hint"`

	cause string
}

// New returns the status of a snapshot.
func New(s *tracker.Snapshot) Status {
	status := newEstimate(s.At, s.Estimate)
	status.Node = s.Node
	if s.Witnesses != nil {
		status.Witnesses = newWitnesses(s.Witnesses.Findings, s.At, s.Actionable)
	}
	if s.Report != nil {
		status.Chronyd = newChronyd(s.Report)
		status.Sources, status.sameUpdate = newSources(s.Report.Sources), s.Report.SameUpdate
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

func newEstimate(at time.Time, e clockerror.Estimate) Status {
	status := Status{
		Time:        at.UTC(),
		State:       e.State,
		Bound:       finite(e.Bound),
		Approximate: e.Approximate,
		Error:       finite(e.Error),
		Untraced:    e.Untraced,
		ServerLocal: e.ServerLocal,
		ownDoubt:    e.OwnState == clockerror.Contradicted,
	}
	if e.HasBound() {
		growth := e.Growth * 1e6
		status.Terms, status.Growth = &e.Terms, &growth
	}
	if e.HasSampleAge() {
		status.SampleAge, status.UpdateAge, status.HoldoverAge = finite(e.SampleAge), finite(e.UpdateAge), finite(e.HoldoverAge)
	}
	return status
}

// Heard returns the status of a snapshot that was taken without witnesses, with what
// those of a tracker on the same node say. They may be nil.
func Heard(s *tracker.Snapshot, w *Witnesses) Status {
	heard := *s
	heard.Estimate = s.Estimate.With(w.Testimony())
	status := New(&heard)
	status.Witnesses = w
	return status
}

// Acting returns the part of a tracker's report that programs act on, as [Present] does.
// Only its state stays as it is: the report has it as text.
func (s Status) Acting() Status {
	if s.Problem != nil && s.Problem.cause == "" {
		problem := *s.Problem
		problem.cause, s.Problem = problem.Error, &problem
	}
	if s.Witnesses == nil {
		return s
	}
	if acting := s.Witnesses.Actionable.Bound; s.Terms != nil && acting != nil {
		terms := *s.Terms
		terms.Disagreement = max(0, terms.Disagreement-(*s.Bound-*acting))
		s.Terms = &terms
	}
	s.Bound = s.Witnesses.Actionable.Bound
	return s
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

func newProblem(err error) Problem {
	return Problem{Error: err.Error(), Hint: tracker.Hint(err), cause: Cause(err)}
}

// Cause returns an error without its address and request, for callers that print these
// themselves.
func Cause(err error) string {
	var op *chrony.OpError
	if errors.As(err, &op) {
		return op.Err.Error()
	}
	return err.Error()
}

func finite(v float64) *float64 {
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return nil
	}
	return &v
}
