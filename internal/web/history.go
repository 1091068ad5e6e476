package web

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net/url"
	"strconv"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/status"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// A history is a table with one row for each sample or, with a step, for each step. It is
// sent by columns. The numbers of a row without a bound are null.
type history struct {
	step time.Duration // 0: the rows are samples
	rows []row
}

// A row summarizes the samples of one step by the largest bound and the worst state.
// Averages would hide peaks. It is small, because a history can have thousands of rows.
// Samples have no more digits than float32.
type row struct {
	at                int64 // nanoseconds since 1970
	observed, without float64
	bound, error      float32
	offset            float32 // of the sample with the largest bound, as are the terms
	terms             [6]float32
	state             uint8 // the worst; states are ordered from best to worst
	hasSample         bool
	hasBound          bool
}

// add adds a sample that covers this many seconds of the row.
func (r *row) add(s *tracker.Sample, seconds float64) {
	r.hasSample = true
	r.state = max(r.state, uint8(s.State))
	r.observed += seconds
	if math.IsInf(s.Bound, 1) {
		r.without += seconds
		return
	}
	r.error = max(r.error, float32(s.Error))
	if bound := float32(s.Bound); !r.hasBound || bound > r.bound {
		r.hasBound, r.bound, r.offset = true, bound, float32(s.Offset)
		i := 0
		for _, term := range s.Terms.All() {
			r.terms[i] = float32(term)
			i++
		}
	}
}

// A tableWriter writes the history as JSON, value by value: the text is never in memory as a
// whole.
type tableWriter struct {
	*bufio.Writer
	rows    []row
	scratch []byte
}

// writeTo writes the history as JSON.
func (h *history) writeTo(to io.Writer) error {
	w := &tableWriter{Writer: bufio.NewWriterSize(to, 8<<10), rows: h.rows}
	w.WriteString(`{"step_seconds":`)
	if h.step == 0 {
		w.WriteString("null")
	} else {
		w.number(h.step.Seconds(), 64)
	}
	w.column("time", func(r *row) {
		w.scratch = time.Unix(0, r.at).UTC().AppendFormat(append(w.scratch[:0], '"'), time.RFC3339Nano)
		w.Write(append(w.scratch, '"'))
	})
	w.column("observed_seconds", func(r *row) { w.number(r.observed, 64) })
	w.column("unbounded_seconds", func(r *row) { w.number(r.without, 64) })
	w.column("state", func(r *row) {
		state := status.Unobserved
		if r.hasSample {
			state = clockerror.State(r.state).String()
		}
		w.scratch = append(append(append(w.scratch[:0], '"'), state...), '"')
		w.Write(w.scratch)
	})
	w.numbers("bound_seconds", func(r *row) float32 { return r.bound })
	w.numbers("error_seconds", func(r *row) float32 { return r.error })
	w.numbers("offset_seconds", func(r *row) float32 { return r.offset })
	w.WriteString(`,"bound_terms_seconds":`)
	i, before := 0, "{"
	for term := range (clockerror.Terms{}).All() {
		w.WriteString(before)
		w.array(term, w.number32(func(r *row) float32 { return r.terms[i] }))
		i, before = i+1, ","
	}
	w.WriteString("}}\n")
	return w.Flush()
}

// column writes one more column.
func (w *tableWriter) column(name string, value func(*row)) {
	w.WriteByte(',')
	w.array(name, value)
}

// numbers writes a column of numbers that only rows with a bound have.
func (w *tableWriter) numbers(name string, value func(*row) float32) {
	w.column(name, w.number32(value))
}

func (w *tableWriter) number32(value func(*row) float32) func(*row) {
	return func(r *row) {
		if !r.hasBound {
			w.WriteString("null")
			return
		}
		w.number(float64(value(r)), 32)
	}
}

// array writes a value for each row, until the client is gone.
func (w *tableWriter) array(name string, value func(*row)) {
	w.WriteString(`"` + name + `":[`)
	for i := range w.rows {
		if i > 0 {
			if err := w.WriteByte(','); err != nil {
				return
			}
		}
		value(&w.rows[i])
	}
	w.WriteByte(']')
}

// number writes a number with as many digits as its type has; a missing one is null.
func (w *tableWriter) number(v float64, bits int) {
	if math.IsInf(v, 0) || math.IsNaN(v) {
		w.WriteString("null")
		return
	}
	w.scratch = strconv.AppendFloat(w.scratch[:0], v, 'g', -1, bits)
	w.Write(w.scratch)
}

// A samples function returns the samples of a time.
type samples func(start, end time.Time) iter.Seq[tracker.Sample]

