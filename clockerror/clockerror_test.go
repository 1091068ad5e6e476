package clockerror_test

import (
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	. "github.com/chrony-tracker/chrony-tracker/clockerror"
)

var (
	now    = time.Date(2026, 11, 2, 3, 4, 5, 0, time.UTC)
	server = chrony.Address{IP: netip.MustParseAddr("192.0.2.1")}
	other  = chrony.Address{IP: netip.MustParseAddr("192.0.2.2")}
	inf    = math.Inf(1)
)

// following is a chronyd that follows a server at a poll interval of 64 s, with
// a bound of 1 ms + 2 ms + 4 ms.
func following() chrony.Tracking {
	return chrony.Tracking{
		RefID: 0xc0000201, Address: server, Stratum: 2, RefTime: now.Add(-30 * time.Second),
		SystemTime: 0.001, RootDispersion: 0.002, RootDelay: 0.008,
		LastOffset: 0.016, LastUpdateInterval: 64,
	}
}

// selected is the source that it follows.
func selected(poll int16, age time.Duration) chrony.Source {
	return chrony.Source{Address: server, State: chrony.StateSelected, Stratum: 1, Poll: poll, SampleAge: age}
}

func one(s chrony.Source) []chrony.Source { return []chrony.Source{s} }

const second = time.Second

