package clockerror

import (
	"math"
	"slices"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// A State says whether anything confirms the clock.
type State int

// The states. Only the first three can have a bound. If several apply, the last one in
// this list counts.
const (
	// Synchronized: chronyd follows a source, and samples arrive.
	Synchronized State = iota

	// Holdover: samples or updates have stopped, or chronyd has selected no source.
	// The clock drifts; the bound grows faster.
	Holdover

	// Contradicted: measurements exclude what chronyd claims: its own, or those of
	// witnesses. The bound includes them.
	Contradicted

	// Local: chronyd follows the clock itself (the local directive). It reports a delay
	// and a dispersion of 0, however far off the clock is.
	Local

	// Unsynchronized: chronyd follows nothing. It reports 1 s of delay and 1 s
	// of dispersion, however far off the clock is.
	Unsynchronized

	// Unreachable: chronyd does not answer.
	Unreachable
)

// States lists all states.
var States = []State{Synchronized, Holdover, Contradicted, Local, Unsynchronized, Unreachable}

var stateNames = [...]string{"synchronized", "holdover", "contradicted", "local", "unsynchronized", "unreachable"}

// String returns the state's name, as in the label of chrony_clock_state.
func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return "invalid"
	}
	return stateNames[s]
}

// MarshalText returns the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// CanHaveBound reports whether a clock in this state can have a bound: chronyd
// follows a source, or followed one a known time ago.
func (s State) CanHaveBound() bool { return s <= Contradicted }

// stratumUnsynchronized is RFC 5905's stratum of a clock that follows nothing (figure
// 11). chronyd reports 0.
const stratumUnsynchronized = 16

// stateOf finds the states that tracking alone shows. The others are Synchronized here.
// chronyd calls itself synchronized forever, even if all its sources are dead.
func stateOf(t *chrony.Tracking) State {
	switch {
	case t == nil:
		return Unreachable
	case t.Leap >= chrony.LeapNotSynchronized, t.Stratum == 0, t.Stratum >= stratumUnsynchronized:
		return Unsynchronized
	case t.RefID == chrony.RefIDLocal && t.Address.IsUnspecified():
		return Local // a server may have the same reference ID, but it has an address
	default:
		return Synchronized
	}
}

// LostPolls is how many polls of a source may stay unanswered. After that, holdover
// begins if the clock follows the source. Another source loses its vote.
const LostPolls = 4

const (
	// slack, in seconds, covers the imprecision of the ages: samples' ages are in whole
	// seconds, and chronyd disguises the reference time by up to 1 s.
	slack = 2

	// filteredPolls is the largest number of polls that chronyd is assumed to condense
	// into one sample (the filter option of a source).
	filteredPolls = 16

	// longestHoldoverAge, in seconds, is the age at which holdover begins at the
	// latest, however rarely samples have arrived. Without it, an outage of a day would
	// make an update interval of a day. Longer poll intervals have at least two polls.
	longestHoldoverAge = 3600
)

// sampleAge returns the age of a source's last sample, in seconds. chronyd computes it
// from the clock, so a step back makes the age of an older sample smaller.
func sampleAge(s *chrony.Source, o Observation) float64 {
	return s.SampleAge.Seconds() + max(0, -o.stepsSince(s).Low)
}

// stepsSince adds up the steps that came after a source's last sample. The sample
// includes earlier steps. If the order is uncertain, the result allows for both orders.
func (o *Observation) stepsSince(s *chrony.Source) (sum Step) {
	age := s.SampleAge.Seconds()
	for _, step := range o.Steps {
		switch back := max(0, -step.Low); {
		case age+slack < step.Age-back: // the sample is newer
		case age >= step.Age:
			sum.Low, sum.High = sum.Low+step.Low, sum.High+step.High
		default:
			sum.Low, sum.High = sum.Low+min(0, step.Low), sum.High+max(0, step.High)
		}
	}
	return sum
}

// holdoverAge returns the age, in seconds, at which holdover begins.
//
// The interval between samples is the followed source's poll interval, or longer if
// most polls are lost or filtered. chronyd's update interval alone is not enough. After
// the first burst it is far shorter than the poll interval, and after an outage it is
// as long as the outage. The longer interval counts only after three samples have
// arrived that rarely, unless no sample was seen yet.
//
// Fresh samples of other sources do not count: chronyd may keep a dead source selected
// for 27 polls while another one works.
func holdoverAge(followed *chrony.Source, o Observation) float64 {
	update := max(0, o.Tracking.LastUpdateInterval)
	if followed == nil {
		return min(LostPolls*update+slack, longestHoldoverAge)
	}
	poll := pollInterval(followed.Poll)
	longer := min(update, filteredPolls*poll)
	if o.Intervals != [3]float64{} {
		longer = min(longer, slices.Min(o.Intervals[:]))
	}
	return min(LostPolls*max(poll, longer)+slack, max(longestHoldoverAge, 2*poll+slack))
}

// pollInterval returns an interval in seconds. Poll is its binary logarithm; no
// version of chronyd has one outside of these limits (MIN_POLL, MAX_POLL).
func pollInterval(poll int16) float64 {
	const minPoll, maxPoll = -7, 24
	return math.Ldexp(1, int(min(max(poll, minPoll), maxPoll)))
}

// referenceAge returns the distance of the reference time from now, in seconds, by
// chronyd's own time. The clock differs from that time by what is still to be
// corrected. A reference time in the future was left behind by a step of the clock.
// chronyd itself computes its dispersion from the distance, in either direction.
func referenceAge(t *chrony.Tracking, now time.Time) float64 {
	if t.RefTime.IsZero() {
		return math.Inf(1)
	}
	const nanosecond = 1e-9 // a Duration is limited to 292 years, and a time on the wire is not
	seconds := float64(now.Unix()-t.RefTime.Unix()) + float64(now.Nanosecond()-t.RefTime.Nanosecond())*nanosecond
	return math.Abs(seconds + t.SystemTime)
}
