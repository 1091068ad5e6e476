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

// following is a chronyd that follows a server at a poll interval of 64 s. Its own
// terms are 1 ms + 2 ms + 4 ms. Its last sample, 29 s ago, agrees with its estimate, ±
// 6 ms.
func following() Observation {
	return Observation{
		Tracking: &chrony.Tracking{
			RefID: 0xc0000201, Address: server, Stratum: 2, RefTime: now.Add(-29 * second),
			SystemTime: 0.001, RootDispersion: 0.002, RootDelay: 0.008,
			LastOffset: 0.016, LastUpdateInterval: 64,
		},
		Sources: []chrony.Source{{
			Address: server, State: chrony.StateSelected, Stratum: 1, Poll: 6, SampleAge: 29 * second,
			MeasuredOffset: 0.0005, OffsetError: 0.006,
		}},
		At: now,
	}
}

// judge sets the reference time by chronyd's own time. The clock is behind that time by
// the system time.
func judge(o Observation, assume Assumptions) Estimate {
	if t := o.Tracking; t != nil && !t.RefTime.IsZero() {
		t.RefTime = t.RefTime.Add(time.Duration(t.SystemTime * float64(second)))
	}
	return Of(o, assume)
}

// aged puts the last sample and the update the given seconds into the past.
func aged(o *Observation, seconds float64) {
	age := time.Duration(seconds * float64(second))
	o.Sources[0].SampleAge = age
	o.Tracking.RefTime = now.Add(-age)
}

// another appends a source whose last sample found the clock ahead by the offset, ± 0.1
// ms.
func another(o *Observation, state chrony.SourceState, age time.Duration, offset float64) {
	address := chrony.Address{IP: other.IP.Next()}
	for range o.Sources {
		address.IP = address.IP.Next()
	}
	o.Sources = append(o.Sources, chrony.Source{
		Address: address, State: state, Poll: 6, SampleAge: age,
		MeasuredOffset: offset, AdjustedOffset: offset, OffsetError: 0.0001,
	})
}

const second = time.Second

// drift is the drift at 10 ppm over an age in seconds, plus the second by which chronyd
// may have rounded the age down.
func drift(age float64) float64 { return 10e-6 * (age + 1) }

// holdoverDrift is the same at 50 ppm.
func holdoverDrift(age float64) float64 { return 50e-6 * (age + 1) }

