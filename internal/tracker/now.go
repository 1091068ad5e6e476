package tracker

import (
	"math"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// Now is what is known of this instant.
type Now struct {
	At    time.Time // by the clock that is judged
	State clockerror.State

	// Observed is false if the latest sample is too old to say anything, or there
	// is none yet. State means nothing then.
	Observed bool

	// Bound, in seconds, holds at any time until Until, unless the clock is
	// stepped: the drift until then is in it. +Inf if there is none.
	Bound    float64
	Until    time.Time
	Untraced bool // see clockerror.Estimate
}

// longestLifetime is for how long a sample says something of the present, however
// rarely samples are taken: chronyd may do much to a clock in between.
const longestLifetime = 15 * time.Second

// now answers from the latest sample, so that it costs nothing to ask often. A
// sample serves for one and a half intervals: by then there is another one.
func (w *watch) now() Now {
	at, err := w.look(false)
	answer := Now{At: at.time(), Bound: math.Inf(1)}
	if err != nil {
		return answer
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.latest == nil {
		return answer
	}
	lifetime := min(w.interval+w.interval/2, longestLifetime)
	end := w.latest.Boot + int64(lifetime)
	answer.Until = at.time().Add(time.Duration(end - at.Boot))
	if at.Boot >= end {
		return answer
	}
	estimate := w.latest.estimate
	answer.Observed, answer.State, answer.Untraced = true, estimate.State, estimate.Untraced
	if w.detector.steppedAt > w.latest.Boot {
		return answer // what was said before a step does not hold after it
	}
	drift := max(estimate.Growth*lifetime.Seconds(), w.sampler.assume.Drift(lifetime.Seconds()))
	answer.Bound = estimate.Bound + drift + w.discipline.rate()*lifetime.Seconds()
	return answer
}
