// Package clockerror judges how wrong a clock can be from what chronyd says of
// it. It is pure: it reads nothing, keeps nothing and knows no clock of its own.
//
//	estimate := clockerror.Of(clockerror.Observation{
//		Tracking: report.Tracking,
//		Sources:  report.Sources,
//		At:       report.At,
//	}, clockerror.Assumptions{})
//
// An [Estimate] has a bound only while something vouches for it: while chronyd
// follows, or has lately followed, a source. Else the bound is +Inf, and the
// [State] says why.
package clockerror

import (
	"math"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// An Observation is what is known of a clock at one instant.
type Observation struct {
	Tracking *chrony.Tracking // nil if chronyd gave no answer
	Sources  []chrony.Source  // nil if chronyd refuses to list them
	At       time.Time        // when chronyd answered, by the clock that is judged
}

// DefaultMaxDrift is how fast, in ppm, an undisciplined clock is taken to
// drift: what is asked of an ordinary crystal oscillator over its range of
// temperatures.
const DefaultMaxDrift = 50

// Assumptions are what chronyd can't know and the operator answers for.
type Assumptions struct {
	// MaxDrift is the largest drift of the clock, in ppm, while no samples
	// arrive. Zero means DefaultMaxDrift: no oscillator is without drift.
	MaxDrift float64

	// ReferenceError is the largest error of the reference itself, in seconds.
	// chronyd takes its reference for perfect. Zero means that nothing is known
	// of it: the bound is then relative to the reference, not to UTC.
	ReferenceError float64
}

// Drift returns how far, in seconds, the clock may drift in so many seconds.
func (a Assumptions) Drift(seconds float64) float64 {
	maxDrift := a.MaxDrift
	if maxDrift == 0 {
		maxDrift = DefaultMaxDrift
	}
	return math.Abs(maxDrift) * 1e-6 * max(0, seconds)
}

// Terms are the parts of a bound, each in seconds and none below zero.
type Terms struct {
	Offset     float64 // still to be corrected by slewing: |system time|
	Dispersion float64 // root dispersion
	Delay      float64 // half the root delay
	Drift      float64 // what the clock may have drifted in holdover
	Reference  float64 // the error of the reference itself, as assumed
}

// Sum returns the bound that the terms make, in seconds.
func (t Terms) Sum() float64 {
	return t.Offset + t.Dispersion + t.Delay + t.Drift + t.Reference
}

// An Estimate says how wrong a clock can be, and why.
type Estimate struct {
	State State

	// Bound is the largest error that the clock can have, in seconds; +Inf if
	// there is no bound. While it is finite it is the sum of Terms.
	//
	//	|system time| + root dispersion + root delay / 2 + holdover drift + reference error
	//
	// The first three terms are chrony's own (chronyc manual, tracking).
	Bound float64
	Terms Terms

	// Error is the figure that Azure's chrony-tracker shows, in seconds; +Inf
	// if there is no bound.
	//
	//	|last offset| + root dispersion + root delay / 2
	//
	// It is no bound: the last offset is what the latest update found, not what
	// is left to be corrected. While a large offset is slewed away it can show
	// microseconds when the clock is a second wrong.
	Error float64

	// Untraced says that the bound is relative to a reference clock, such as the
	// PTP clock of a virtual machine's host, and not to UTC, since nothing is
	// assumed of that clock's own error.
	Untraced bool

	// SampleAge is the age, in seconds, of the last sample that the clock was
	// steered by, and HoldoverAge the age at which holdover begins. SampleAge is
	// +Inf if it is unknown. See HasSampleAge.
	SampleAge   float64
	HoldoverAge float64
}

// HasBound reports whether there is a bound.
func (e Estimate) HasBound() bool { return !math.IsInf(e.Bound, 1) }

// HasSampleAge reports whether the clock is steered by samples, so that
// SampleAge and HoldoverAge mean something.
func (e Estimate) HasSampleAge() bool { return e.State == Synchronized || e.State == Holdover }

// Of judges an observation.
func Of(o Observation, assume Assumptions) Estimate {
	e := Estimate{State: stateOf(o.Tracking), Bound: math.Inf(1), Error: math.Inf(1)}
	if e.State != Synchronized {
		return e
	}
	e.SampleAge, e.HoldoverAge = sampleAge(o)
	// Written so that an age that is not a number is in holdover, too.
	if !(e.SampleAge <= e.HoldoverAge) {
		e.State = Holdover
	}
	if math.IsInf(e.SampleAge, 1) {
		return e // drift over an unknown time has no bound
	}

	t := o.Tracking
	// Every term counts by its magnitude. chronyd may report a root delay below
	// zero, where timestamps are coarser than the network is slow: that makes
	// nothing else smaller.
	e.Terms = Terms{
		Offset:     math.Abs(t.SystemTime),
		Dispersion: math.Abs(t.RootDispersion),
		Delay:      math.Abs(t.RootDelay) / 2,
		Drift:      assume.Drift(e.SampleAge - e.HoldoverAge),
		Reference:  math.Abs(assume.ReferenceError),
	}
	e.Bound = e.Terms.Sum()
	e.Untraced = assume.ReferenceError == 0 && t.Address.IsUnspecified() // local is ruled out
	e.Error = math.Abs(t.LastOffset) + t.RootDispersion + t.RootDelay/2
	return e
}
