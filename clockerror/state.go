package clockerror

import (
	"math"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// A State says whether, and by what, the clock is vouched for.
type State int

// The states. Only the first two can have a bound.
const (
	// Synchronized: chronyd follows a source, and samples arrive.
	Synchronized State = iota

	// Holdover: chronyd follows a source that has fallen silent. The clock
	// drifts; the bound grows by as much as it may.
	Holdover

	// Local: chronyd follows the clock itself (the local directive). It reports
	// neither delay nor dispersion, however wrong the clock is.
	Local

	// Unsynchronized: chronyd follows nothing. It reports 1 s of delay and 1 s
	// of dispersion, however wrong the clock is.
	Unsynchronized

	// Unreachable: chronyd gives no answer.
	Unreachable
)

// States lists all states.
var States = []State{Synchronized, Holdover, Local, Unsynchronized, Unreachable}

// String returns the state's name, as in the label of chrony_clock_state.
func (s State) String() string {
	switch s {
	case Synchronized:
		return "synchronized"
	case Holdover:
		return "holdover"
	case Local:
		return "local"
	case Unsynchronized:
		return "unsynchronized"
	case Unreachable:
		return "unreachable"
	default:
		return "invalid"
	}
}

// MarshalText returns the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// stratumUnsynchronized is RFC 5905's stratum of a clock that follows nothing
// (figure 11). chronyd says 0.
const stratumUnsynchronized = 16

// stateOf tells all states apart but Holdover, which takes more than tracking:
// chronyd calls itself synchronised for ever once all its sources are dead.
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

const (
	// lostPolls is how many polls may stay unanswered before holdover begins.
	lostPolls = 4

	// slack, in seconds, covers what the ages lack in precision: samples' are
	// in whole seconds, and chronyd disguises the reference time by up to 1 s.
	slack = 2

	// filteredPolls is the largest number of polls that chronyd is believed to
	// condense into one sample (the filter option of a source).
	filteredPolls = 16
)

// sampleAge returns the age of the last sample that the clock was steered by,
// and the age at which holdover begins, both in seconds.
//
// The sample is the selected source's. Other sources being fresh counts for
// nothing: chronyd may keep a dead source selected for 27 polls while a live one
// stands by. The interval is the source's poll interval, or the time between two
// updates if that is longer, as it is with a filter; but chronyd's update
// interval alone would not do, since right after the first burst it is far
// shorter than the poll interval.
//
// Where no source is selected, or chronyd refuses to list them, the reference
// time stands in for the sample, and the update interval for the poll interval.
func sampleAge(o Observation) (age, holdover float64) {
	update := max(0, o.Tracking.LastUpdateInterval)
	for _, s := range o.Sources {
		if s.State == chrony.StateSelected && s.SampleAge != chrony.Never {
			poll := pollInterval(s.Poll)
			interval := max(poll, min(update, filteredPolls*poll))
			return s.SampleAge.Seconds(), lostPolls*interval + slack
		}
	}
	return referenceAge(o.Tracking.RefTime, o.At), lostPolls*update + slack
}

// pollInterval returns an interval in seconds. Poll is its binary logarithm; no
// version of chronyd has one outside of these limits (MIN_POLL, MAX_POLL).
func pollInterval(poll int16) float64 {
	const minPoll, maxPoll = -7, 24
	return math.Ldexp(1, int(min(max(poll, minPoll), maxPoll)))
}

// referenceAge returns how far, in seconds, the reference time lies from now.
// One that lies ahead was left behind by a step of the clock: chronyd itself
// computes its dispersion from the distance, whatever the direction.
func referenceAge(reference, now time.Time) float64 {
	if reference.IsZero() {
		return math.Inf(1)
	}
	const nanosecond = 1e-9 // a Duration ends at 292 years, and a time on the wire does not
	seconds := float64(now.Unix()-reference.Unix()) + float64(now.Nanosecond()-reference.Nanosecond())*nanosecond
	return math.Abs(seconds)
}
