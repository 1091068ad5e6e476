package main

import (
	"math"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// A fault is what can be wrong with a node. What is not set is as on a healthy node.
type fault struct {
	name, what string
	ntp        bool          // follows servers in the network
	path       *path         // to its sources
	mute       bool          // chronyd does not answer
	late       time.Duration // how late chronyd answers

	swing  float64       // of the oscillator's frequency, in seconds per second
	period time.Duration // of the swing

	// moves returns by how much the event has moved the clock until t, in seconds.
	moves func(t time.Duration) float64
	event event

	// silent returns t if the sources answer then. If not, it returns when they
	// last did. ignored does the same for answers that chronyd uses.
	silent, ignored func(t time.Duration) time.Duration

	lies  []float64              // seconds, how far each source is ahead of UTC
	spoil func(r *chrony.Report) // how chronyd reports it
}

// An event is what moves a clock.
type event int

const (
	step  event = iota + 1 // another program sets it
	pause                  // the machine stands still, with all of its clocks
)

// faults are all there are. A fleet has each once if it has enough nodes.
var faults = []fault{
	{name: "lost-source", what: "its source is silent and comes back now and then; its clock drifts", swing: 8e-6, period: 40 * time.Minute, silent: outside(holds)},
	{name: "stepped", what: "another program sets its clock by 300 ms every five minutes", ntp: true, moves: stepped, event: step},
	{name: "lying-source", what: "one of its servers is 400 ms off", ntp: true, lies: []float64{0, 0, -0.4}, spoil: rejectLast},
	{name: "unreachable", what: "its chronyd does not answer", mute: true},
	{name: "local", what: "its chronyd follows the clock itself", ignored: never, spoil: followItself},
	{name: "unsynchronized", what: "its chronyd follows nothing", ignored: never, spoil: followNothing},
	{name: "far-away", what: "its servers are far away, and the network is bad", ntp: true, path: &farAway},
	{name: "drifting", what: "its oscillator is bad", swing: 60e-6, period: 10 * time.Minute},
	{name: "overloaded", what: "its chronyd answers late, after it was asked again", late: 150 * time.Millisecond},
	{name: "paused", what: "the machine was paused for 8 s; chronyd has selected no source since", ntp: true, path: &oftenAsked, moves: paused, event: pause, silent: outside(pauseLength), ignored: outside(holds), spoil: rejectJump},
	{name: "refused-updates", what: "its clock is 600 ms off, and chronyd ignores what its servers say (maxchange)", ntp: true, moves: leave, ignored: never},

	// The only fault whose bound may be below the truth: the followed source itself
	// lies, and nothing that chronyd reports shows it. --clock.reference-error must
	// allow for such errors.
	{name: "lying-reference", what: "the only source, its host's clock, is 5 ms off: the bound is too small", lies: []float64{0.005}},
}

// route is the node's path to its sources.
func (f *fault) route() path {
	switch {
	case f.path != nil:
		return *f.path
	case f.ntp:
		return toServers
	default:
		return toHost
	}
}

// oscillator returns by how much the oscillator's frequency swings, in seconds per
// second, and how slowly.
func (f *fault) oscillator() (swing float64, period time.Duration) {
	if f.swing == 0 {
		return 2e-6, 20 * time.Minute
	}
	return f.swing, f.period
}

// lastAnswer returns t if the sources answer then, or when they last did.
func (f *fault) lastAnswer(t time.Duration) time.Duration { return last(f.silent, t) }

// lastUsed returns t if chronyd uses an answer then, or when it last did.
func (f *fault) lastUsed(t time.Duration) time.Duration { return last(f.ignored, t) }

func last(unless func(time.Duration) time.Duration, t time.Duration) time.Duration {
	if unless == nil {
		return t
	}
	return unless(t)
}

// lie returns how far a source is ahead of UTC, in seconds.
func (f *fault) lie(source int) float64 {
	if source < len(f.lies) {
		return f.lies[source]
	}
	return 0
}

// A cyclic fault holds for a part of each cycle. It has held for two minutes when
// the node starts.
const (
	already = 2 * time.Minute
	holds   = 10 * time.Minute
	cycle   = 15 * time.Minute
)

// held is for how long the current cycle has lasted.
func held(t time.Duration) time.Duration { return modulo(t+already, cycle) }

// outside is for sources that are silent, or ignored, for a time at the start of
// each cycle.
func outside(length time.Duration) func(time.Duration) time.Duration {
	return func(t time.Duration) time.Duration {
		if h := held(t); h < length {
			return t - h - 1
		}
		return t
	}
}

// longAgo is when chronyd last updated a clock that it never updates again.
const longAgo = -2 * time.Hour

func never(t time.Duration) time.Duration { return min(t, longAgo) }

// The clock is set by stepSize, and back again five minutes later.
const (
	firstStep    = 10 * time.Second
	stepInterval = 5 * time.Minute
	stepSize     = 0.3 // seconds
)

func stepped(t time.Duration) float64 {
	if t >= firstStep && (t-firstStep)/stepInterval%2 == 0 {
		return stepSize
	}
	return 0
}

// pauseLength is for how long the machine is paused at the start of each cycle. It
// polls nothing in that time. After it, polls are where they were, because they were
// postponed by just one interval.
const pauseLength = 8 * time.Second

// paused returns how far all pauses until t have put back the clocks, in seconds.
func paused(t time.Duration) float64 {
	h := held(t)
	before := float64((t + already - h) / cycle) // cycles
	return -(before*pauseLength.Seconds() + min(h, pauseLength).Seconds())
}

// rejectJump marks each source whose last sample shows a jump as too variable.
func rejectJump(r *chrony.Report) {
	for i := range r.Sources {
		if s := &r.Sources[i]; math.Abs(s.AdjustedOffset) > makestep {
			s.State, s.Select.State = chrony.StateJittery, '~'
			s.Stats.StandardDeviation = math.Abs(s.AdjustedOffset) / 3
		}
	}
}

// leave makes the clock wrong after the last update.
func leave(t time.Duration) float64 {
	const off = 0.6
	if t > longAgo {
		return off
	}
	return 0
}

// rejectLast has chronyd recognize the last source as a falseticker.
func rejectLast(r *chrony.Report) {
	s := &r.Sources[len(r.Sources)-1]
	s.State, s.Select.State = chrony.StateFalseticker, 'x'
}

// followItself is what chronyd reports with the directive local: no error at all.
func followItself(r *chrony.Report) {
	unselect(r)
	r.Tracking.RefID, r.Tracking.Address, r.Tracking.Stratum = chrony.RefIDLocal, chrony.Address{}, 10
	r.Tracking.RootDelay, r.Tracking.RootDispersion, r.Tracking.SystemTime, r.Tracking.LastOffset = 0, 0, 0, 0
}

func followNothing(r *chrony.Report) {
	unselect(r)
	*r.Tracking = chrony.Tracking{Leap: chrony.LeapNotSynchronized, Frequency: r.Tracking.Frequency, RootDelay: 1, RootDispersion: 1}
}

func unselect(r *chrony.Report) {
	for i := range r.Sources {
		r.Sources[i].State, r.Sources[i].Reach, r.Sources[i].SampleAge = chrony.StateNonselectable, 0, chrony.Never
	}
}
