package tracker

import (
	"math"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// foreignSteps are by how much other programs than chronyd have set the clock.
// chronyd knows nothing of that until its next update: what it reports until then
// is about the clock as it was.
//
// A step is only forgotten after an update that surely came later. The first
// reading after the step is the baseline. If its reference time is that of the
// reading before the step, no update came in between. Otherwise an update came
// before or after the step. Then both are allowed for, until one more update.
type foreignSteps struct {
	steps    []foreignStep // since the last update
	unknown  bool          // there was no reading before the step
	baseline time.Time

	pending float64 // seconds by which the clock was set since the last reading
	waiting bool    // for the first reading after that
	at      int64   // when the last step was seen, by CLOCK_BOOTTIME

	last *chrony.Tracking // the last reading, however old; nil if there was none
}

// A foreignStep is one of them, or several of which chronyd knew nothing in between.
type foreignStep struct {
	low, high float64 // seconds
	at        int64   // by CLOCK_BOOTTIME
}

// add takes in a step by so many seconds, seen at the given CLOCK_BOOTTIME.
func (f *foreignSteps) add(size float64, at int64) {
	f.pending, f.waiting, f.at = f.pending+size, true, at
}

// read takes in what chronyd reports, and when it was asked for, by CLOCK_BOOTTIME.
func (f *foreignSteps) read(t *chrony.Tracking, began int64) {
	if f.waiting && began < f.at {
		return // nobody knows whether chronyd answered before or after the step
	}
	// A step of chronyd's own, without an update, moves the reference time as well.
	own := f.waiting && f.last != nil && isOwnMove(f.last, t, f.pending)
	if isUpdate(f.baseline, t.RefTime) && !own {
		f.steps, f.unknown = f.steps[:0], false
	}
	if f.waiting {
		f.settle(t)
	}
	f.baseline = t.RefTime
	f.last, f.waiting, f.pending = t, false, 0
}

// settle decides what the pending step means to the first reading after it.
func (f *foreignSteps) settle(t *chrony.Tracking) {
	size := f.pending
	switch {
	case f.last == nil:
		f.unknown = math.Abs(size) > seconds(leastJump)
	case isOwnStep(f.last, t, size):
	case isUpdate(f.last.RefTime, t.RefTime):
		f.append(foreignStep{min(0, size), max(0, size), f.at})
	default:
		f.append(foreignStep{size, size, f.at})
	}
}

// append keeps a step. Of too many, the two oldest become one, of which it is not
// sure how much came before a sample in between.
func (f *foreignSteps) append(s foreignStep) {
	const most = 16
	if len(f.steps) == most {
		a, b := f.steps[0], f.steps[1]
		f.steps = f.steps[1:]
		f.steps[0] = foreignStep{min(0, a.low) + min(0, b.low), max(0, a.high) + max(0, b.high), b.at}
	}
	f.steps = append(f.steps, s)
}

// apply puts into an observation what chronyd does not know of the clock. Its tracking
// was asked for at the given CLOCK_BOOTTIME; it is now.
func (f *foreignSteps) apply(o *clockerror.Observation, began, now int64) {
	old := began < f.at // asked for before the last step
	if !f.waiting && !old && isUpdate(f.baseline, o.Tracking.RefTime) {
		return
	}
	o.StepUnknown = f.unknown || f.waiting && f.last == nil
	keep := func(low, high float64, at int64) {
		o.Steps = append(o.Steps, clockerror.Step{Low: low, High: high, Age: seconds(now - at)})
	}
	for _, s := range f.steps {
		if old {
			s.low, s.high = min(0, s.low), max(0, s.high)
		}
		keep(s.low, s.high, s.at)
	}
	if f.waiting {
		keep(min(0, f.pending), max(0, f.pending), f.at)
	}
}

// isUpdate reports whether chronyd has updated the clock between two readings. It
// moves the reference time by microseconds at other times, when it corrects the
// frequency for the temperature (tempcomp).
func isUpdate(before, now time.Time) bool {
	const least = 10 * time.Millisecond
	return now.Sub(before).Abs() >= least
}

// isOwnStep reports whether it was chronyd that set the clock between two readings:
// either by an update, which leaves nothing to be corrected, or by its command
// makestep, which moves the reference time as well and takes what was left.
func isOwnStep(before, now *chrony.Tracking, size float64) bool {
	const inexact, noise = 0.1, 5e-6 // of the size, and seconds
	margin := inexact*math.Abs(size) + noise
	isSize := func(v float64) bool { return math.Abs(v-size) <= margin }
	if isOwnMove(before, now, size) {
		return isSize(before.SystemTime - now.SystemTime)
	}
	return isUpdate(before.RefTime, now.RefTime) &&
		isSize(before.SystemTime-now.LastOffset) && math.Abs(now.SystemTime) <= margin
}

// isOwnMove reports whether the reference time has moved by a step.
func isOwnMove(before, now *chrony.Tracking, size float64) bool {
	return math.Abs(now.RefTime.Sub(before.RefTime).Seconds()-size) < 0.01
}

// isLeapSecond reports whether a step is the leap second that chronyd had announced
// with its last reading. The kernel inserts or deletes it at midnight (UTC).
func (f *foreignSteps) isLeapSecond(size float64, at time.Time) bool {
	if f.last == nil {
		return false
	}
	var want float64
	switch f.last.Leap {
	case chrony.LeapInsertSecond:
		want = -1
	case chrony.LeapDeleteSecond:
		want = 1
	default:
		return false
	}
	const day, window, noise = 24 * time.Hour, 1500 * time.Millisecond, 0.1
	midnight := at.Add(day / 2).Truncate(day)
	return math.Abs(size-want) < noise && at.Sub(midnight).Abs() <= window
}
