// Package clockerror computes how far off a clock can be from what chronyd
// reports about it. It is pure: it does no I/O, keeps nothing, and has no clock.
//
//	estimate := clockerror.Of(clockerror.Observation{
//		Tracking: report.Tracking,
//		Sources:  report.Sources,
//		At:       report.At,
//	}, clockerror.Assumptions{})
//
// An [Estimate] has a bound only while something confirms the clock: while
// chronyd follows a source, or followed one a known time ago. Otherwise the bound
// is +Inf, and the [State] says why.
//
// # The bound
//
//	bound = max(A, chrony's three terms + reference error), or more if other sources prove more
//	A     = |adjusted offset - system time| + offset error + rate × (sample age + 1 s) + reference error
//
// chrony's three terms are |system time| + root dispersion + root delay / 2 (chronyc
// manual, tracking). They are not a bound by themselves: they describe a regression
// over many samples. They omit the gap between that regression and chronyd's own last
// sample, and they let the error grow by about 1 ppm while a real oscillator changes by
// 10 ppm between two polls. A is that last sample, aged: where it found the clock, less
// what was slewed since, and how far the clock may have moved since.
package clockerror

import (
	"iter"
	"math"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// An Observation is what is known of a clock at one instant. Tracking and Sources must
// belong to the same clock update of chronyd. If they do not, the difference of
// adjusted offset and system time means nothing.
type Observation struct {
	Tracking *chrony.Tracking // nil if chronyd did not answer
	Sources  []chrony.Source  // nil if unknown, for example because chronyd refuses to list them
	At       time.Time        // when chronyd answered, by the clock that is judged

	// Only a program that watches the clock can know the rest. The zero values mean
	// that it is unknown.

	// Intervals are the times between the last four samples of the followed source, in
	// seconds. Zero means that no such sample was seen yet.
	Intervals [3]float64

	// Steps are the steps by other programs since chronyd's last update. chronyd does
	// not know them yet.
	Steps []Step

	// StepUnknown says that the clock was set, and that chronyd's update before that is
	// unknown. There is no bound then.
	StepUnknown bool

	// Slewed is how far other programs have slewed the clock since chronyd's last
	// update, in seconds, in either direction.
	Slewed float64

	// ServerLocal says that the followed server follows its own clock, according to its
	// ntpdata.
	ServerLocal bool

	// Witnesses are those that contradict the clock, one entry for each kind.
	Witnesses []Testimony
}

// A Testimony says that witnesses contradict the clock. Witnesses measure it without
// chronyd.
type Testimony struct {
	Far     float64 // how far off the clock may be by them, in seconds
	Settled bool    // they outvote the clock; otherwise nobody can tell who is wrong
}

// A Step is a setting of the clock by Low to High seconds. Above zero, the clock was
// set forward. Low and High are equal unless chronyd may know the step.
type Step struct {
	Low, High float64
	Age       float64 // seconds since, by a clock that was not set
}

// The rates at which a clock is assumed to drift, in ppm.
const (
	// DefaultMaxDrift is the drift of an undisciplined clock. Ordinary crystal
	// oscillators are specified for it over their range of temperatures.
	DefaultMaxDrift = 50

	// DefaultMaxWander is how much the frequency of a disciplined clock changes between
	// two samples beyond what chronyd knows, as when a machine gets warm or busy.
	DefaultMaxWander = 10
)

// Assumptions are facts that chronyd can't know and the operator must state.
type Assumptions struct {
	// MaxWander is the largest change of the clock's frequency, in ppm, since
	// chronyd's last sample. Zero means DefaultMaxWander.
	MaxWander float64

	// MaxDrift is the largest drift of the clock, in ppm, in holdover. Zero means
	// DefaultMaxDrift.
	MaxDrift float64

	// ReferenceError is the largest error of the reference itself, in seconds. chronyd
	// assumes that its reference is exact. Zero means that the error is unknown: the
	// bound is then relative to the reference, not to UTC.
	ReferenceError float64
}

// wander returns MaxWander in seconds per second.
func (a Assumptions) wander() float64 { return ppm(a.MaxWander, DefaultMaxWander) }

// drift returns MaxDrift in seconds per second.
func (a Assumptions) drift() float64 { return ppm(a.MaxDrift, DefaultMaxDrift) }

// Drift returns how far an undisciplined clock may drift in the given seconds, in
// seconds.
func (a Assumptions) Drift(seconds float64) float64 { return a.drift() * max(0, seconds) }

func ppm(v, otherwise float64) float64 {
	if v == 0 {
		v = otherwise
	}
	return math.Abs(v) * 1e-6
}

// Terms are the parts of a bound, each in seconds and none below zero.
type Terms struct {
	Offset       float64 `json:"offset"`       // where the last sample found the clock, less what was slewed since
	Delay        float64 `json:"delay"`        // the part of the sample's own error up to half the root delay
	Dispersion   float64 `json:"dispersion"`   // the rest of the sample's own error
	Drift        float64 `json:"drift"`        // how far the clock may have moved since the sample
	Reference    float64 `json:"reference"`    // the error of the reference itself, as assumed
	Disagreement float64 `json:"disagreement"` // what chrony's own terms, other sources or witnesses require beyond these
}

// All iterates over the terms by name, always in the same order.
func (t Terms) All() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		_ = yield("offset", t.Offset) &&
			yield("delay", t.Delay) &&
			yield("dispersion", t.Dispersion) &&
			yield("drift", t.Drift) &&
			yield("reference", t.Reference) &&
			yield("disagreement", t.Disagreement)
	}
}

