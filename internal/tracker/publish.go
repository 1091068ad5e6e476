package tracker

import (
	"math"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// A Publisher hands what the watch knows of the clock to other programs. The watch calls
// Publish for each sample, and at once when the clock was stepped or the machine was
// suspended. It holds a lock: Publish must not block.
type Publisher interface {
	Publish(Published)
	Publication() Publication
}

// Published is what is known of the clock from an instant on.
type Published struct {
	Instant
	State  clockerror.State
	Bound  float64 // at the instant, in seconds; +Inf if there is none
	Growth float64 // the fastest growth of the bound until the next sample, in seconds per second

	// Disrupted means that the clock was stepped, or the machine suspended. What was
	// published before is not valid, and nothing is known until the next sample.
	Disrupted bool
}

// Publication is what became of it.
type Publication struct {
	Path       string
	Status     string            // as readers see it; empty while nothing is published
	Age        time.Duration     // since the last write; negative if there was none
	Generation uint16            // of the last write
	Errors     map[string]uint64 // writes that failed, by reason: all reasons
	Err        error             // why the last one failed, or nil
}

// leapSecond is by how much the clock may be off, in seconds, in addition to a sample's
// bound: chronyd may let the clock run through an announced leap second, and correct it
// afterwards (leapsecmode slew).
func leapSecond(o *observation) float64 {
	if o.tracking == nil || o.tracking.Leap != chrony.LeapInsertSecond && o.tracking.Leap != chrony.LeapDeleteSecond {
		return 0
	}
	const day, second = 24 * time.Hour, time.Second
	at := o.time().Add(-second) // before a deleted second, the clock is at 23:59:58
	if midnight := at.Truncate(day).Add(day); midnight.Sub(at) <= LongestLifetime+2*second {
		return 1
	}
	return 0
}

// publish publishes the latest sample, without what a forger can fake. The mutex is held.
func (w *watch) publish() {
	o := w.latest
	if w.publisher == nil || w.disruptedAt > o.Boot {
		return
	}
	const second = 1
	e := o.actionable
	w.publisher.Publish(Published{Instant: o.Instant, State: e.State, Bound: e.Bound + leapSecond(o), Growth: w.growth(e, second)})
}

// disrupt publishes that nothing is known of the clock. The mutex is held.
func (w *watch) disrupt(now Instant) {
	w.disruptedAt = now.Boot
	if w.publisher == nil {
		return
	}
	p := Published{Instant: now, State: clockerror.Unreachable, Bound: math.Inf(1), Disrupted: true}
	if w.latest != nil {
		p.State = w.latest.actionable.State
	}
	w.publisher.Publish(p)
}