func TestOf(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Observation, *Assumptions)
		state  State
		bound  float64
		error  float64
	}{
		{"following", func(*Observation, *Assumptions) {}, Synchronized, 0.007 + drift(29), 0.022},
		{"no answer", func(o *Observation, _ *Assumptions) { o.Tracking = nil }, Unreachable, inf, inf},
		{
			"never synchronized: 1 s of delay and of dispersion, whatever the truth is",
			func(o *Observation, _ *Assumptions) {
				o.Tracking = &chrony.Tracking{Leap: chrony.LeapNotSynchronized, RootDelay: 1, RootDispersion: 1}
			}, Unsynchronized, inf, inf,
		},
		{"leap alone", func(o *Observation, _ *Assumptions) { o.Tracking.Leap = chrony.LeapNotSynchronized }, Unsynchronized, inf, inf},
		{"stratum alone", func(o *Observation, _ *Assumptions) { o.Tracking.Stratum = 0 }, Unsynchronized, inf, inf},
		{"stratum 16", func(o *Observation, _ *Assumptions) { o.Tracking.Stratum = 16 }, Unsynchronized, inf, inf},
		{"leap of a later protocol", func(o *Observation, _ *Assumptions) { o.Tracking.Leap = 7 }, Unsynchronized, inf, inf},
		{
			"local: no delay, no dispersion, leap normal",
			func(o *Observation, _ *Assumptions) {
				o.Tracking = &chrony.Tracking{RefID: chrony.RefIDLocal, Stratum: 10, RefTime: now}
			}, Local, inf, inf,
		},
		{"a server with the local reference ID", func(o *Observation, _ *Assumptions) { o.Tracking.RefID = chrony.RefIDLocal }, Synchronized, 0.007 + drift(29), 0.022},
		{
			"two hours left to slew, and nothing in the last offset",
			func(o *Observation, _ *Assumptions) { o.Tracking.SystemTime, o.Tracking.LastOffset = 7495, 0.000008 },
			Synchronized, 7495.006 + drift(29), 0.006008,
		},
		{
			"a step of 5 s, done, and still in the last offset",
			func(o *Observation, _ *Assumptions) { o.Tracking.SystemTime, o.Tracking.LastOffset = 0, -5 },
			Synchronized, 0.006 + drift(29), 5.006,
		},
		{
			"a root delay below zero makes the bound no smaller",
			func(o *Observation, _ *Assumptions) { o.Tracking.RootDelay = -0.008 },
			Synchronized, 0.007 + drift(29), 0.014,
		},
		{
			"a first update, whose skew is 1,000,000 ppm",
			func(o *Observation, _ *Assumptions) { o.Tracking.Skew, o.Tracking.RootDispersion = 1e6, 29 },
			Synchronized, 0.007 + 30 + drift(29), 29.02,
		},
		{"a reference that may be 100 µs off", func(_ *Observation, a *Assumptions) { a.ReferenceError = 0.0001 }, Synchronized, 0.0071 + drift(29), 0.022},
		{"a reference of unknown error", func(_ *Observation, a *Assumptions) { a.ReferenceError = inf }, Synchronized, inf, 0.022},

		// The last sample.
		{
			"the sample found the clock where chronyd's estimate has it no longer",
			func(o *Observation, _ *Assumptions) { o.Sources[0].AdjustedOffset = -0.0002 },
			Synchronized, 0.0072 + drift(29), 0.022,
		},
		{
			"what is still to be slewed and what the sample found cancel out",
			func(o *Observation, _ *Assumptions) { o.Sources[0].AdjustedOffset = 0.0008 },
			Synchronized, 0.0062 + drift(29), 0.022, // hidden by chrony's own 7 ms below
		},
		{
			"chrony's own terms are larger",
			func(o *Observation, _ *Assumptions) { o.Tracking.RootDispersion = 0.5 },
			Synchronized, 0.505, 0.52,
		},
		{
			"the sample found a drift",
			func(o *Observation, _ *Assumptions) { o.Sources[0].MeasuredOffset = -0.0124 },
			Synchronized, 0.007 + drift(29) + 0.0124/64*30, 0.022,
		},
		{
			"the same over a longer update interval",
			func(o *Observation, _ *Assumptions) {
				o.Sources[0].MeasuredOffset, o.Tracking.LastUpdateInterval = -0.0124, 128
			},
			Synchronized, 0.007 + drift(29) + 0.0124/128*30, 0.022,
		},
		{"a quieter oscillator", func(_ *Observation, a *Assumptions) { a.MaxWander = 1 }, Synchronized, 0.007 + 1e-6*30, 0.022},

		// Holdover begins at 4·64 + 2 = 258 s here.
		{"at the limit", func(o *Observation, _ *Assumptions) { aged(o, 258) }, Synchronized, 0.007 + drift(258), 0.022},
		{"a second over it", func(o *Observation, _ *Assumptions) { aged(o, 259) }, Holdover, 0.007 + holdoverDrift(259), 0.022},
		{"an hour over it, with a better oscillator", func(o *Observation, a *Assumptions) { aged(o, 3858); a.MaxDrift = 20 }, Holdover, 0.007 + 20e-6*3859, 0.022},
		{"one that is said to drift less than it wanders", func(o *Observation, a *Assumptions) { aged(o, 3858); a.MaxDrift = 1 }, Holdover, 0.007 + drift(3858), 0.022},
		{
			"a dead selected source and a fresh one",
			func(o *Observation, _ *Assumptions) { aged(o, 1258); another(o, chrony.StateCombined, second, 0) },
			Holdover, 0.007 + holdoverDrift(1258), 0.022,
		},
		{
			"fresh samples that chronyd does not use: updates have stopped",
			func(o *Observation, _ *Assumptions) { aged(o, 1258); o.Sources[0].SampleAge = 0 },
			Holdover, 0.007 + holdoverDrift(0), 0.022,
		},
		{
			"no source is selected any more",
			func(o *Observation, _ *Assumptions) { o.Sources[0].State = chrony.StateNonselectable },
			Holdover, 0.007 + holdoverDrift(29), 0.022,
		},
		{
			"poll 10 with two lost replies",
			func(o *Observation, _ *Assumptions) {
				o.Sources[0].Poll, o.Tracking.LastUpdateInterval = 10, 1024
				aged(o, 3*1024)
			},
			Synchronized, 0.007 + drift(3*1024), 0.022,
		},
		{
			"poll 10 that fell silent: an hour is the latest",
			func(o *Observation, _ *Assumptions) { o.Sources[0].Poll = 10; aged(o, 3601) },
			Holdover, 0.007 + holdoverDrift(3601), 0.022,
		},
		{
			"poll 12 needs two polls",
			func(o *Observation, _ *Assumptions) { o.Sources[0].Poll = 12; aged(o, 8194) },
			Synchronized, 0.007 + drift(8194), 0.022,
		},
		{
			"filter 5: a sample each five polls, and none was seen yet",
			func(o *Observation, _ *Assumptions) { o.Tracking.LastUpdateInterval = 5 * 64; aged(o, 4*5*64) },
			Synchronized, 0.007 + drift(4*5*64), 0.022,
		},
		{
			"the same, and seen",
			func(o *Observation, _ *Assumptions) {
				o.Tracking.LastUpdateInterval, o.Intervals = 5*64, [3]float64{320, 320, 319}
				aged(o, 4*319)
			},
			Synchronized, 0.007 + drift(4*319), 0.022,
		},
		{
			"one answer after a long outage makes no long interval",
			func(o *Observation, _ *Assumptions) {
				o.Tracking.LastUpdateInterval, o.Intervals = 36000, [3]float64{36000, 64, 64}
				aged(o, 259)
			},
			Holdover, 0.007 + holdoverDrift(259), 0.022,
		},
		{
			"nor while fewer than three samples were seen",
			func(o *Observation, _ *Assumptions) {
				o.Tracking.LastUpdateInterval, o.Intervals = 36000, [3]float64{36000}
				aged(o, 259)
			},
			Holdover, 0.007 + holdoverDrift(259), 0.022,
		},
		{
			"a long update interval earns no more than 16 polls",
			func(o *Observation, _ *Assumptions) {
				o.Sources[0].Poll, o.Tracking.LastUpdateInterval = 3, 1e6
				aged(o, 4*16*8+3)
			},
			Holdover, 0.007 + holdoverDrift(4*16*8+3), 0.022,
		},
		{
			"right after a burst the update interval is shorter than a poll",
			func(o *Observation, _ *Assumptions) { o.Tracking.LastUpdateInterval = 0.3; aged(o, 64) },
			Synchronized, 0.007 + drift(64), 0.022,
		},
		{
			"an update interval below zero",
			func(o *Observation, _ *Assumptions) { o.Tracking.LastUpdateInterval = -1e18 },
			Synchronized, 0.007 + drift(29), 0.022,
		},

		// Without a sample, the bound is made of chronyd's own terms and its last
		// offset.
		{"sources refused", func(o *Observation, _ *Assumptions) { o.Sources = nil }, Synchronized, 0.007 + 0.016 + drift(29), 0.022},
		{
			"sources refused, RMS offset larger",
			func(o *Observation, _ *Assumptions) { o.Sources, o.Tracking.RMSOffset = nil, 0.017 },
			Synchronized, 0.007 + 0.017 + drift(29), 0.022,
		},
		{
			"sources refused, reference time old",
			func(o *Observation, _ *Assumptions) { aged(o, 1258); o.Sources = nil },
			Holdover, 0.023 + holdoverDrift(1258), 0.022,
		},
		{
			"all sources deleted, leap still normal",
			func(o *Observation, _ *Assumptions) { o.Sources = []chrony.Source{} },
			Holdover, 0.023 + holdoverDrift(29), 0.022,
		},
		{
			"a source selected, but reset after a step",
			func(o *Observation, _ *Assumptions) { o.Sources[0].SampleAge = chrony.Never },
			Synchronized, 0.023 + drift(29), 0.022,
		},
		{
			"reference time in the future: the clock was stepped back",
			func(o *Observation, _ *Assumptions) { o.Sources = nil; o.Tracking.RefTime = now.Add(1258 * second) },
			Holdover, 0.023 + holdoverDrift(1258), 0.022,
		},
		{
			"reference time up to a second ahead",
			func(o *Observation, _ *Assumptions) { o.Sources = nil; o.Tracking.RefTime = now.Add(second) },
			Synchronized, 0.023 + drift(1), 0.022,
		},
		{
			"reference time zero",
			func(o *Observation, _ *Assumptions) { o.Sources = nil; o.Tracking.RefTime = time.Time{} },
			Holdover, inf, inf,
		},

		// Steps and slews by other programs.
		{"set forward by 9 s since the last update", func(o *Observation, _ *Assumptions) { o.Steps = []Step{{9, 9, 5}} }, Synchronized, 8.999 + 0.006 + drift(29), 0.022},
		{"set back by 9 s: the age is too small by as much", func(o *Observation, _ *Assumptions) { o.Steps = []Step{{-9, -9, 5}} }, Synchronized, 9.001 + 0.006 + drift(38), 0.022},
		{"set by 9 s before or after the update", func(o *Observation, _ *Assumptions) { o.Steps = []Step{{0, 9, 5}} }, Synchronized, 8.999 + 0.006 + drift(29), 0.022},
		{
			"the same, but the step seems to correct what chronyd found",
			func(o *Observation, _ *Assumptions) { o.Steps, o.Tracking.SystemTime = []Step{{0, 5, 5}}, 5 },
			Synchronized, 5.006 + drift(29), 0.022,
		},
		{"set before a sample that chronyd ignored", func(o *Observation, _ *Assumptions) {
			o.Steps, o.Sources[0].AdjustedOffset = []Step{{-0.2, -0.2, 60}}, 0.4
			o.Tracking.SystemTime = -0.01
		}, Synchronized, 0.41 + 0.006 + drift(29), 0.022},
		{"set before and after the sample", func(o *Observation, _ *Assumptions) {
			o.Steps, o.Tracking.SystemTime = []Step{{5, 5, 100}, {-2, -2, 5}}, 0
		}, Synchronized, 3.006, 0.022},
		{"set at about the time of the sample", func(o *Observation, _ *Assumptions) { o.Steps = []Step{{9, 9, 30}} }, Synchronized, 8.999 + 0.006 + drift(29), 0.022},
		{"set, and nothing known before", func(o *Observation, _ *Assumptions) { o.StepUnknown = true }, Synchronized, inf, inf},
		{"slewed by another program", func(o *Observation, _ *Assumptions) { o.Slewed = 0.02 }, Synchronized, 0.027 + drift(29), 0.022},
	} {
		t.Run(test.name, func(t *testing.T) {
			o, assume := following(), Assumptions{}
			test.change(&o, &assume)
			e := judge(o, assume)
			if e.State != test.state {
				t.Errorf("state %v, want %v", e.State, test.state)
			}
			want := test.bound
			if o.Tracking != nil && !math.IsInf(want, 1) {
				want = max(want, math.Abs(o.Tracking.SystemTime)+o.Tracking.RootDispersion+math.Abs(o.Tracking.RootDelay)/2)
			}
			if !near(e.Bound, want) {
				t.Errorf("bound %v, want %v: %+v", e.Bound, want, e.Terms)
			}
			if !near(e.Error, test.error) {
				t.Errorf("error %v, want %v", e.Error, test.error)
			}
			if e.HasBound() && e.Bound != e.Terms.Sum() {
				t.Errorf("bound %v, terms %+v", e.Bound, e.Terms)
			}
		})
	}
}

