package web

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/status"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// A history is a table by columns. It has one row for each sample or, with a step, for
// each step. The numbers of a row without a bound are null.
type history struct {
	Step     *float64    `json:"step_seconds"`
	Time     []time.Time `json:"time"`
	Observed []float64   `json:"observed_seconds"`
	Without  []float64   `json:"unbounded_seconds"`
	State    []string    `json:"state"`
	Bound    column      `json:"bound_seconds"`
	Error    column      `json:"error_seconds"`

	// Values of the sample with the largest bound.
	Offset column            `json:"offset_seconds"`
	Terms  map[string]column `json:"bound_terms_seconds"`
}

// A column holds numbers. An infinite number or NaN means a missing value.
type column []float64

// MarshalJSON writes numbers with seven digits, as stored in the history, and missing
// values as null.
func (c column) MarshalJSON() ([]byte, error) {
	text := make([]byte, 0, 2+12*len(c))
	text = append(text, '[')
	for i, v := range c {
		if i > 0 {
			text = append(text, ',')
		}
		if math.IsInf(v, 0) || math.IsNaN(v) {
			text = append(text, "null"...)
		} else {
			text = strconv.AppendFloat(text, v, 'g', -1, 32)
		}
	}
	return append(text, ']'), nil
}

// A row summarizes the samples of one step by the largest bound and the worst state.
// Averages would hide peaks.
type row struct {
	at       time.Time
	samples  int
	state    clockerror.State // the worst; states are ordered from best to worst
	largest  tracker.Sample   // the sample with the largest bound
	bounds   int              // number of samples with a bound
	error    float64
	observed float64
	without  float64
}

// add adds a sample that covers this many seconds of the row.
func (r *row) add(s tracker.Sample, seconds float64) {
	r.samples++
	r.state = max(r.state, s.State)
	r.observed += seconds
	if math.IsInf(s.Bound, 1) {
		r.without += seconds
		return
	}
	r.bounds++
	r.error = max(r.error, s.Error)
	if r.bounds == 1 || s.Bound > r.largest.Bound {
		r.largest = s
	}
}

func (h *history) add(r *row) {
	state, none := status.Unobserved, math.Inf(1)
	if r.samples > 0 {
		state = r.state.String()
	}
	number := func(v float64) float64 {
		if r.bounds == 0 {
			return none
		}
		return v
	}
	h.Time = append(h.Time, r.at)
	h.Observed = append(h.Observed, r.observed)
	h.Without = append(h.Without, r.without)
	h.State = append(h.State, state)
	h.Bound = append(h.Bound, number(r.largest.Bound))
	h.Error = append(h.Error, number(r.error))
	h.Offset = append(h.Offset, number(r.largest.Offset))
	for term, seconds := range r.largest.Terms.All() {
		h.Terms[term] = append(h.Terms[term], number(seconds))
	}
}

// queryHistory answers ?start=&end=&step=. All parameters are optional.
func queryHistory(query url.Values, samples func(start, end time.Time) iter.Seq[tracker.Sample]) (*history, error) {
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
	h := &history{Time: []time.Time{}, Observed: []float64{}, Without: []float64{}, State: []string{}, Terms: make(map[string]column)}
	for term := range (clockerror.Terms{}).All() {
		h.Terms[term] = column{}
	}
	if step == 0 {
		for s := range samples(start, end) {
			if len(h.Time) == mostRows {
				return nil, fmt.Errorf("there are more than %d samples: set step, or a shorter time", mostRows)
			}
			r := row{at: s.At}
			r.add(s, s.Seconds)
			h.add(&r)
		}
		return h, nil
	}
	seconds := step.Seconds()
	h.Step = &seconds
	rows, err := rowsOf(slices.Collect(samples(start, end)), step)
	for i := range rows {
		h.add(&rows[i])
	}
	return h, err
}

// mostRows limits the number of rows for a long history, and for a clock that was set
// by years.
const mostRows = 11_000

// rowsOf groups samples by steps. Steps begin at multiples of the step since 1970. A
// sample is in all steps that it covers a part of. Steps without a sample have a row
// too.
func rowsOf(samples []tracker.Sample, step time.Duration) ([]row, error) {
	if len(samples) == 0 {
		return nil, nil
	}
	first, last := stepsOf(samples[0], step)
	for _, s := range samples {
		begin, end := stepsOf(s, step)
		first, last = min(first, begin), max(last, end)
	}
	if last-first >= mostRows {
		return nil, fmt.Errorf("step: the result has %d rows, and the maximum is %d: set a longer step, or a shorter time", last-first+1, mostRows)
	}
	rows := make([]row, last-first+1)
	for i := range rows {
		rows[i].at = time.Unix(0, (first+int64(i))*int64(step)).UTC()
	}
	for _, s := range samples {
		begin, end := stepsOf(s, step)
		for n := begin; n <= end; n++ {
			from := max(n*int64(step), s.At.UnixNano()-nanoseconds(s))
			to := min((n+1)*int64(step), s.At.UnixNano())
			rows[n-first].add(s, float64(to-from)*1e-9)
		}
	}
	return rows, nil
}

// stepsOf returns the numbers of the first and the last step that a sample covers a
// part of.
func stepsOf(s tracker.Sample, step time.Duration) (first, last int64) {
	end := s.At.UnixNano()
	first, last = (end-nanoseconds(s))/int64(step), end/int64(step)
	if last > first && end%int64(step) == 0 {
		last-- // the sample ends where that step begins
	}
	return first, last
}

func nanoseconds(s tracker.Sample) int64 { return int64(s.Seconds * 1e9) }

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

// parseStep parses a duration such as 1m30s, or seconds. It returns 0 for an empty
// text.
func parseStep(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
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
	if !(seconds >= least && seconds <= most) {
		return 0, errors.New("must be from 1ms to 24h")
	}
	return time.Duration(seconds * float64(time.Second)), nil
}