func TestOf(t *testing.T) {
	for _, test := range []struct {
		name     string
		tracking func(*chrony.Tracking) // changes what following says; nil means no answer
		sources  []chrony.Source
		assume   Assumptions
		state    State
		bound    float64
		error    float64
	}{
		{"following", same, one(selected(6, 30*second)), Assumptions{}, Synchronized, 0.007, 0.022},
		{"no answer", nil, nil, Assumptions{}, Unreachable, inf, inf},
		{
			"never synchronised: 1 s of delay and of dispersion, whatever the truth is",
			func(t *chrony.Tracking) {
				*t = chrony.Tracking{Leap: chrony.LeapNotSynchronized, RootDelay: 1, RootDispersion: 1}
			}, nil, Assumptions{}, Unsynchronized, inf, inf,
		},
		{"leap alone", func(t *chrony.Tracking) { t.Leap = chrony.LeapNotSynchronized }, one(selected(6, 0)), Assumptions{}, Unsynchronized, inf, inf},
		{"stratum alone", func(t *chrony.Tracking) { t.Stratum = 0 }, one(selected(6, 0)), Assumptions{}, Unsynchronized, inf, inf},
		{"stratum 16", func(t *chrony.Tracking) { t.Stratum = 16 }, one(selected(6, 0)), Assumptions{}, Unsynchronized, inf, inf},
		{"leap of a later protocol", func(t *chrony.Tracking) { t.Leap = 7 }, one(selected(6, 0)), Assumptions{}, Unsynchronized, inf, inf},
		{
			"local: no delay, no dispersion, leap normal",
			func(t *chrony.Tracking) {
				*t = chrony.Tracking{RefID: chrony.RefIDLocal, Stratum: 10, RefTime: now}
			}, nil, Assumptions{}, Local, inf, inf,
		},
		{"a server with the local reference ID", func(t *chrony.Tracking) { t.RefID = chrony.RefIDLocal }, one(selected(6, 0)), Assumptions{}, Synchronized, 0.007, 0.022},
		{
			"a reference clock has no address either",
			func(t *chrony.Tracking) { t.RefID, t.Address = 0x50484330, chrony.Address{} },
			one(selected(3, 8*second)), Assumptions{}, Synchronized, 0.007, 0.022,
		},
		{
			"two hours left to slew, and nothing in the last offset",
			func(t *chrony.Tracking) { t.SystemTime, t.LastOffset = 7495, 0.000008 },
			one(selected(6, 30*second)), Assumptions{}, Synchronized, 7495.006, 0.006008,
		},
		{
			"a step of 5 s, done, and still in the last offset",
			func(t *chrony.Tracking) { t.SystemTime, t.LastOffset = 0, -5 },
			one(selected(6, 30*second)), Assumptions{}, Synchronized, 0.006, 5.006,
		},
		{
			"negative offsets",
			func(t *chrony.Tracking) { t.SystemTime, t.LastOffset = -0.001, -0.016 },
			one(selected(6, 30*second)), Assumptions{}, Synchronized, 0.007, 0.022,
		},
		{
			"a root delay below zero makes the bound no smaller",
			func(t *chrony.Tracking) { t.RootDelay = -0.008 },
			one(selected(6, 30*second)), Assumptions{}, Synchronized, 0.007, 0.014,
		},
		{
			"a first update, whose skew is 1,000,000 ppm: dispersion as large as the age",
			func(t *chrony.Tracking) { t.Skew, t.RootDispersion, t.LastUpdateInterval = 1e6, 30, 0 },
			one(selected(6, 30*second)), Assumptions{}, Synchronized, 30.005, 30.02,
		},
		{"a reference that may be 100 µs wrong", same, one(selected(6, 30*second)), Assumptions{ReferenceError: 0.0001}, Synchronized, 0.0071, 0.022},
		{"a reference that nothing is known of", same, one(selected(6, 30*second)), Assumptions{ReferenceError: inf}, Synchronized, inf, 0.022},

		// Holdover begins at 4·64 + 2 = 258 s here.
		{"three lost polls", same, one(selected(6, 257*second)), Assumptions{}, Synchronized, 0.007, 0.022},
		{"at the limit", same, one(selected(6, 258*second)), Assumptions{}, Synchronized, 0.007, 0.022},
		{"a second over it", same, one(selected(6, 259*second)), Assumptions{}, Holdover, 0.007 + 50e-6, 0.022},
		{"an hour over it", same, one(selected(6, 3858*second)), Assumptions{}, Holdover, 0.007 + 0.18, 0.022},
		{"an hour over it, with a better oscillator", same, one(selected(6, 3858*second)), Assumptions{MaxDrift: 1}, Holdover, 0.007 + 0.0036, 0.022},
		{
			"a dead selected source beside a fresh one",
			same,
			[]chrony.Source{
				{Address: other, State: chrony.StateCombined, Poll: 6, SampleAge: 1 * second},
				selected(6, 1258*second),
			}, Assumptions{}, Holdover, 0.057, 0.022,
		},
		{
			"poll 10 with two lost replies",
			func(t *chrony.Tracking) { t.LastUpdateInterval = 1024 },
			one(selected(10, 3*1024*second)), Assumptions{}, Synchronized, 0.007, 0.022,
		},
		{
			"filter 5: a sample each five polls",
			func(t *chrony.Tracking) { t.LastUpdateInterval = 5 * 64 },
			one(selected(6, 4*5*64*second)), Assumptions{}, Synchronized, 0.007, 0.022,
		},
		{
			"a long update interval earns no more than 16 polls",
			func(t *chrony.Tracking) { t.LastUpdateInterval = 1e6 },
			one(selected(6, (4*16*64+1002)*second)), Assumptions{}, Holdover, 0.057, 0.022,
		},
		{
			"right after a burst the update interval is shorter than a poll",
			func(t *chrony.Tracking) { t.LastUpdateInterval = 0.3 },
			one(selected(6, 64*second)), Assumptions{}, Synchronized, 0.007, 0.022,
		},
		{
			"an update interval below zero",
			func(t *chrony.Tracking) { t.LastUpdateInterval = -1e18 },
			one(selected(6, 258*second)), Assumptions{}, Synchronized, 0.007, 0.022,
		},
		{
			"a PHC at poll 3",
			func(t *chrony.Tracking) { t.LastUpdateInterval = 8 },
			one(selected(3, 34*second)), Assumptions{}, Synchronized, 0.007, 0.022,
		},
		{
			"a PHC at poll 3 that fell silent",
			func(t *chrony.Tracking) { t.LastUpdateInterval = 8 },
			one(selected(3, 1034*second)), Assumptions{}, Holdover, 0.057, 0.022,
		},
		{"poll intervals that there are none of", same, one(selected(math.MaxInt16, math.MaxUint32*second)), Assumptions{}, Holdover, 0.007 + 50e-6*(math.MaxUint32-4*(1<<24)-2), 0.022},
		{
			"a poll interval of nothing",
			func(t *chrony.Tracking) { t.LastUpdateInterval = 0 },
			one(selected(math.MinInt16, 1002*second)), Assumptions{}, Holdover, 0.007 + 50e-6*(1000-4.0/128), 0.022,
		},

		// Without a selected source the reference time stands in.
		{"sources refused", same, nil, Assumptions{}, Synchronized, 0.007, 0.022},
		{
			"sources refused, reference time old",
			func(t *chrony.Tracking) { t.RefTime = now.Add(-1258 * second) },
			nil, Assumptions{}, Holdover, 0.057, 0.022,
		},
		{
			"all sources deleted, leap still normal",
			func(t *chrony.Tracking) { t.RefTime = now.Add(-1258 * second) },
			[]chrony.Source{}, Assumptions{}, Holdover, 0.057, 0.022,
		},
		{
			"a source selected, but never sampled",
			func(t *chrony.Tracking) { t.RefTime = now.Add(-1258 * second) },
			one(selected(6, chrony.Never)), Assumptions{}, Holdover, 0.057, 0.022,
		},
		{
			"reference time up to a second ahead",
			func(t *chrony.Tracking) { t.RefTime = now.Add(second) },
			nil, Assumptions{}, Synchronized, 0.007, 0.022,
		},
		{
			"reference time in the future: the clock was stepped back",
			func(t *chrony.Tracking) { t.RefTime = now.Add(1258 * second) },
			nil, Assumptions{}, Holdover, 0.057, 0.022,
		},
		{
			"reference time in the future, but the selected source is fresh",
			func(t *chrony.Tracking) { t.RefTime = now.Add(1258 * second) },
			one(selected(6, 3*second)), Assumptions{}, Synchronized, 0.007, 0.022,
		},
		{
			"reference time zero",
			func(t *chrony.Tracking) { t.RefTime = time.Time{} },
			nil, Assumptions{}, Holdover, inf, inf,
		},
		{
			"reference time in 1970",
			func(t *chrony.Tracking) { t.RefTime = time.Unix(0, 1) },
			nil, Assumptions{}, Holdover, 0.007 + 50e-6*(float64(now.Unix())-258), 0.022,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := Observation{Sources: test.sources, At: now}
			if test.tracking != nil {
				tracking := following()
				test.tracking(&tracking)
				o.Tracking = &tracking
			}
			e := Of(o, test.assume)
			if e.State != test.state {
				t.Errorf("state %v, want %v", e.State, test.state)
			}
			if !near(e.Bound, test.bound) {
				t.Errorf("bound %v, want %v: %+v", e.Bound, test.bound, e.Terms)
			}
			if !near(e.Error, test.error) {
				t.Errorf("error %v, want %v", e.Error, test.error)
			}
			if e.HasBound() && !near(e.Bound, e.Terms.Sum()) {
				t.Errorf("bound %v, terms %+v", e.Bound, e.Terms)
			}
		})
	}
}