// TestTerms checks that each cause has its own term.
func TestTerms(t *testing.T) {
	o := following()
	o.Sources[0].AdjustedOffset = -0.002
	o.Tracking.RootDispersion = 0.9
	e := judge(o, Assumptions{ReferenceError: 0.1})
	want := Terms{Offset: 0.003, Delay: 0.004, Dispersion: 0.002, Drift: drift(29), Reference: 0.1, Disagreement: 0.905 - 0.009 - drift(29)}
	got := e.Terms
	for name, seconds := range want.All() {
		for other, v := range got.All() {
			if other == name && !near(v, seconds) {
				t.Errorf("%s is %v, want %v", name, v, seconds)
			}
		}
	}
	if !near(e.Growth, 10e-6) || e.Approximate {
		t.Errorf("%+v", e)
	}
}

// TestFollowed checks that the source is the one that tracking names, even if none is
// selected.
func TestFollowed(t *testing.T) {
	clock := chrony.Source{State: chrony.StateJittery, Mode: chrony.ModeReferenceClock, RefID: 0x50484330, SampleAge: 3 * second}
	older := clock
	older.SampleAge = 5 * second
	phc := chrony.Tracking{RefID: 0x50484330}
	ntp := chrony.Tracking{RefID: 0xc0000201, Address: server}
	peer := chrony.Source{State: chrony.StateJittery, Address: server, Mode: chrony.ModePeer, SampleAge: second}
	selected := chrony.Source{Address: other, State: chrony.StateSelected, SampleAge: 2 * second}
	never := selected
	never.SampleAge = chrony.Never
	for _, test := range []struct {
		name     string
		tracking chrony.Tracking
		sources  []chrony.Source
		age      time.Duration // of the wanted sample; 0 for none
	}{
		{"the selected one", ntp, []chrony.Source{peer, selected}, 2 * second},
		{"the selected one has no sample", ntp, []chrony.Source{peer, never}, 0},
		{"the one with tracking's address", ntp, []chrony.Source{clock, peer}, second},
		{"of two reference clocks the older sample", phc, []chrony.Source{clock, older, clock}, 5 * second},
		{"a server is no reference clock", phc, []chrony.Source{peer}, 0},
		{"none", ntp, nil, 0},
	} {
		got := time.Duration(0)
		if f := Followed(&test.tracking, test.sources); f != nil {
			got = f.SampleAge
		}
		if got != test.age {
			t.Errorf("%s: of %v, want %v", test.name, got, test.age)
		}
	}
}

