package main

import (
	"math"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// A fault is a fault of a node. Fields that are not set are as on a healthy node.
type fault struct {
	name, what string
	ntp        bool          // follows servers on the network
	path       *path         // path to its sources
	mute       bool          // chronyd does not answer
	late       time.Duration // delay of chronyd's answers

	swing  float64       // of the oscillator's frequency, in seconds per second
	period time.Duration // of the swing

	// moves returns by how much the event has moved the clock until t, in seconds.
	moves func(t time.Duration) float64
	event event
	pause time.Duration // the length of the event pause

	// silent returns t if the sources answer at t. If not, it returns when they last
	// did. ignored does the same for answers that chronyd uses.
	silent, ignored func(t time.Duration) time.Duration

	lies  []float64 // seconds that each source is ahead of UTC
	tells float64   // seconds that the node's answers to its peers are ahead of its clock

	witnessLies []float64 // seconds that each UTC witness is ahead of UTC, for this node
	split       bool      // its peers are those of a split fleet; it has no UTC witness

	spoil func(r *chrony.Report) // changes what chronyd reports
}

// An event is what moves a clock.
type event int

const (
	step  event = iota + 1 // another program sets it
	pause                  // the machine and all of its clocks stop
)

// faults lists all faults. A fleet has each of them once if it has enough nodes.
var faults = append([]fault{
	{name: "lost-source", what: "its source is silent most of the time; its clock drifts", swing: 8e-6, period: 40 * time.Minute, silent: outside(holds)},
	{name: "stepped", what: "another program sets its clock by 300 ms every five minutes", ntp: true, moves: stepped, event: step},
	{name: "lying-source", what: "one of its servers is 400 ms off", ntp: true, lies: []float64{0, 0, -0.4}, spoil: rejectLast},
	{name: "unreachable", what: "its chronyd does not answer", mute: true},
	{name: "local", what: "its chronyd follows the clock itself", ignored: never, spoil: followItself},
	{name: "unsynchronized", what: "its chronyd follows nothing", ignored: never, spoil: followNothing},
	{name: "far-away", what: "its servers are far away, and the network loses packets", ntp: true, path: &farAway},
	{name: "drifting", what: "its oscillator is bad", swing: 60e-6, period: 10 * time.Minute},
	{name: "overloaded", what: "its chronyd answers late, after a retry", late: 150 * time.Millisecond},
	{name: "paused", what: "the machine was paused for 8 s; chronyd has selected no source since", ntp: true, path: &oftenAsked, moves: paused(pauseLength), event: pause, pause: pauseLength, silent: outside(pauseLength), ignored: outside(holds), spoil: rejectJump},
	{name: "refused-updates", what: "its clock is 600 ms off, and chronyd ignores what its servers say (maxchange)", ntp: true, moves: leave, ignored: never},

	// In these faults the followed sources are off, or the machine does not notice that
	// it was paused. Nothing that chronyd reports shows it. Without witnesses, the bound is
	// too small: --clock.reference-error would have to cover such errors.
	{name: "lying-reference", what: "the only source, its host's clock, is 50 ms off; UTC servers contradict it", lies: []float64{0.05}},
	{name: "lying-servers", what: "all of its servers are 300 ms off; witnesses contradict them", ntp: true, lies: []float64{0.3, 0.3, 0.3}},
	{name: "paused-unnoticed", what: "the machine is paused for 28 s every 15 minutes, and its chronyd notices that up to 64 s later", ntp: true, moves: paused(longPause), event: pause, pause: longPause, silent: outside(longPause)},

	{name: "false-peer", what: "healthy, but it tells its peers a time that is 400 ms off", ntp: true, tells: 0.4},
	{name: "false-witness", what: "healthy, but one of its UTC witnesses is 400 ms off", ntp: true, witnessLies: []float64{0, 0.4}},
}, split()...)

// route returns the node's path to its sources.
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

// oscillator returns the amplitude of the swing of the oscillator's frequency, in
// seconds per second, and its period.
func (f *fault) oscillator() (swing float64, period time.Duration) {
	if f.swing == 0 {
		return 2e-6, 20 * time.Minute
	}
	return f.swing, f.period
}

// lastAnswer returns t if the sources answer at t. If not, it returns when they last did.
func (f *fault) lastAnswer(t time.Duration) time.Duration { return last(f.silent, t) }

// lastUsed returns t if chronyd uses an answer at t. If not, it returns when it last did.
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

// A cyclic fault is active for a part of each cycle. It has been active for two minutes
// when the node starts.
const (
	already = 2 * time.Minute
	holds   = 10 * time.Minute
	cycle   = 15 * time.Minute
)

// held returns how long the current cycle has lasted.
func held(t time.Duration) time.Duration { return modulo(t+already, cycle) }

// outside returns the function of a fault in which sources are silent, or ignored, at
// the start of each cycle.
func outside(length time.Duration) func(time.Duration) time.Duration {
	return func(t time.Duration) time.Duration {
		if h := held(t); h < length {
			return t - h - 1
		}
		return t
	}
}

// longAgo is the time of chronyd's last update of a clock that it never updates again.
const longAgo = -2 * time.Hour

func never(t time.Duration) time.Duration { return min(t, longAgo) }

// The clock is set forward by stepSize, and back again five minutes later.
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

// pauseLength is the length of the pause at the start of each cycle. It is one poll
// interval. There are no polls in it, and after it the polls are at the same times as
// without a pause.
const pauseLength = 8 * time.Second

// longPause is the length of a pause between two polls.
const longPause = 28 * time.Second

// paused returns the effect of all pauses of a length until t on the clocks, in
// seconds. It is negative: the clocks are behind.
func paused(length time.Duration) func(t time.Duration) float64 {
	return func(t time.Duration) float64 {
		h := held(t)
		before := float64((t + already - h) / cycle) // cycles
		return -(before*length.Seconds() + min(h, length).Seconds())
	}
}

// isPaused reports whether the machine stands still.
func (n *node) isPaused(t time.Duration) bool {
	return n.fault.event == pause && held(t) < n.fault.pause
}

// rejectJump marks each source whose last sample shows a jump as jittery.
func rejectJump(r *chrony.Report) {
	for i := range r.Sources {
		if s := &r.Sources[i]; math.Abs(s.AdjustedOffset) > makestep {
			s.State, s.Select.State = chrony.StateJittery, '~'
			s.Stats.StandardDeviation = math.Abs(s.AdjustedOffset) / 3
		}
	}
}

// leave puts the clock off after the last update.
func leave(t time.Duration) float64 {
	const off = 0.6
	if t > longAgo {
		return off
	}
	return 0
}

// rejectLast marks the last source as a falseticker.
func rejectLast(r *chrony.Report) {
	s := &r.Sources[len(r.Sources)-1]
	s.State, s.Select.State = chrony.StateFalseticker, 'x'
}

// followItself changes the report to that of the directive local: it has no error at
// all.
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