func same(*chrony.Tracking) {}

// near allows for what is lost when seconds of decades are added to milliseconds.
func near(got, want float64) bool {
	return got == want || math.Abs(got-want) <= 1e-9*max(1, math.Abs(want))
}

// TestUntraced wants a reference clock of unknown error to be told.
func TestUntraced(t *testing.T) {
	server, phc := following(), following()
	phc.RefID, phc.Address = 0x50484330, chrony.Address{}
	for _, test := range []struct {
		name     string
		tracking chrony.Tracking
		assume   Assumptions
		want     bool
	}{
		{"server", server, Assumptions{}, false},
		{"reference clock", phc, Assumptions{}, true},
		{"reference clock with a known error", phc, Assumptions{ReferenceError: 1e-4}, false},
	} {
		if got := Of(Observation{Tracking: &test.tracking, At: now}, test.assume).Untraced; got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// TestContinuous crosses the beginning of holdover: the bound does not jump.
func TestContinuous(t *testing.T) {
	tracking := following()
	previous := 0.0
	for age := range 1000 {
		e := Of(Observation{Tracking: &tracking, Sources: one(selected(6, time.Duration(age)*second)), At: now}, Assumptions{})
		if age > 0 && (e.Bound < previous || e.Bound > previous+50.001e-6) {
			t.Errorf("at %d s from %v to %v", age, previous, e.Bound)
		}
		previous = e.Bound
	}
	if previous < 0.007+50e-6*700 {
		t.Errorf("the bound has not grown: %v", previous)
	}
}

// TestExtremes puts the extreme numbers of the wire everywhere. Whatever comes
// out, no bound is below one of its terms, and none is not a number.
func TestExtremes(t *testing.T) {
	most, least := math.Ldexp(1<<24-1, 63-25), math.Ldexp(1, -64-25)
	values := []float64{most, -most, least, -least, 0}
	for _, v := range values {
		for _, w := range values {
			for _, age := range []time.Duration{0, math.MaxUint32 * second, chrony.Never} {
				tracking := following()
				tracking.SystemTime, tracking.RootDelay, tracking.LastOffset = v, v, w
				tracking.RootDispersion, tracking.LastUpdateInterval = w, w
				for _, sources := range [][]chrony.Source{nil, one(selected(6, age))} {
					e := Of(Observation{Tracking: &tracking, Sources: sources, At: now}, Assumptions{MaxDrift: 1e6})
					for _, term := range []float64{math.Abs(v), math.Abs(w), e.Terms.Drift, 0} {
						if !(e.Bound >= term) {
							t.Errorf("%v, %v, %v: bound %v", v, w, age, e.Bound)
						}
					}
					if math.IsNaN(e.Error) {
						t.Errorf("%v, %v, %v: error %v", v, w, age, e.Error)
					}
				}
			}
		}
	}
}

func ExampleOf() {
	tracking := chrony.Tracking{
		Address: server, Stratum: 2, LastUpdateInterval: 64,
		SystemTime: -0.25, RootDispersion: 0.0005, RootDelay: 0.001,
	}
	source := chrony.Source{Address: server, State: chrony.StateSelected, Poll: 6, SampleAge: 12 * time.Second}
	e := Of(Observation{Tracking: &tracking, Sources: []chrony.Source{source}, At: time.Now()}, Assumptions{})
	fmt.Printf("%v, wrong by %v s at most\n", e.State, e.Bound)
	// Output: synchronized, wrong by 0.251 s at most
}