// TestOthers adds sources that disagree with the followed one. Most lines give the
// error that these sources measure.
func TestOthers(t *testing.T) {
	const own = 0.007 + 10e-6*301         // the bound without others
	far := func(offset float64) float64 { // of a sample of 5 s
		return offset - 0.001 + 0.0001 + (10e-6+offset/64)*6
	}
	for _, test := range []struct {
		name   string
		change func(*Observation, *Assumptions)
		state  State
		bound  float64
	}{
		{"one is no majority", func(o *Observation, _ *Assumptions) {
			another(o, chrony.StateFalseticker, 5*second, 0.5)
		}, Synchronized, own},
		{"two of three", func(o *Observation, _ *Assumptions) {
			another(o, chrony.StateFalseticker, 5*second, 0.5)
			another(o, chrony.StateFalseticker, 5*second, 0.4)
		}, Contradicted, far(0.5)},
		{"two of four", func(o *Observation, _ *Assumptions) {
			another(o, chrony.StateFalseticker, 5*second, 0.5)
			another(o, chrony.StateFalseticker, 5*second, 0.4)
			another(o, chrony.StateCombined, 5*second, 0)
		}, Synchronized, own},
		{"two that are beyond the bound, but not by far", func(o *Observation, _ *Assumptions) {
			another(o, chrony.StateSelectable, 5*second, 0.020)
			another(o, chrony.StateSelectable, 5*second, 0.019)
		}, Synchronized, far(0.020)},
		{"two that know nothing newer than chronyd's update does", func(o *Observation, _ *Assumptions) {
			o.Tracking.RefTime = now.Add(-7 * second)
			another(o, chrony.StateFalseticker, 5*second, 0.5)
			another(o, chrony.StateFalseticker, 5*second, 0.5)
		}, Synchronized, own},
		{"two that are four polls old", func(o *Observation, _ *Assumptions) {
			o.Sources[0].Poll = 10
			aged(o, 300)
			another(o, chrony.StateFalseticker, 256*second, 0.5)
			another(o, chrony.StateFalseticker, 256*second, 0.5)
		}, Synchronized, own},
		{"two that were never sampled", func(o *Observation, _ *Assumptions) {
			another(o, chrony.StateFalseticker, chrony.Never, 0.5)
			another(o, chrony.StateFalseticker, chrony.Never, 0.5)
		}, Synchronized, own},
		{"two witnesses that are not to be selected (noselect)", func(o *Observation, _ *Assumptions) {
			another(o, chrony.StateNonselectable, 5*second, 0.5)
			another(o, chrony.StateNonselectable, 5*second, 0.5)
		}, Contradicted, far(0.5)},
		{"the same with a clock that is not traced to UTC", func(o *Observation, _ *Assumptions) {
			o.Tracking.Address, o.Tracking.RefID = chrony.Address{}, 0x50484330
			another(o, chrony.StateNonselectable, 5*second, 0.5)
			another(o, chrony.StateNonselectable, 5*second, 0.5)
		}, Synchronized, own},
		{"the same where the reference's error is known", func(o *Observation, a *Assumptions) {
			o.Tracking.Address, o.Tracking.RefID = chrony.Address{}, 0x50484330
			a.ReferenceError = 0.01
			another(o, chrony.StateNonselectable, 5*second, 0.5)
			another(o, chrony.StateNonselectable, 5*second, 0.5)
		}, Contradicted, far(0.5)},
		{"all three have jumped by an hour, and chronyd takes none (a paused machine)", func(o *Observation, _ *Assumptions) {
			o.Sources[0].State, o.Sources[0].SampleAge = chrony.StateJittery, 5*second
			o.Sources[0].MeasuredOffset, o.Sources[0].AdjustedOffset = -3600, -3600
			another(o, chrony.StateJittery, 5*second, -3600)
			another(o, chrony.StateJittery, 5*second, -3600)
		}, Contradicted, 3600.001 + 0.006 + 3600.0/64*6},
		{"the followed one has moved by 0.6 s, and chronyd ignores it (maxchange)", func(o *Observation, _ *Assumptions) {
			o.Sources[0].SampleAge, o.Sources[0].MeasuredOffset, o.Sources[0].AdjustedOffset = 63*second, 0.6, 0.6
		}, Contradicted, 0.599 + 0.006 + 0.6 + holdoverDrift(63)},
	} {
		t.Run(test.name, func(t *testing.T) {
			o, assume := following(), Assumptions{}
			o.Sources[0].Poll, o.Tracking.LastUpdateInterval = 10, 64
			aged(&o, 300)
			test.change(&o, &assume)
			if o.Sources[0].SampleAge < 100*second {
				o.Sources[0].Poll = 6
			}
			e := judge(o, assume)
			if e.State != test.state || math.Abs(e.Bound-test.bound) > 0.001*test.bound {
				t.Errorf("%v, %v; want %v, %v: %+v", e.State, e.Bound, test.state, test.bound, e.Terms)
			}
		})
	}
}