// Sum returns the bound, in seconds: the sum of the terms.
func (t Terms) Sum() float64 {
	sum := 0.0
	for _, seconds := range t.All() {
		sum += seconds
	}
	return sum
}

// An Estimate says how far off a clock can be, and why.
type Estimate struct {
	State State

	// Bound is the largest error that the clock can have, in seconds. It is +Inf if
	// there is no bound. A finite bound is the sum of Terms. The package's
	// documentation has the formula.
	Bound float64
	Terms Terms

	// Error is the figure that Azure's chrony-tracker shows, in seconds. It is +Inf if
	// there is no bound.
	//
	//	|last offset| + root dispersion + root delay / 2
	//
	// It is not a bound. The last offset is what the latest update found, not what is
	// left to correct. While chronyd slews a large offset, it can show microseconds
	// when the clock is a second off.
	Error float64

	// Growth is how fast the bound grows, in seconds per second, until the next
	// sample or a change of state.
	Growth float64

	// Approximate says that chronyd's last sample is unknown, so the bound is made of
	// chrony's own terms. Such a bound is too small more often: in 1.3 % of simulated
	// samples, by a factor of 7 at most.
	Approximate bool

	// Untraced says that the bound is relative to something that is not traced to
	// UTC: a reference clock, such as the PTP clock of a virtual machine's host,
	// whose own error is unknown, or a server that follows its own clock.
	Untraced bool

	// ServerLocal says that the followed server follows its own clock (directive
	// local): the bound is relative to that server. This is known only with the
	// source's ntpdata.
	ServerLocal bool

	// SampleAge is the age of the last sample of the followed source, in seconds. If it
	// is unknown, SampleAge is the age of chronyd's last update, or +Inf if that is
	// unknown too. UpdateAge is the age of the last update. Holdover begins when one of
	// them exceeds HoldoverAge, or when no source is selected. See HasSampleAge.
	SampleAge   float64
	UpdateAge   float64
	HoldoverAge float64

	// OwnState and OwnBound are State and Bound without the witnesses. Witnesses
	// judge these: a bound that they have raised would agree with them.
	OwnState State
	OwnBound float64
}

// HasBound reports whether there is a bound.
func (e Estimate) HasBound() bool { return !math.IsInf(e.Bound, 1) }

// HasSampleAge reports whether the clock is steered by samples, so that
// SampleAge, UpdateAge and HoldoverAge mean something.
func (e Estimate) HasSampleAge() bool { return e.State.CanHaveBound() }

// Of judges an observation.
func Of(o Observation, assume Assumptions) Estimate {
	e := own(o, assume)
	e.OwnState, e.OwnBound = e.State, e.Bound
	e.hear(o.Witnesses)
	return e
}

// With returns the estimate with what witnesses say, for those who hear of them later
// than of the observation.
func (e Estimate) With(witnesses []Testimony) Estimate {
	e.hear(witnesses)
	return e
}

// hear raises the bound to what witnesses say. If there is no bound, nothing is left
// to contradict.
func (e *Estimate) hear(witnesses []Testimony) {
	if !e.HasBound() {
		return
	}
	for _, w := range witnesses {
		e.Terms.Disagreement += max(0, w.Far-e.Terms.Sum())
		if w.Settled {
			e.State = Contradicted
		}
	}
	e.Bound = e.Terms.Sum()
}

