package main

import (
	"math"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// A fault is what can be wrong with a node.
type fault struct {
	name, what string
	ntp        bool          // follows servers in the network
	mute       bool          // chronyd gives no answer
	late       time.Duration // chronyd's answers
	steps      bool          // the clock is set, again and again
	spoil      func(r *chrony.Report, elapsed time.Duration)
}

// faults are all there are. A fleet has each once, as long as it has nodes.
var faults = []fault{
	{name: "lost-source", what: "its source has fallen silent; it comes back now and then", spoil: loseSource},
	{name: "stepped", what: "something sets its clock, every five minutes", steps: true, spoil: slewStep},
	{name: "lying-source", what: "one of its servers is 400 ms off", ntp: true, spoil: lie},
	{name: "unreachable", what: "its chronyd gives no answer", mute: true},
	{name: "local", what: "its chronyd follows the clock itself", spoil: followItself},
	{name: "unsynchronized", what: "its chronyd follows nothing", spoil: followNothing},
	{name: "far-away", what: "its servers are far away, and the network is bad", ntp: true, spoil: moveAway},
	{name: "drifting", what: "its crystal is bad", spoil: drift},
	{name: "overloaded", what: "its chronyd answers late, when it has been asked again", late: 150 * time.Millisecond},
}

// loseSource has the source silent for ten minutes of fifteen. It was so for two
// minutes when the node started.
func loseSource(r *chrony.Report, elapsed time.Duration) {
	const already, silent, cycle = 2 * time.Minute, 10 * time.Minute, 15 * time.Minute
	age := (elapsed + already) % cycle
	if age > silent {
		return
	}
	for i := range r.Sources {
		r.Sources[i].SampleAge, r.Sources[i].Reach = age, 0
	}
	r.Tracking.RefTime = time.Now().Add(-age)
	r.Tracking.RootDispersion += drifted(age)
}

// The clock is set by stepSize, and back again five minutes later.
const (
	firstStep    = 10 * time.Second
	stepInterval = 5 * time.Minute
	stepSize     = 300 * time.Millisecond
)

// stepped returns by how much the clock has been set until now.
func stepped(elapsed time.Duration) time.Duration {
	if steps, _ := lastStep(elapsed); steps%2 == 1 {
		return stepSize
	}
	return 0
}

// lastStep returns the number of steps until now, and the age of the last one.
func lastStep(elapsed time.Duration) (steps int, age time.Duration) {
	if elapsed < firstStep {
		return 0, 0
	}
	elapsed -= firstStep
	return 1 + int(elapsed/stepInterval), elapsed % stepInterval
}

// slewStep has chronyd slew away what somebody has set.
func slewStep(r *chrony.Report, elapsed time.Duration) {
	steps, age := lastStep(elapsed)
	if steps == 0 {
		return
	}
	const slewing = 30 // seconds in which most of it is gone
	remaining := stepSize.Seconds() * math.Exp(-age.Seconds()/slewing)
	if steps%2 == 1 {
		remaining = -remaining // the clock is ahead
	}
	r.Tracking.SystemTime += remaining
}

func lie(r *chrony.Report, _ time.Duration) {
	const lie = 0.4
	s := &r.Sources[len(r.Sources)-1]
	s.State, s.MeasuredOffset, s.AdjustedOffset = chrony.StateFalseticker, s.MeasuredOffset+lie, s.AdjustedOffset+lie
	s.Stats.Offset += lie
	s.Select.State, s.Select.Low, s.Select.High = 'x', s.Select.Low+lie, s.Select.High+lie
}

// followItself is what chronyd says by the directive local: no error at all.
func followItself(r *chrony.Report, _ time.Duration) {
	unselect(r)
	r.Tracking.RefID, r.Tracking.Address, r.Tracking.Stratum = chrony.RefIDLocal, chrony.Address{}, 10
	r.Tracking.RootDelay, r.Tracking.RootDispersion, r.Tracking.SystemTime, r.Tracking.LastOffset = 0, 0, 0, 0
}

func followNothing(r *chrony.Report, _ time.Duration) {
	unselect(r)
	*r.Tracking = chrony.Tracking{Leap: chrony.LeapNotSynchronized, Frequency: r.Tracking.Frequency, RootDelay: 1, RootDispersion: 1}
}

func unselect(r *chrony.Report) {
	for i := range r.Sources {
		r.Sources[i].State, r.Sources[i].Reach, r.Sources[i].SampleAge = chrony.StateNonselectable, 0, chrony.Never
	}
}

func moveAway(r *chrony.Report, _ time.Duration) {
	const times, delay, dispersion = 200, 0.09, 0.02
	t := r.Tracking
	t.SystemTime, t.LastOffset, t.RMSOffset = times*t.SystemTime, times*t.LastOffset, times*t.RMSOffset
	t.RootDelay, t.RootDispersion = delay, t.RootDispersion+dispersion
	for i := range r.Sources {
		s := &r.Sources[i]
		s.Reach = 0o273 // some polls stay without an answer
		s.MeasuredOffset, s.AdjustedOffset, s.OffsetError = times*s.MeasuredOffset, times*s.AdjustedOffset, delay/2+dispersion
	}
}

func drift(r *chrony.Report, elapsed time.Duration) {
	const skew, wander = 40, 5 // ppm
	t := r.Tracking
	t.Skew = skew
	t.Frequency += wander * math.Sin(elapsed.Minutes()/10)
	t.RootDispersion += skew * 1e-6 * r.Sources[0].SampleAge.Seconds()
}
