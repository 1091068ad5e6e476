package tracker

import "time"

// Jumps are the leaps of a clock since the watch began.
type Jumps struct {
	Count  uint64
	Total  float64   // seconds, all sizes added up
	Last   float64   // seconds, the size of the last one
	LastAt time.Time // zero if there was none
}

func (j *Jumps) add(size int64, at time.Time) {
	j.Count++
	j.Last, j.LastAt = seconds(size), at
	j.Total += j.Last
}

// leastJump, in nanoseconds, is the least change between two clocks that is taken
// for a jump. The clocks can't be read at once, and each reading's blur comes on
// top. A smaller step is only known when the kernel tells of it.
const leastJump = 10_000

// A stepDetector follows the machine's clocks from one look at them to the next.
//
// CLOCK_REALTIME and CLOCK_BOOTTIME are slewed alike: what changes between them
// is a step. CLOCK_BOOTTIME and CLOCK_MONOTONIC differ by the time asleep, and
// CLOCK_MONOTONIC from CLOCK_MONOTONIC_RAW by all steering.
type stepDetector struct {
	first, last   Instant
	unannounced   int64 // when a jump was seen that the kernel has not told of yet, by CLOCK_BOOTTIME
	steppedAt     int64 // when the last step was seen, by CLOCK_BOOTTIME
	steps, sleeps Jumps
}

func newStepDetector(now Instant) stepDetector { return stepDetector{first: now, last: now} }

// follow looks at the clocks. It reports whether the clock was stepped since the
// last look, and whether the machine has slept. set says that the kernel has just
// told that the clock was set; it does that when the machine wakes up, as well.
func (d *stepDetector) follow(now Instant, set bool) (stepped, slept bool) {
	before := d.last
	d.last = now
	noise := leastJump + before.Uncertainty + now.Uncertainty
	step := (now.Real - now.Boot) - (before.Real - before.Boot)
	sleep := (now.Boot - now.Mono) - (before.Boot - before.Mono)
	moved := step > noise || step < -noise
	slept = sleep > noise

	expected := d.unannounced != 0 && now.Boot-d.unannounced < int64(time.Second)
	switch {
	case moved:
		stepped = true
	case set:
		// A clock can be set to its own value. But a step or the end of a sleep
		// may also have been seen before the kernel got round to tell.
		stepped = !slept && !expected
	}
	if set {
		d.unannounced = 0
	} else if moved || slept {
		d.unannounced = now.Boot
	}
	if stepped {
		d.steps.add(step, now.time())
		d.steppedAt = now.Boot
	}
	if slept {
		d.sleeps.add(sleep, now.time())
	}
	return stepped, slept
}

// steering returns the seconds by which the clock was slewed, its corrected
// frequency included: above zero, it was made to run faster.
func (d *stepDetector) steering() float64 {
	return seconds((d.last.Mono - d.first.Mono) - (d.last.Raw - d.first.Raw))
}