// own judges an observation without the witnesses.
func own(o Observation, assume Assumptions) Estimate {
	e := Estimate{State: stateOf(o.Tracking), Bound: math.Inf(1), Error: math.Inf(1)}
	if e.State != Synchronized {
		return e
	}
	t := o.Tracking
	followed := Followed(t, o.Sources)
	e.UpdateAge = referenceAge(t, o.At)
	e.SampleAge = e.UpdateAge
	if followed != nil {
		e.SampleAge = sampleAge(followed, o)
	}
	e.HoldoverAge = holdoverAge(followed, o)
	wander := assume.wander()
	// Written so that an age that is not a number is in holdover, too.
	switch {
	case !selects(o.Sources), !(max(e.SampleAge, e.UpdateAge) <= e.HoldoverAge):
		e.State = Holdover
		wander = max(wander, assume.drift())
	case t.LastUpdateInterval > e.HoldoverAge:
		// The last sample ended a holdover. It shows how far the clock went, but hardly
		// how fast it drifts now.
		wander = max(wander, assume.drift())
	}
	e.ServerLocal = o.ServerLocal || followed != nil && followed.NTP != nil && followed.NTP.RefID == chrony.RefIDLocal
	e.Untraced = assume.ReferenceError == 0 && t.Address.IsUnspecified() || e.ServerLocal // the state is not local here
	if o.StepUnknown || math.IsInf(e.SampleAge, 1) {
		return e // a step of unknown relation to the update, or drift over an unknown time
	}

	j := judgement{Observation: o, assume: assume, wander: wander}
	j.terms(&e, followed)
	if j.disagree(&e, followed) {
		e.State = Contradicted
	}
	e.Bound = e.Terms.Sum()
	e.Error = math.Abs(t.LastOffset) + t.RootDispersion + t.RootDelay/2
	return e
}

// A judgement is an observation with the assumptions about it.
type judgement struct {
	Observation
	assume Assumptions
	wander float64 // seconds per second, by the state
}

// terms fills in the bound's terms, except for the disagreement of other sources.
func (j *judgement) terms(e *Estimate, followed *chrony.Source) {
	t := j.Tracking
	e.Terms.Reference = math.Abs(j.assume.ReferenceError)
	if followed == nil {
		// The last sample is unknown. The results of the last updates replace the gap
		// between chronyd's estimate and its samples. chronyd's dispersion contains its
		// skew.
		e.Approximate = true
		e.Growth = j.wander
		e.Terms.Offset = j.systemTime().Far
		e.Terms.Delay = math.Abs(t.RootDelay) / 2
		e.Terms.Dispersion = math.Abs(t.RootDispersion) + max(math.Abs(t.LastOffset), math.Abs(t.RMSOffset))
		e.Terms.Drift = j.wander*(e.UpdateAge+second) + j.Slewed
		return
	}
	margin := math.Abs(followed.OffsetError)
	e.Growth = j.rate(followed)
	e.Terms.Offset = j.offset(followed).Far
	e.Terms.Delay = min(math.Abs(t.RootDelay)/2, margin)
	e.Terms.Dispersion = margin - e.Terms.Delay
	e.Terms.Drift = e.Growth*(e.SampleAge+second) + j.Slewed
	own := e.Terms.Offset + margin + e.Terms.Drift
	e.Terms.Disagreement = max(0, j.chronys()-own) // the reference's error is in both
}

// disagree raises the bound to what other sources prove. It reports whether
// measurements contradict chronyd's claim.
//
// Only a measurement far outside of the claim contradicts it. Simulations of honest
// servers show that three times the claim alone is not enough, and 1 ms alone is not
// enough.
func (j *judgement) disagree(e *Estimate, followed *chrony.Source) bool {
	voters := j.voters(followed, e)
	if far, proven := Outvotes(voters, e.Terms.Sum()); proven {
		e.Terms.Disagreement += max(0, far-e.Terms.Sum())
	}
	const times, least = 3, 1e-3 // seconds
	claim := j.chronys() + e.Terms.Reference
	if followed == nil {
		claim += e.Terms.Drift
	} else {
		claim += j.driftRate(followed)*(e.SampleAge+second) + j.Slewed
	}
	limit := claim + max(times*claim, least)
	_, outvoted := Outvotes(voters, limit)
	return outvoted || followed != nil && j.measure(followed).Near > limit
}

// chronys returns chrony's own three terms, in seconds. Each counts by its magnitude.
// chronyd may report a root delay below zero if timestamps are coarser than the
// network's delay. This must not make the other terms smaller.
func (j *judgement) chronys() float64 {
	return j.systemTime().Far + math.Abs(j.Tracking.RootDispersion) + math.Abs(j.Tracking.RootDelay)/2
}
