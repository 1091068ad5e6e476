package web

import (
	"bufio"
	"bytes"
	"encoding/json"
	"iter"
	"math"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/status"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// TestRows groups samples by steps. The peak and the worst state of a step must
// remain, and a step without samples must have a row.
func TestRows(t *testing.T) {
	begin := time.Date(2026, 11, 2, 3, 4, 0, 0, time.UTC)
	sample := func(second float64, bound float64, state clockerror.State) tracker.Sample {
		return tracker.Sample{
			At: begin.Add(time.Duration(second * 1e9)), Seconds: 1, State: state,
			Bound: bound, Error: bound / 2, Offset: -bound, Terms: clockerror.Terms{Offset: bound},
		}
	}
	none := math.Inf(1)
	all := []tracker.Sample{
		sample(1, 0.001, clockerror.Synchronized),
		sample(2, 0.2, clockerror.Holdover),
		sample(9.999, 0.002, clockerror.Synchronized),
		sample(10, none, clockerror.Unreachable),
		sample(11, 0.003, clockerror.Synchronized),
		sample(35, none, clockerror.Local),
	}
	h, err := query(t, "step=10", all)
	if err != nil {
		t.Fatal(err)
	}
	number := func(v float64) *float64 { return &v }
	for i, want := range []struct {
		state             string
		bound, error      *float64
		observed, without float64
	}{
		{"unreachable", number(0.2), number(0.1), 4, 1},
		{"synchronized", number(0.003), number(0.0015), 1, 0},
		{"unobserved", nil, nil, 0, 0},
		{"local", nil, nil, 1, 1},
	} {
		if !h.Time[i].Equal(begin.Add(time.Duration(i)*10*time.Second)) || h.State[i] != want.state || !same(h.Bound[i], want.bound) || !same(h.Error[i], want.error) ||
			h.Observed[i] != want.observed || h.Without[i] != want.without || !same(h.Terms["offset"][i], want.bound) {
			t.Errorf("row %d: %+v", i, h)
		}
	}
	if *h.Offset[0] != -0.2 || len(h.Time) != 4 || *h.Step != 10 {
		t.Errorf("%+v", h)
	}

	// Half a second is half of a sample, so no time is unobserved.
	if h, err := query(t, "step=0.5", all[:2]); err != nil ||
		len(h.Time) != 4 || slices.Contains(h.State, status.Unobserved) || h.Observed[3] != 0.5 || *h.Bound[3] != 0.2 || *h.Bound[1] != 0.001 {
		t.Errorf("%v, %+v", err, h)
	}
	if h, err := query(t, "step=0", all); err != nil || h.Step != nil || len(h.Time) != len(all) || *h.Bound[1] != 0.2 || h.Bound[3] != nil {
		t.Errorf("%v, %+v", err, h)
	}

	// The clock was set back by years.
	all = append(all, sample(5, 0.3, clockerror.Synchronized))
	if h, err = query(t, "step=10s", all); err != nil || *h.Bound[0] != 0.3 {
		t.Errorf("%v, %+v", err, h)
	}
	all = append(all, sample(1e8, 0.3, clockerror.Synchronized))
	if h, err = query(t, "step=10s", all); err == nil {
		t.Errorf("%d rows", len(h.Time))
	}
	all = slices.Repeat(all[:1], mostRows+1)
	if h, err = query(t, "step=0", all); err == nil {
		t.Errorf("%d rows", len(h.Time))
	}
}

// A table is a history as its readers get it.
type table struct {
	Step     *float64 `json:"step_seconds"`
	Time     []time.Time
	State    []string
	Bound    []*float64            `json:"bound_seconds"`
	Error    []*float64            `json:"error_seconds"`
	Offset   []*float64            `json:"offset_seconds"`
	Observed []float64             `json:"observed_seconds"`
	Without  []float64             `json:"unbounded_seconds"`
	Terms    map[string][]*float64 `json:"bound_terms_seconds"`
}

func query(t *testing.T, parameters string, all []tracker.Sample) (table, error) {
	t.Helper()
	values, err := url.ParseQuery(parameters)
	if err != nil {
		t.Fatal(err)
	}
	h, err := queryHistory(values, func(start, end time.Time) iter.Seq[tracker.Sample] { return slices.Values(all) })
	var got table
	if err != nil {
		return got, err
	}
	var text bytes.Buffer
	if err := h.writeTo(&text); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text.Bytes(), &got); err != nil {
		t.Fatalf("%v: %s", err, text.Bytes())
	}
	return got, nil
}

func same(a, b *float64) bool { return a == b || a != nil && b != nil && *a == *b }

// TestSuitableStep asks without a step: the rows must be few, however long the history is.
func TestSuitableStep(t *testing.T) {
	begin := time.Date(2026, 11, 2, 3, 4, 0, 0, time.UTC)
	for _, test := range []struct {
		samples int
		every   time.Duration
		step    float64
	}{
		{0, time.Second, 1},
		{1, time.Second, 1},
		{700, time.Second, 1},
		{3600, time.Second, 5},
		{100_000, time.Second, 300},
		{100_000, time.Hour, 86400}, // more rows, but no longer step
	} {
		all := make([]tracker.Sample, test.samples)
		for i := range all {
			all[i] = tracker.Sample{At: begin.Add(time.Duration(i+1) * test.every), Seconds: test.every.Seconds(), Bound: 1}
		}
		h, err := query(t, "", all)
		if err != nil || *h.Step != test.step || len(h.Time) > 721 && test.step < 86400 {
			t.Errorf("%d samples: step %v, %d rows, %v", test.samples, h.Step, len(h.Time), err)
		}
	}
}

// TestNumbers checks the number of digits, and that missing values are null.
func TestNumbers(t *testing.T) {
	var text bytes.Buffer
	w := tableWriter{Writer: bufio.NewWriter(&text)}
	for _, v := range []float64{float64(float32(0.2)), math.Inf(1), 0, 1e-9, math.NaN()} {
		w.number(v, 32)
		w.WriteByte(' ')
	}
	w.Flush()
	if got := text.String(); got != "0.2 null 0 1e-09 null " {
		t.Error(got)
	}
}

// TestHistoryNeedsLittleMemory has the longest history sent. It is not in memory as text.
func TestHistoryNeedsLittleMemory(t *testing.T) {
	begin := time.Date(2026, 11, 2, 3, 4, 0, 0, time.UTC)
	all := make([]tracker.Sample, mostRows-2)
	for i := range all {
		all[i] = tracker.Sample{At: begin.Add(time.Duration(i) * time.Second), Seconds: 1, Bound: 1e-5}
	}
	sent := &counter{}
	used := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			sent.n = 0
			h, err := queryHistory(url.Values{"step": {"1"}}, func(start, end time.Time) iter.Seq[tracker.Sample] { return slices.Values(all) })
			if err == nil {
				err = h.writeTo(sent)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}).AllocedBytesPerOp()
	const most = 750 << 10 // the rows
	if used > most || sent.n < 700_000 || sent.largest > 8<<10 {
		t.Errorf("%d bytes were sent, %d at once; that took %d bytes of memory", sent.n, sent.largest, used)
	}
}

type counter struct{ n, largest int }

func (c *counter) Write(b []byte) (int, error) {
	c.n += len(b)
	c.largest = max(c.largest, len(b))
	return len(b), nil
}
