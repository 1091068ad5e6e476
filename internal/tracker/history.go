package tracker

import (
	"iter"
	"math"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// A Sample is what the watch found at one tick.
type Sample struct {
	At      time.Time
	Seconds float64 // the time that it covers, up to At
	State   clockerror.State
	Bound   float64 // seconds; +Inf if there is none
	Error   float64 // seconds, the figure of Azure's chrony-tracker; +Inf if there is no bound
	Terms   clockerror.Terms
	Offset  float64 // seconds still to be corrected: above zero, the clock is behind
}

// A record is a sample as the history keeps it, in 56 bytes.
type record struct {
	real, boot        int64
	bound, error      float32
	remaining         float32 // still to be corrected
	offset, delay     float32 // the other terms of the bound
	dispersion, drift float32
	disagreement      float32
	seconds           float32
	state             uint8
}

// A history is a ring of the latest samples.
type history struct {
	records   []record
	count     uint64  // of the samples so far; each one's number says where it is
	reference float64 // the bound's term that never changes
}

func newHistory(size int, reference float64) history {
	return history{records: make([]record, size), reference: math.Abs(reference)}
}

func (h *history) add(r record) {
	*h.at(h.count) = r
	h.count++
}

// at returns the place of a sample.
func (h *history) at(number uint64) *record { return &h.records[number%uint64(len(h.records))] }

// kept returns the numbers of the samples: from the oldest (inclusive) to the latest
// (exclusive).
func (h *history) kept() (from, to uint64) {
	return h.count - min(h.count, uint64(len(h.records))), h.count
}

// latest goes through the records, the latest first.
func (h *history) latest() iter.Seq[*record] {
	return func(yield func(*record) bool) {
		from, to := h.kept()
		for ; to > from && yield(h.at(to-1)); to-- {
		}
	}
}

// copy copies samples from the given number on, or from the oldest. It returns the number
// of the next one, and how many it has copied.
func (h *history) copy(from uint64, into []record) (next uint64, n int) {
	oldest, end := h.kept()
	for next = max(from, oldest); next < end && n < len(into); next++ {
		into[n] = *h.at(next)
		n++
	}
	return next, n
}

func newRecord(o *observation, seconds float64) record {
	e := o.estimate
	r := record{
		real: o.Real, boot: o.Boot,
		bound: up(e.Bound), error: up(e.Error),
		offset: up(e.Terms.Offset), delay: up(e.Terms.Delay), dispersion: up(e.Terms.Dispersion),
		drift: up(e.Terms.Drift), disagreement: up(e.Terms.Disagreement),
		seconds: float32(seconds),
		state:   uint8(e.State),
	}
	if o.tracking != nil {
		r.remaining = float32(o.tracking.SystemTime)
	}
	return r
}

// up rounds up to the seven digits that fit in a record. A stored bound must not be
// smaller than the original.
func up(v float64) float32 {
	if rounded := float32(v); float64(rounded) >= v {
		return rounded
	}
	return math.Nextafter32(float32(v), float32(math.Inf(1)))
}

func (r *record) hasBound() bool { return !math.IsInf(float64(r.bound), 1) }

func (r *record) sample(reference float64) Sample {
	s := Sample{
		At:      time.Unix(0, r.real).UTC(),
		Seconds: float64(r.seconds),
		State:   clockerror.State(r.state),
		Bound:   float64(r.bound),
		Error:   float64(r.error),
		Offset:  float64(r.remaining),
	}
	if r.hasBound() {
		s.Terms = clockerror.Terms{
			Offset:       float64(r.offset),
			Delay:        float64(r.delay),
			Dispersion:   float64(r.dispersion),
			Drift:        float64(r.drift),
			Reference:    reference,
			Disagreement: float64(r.disagreement),
		}
	}
	return s
}

// A Window summarizes the samples of the last minutes, up to the latest one.
type Window struct {
	Length time.Duration

	// The largest of the samples that have a bound, in seconds; -Inf if none has.
	Bound, Error float64

	// Without is how many seconds of the window had no bound. Either chronyd gave
	// none, or no sample was taken.
	Without float64
}

// HasBound reports whether any sample in the window has a bound.
func (w Window) HasBound() bool { return !math.IsInf(w.Bound, -1) }

// windowLengths are the lengths of the windows, in ascending order.
var windowLengths = [...]time.Duration{time.Minute, 5 * time.Minute}

// windows summarizes the samples. No window includes time before the beginning, by
// CLOCK_BOOTTIME.
func (h *history) windows(begin int64) []Window {
	windows := make([]Window, len(windowLengths))
	for i, length := range windowLengths {
		windows[i] = h.window(length, begin)
	}
	return windows
}

func (h *history) window(length time.Duration, begin int64) Window {
	w := Window{Length: length, Bound: math.Inf(-1), Error: math.Inf(-1)}
	var start, end int64
	for r := range h.latest() {
		if end == 0 {
			end = r.boot
			start = max(begin, end-int64(length))
			w.Without = seconds(end - start)
		}
		if r.boot <= start && r.boot != end {
			break
		}
		if r.hasBound() {
			w.Bound, w.Error = max(w.Bound, float64(r.bound)), max(w.Error, float64(r.error))
			w.Without -= min(float64(r.seconds), seconds(r.boot-start))
		}
	}
	w.Without = max(0, w.Without)
	return w
}
