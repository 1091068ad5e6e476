package tracker

import (
	"math"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/witness"
)

// Now is the state of the clock at this instant, for programs that act on it. It leaves
// out peers that do not prove who they are, unless they are trusted.
type Now struct {
	At    time.Time // by the clock itself
	State clockerror.State

	// Observed is false if the latest sample is too old, or if there is none yet.
	// Then State means nothing.
	Observed bool

	// Bound, in seconds, is valid until Until, unless the clock is stepped. It
	// includes the drift until then. It is +Inf if there is none.
	Bound    float64
	Until    time.Time
	Untraced bool // see clockerror.Estimate

	// Present is what the latest sample found, with the drift until At. It has no bound
	// if the clock was stepped since.
	Present   clockerror.Estimate
	Witnesses *witness.Findings // that Present includes; nil without

	Current bool  // the latest sample is at most one and a half intervals old
	Stepped bool  // the clock was stepped after the latest sample
	Err     error // why chronyd did not answer the latest sample, or nil
}

// LongestLifetime is how long a sample is valid, even if samples are rare: chronyd
// may change the clock a lot in between.
const LongestLifetime = 15 * time.Second

// unsampled is the answer if there is no sample.
func unsampled(at time.Time) Now {
	none := clockerror.Estimate{State: clockerror.Unreachable, Bound: math.Inf(1), Error: math.Inf(1)}
	return Now{At: at, Bound: math.Inf(1), Present: none}
}

// now answers from the latest sample, so frequent calls are cheap. A sample is valid
// for one and a half intervals. By then the next one has been taken.
func (w *watch) now() Now {
	at, err := w.look(false)
	answer := unsampled(at.time())
	if err != nil {
		return answer
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.latest == nil {
		return answer
	}
	latest, estimate := w.latest, w.latest.actionable
	lifetime := w.interval + w.interval/2
	age := time.Duration(at.Boot - latest.Boot)
	answer.Current, answer.Err = age < lifetime, latest.err
	answer.Stepped = w.detector.steppedAt > latest.Boot // a bound from before a step is not valid after it
	answer.Present = w.present(estimate, age, answer.Stepped)
	if answer.Witnesses = latest.found; !w.trustPeers {
		answer.Witnesses = latest.found.Authentic()
	}

	lifetime = min(lifetime, LongestLifetime)
	answer.Until = at.time().Add(lifetime - age)
	if age >= lifetime {
		return answer
	}
	answer.Observed, answer.State, answer.Untraced = true, estimate.State, estimate.Untraced
	if answer.Stepped {
		return answer
	}
	answer.Bound = estimate.Bound + leapSecond(latest) + w.growth(estimate, lifetime.Seconds())
	return answer
}

// present ages an estimate. The mutex is held.
func (w *watch) present(e clockerror.Estimate, age time.Duration, stepped bool) clockerror.Estimate {
	if stepped {
		e.Bound, e.Error = math.Inf(1), math.Inf(1)
		return e
	}
	grown := (e.Growth + w.discipline.rate()) * age.Seconds()
	e.Bound += grown
	e.Terms.Drift += grown
	e.SampleAge += age.Seconds()
	e.UpdateAge += age.Seconds()
	return e
}
