package web

import (
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
	samples := func(start, end time.Time) iter.Seq[tracker.Sample] { return slices.Values(all) }
	h, err := queryHistory(url.Values{"step": {"10"}}, samples)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		state             string
		bound, error      float64
		observed, without float64
	}{
		{"unreachable", 0.2, 0.1, 4, 1},
		{"synchronized", 0.003, 0.0015, 1, 0},
		{"unobserved", none, none, 0, 0},
		{"local", none, none, 1, 1},
	} {
		if !h.Time[i].Equal(begin.Add(time.Duration(i)*10*time.Second)) || h.State[i] != want.state || h.Bound[i] != want.bound || h.Error[i] != want.error ||
			h.Observed[i] != want.observed || h.Without[i] != want.without || h.Terms["offset"][i] != want.bound {
			t.Errorf("row %d: %+v", i, h)
		}
	}
	if h.Offset[0] != -0.2 || len(h.Time) != 4 {
		t.Errorf("%+v", h)
	}

	// Half a second is half of a sample, so no time is unobserved.
	if h, err := queryHistory(url.Values{"step": {"0.5"}}, func(start, end time.Time) iter.Seq[tracker.Sample] { return slices.Values(all[:2]) }); err != nil ||
		len(h.Time) != 4 || slices.Contains(h.State, status.Unobserved) || h.Observed[3] != 0.5 || h.Bound[3] != 0.2 || h.Bound[1] != 0.001 {
		t.Errorf("%v, %+v", err, h)
	}

	// The clock was set back by years.
	all = append(all, sample(5, 0.3, clockerror.Synchronized))
	if h, err = queryHistory(url.Values{"step": {"10s"}}, samples); err != nil || h.Bound[0] != 0.3 {
		t.Errorf("%v, %+v", err, h)
	}
	all = append(all, sample(1e8, 0.3, clockerror.Synchronized))
	if h, err = queryHistory(url.Values{"step": {"10s"}}, samples); err == nil {
		t.Errorf("%d rows", len(h.Time))
	}
	all = slices.Repeat(all[:1], mostRows+1)
	if h, err = queryHistory(nil, samples); err == nil {
		t.Errorf("%d rows", len(h.Time))
	}
}

// TestColumn checks the number of digits.
func TestColumn(t *testing.T) {
	text, err := column{float64(float32(0.2)), math.Inf(1), 0, 1e-9, math.NaN()}.MarshalJSON()
	if got := string(text); err != nil || got != "[0.2,null,0,1e-09,null]" {
		t.Errorf("%s, %v", got, err)
	}
}