// TestServerLocal checks that the estimate reports a server that follows its own clock.
func TestServerLocal(t *testing.T) {
	o := following()
	o.Sources[0].NTP = &chrony.NTPData{RefID: chrony.RefIDLocal}
	if e := judge(o, Assumptions{}); !e.ServerLocal || !e.Untraced || e.State != Synchronized {
		t.Errorf("as the source says: %+v", e)
	}
	o = following()
	if e := judge(o, Assumptions{}); e.ServerLocal || e.Untraced {
		t.Errorf("without a server that reports it: %+v", e)
	}
	o.ServerLocal = true
	if e := judge(o, Assumptions{ReferenceError: 1}); !e.ServerLocal || !e.Untraced {
		t.Errorf("as was known before: %+v", e)
	}
}

// near allows for the rounding when decades in seconds are added to milliseconds.
func near(got, want float64) bool {
	return got == want || math.Abs(got-want) <= 1e-9*max(1, math.Abs(want))
}

// TestUntraced checks that the estimate reports a reference clock with an unknown
// error.
func TestUntraced(t *testing.T) {
	server, phc := *following().Tracking, *following().Tracking
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

// TestGrows checks that the bound grows as Growth says, and jumps once, when holdover
// begins.
func TestGrows(t *testing.T) {
	previous := Estimate{}
	for age := range 1000 {
		o := following()
		aged(&o, float64(age))
		e := judge(o, Assumptions{})
		if grown := e.Bound - previous.Bound; age > 0 && e.State == previous.State && !near(grown, previous.Growth) {
			t.Errorf("at %d s by %v, want %v", age, grown, previous.Growth)
		}
		if e.State == Holdover && previous.State == Synchronized && !near(e.Terms.Drift, holdoverDrift(259)) {
			t.Errorf("holdover begins with %+v", e.Terms)
		}
		previous = e
	}
}

// TestExtremes puts the extreme numbers of the protocol into every field. No bound may
// be below one of its terms, and none may be NaN.
func TestExtremes(t *testing.T) {
	most, least := math.Ldexp(1<<24-1, 63-25), math.Ldexp(1, -64-25)
	values := []float64{most, -most, least, -least, 0}
	for _, v := range values {
		for _, w := range values {
			for _, age := range []time.Duration{0, math.MaxUint32 * second, chrony.Never} {
				tracking := *following().Tracking
				tracking.SystemTime, tracking.RootDelay, tracking.LastOffset = v, v, w
				tracking.RootDispersion, tracking.LastUpdateInterval = w, w
				for _, sources := range [][]chrony.Source{nil, following().Sources, {
					{Address: server, SampleAge: age, MeasuredOffset: w, AdjustedOffset: v, OffsetError: w},
					{Address: other, SampleAge: age, MeasuredOffset: v, AdjustedOffset: w, OffsetError: v},
				}} {
					e := Of(Observation{Tracking: &tracking, Sources: sources, At: now, Steps: []Step{{0, v, 1}}}, Assumptions{MaxDrift: 1e6})
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
	source := chrony.Source{
		Address: server, State: chrony.StateSelected, Poll: 6, SampleAge: 12 * time.Second,
		AdjustedOffset: 0.0001, OffsetError: 0.0007,
	}
	at := time.Now()
	tracking.RefTime = at.Add(-source.SampleAge - 250*time.Millisecond)
	e := Of(Observation{Tracking: &tracking, Sources: []chrony.Source{source}, At: at}, Assumptions{})
	fmt.Printf("%v, at most %v off\n", e.State, Format(e.Bound))
	// Output: synchronized, at most 251 ms off
}

// TestWitnesses checks what witnesses do to the estimate.
func TestWitnesses(t *testing.T) {
	plain := judge(following(), Assumptions{})
	for _, test := range []struct {
		name      string
		change    func(*Observation)
		witnesses []Testimony
		state     State
		bound     float64
	}{
		{"none", nil, nil, Synchronized, plain.Bound},
		{"a dispute raises the bound", nil, []Testimony{{Far: 0.3}}, Synchronized, 0.3},
		{"a settled one changes the state, too", nil, []Testimony{{Far: 0.3, Settled: true}}, Contradicted, 0.3},
		{"the largest counts", nil, []Testimony{{Far: 0.3, Settled: true}, {Far: 0.5}}, Contradicted, 0.5},
		{"none lowers the bound", nil, []Testimony{{Far: plain.Bound / 2, Settled: true}}, Contradicted, plain.Bound},
		{"in holdover", func(o *Observation) { aged(o, 1000) }, []Testimony{{Far: 30, Settled: true}}, Contradicted, 30},
		{"without a bound", func(o *Observation) { o.Tracking = nil }, []Testimony{{Far: 30, Settled: true}}, Unreachable, inf},
		{"after a step of unknown size", func(o *Observation) { o.StepUnknown = true }, []Testimony{{Far: 30, Settled: true}}, Synchronized, inf},
	} {
		o := following()
		if test.change != nil {
			test.change(&o)
		}
		own := judge(o, Assumptions{})
		o = following()
		if test.change != nil {
			test.change(&o)
		}
		o.Witnesses = test.witnesses
		e := judge(o, Assumptions{})
		if e.State != test.state || !near(e.Bound, test.bound) {
			t.Errorf("%s: %v, bound %v; want %v, %v", test.name, e.State, e.Bound, test.state, test.bound)
		}
		if e.OwnState != own.State || e.OwnBound != own.Bound {
			t.Errorf("%s: its own are %v, %v; want %v, %v", test.name, e.OwnState, e.OwnBound, own.State, own.Bound)
		}
		if e.HasBound() && !near(e.Terms.Sum(), e.Bound) {
			t.Errorf("%s: the terms make %v", test.name, e.Terms.Sum())
		}
	}
}

// TestExcludes checks the ends of a measurement, and what contradicts a limit.
func TestExcludes(t *testing.T) {
	for _, test := range []struct {
		offset, uncertainty, limit float64
		near, far                  float64
		excludes                   bool
	}{
		{0.3, 0.1, 0.1, 0.2, 0.4, true},
		{-0.3, 0.1, 0.1, 0.2, 0.4, true},
		{-0.3, 0.1, 0.2, 0.2, 0.4, false},
		{0.1, 0.3, 0, 0, 0.4, false},
		{0.3, 0.1, inf, 0.2, 0.4, false},
	} {
		m := Measured(test.offset, test.uncertainty)
		if !near(m.Near, test.near) || !near(m.Far, test.far) || m.Excludes(test.limit+1e-12) != test.excludes {
			t.Errorf("%+v: %+v", test, m)
		}
	}
}

func TestIsMajority(t *testing.T) {
	for _, test := range []struct {
		beyond, voters int
		want           bool
	}{{0, 0, false}, {1, 1, false}, {1, 2, false}, {2, 2, true}, {2, 3, true}, {2, 4, false}, {4, 8, false}, {5, 8, true}} {
		if got := IsMajority(test.beyond, test.voters); got != test.want {
			t.Errorf("%d of %d: %v", test.beyond, test.voters, got)
		}
	}
}
