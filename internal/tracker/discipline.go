package tracker

import (
	"math"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// foreignDiscipline notices that another program slews the clock, and by how much.
// CLOCK_MONOTONIC is steered and CLOCK_MONOTONIC_RAW is not. What moves between
// them, beyond the frequency that chronyd has set and the slew that it reports, is
// the work of somebody else (adjtime, or a second NTP daemon).
type foreignDiscipline struct {
	last *observation // with an answer of chronyd; nil before the first

	since   slewed // since chronyd's last update
	counted bool   // somebody has slewed the clock since
	window  slewed
	times   int  // in a row, the window was exceeded
	holds   bool // somebody slews the clock

	frequency frequencyMismatch
}

// slewed is how far the clock was slewed without chronyd in some time.
type slewed struct {
	from      Instant
	excess    float64 // seconds, by which it was made to run ahead
	tolerance float64 // seconds, what may be chronyd's
}

// add takes in another stretch of time.
func (s *slewed) add(excess, tolerance float64) {
	s.excess, s.tolerance = s.excess+excess, s.tolerance+tolerance
}

// beyond returns how much of it is certain, in seconds. Each reading of the clocks
// is uncertain by the time that it took.
func (s *slewed) beyond(now Instant) float64 {
	return math.Abs(s.excess) - s.tolerance - 2*seconds(s.from.Uncertainty+now.Uncertainty)
}

const (
	// disciplineSamples in a row have to exceed the tolerance.
	disciplineSamples = 5

	// disciplineWindow, in seconds, is how long a slew is looked for, and how long
	// none must have been seen for it to be over.
	disciplineWindow = 60
)

// seen takes in a sample, and whether the clock was set since the one before. It
// reports whether another program disciplines the clock.
func (d *foreignDiscipline) seen(o *observation, stepped bool) bool {
	mismatch := d.frequency.seen(o)
	if o.err != nil {
		return d.holds || mismatch
	}
	before := d.last
	d.last = o
	if before == nil || missedUpdates(before, o) {
		d.since, d.counted = slewed{from: o.Instant}, false
		d.window, d.times = slewed{from: o.Instant}, 0
		return d.holds || mismatch
	}
	if isUpdate(before.tracking.RefTime, o.tracking.RefTime) {
		d.since, d.counted = slewed{from: before.Instant}, false
	}
	if stepped {
		// A step of chronyd takes what was left to slew, and is none itself.
		d.window, d.times = slewed{from: o.Instant}, 0
		return d.holds || mismatch
	}
	excess, tolerance := unexplained(before, o)
	d.since.add(excess, tolerance)
	d.window.add(excess, tolerance)
	if d.window.beyond(o.Instant) > 0 {
		d.times++
	} else {
		d.times = 0
	}
	if d.times >= disciplineSamples {
		d.holds = true
	}
	d.counted = d.counted || d.holds
	if o.since(d.window.from) >= disciplineWindow {
		d.holds = d.times > 0
		d.window = slewed{from: o.Instant}
		d.times = 0
	}
	return d.holds || mismatch
}

// slewed returns how far another program has slewed the clock since chronyd's last
// update, in seconds. A clock whose frequency chronyd only believes to have set
// (its option -x) does not move by that.
func (d *foreignDiscipline) slewed() float64 {
	if !d.counted {
		return 0
	}
	return max(0, d.since.beyond(d.last.Instant))
}

// rate returns how fast another program slews the clock, in seconds per second.
func (d *foreignDiscipline) rate() float64 {
	if !d.holds {
		return 0
	}
	const usual = 500e-6 // of adjtime and of ntpd, at most
	elapsed := seconds(d.last.Raw - d.since.from.Raw)
	if elapsed <= 0 {
		return usual
	}
	return max(usual, math.Abs(d.since.excess)/elapsed)
}

// missedUpdates reports whether chronyd may have updated the clock more than once
// between two samples: what it slewed then is unknown.
func missedUpdates(before, now *observation) bool {
	t := now.tracking
	return isUpdate(before.tracking.RefTime, t.RefTime) && now.since(before.Instant) > max(t.LastUpdateInterval, 2)
}

// unexplained returns how far the clock moved between two samples, in seconds,
// beyond what chronyd reports, and how much of that may still be chronyd's.
func unexplained(before, now *observation) (excess, tolerance float64) {
	const (
		unsure   = 0.5e-6 // seconds per second
		imprecis = 0.1    // of a slew: the clocks and chronyd are not read at the same time
	)
	a, b := before.tracking, now.tracking
	elapsed := seconds(now.Raw - before.Raw)
	moved := seconds((now.Mono - before.Mono) - (now.Raw - before.Raw))
	// chronyd reports by how much the clock would gain, and corrects by as much.
	expected := -b.Frequency * 1e-6 * elapsed
	tolerance = unsure*elapsed + math.Abs(b.Frequency-a.Frequency)*1e-6*elapsed
	if isUpdate(a.RefTime, b.RefTime) {
		// chronyd slewed some of what was left before, and some of what it found.
		tolerance += math.Abs(a.SystemTime) + math.Abs(b.SystemTime) + math.Abs(b.LastOffset)
	} else {
		expected += a.SystemTime - b.SystemTime
		tolerance += imprecis * math.Abs(a.SystemTime-b.SystemTime)
	}
	return moved - expected, tolerance
}

const (
	mismatchSamples   = 60     // in a row, and
	mismatchSeconds   = 60     // of them at least: chronyd's own slews take some seconds
	mismatchFrequency = 1      // ppm
	settledOffset     = 100e-6 // seconds; to slew away more, chronyd itself changes the frequency
)

// A frequencyMismatch is a kernel whose frequency is not the one that chronyd
// claims to have set: another program has changed it, or chronyd does not steer the
// clock.
type frequencyMismatch struct {
	samples int
	since   Instant // the first of them
}

// seen takes in a sample, and reports whether there is a mismatch.
func (m *frequencyMismatch) seen(o *observation) bool {
	if o.err != nil || o.kernel == nil || !(math.Abs(o.tracking.SystemTime) < settledOffset) {
		m.samples = 0
		return false
	}
	if !differs(o.kernel, o.tracking) {
		m.samples = 0
		return false
	}
	if m.samples == 0 {
		m.since = o.Instant
	}
	m.samples++
	return m.samples >= mismatchSamples && o.since(m.since) >= mismatchSeconds-1
}

// differs compares the kernel's frequency with the one that chronyd claims.
func differs(k *Kernel, t *chrony.Tracking) bool {
	return math.Abs(k.Frequency+t.Frequency) > mismatchFrequency
}
