package tracker

import (
	"math"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// Now is the state of the clock at this instant.
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
}

// longestLifetime is how long a sample is valid, even if samples are rare: chronyd
// may change the clock a lot in between.
const longestLifetime = 15 * time.Second

// now answers from the latest sample, so frequent calls are cheap. A sample is valid
// for one and a half intervals. By then the next one has been taken.
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
		return answer // a bound from before a step is not valid after it
	}
	answer.Bound = estimate.Bound + leapSecond(w.latest) + w.growth(estimate)*lifetime.Seconds()
	return answer
}
