package tracker

import (
	"math"
	"time"
)

// Jumps counts the steps of a clock since the watch began.
type Jumps struct {
	Count  uint64
	Total  float64   // seconds, all sizes added up
	Sum    float64   // seconds, all sizes added up without their signs
	Last   float64   // seconds, the size of the last one
	LastAt time.Time // zero if there was none
}

func (j *Jumps) add(size int64, at time.Time) {
	j.Count++
	j.Last, j.LastAt = seconds(size), at
	j.Total += j.Last
	j.Sum += math.Abs(j.Last)
}

// leastJump, in nanoseconds, is the smallest change between two clocks that counts as
// a jump. The clocks can't be read at the same time, so each reading's uncertainty is
// added. A smaller step is detected only if the kernel reports it.
const leastJump = 10_000

// A stepDetector compares each reading of the machine's clocks with the previous one.
//
// CLOCK_REALTIME and CLOCK_BOOTTIME are slewed in the same way, so a change between
// them is a step. CLOCK_BOOTTIME and CLOCK_MONOTONIC differ by the time suspended.
// CLOCK_MONOTONIC and CLOCK_MONOTONIC_RAW differ by all steering.
type stepDetector struct {
	first, last   Instant
	unannounced   int64 // when a jump was seen that the kernel has not reported yet, by CLOCK_BOOTTIME
	steppedAt     int64 // when the last step was seen, by CLOCK_BOOTTIME
	steps, sleeps Jumps
}

func newStepDetector(now Instant) stepDetector { return stepDetector{first: now, last: now} }

// follow reads the clocks. It reports whether the clock was stepped since the last
// reading, and whether the machine was suspended. set means that the kernel has just
// reported that the clock was set. The kernel also does that after a suspension.
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
		// A clock can be set to its current value. But a step or a resume may also
		// have been seen before the kernel reported it.
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

// steering returns how far the clock was slewed, in seconds, including its corrected
// frequency. Above zero, the clock was made to run faster.
func (d *stepDetector) steering() float64 {
	return seconds((d.last.Mono - d.first.Mono) - (d.last.Raw - d.first.Raw))
}