// queryHistory answers ?start=&end=&step=. All parameters are optional.
func queryHistory(query url.Values, from samples) (*history, error) {
	start, err := parseTime(query.Get("start"), time.Time{})
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	forever := time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	end, err := parseTime(query.Get("end"), forever)
	if err != nil {
		return nil, fmt.Errorf("end: %w", err)
	}
	step, err := parseStep(query.Get("step"))
	if err != nil {
		return nil, fmt.Errorf("step: %w", err)
	}
	within := from(start, end)
	switch step {
	case eachSample:
		rows, err := rowOfEach(within)
		return &history{rows: rows}, err
	case suitable:
		step = suitableStep(within)
	}
	rows, err := rowsOf(within, step)
	return &history{step, rows}, err
}

// mostRows limits the number of rows for a long history, and for a clock that was set
// by years. They take 0.7 MB.
const mostRows = 11_000

// Special steps.
const (
	eachSample = time.Duration(0)  // ?step=0
	suitable   = time.Duration(-1) // no step
)

// rowOfEach returns a row for each sample.
func rowOfEach(samples iter.Seq[tracker.Sample]) ([]row, error) {
	var rows []row
	for s := range samples {
		if len(rows) == mostRows {
			return nil, fmt.Errorf("there are more than %d samples: set a longer step, or a shorter time", mostRows)
		}
		rows = append(rows, row{at: s.At.UnixNano()})
		rows[len(rows)-1].add(&s, s.Seconds)
	}
	return rows, nil
}

// suitableSteps are those that are chosen for requests without a step.
var suitableSteps = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// suitableStep returns the shortest step for which there are about 720 rows at most: one
// for each pixel of a small plot.
func suitableStep(samples iter.Seq[tracker.Sample]) time.Duration {
	const rows = 720
	first, last := spanOf(samples, time.Second)
	for _, step := range suitableSteps {
		if time.Duration(last-first)*time.Second <= rows*step {
			return step
		}
	}
	return suitableSteps[len(suitableSteps)-1]
}

// spanOf returns the numbers of the first and the last step. Without samples, the last
// comes before the first.
func spanOf(samples iter.Seq[tracker.Sample], step time.Duration) (first, last int64) {
	first, last = 0, -1
	for s := range samples {
		begin, end := stepsOf(&s, step)
		if last < first {
			first, last = begin, end
		}
		first, last = min(first, begin), max(last, end)
	}
	return first, last
}

// rowsOf groups samples by steps. Steps begin at multiples of the step since 1970. A
// sample is in all steps that it covers a part of. Steps without a sample have a row
// too.
func rowsOf(samples iter.Seq[tracker.Sample], step time.Duration) ([]row, error) {
	first, last := spanOf(samples, step)
	if last-first >= mostRows {
		return nil, fmt.Errorf("step: the result has %d rows, and the maximum is %d: set a longer step, or a shorter time", last-first+1, mostRows)
	}
	rows := make([]row, last-first+1)
	for i := range rows {
		rows[i].at = (first + int64(i)) * int64(step)
	}
	for s := range samples {
		begin, end := stepsOf(&s, step)
		for n := max(begin, first); n <= min(end, last); n++ { // a new sample can be outside
			from := max(n*int64(step), s.At.UnixNano()-nanoseconds(&s))
			to := min((n+1)*int64(step), s.At.UnixNano())
			rows[n-first].add(&s, float64(to-from)*1e-9)
		}
	}
	return rows, nil
}

// stepsOf returns the numbers of the first and the last step that a sample covers a
// part of.
func stepsOf(s *tracker.Sample, step time.Duration) (first, last int64) {
	end := s.At.UnixNano()
	first, last = (end-nanoseconds(s))/int64(step), end/int64(step)
	if last > first && end%int64(step) == 0 {
		last-- // the sample ends where that step begins
	}
	return first, last
}

func nanoseconds(s *tracker.Sample) int64 { return int64(s.Seconds * 1e9) }

// parseTime parses RFC 3339, or seconds since 1970.
func parseTime(text string, missing time.Time) (time.Time, error) {
	if text == "" {
		return missing, nil
	}
	const latest = 253402300799 // the end of the year 9999
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(seconds) <= latest {
		whole, fraction := math.Modf(seconds)
		return time.Unix(int64(whole), int64(fraction*1e9)), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, fmt.Errorf("%q is neither a time such as 2026-01-02T03:04:05Z nor seconds since 1970", text)
	}
	return t, nil
}

// parseStep parses a duration such as 1m30s, or seconds. 0 is for each sample, and no
// text for a suitable step.
func parseStep(text string) (time.Duration, error) {
	if text == "" {
		return suitable, nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil {
		step, err := time.ParseDuration(text)
		if err != nil {
			return 0, fmt.Errorf("%q is neither a duration such as 10s nor seconds", text)
		}
		seconds = step.Seconds()
	}
	const least, most = 1e-3, 24 * 3600
	if seconds != 0 && !(seconds >= least && seconds <= most) {
		return 0, errors.New("must be 0 for each sample, or from 1ms to 24h")
	}
	return time.Duration(seconds * float64(time.Second)), nil
}
