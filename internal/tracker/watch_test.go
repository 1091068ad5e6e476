package tracker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/objective"
)

// A simulation is a simulated machine with a simulated chronyd. It has its own time.
type simulation struct {
	*watch
	mu   sync.Mutex
	time Instant
	k    Kernel
	set  chan error

	tracking chrony.Tracking
	source   chrony.Source
	ntp      *chrony.NTPData
	manual   bool          // chronyd updates the clock when the test says so, not at each poll
	err      error         // of chronyd
	takes    time.Duration // chronyd to answer

	whileAsked func(*simulation) // happens while chronyd is asked; nothing if nil
	asked      []chrony.Want
}

var begin = time.Date(2026, 11, 2, 3, 4, 5, 0, time.UTC)

func simulate(t testing.TB, objectives ...objective.Objective) *simulation {
	t.Helper()
	address := chrony.Address{IP: netip.MustParseAddr("192.0.2.1")}
	s := &simulation{
		time:     Instant{Real: begin.UnixNano(), Boot: 5e9, Mono: 4e9, Raw: 3e9},
		k:        Kernel{Synchronized: true},
		set:      make(chan error),
		tracking: chrony.Tracking{RefID: 0xc0000201, Address: address, Stratum: 2, RootDispersion: 0.001, LastUpdateInterval: 64},
		source:   chrony.Source{Address: address, State: chrony.StateSelected, Poll: 6},
	}
	config := WatchConfig{Interval: time.Second, History: time.Hour, Objectives: objectives, Clocks: s}
	// Without a wander, so that the bounds are round numbers.
	w, err := newWatch(config, time.Second, newSampler(s.report, time.Second, clockerror.Assumptions{MaxWander: 1e-6}), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.watch = w
	return s
}

func (s *simulation) Read() (Instant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.time, nil
}
func (s *simulation) Kernel() (Kernel, error) { return s.k, nil }
func (s *simulation) AwaitSet() error         { return <-s.set }
func (s *simulation) Close() error            { close(s.set); return nil }

func (s *simulation) report(_ context.Context, want chrony.Want) (*chrony.Report, error) {
	s.asked = append(s.asked, want)
	s.pass(s.takes)
	if s.whileAsked != nil {
		s.whileAsked(s)
	}
	if s.err != nil {
		return nil, s.err
	}
	if !s.manual {
		poll := time.Duration(math.Ldexp(1, int(s.source.Poll))) * time.Second
		s.source.SampleAge = s.time.time().Sub(begin) % poll
		s.tracking.RefTime = s.time.time().Add(-s.source.SampleAge)
	}
	tracking := s.tracking
	report := &chrony.Report{At: s.time.time(), Address: "127.0.0.1:323", Tracking: &tracking}
	if want&chrony.WantSources != 0 {
		report.Sources, report.SameUpdate = []chrony.Source{s.source}, true
		if want&chrony.WantNTPData != 0 {
			report.Sources[0].NTP = s.ntp
		}
	}
	return report, nil
}

// pass advances the time.
func (s *simulation) pass(d time.Duration) { s.slew(d, 0) }

// slew advances the time while the clock runs faster.
func (s *simulation) slew(d time.Duration, ppm float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	steered := int64(d) + int64(float64(d)*ppm*1e-6)
	s.time.Real += steered
	s.time.Boot += steered
	s.time.Mono += steered
	s.time.Raw += int64(d)
}

// step sets the clock without a report from the kernel.
func (s *simulation) step(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.time.Real += int64(d)
}

// sleep suspends the machine.
func (s *simulation) sleep(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.time.Real += int64(d)
	s.time.Boot += int64(d)
}

// sample takes the sample that is due now.
func (s *simulation) sample() { s.tick(context.Background(), time.Now()) }

// run takes a sample each second.
func (s *simulation) run(samples int) {
	for range samples {
		s.pass(time.Second)
		s.sample()
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-6*max(1, math.Abs(want)) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

var errRefused = fmt.Errorf("%w: %w", chrony.ErrNoAnswer, syscall.ECONNREFUSED)

// TestSeconds checks that each second counts in one state, and that no unobserved
// second counts as good.
func TestSeconds(t *testing.T) {
	s := simulate(t, objective.Objective{Name: "loose", Limit: 1}, objective.Objective{Name: "tight", Limit: 1e-6})
	s.sample()
	s.run(60)
	s.err = errRefused
	s.run(10)
	s.err = nil
	s.run(5)
	s.pass(1400 * time.Millisecond) // late
	s.sample()
	s.pass(600 * time.Millisecond)
	s.sample()
	s.pass(30 * time.Second) // starved
	s.sample()
	s.sleep(time.Hour)
	s.pass(time.Second)
	s.sample()
	s.tracking.Leap = chrony.LeapNotSynchronized
	s.run(3)

	found := s.watched()
	near(t, "synchronized", found.StateSeconds[clockerror.Synchronized], 60+5+2+1+1)
	near(t, "unreachable", found.StateSeconds[clockerror.Unreachable], 10)
	near(t, "unsynchronized", found.StateSeconds[clockerror.Unsynchronized], 3)
	near(t, "unobserved", found.Unobserved, 29+3600)
	total := 60 + 10 + 5 + 2 + 30 + 3601 + 3.0
	near(t, "loose, all", found.Objectives[0].Total, total)
	near(t, "loose, good", found.Objectives[0].Good, 69)
	near(t, "tight, all", found.Objectives[1].Total, total)
	near(t, "tight, good", found.Objectives[1].Good, 0)
	near(t, "asleep", found.Sleeps.Total, 3600)
	if found.Samples != 1+60+10+5+2+1+1+3 || found.State != clockerror.Unsynchronized || !found.StateSince.Equal(begin.Add(3709*time.Second)) {
		t.Errorf("%d samples, %v since %v", found.Samples, found.State, found.StateSince)
	}
	if found.Steps.Count != 0 {
		t.Errorf("steps: %+v", found.Steps)
	}
}

// TestStarvedInTheExchange lets the program run too late for chronyd's answer. This
// must not count as a failure of chronyd.
func TestStarvedInTheExchange(t *testing.T) {
	s := simulate(t)
	s.run(3)
	s.takes, s.err = 5*time.Second, context.DeadlineExceeded
	s.run(1)
	s.takes, s.err = time.Second, context.DeadlineExceeded // it hangs until the timeout
	s.sample()
	found := s.watched()
	near(t, "unreachable", found.StateSeconds[clockerror.Unreachable], 1)
	near(t, "unobserved", found.Unobserved, 5)

	s.takes, s.err = time.Hour, nil // an answer from before a sleep
	s.sample()
	if got := s.watched(); got.Samples != found.Samples {
		t.Error("what chronyd said an hour ago was taken in")
	}
}

// TestSleepIsNotGood suspends a machine for less time than a missed tick takes.
func TestSleepIsNotGood(t *testing.T) {
	s := simulate(t, objective.Objective{Name: "loose", Limit: 1})
	s.sample()
	s.pass(700 * time.Millisecond)
	s.sleep(500 * time.Millisecond)
	s.sample()
	found := s.watched()
	near(t, "good", found.Objectives[0].Good, 0.7)
	near(t, "unobserved", found.Unobserved, 0.5)
}

// TestLate checks delays just below and above a missed tick.
func TestLate(t *testing.T) {
	for late, unobserved := range map[time.Duration]float64{1490 * time.Millisecond: 0, 1510 * time.Millisecond: 0.51} {
		s := simulate(t)
		s.sample()
		s.pass(late)
		s.sample()
		near(t, late.String(), s.watched().Unobserved, unobserved)
	}
}

// TestForeignStep sets the clock. chronyd does not know it until its next update, and
// then sets the clock itself.
func TestForeignStep(t *testing.T) {
	s := simulate(t, objective.Objective{Name: "tight", Limit: 0.05})
	s.manual = true
	s.tracking.RefTime = begin.Add(-time.Second)
	s.run(10)
	s.step(5 * time.Second)
	s.run(10)
	s.step(-2 * time.Second)
	s.run(1)
	near(t, "the bound after two steps", s.now().Bound, 3.001+1.5*50e-6)
	found := s.watched()
	near(t, "good", found.Objectives[0].Good, 10)
	near(t, "the largest bound", found.Windows[0].Bound, 5.001)

	s.tracking.RefTime, s.tracking.SystemTime = begin.Add(time.Minute), -3 // chronyd has measured the step
	s.run(1)
	near(t, "the bound, found", s.now().Bound, 3.001+1.5*50e-6)
	s.step(-3 * time.Second) // and corrects it
	s.tracking.RefTime, s.tracking.SystemTime = begin.Add(57*time.Second), 0
	s.run(1)
	near(t, "the bound, corrected", s.now().Bound, 0.001+1.5*50e-6)
}

// TestJumpIsNoRestart makes the clock jump, so that chronyd resets its update interval.
func TestJumpIsNoRestart(t *testing.T) {
	s := simulate(t)
	s.run(2)
	s.sleep(time.Hour)
	s.tracking.LastUpdateInterval = 0
	s.run(2)
	s.tracking.LastUpdateInterval = 64
	s.run(2)
	if n := s.watched().Events[ChronydRestarted]; n != 0 {
		t.Errorf("restarted %d times", n)
	}
	s.tracking.LastUpdateInterval = 0
	s.run(2)
	if n := s.watched().Events[ChronydRestarted]; n != 1 {
		t.Errorf("restarted %d times", n)
	}
}

// TestWindows looks back one and five minutes, to the second.
func TestWindows(t *testing.T) {
	s := simulate(t)
	s.sample()
	check := func(when string, want ...float64) {
		t.Helper()
		for i, w := range s.watched().Windows {
			near(t, fmt.Sprintf("%s, the largest bound of %v", when, w.Length), w.Bound, want[2*i])
			near(t, fmt.Sprintf("%s, without a bound in %v", when, w.Length), w.Without, want[2*i+1])
		}
	}
	s.run(9)
	check("at first", 0.001, 0, 0.001, 0)
	s.tracking.RootDispersion = 0.201
	s.run(1)
	s.tracking.RootDispersion = 0.001
	s.err = errRefused
	s.run(2)
	s.err = nil
	s.run(57)
	check("59 s after it", 0.201, 2, 0.201, 2)
	s.run(1)
	check("60 s after it", 0.001, 2, 0.201, 2)
	s.run(1)
	check("61 s after it", 0.001, 1, 0.201, 2)
	s.run(1)
	check("62 s after it", 0.001, 0, 0.201, 2)
	s.run(237)
	check("299 s after it", 0.001, 0, 0.201, 2)
	s.run(1)
	check("300 s after it", 0.001, 0, 0.001, 2)
	s.sleep(20 * time.Second)
	s.run(1)
	check("after a sleep", 0.001, 20, 0.001, 20)
	s.err = errRefused
	s.run(60)
	for i, w := range s.watched().Windows {
		if w.HasBound() != (i == 1) {
			t.Errorf("%v without a bound: %+v", time.Minute, w)
		}
	}
}

// TestWindowFigure checks the maximum of chrony_clock_error_ms with a last offset that
// is not in the bound.
func TestWindowFigure(t *testing.T) {
	s := simulate(t)
	s.tracking.LastOffset = -0.5
	s.run(1)
	s.tracking.LastOffset = 0
	s.run(1)
	near(t, "the largest error", s.watched().Windows[0].Error, 0.501)
}

// TestSumOfSteps checks that a step and one back add up, where the last one alone would
// hide the first.
func TestSumOfSteps(t *testing.T) {
	s := simulate(t)
	s.sample()
	for _, size := range []time.Duration{time.Second, -time.Second, 20 * time.Microsecond} {
		s.step(size)
		s.run(1)
	}
	if got := s.watched().Steps; got.Count != 3 || math.Abs(got.Sum-2) > 0.0001 {
		t.Errorf("%d steps, in sum %v s", got.Count, got.Sum)
	}
}

// TestStepAndSlew checks that steps and slews are distinguished.
func TestStepAndSlew(t *testing.T) {
	const step = 40 * time.Millisecond
	for _, test := range []struct {
		name     string
		happens  func(*simulation)
		steps    uint64
		size     float64
		steering float64
		slept    float64
	}{
		{"nothing", func(s *simulation) { s.run(10) }, 0, 0, 0, 0},
		{"a step", func(s *simulation) { s.step(step); s.run(1) }, 1, 0.04, 0, 0},
		{"a step back", func(s *simulation) { s.step(-step); s.run(1) }, 1, -0.04, 0, 0},
		{"a step that the kernel reports", func(s *simulation) { s.step(step); s.look(true); s.run(1) }, 1, 0.04, 0, 0},
		{"a step that it reports late", func(s *simulation) { s.step(step); s.sample(); s.look(true); s.run(1) }, 1, 0.04, 0, 0},
		{"two steps", func(s *simulation) { s.step(time.Hour); s.run(1); s.step(step); s.run(1) }, 2, 0.04, 0, 0},
		{"a setting to the same", func(s *simulation) { s.look(true); s.run(1) }, 1, 0, 0, 0},
		{"noise", func(s *simulation) { s.step(9 * time.Microsecond); s.run(1) }, 0, 0, 0, 0},
		{"a step as small that it reports", func(s *simulation) { s.step(9 * time.Microsecond); s.look(true) }, 1, 9e-6, 0, 0},
		{"a slew", func(s *simulation) { s.slew(480*time.Millisecond, 83_333); s.run(1) }, 0, 0, 0.04, 0},
		{"a slew back", func(s *simulation) { s.slew(480*time.Millisecond, -83_333); s.run(1) }, 0, 0, -0.04, 0},
		{"both", func(s *simulation) { s.slew(480*time.Millisecond, 83_333); s.step(step); s.run(1) }, 1, 0.04, 0.04, 0},
		{"a suspension", func(s *simulation) { s.sleep(time.Minute); s.run(1) }, 0, 0, 0, 60},
		{"a suspension, and the kernel's word on waking", func(s *simulation) { s.sleep(time.Minute); s.look(true) }, 0, 0, 0, 60},
		{"the same, late", func(s *simulation) { s.sleep(time.Minute); s.sample(); s.look(true) }, 0, 0, 0, 60},
		{"a step while asleep", func(s *simulation) { s.sleep(time.Minute); s.step(step); s.look(true) }, 1, 0.04, 0, 60},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := simulate(t)
			s.sample()
			test.happens(s)
			found := s.watched()
			if found.Steps.Count != test.steps {
				t.Errorf("%d steps, want %d", found.Steps.Count, test.steps)
			}
			for what, v := range map[string][2]float64{
				"the size":     {found.Steps.Last, test.size},
				"the steering": {found.Steering, test.steering},
				"the sleep":    {found.Sleeps.Total, test.slept},
			} {
				if math.Abs(v[0]-v[1]) > 0.0001 {
					t.Errorf("%s is %v, want %v", what, v[0], v[1])
				}
			}
		})
	}
}

// TestFrequencyMismatch lets another program change the kernel's frequency.
func TestFrequencyMismatch(t *testing.T) {
	s := simulate(t)
	s.run(100)
	s.k.Frequency = 1.5
	s.run(59)
	if s.watched().ForeignDiscipline {
		t.Error("after 59 samples")
	}
	s.tracking.SystemTime = 0.01 // chronyd itself is slewing
	s.run(1)
	s.tracking.SystemTime = 0
	s.run(59)
	if s.watched().ForeignDiscipline {
		t.Error("after 59 samples that follow a slew")
	}
	s.run(1)
	if found := s.watched(); !found.ForeignDiscipline || found.Events[ForeignDiscipline] != 1 {
		t.Errorf("not after 60 samples: %+v", found)
	}
	s.k.Frequency = 0.5
	s.run(1)
	if s.watched().ForeignDiscipline {
		t.Error("after it went")
	}
}

// TestEvents causes every kind of event.
func TestEvents(t *testing.T) {
	s := simulate(t)
	phc := chrony.Tracking{RefID: 0x50484330, Stratum: 1, LastUpdateInterval: 8}
	unsynchronized := chrony.Tracking{Leap: chrony.LeapNotSynchronized, RootDelay: 1, RootDispersion: 1}
	at := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
	s.run(1)
	s.tracking = phc
	s.run(1)
	s.err = errRefused
	s.run(2)
	s.err, s.tracking = nil, unsynchronized
	s.run(1)
	s.tracking = phc
	s.run(1)
	s.tracking.LastUpdateInterval = 0 // restarted between two samples
	s.run(1)
	s.err = context.DeadlineExceeded // it only hangs
	s.run(1)
	s.err = nil
	s.run(1)
	s.step(time.Second)
	s.run(1)
	s.sleep(5 * time.Second)
	s.run(1)

	want := []Event{
		{at(2), SourceChanged, "192.0.2.1", "PHC0", 0},
		{at(3), StateChanged, "synchronized", "unreachable", 0},
		{at(5), ChronydRestarted, "", "", 0},
		{at(5), SourceChanged, "PHC0", "none", 0},
		{at(5), LeapStatusChanged, "Normal", "Not synchronised", 0},
		{at(5), StateChanged, "unreachable", "unsynchronized", 0},
		{at(6), SourceChanged, "none", "PHC0", 0},
		{at(6), LeapStatusChanged, "Not synchronised", "Normal", 0},
		{at(6), StateChanged, "unsynchronized", "synchronized", 0},
		{at(7), ChronydRestarted, "", "", 0},
		{at(8), StateChanged, "synchronized", "unreachable", 0},
		{at(9), StateChanged, "unreachable", "synchronized", 0},
		{at(11), ClockStepped, "", "", 1},
		{at(17), Suspended, "", "", 5},
	}
	if got := s.latestEvents(); !slices.Equal(got, want) {
		t.Errorf("events\n%v, want\n%v", got, want)
	}
	counts := s.watched().Events
	for _, kind := range EventKinds {
		n := 0
		for _, event := range want {
			if event.Kind == kind {
				n++
			}
		}
		if got, found := counts[kind]; got != uint64(n) || !found {
			t.Errorf("%s: %d, want %d", kind, got, n)
		}
	}
	for range 200 {
		s.step(time.Second)
		s.run(1)
	}
	if got := s.latestEvents(); len(got) != 100 || got[99].Kind != ClockStepped || got[99].At.Before(got[0].At) {
		t.Errorf("%d events, %v", len(got), got[len(got)-1])
	}
}

// TestSources checks that the sources are read when they may have changed, and not more
// often.
func TestSources(t *testing.T) {
	s := simulate(t)
	ask := func(samples int) (sources int) {
		s.asked = nil
		s.run(samples)
		for _, want := range s.asked {
			if want&chrony.WantSources != 0 {
				sources++
			}
		}
		return sources
	}
	if got := ask(1); got != 2 { // and one request whether the server follows its own clock
		t.Errorf("first: %d", got)
	}
	if got := ask(100); got < 10 || got > 13 {
		t.Errorf("in 100 s: %d", got)
	}
	s.tracking.RefID++
	if got := ask(1); got != 2 {
		t.Errorf("another reference: %d", got)
	}
	s.err = errRefused
	ask(3)
	s.err = nil
	if got := ask(1); got != 1 {
		t.Errorf("chronyd is back: %d", got)
	}
	s.manual, s.source.SampleAge = true, 65*time.Second // more than a poll
	ask(10)
	if got := ask(10); got != 10 {
		t.Errorf("a late sample: %d of 10", got)
	}
}

// TestHoldoverBetweenSources checks that a source's silence is noticed in the right
// second, although the sources are read less often.
func TestHoldoverBetweenSources(t *testing.T) {
	s := simulate(t)
	s.source.Poll, s.manual = 0, true // holdover begins at 4 + 2 s
	s.tracking.LastUpdateInterval = 1
	s.tracking.RefTime = begin
	s.run(1)
	for age := 1; age <= 5; age++ {
		s.source.SampleAge = time.Duration(age) * time.Second
		s.tracking.RefTime = s.time.time()
		s.run(1)
		if state := s.watched().State; state != clockerror.Synchronized {
			t.Errorf("at %d s: %v", age, state)
		}
	}
	s.source.SampleAge = 7 * time.Second
	s.run(1)
	if state := s.watched().State; state != clockerror.Holdover {
		t.Errorf("at 7 s: %v", state)
	}
}

// TestNow checks that the bound holds until the answer expires, and that there is none
// when nothing confirms the clock.
func TestNow(t *testing.T) {
	s := simulate(t)
	if got := s.now(); got.Observed || !math.IsInf(got.Bound, 1) {
		t.Errorf("before the first sample: %+v", got)
	}
	s.run(1)
	s.pass(300 * time.Millisecond)
	got := s.now()
	at := begin.Add(1300 * time.Millisecond)
	if !got.Observed || got.State != clockerror.Synchronized || !got.At.Equal(at) || !got.Until.Equal(at.Add(1200*time.Millisecond)) {
		t.Errorf("%+v", got)
	}
	near(t, "the bound", got.Bound, 0.001+1.5*50e-6)
	s.step(-time.Minute)
	if got := s.now(); !math.IsInf(got.Bound, 1) {
		t.Errorf("after a step: %+v", got)
	}
	s.run(1)
	if got := s.now(); math.IsInf(got.Bound, 1) {
		t.Errorf("after the next sample: %+v", got)
	}
	s.pass(1500 * time.Millisecond)
	if got := s.now(); got.Observed || !math.IsInf(got.Bound, 1) {
		t.Errorf("after a missed sample: %+v", got)
	}
	s.err = errRefused
	s.run(1)
	if got := s.now(); !got.Observed || got.State != clockerror.Unreachable || !math.IsInf(got.Bound, 1) {
		t.Errorf("unreachable: %+v", got)
	}
}

// TestDistribution counts bounds. A bound equal to a limit counts below it, and +Inf
// does not count.
func TestDistribution(t *testing.T) {
	s := simulate(t)
	for _, bound := range []float64{0.05, 0.0500001, 0.175, 1000, math.Inf(1)} {
		s.tracking.RootDispersion = bound
		if math.IsInf(bound, 1) {
			s.err = errRefused
		}
		s.run(1)
	}
	d := s.watched().Distribution
	near(t, "the sum", d.Sum, 1000.2750001)
	counts := make(map[float64]uint64)
	var all uint64
	for i, n := range d.Counts {
		limit := math.Inf(1)
		if i < len(d.Limits) {
			limit = d.Limits[i]
		}
		counts[limit], all = n, all+n
	}
	if all != 4 || counts[0.05] != 1 || counts[0.1] != 1 || counts[0.175] != 1 || counts[math.Inf(1)] != 1 {
		t.Errorf("%v", counts)
	}
	for _, profile := range objective.Profiles {
		if profile.Limit <= 300 && profile.Limit != 0.175 && !slices.Contains(d.Limits, profile.Limit) {
			t.Errorf("%s: no bucket ends at %v s", profile.Name, profile.Limit)
		}
	}
	if !slices.IsSorted(d.Limits) {
		t.Errorf("limits %v", d.Limits)
	}
}

// TestHistory checks that the history keeps each sample as long as there is room.
func TestHistory(t *testing.T) {
	s := simulate(t)
	const bytes = 200 << 10
	if size := cap(s.tally.history.records) * int(unsafe.Sizeof(record{})); size > bytes || len(s.tally.history.records) < 3600 {
		t.Errorf("%d samples in %d bytes", len(s.tally.history.records), size)
	}
	s.tracking.SystemTime, s.tracking.RootDelay, s.tracking.LastOffset = -0.1, 0.02, 0.3
	s.run(5000)
	tr := &Tracker{watch: s.watch}
	tr.watch.tally.history.reference = 0.5
	everything := func() []Sample { return slices.Collect(tr.History(time.Time{}, begin.Add(24*time.Hour))) }
	records := everything()
	if len(records) != len(s.tally.history.records) || len(records) < 3600 {
		t.Fatalf("%d samples", len(records))
	}
	for i, got := range records {
		if want := begin.Add(time.Duration(5000-len(records)+1+i) * time.Second); !got.At.Equal(want) {
			t.Fatalf("sample %d is of %v, want %v", i, got.At, want)
		}
		if got.Bound < 0.111 || got.Bound > 0.1110001 || got.Offset != float64(float32(-0.1)) || got.Seconds != 1 || got.State != clockerror.Synchronized {
			t.Fatalf("%+v", got)
		}
		near(t, "the error", got.Error, 0.311)
		near(t, "the terms", got.Terms.Sum(), 0.111+0.5)
	}
	s.err = errRefused
	s.run(1)
	last := everything()[len(records)-1]
	if !math.IsInf(last.Bound, 1) || last.Terms != (clockerror.Terms{}) || last.State != clockerror.Unreachable {
		t.Errorf("%+v", last)
	}

	// Samples are taken while somebody reads slowly. He misses the dropped ones, reads
	// none twice, and comes to an end.
	read := time.Time{}
	n := 0
	for sample := range tr.History(time.Time{}, begin.Add(24*time.Hour)) {
		if n++; !sample.At.After(read) {
			t.Fatalf("after %v comes %v", read, sample.At)
		}
		read = sample.At
		s.run(3)
	}
	if n < len(records)/4 || n > len(records)/2 {
		t.Errorf("read %d of %d samples", n, len(records))
	}
}

// TestRecordsRoundUp checks that a stored bound is never smaller than the original.
func TestRecordsRoundUp(t *testing.T) {
	for _, v := range []float64{0, 0.1, 0.2, 1e-9, 123456789, math.Pi, math.Inf(1)} {
		if got := float64(up(v)); got < v || got > v*(1+1e-6) {
			t.Errorf("%v becomes %v", v, got)
		}
	}
}

// TestFlat checks that a hundred thousand samples take no more memory than ten
// thousand.
func TestFlat(t *testing.T) {
	s := simulate(t, objective.Profiles...)
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	some := func(samples int) {
		for i := range samples {
			if i%100 == 0 {
				s.step(time.Millisecond)
			}
			if s.err = nil; i%7 == 0 {
				s.err = errRefused
			}
			s.asked = s.asked[:0]
			s.pass(time.Second)
			now, _ := s.look(false)
			s.record(s.sampler.sample(context.Background(), now))
		}
	}
	some(10_000)
	before := heap()
	some(100_000)
	if after := heap(); after > before+100_000 {
		t.Errorf("%v bytes, then %v", before, after)
	}
	if found := s.watched(); found.Samples != 110_000 {
		t.Errorf("%d samples", found.Samples)
	}
}

// TestGrid takes slow samples, one of them for two and a half intervals. The ticks must
// still lie on the grid, even the hundredth. Missed ticks are not repeated.
func TestGrid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := simulate(t)
		start, ticks := time.Now(), 0
		s.sampler.report = func(ctx context.Context, want chrony.Want) (*chrony.Report, error) {
			if time.Since(start)%s.interval == 0 {
				ticks++
			}
			if ticks == 50 {
				time.Sleep(2 * s.interval)
				ticks++ // only once
			}
			time.Sleep(s.interval / 3)
			return s.report(ctx, want)
		}
		const seconds = 100
		ctx, cancel := context.WithTimeout(t.Context(), seconds*s.interval-1)
		defer cancel()
		s.watch.run(ctx)
		if missed := 2; ticks-1 != seconds-missed {
			t.Errorf("%d ticks on the grid, want %d", ticks-1, seconds-missed)
		}
	})
}

// TestStuckQueue logs more lines than the queue of a blocked log holds.
func TestStuckQueue(t *testing.T) {
	q := newLogQueue(slog.New(slog.NewTextHandler(io.Discard, nil)))
	for i := range 10 * logBacklog {
		slog.New(q).Info(strconv.Itoa(i))
	}
	if len(q.lines) != logBacklog {
		t.Errorf("%d lines wait", len(q.lines))
	}
}

// TestNotTold checks steps if the kernel does not report them.
func TestNotTold(t *testing.T) {
	s := simulate(t)
	done := make(chan struct{})
	go func() { s.await(t.Context()); close(done) }()
	s.set <- nil
	s.set <- errors.New("not permitted")
	<-done
	if got := s.watched().Steps; got.Count != 1 {
		t.Errorf("%+v", got)
	}
}

// TestForeignStepInASnapshot checks that a scrape includes the step too.
func TestForeignStepInASnapshot(t *testing.T) {
	s := simulate(t)
	s.run(1)
	s.step(5 * time.Second)
	s.run(1)
	client, err := chrony.NewClient("127.0.0.1:323") // it gets no request
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	tr := &Tracker{config: Config{Client: client}, watch: s.watch, watchClient: client}
	tracking := s.tracking
	got := tr.snapshot(&chrony.Report{Tracking: &tracking, Sources: []chrony.Source{s.source}, SameUpdate: true, At: s.time.time()}, nil, s.time.Boot, 0, PTP{})
	near(t, "the bound", got.Estimate.Bound, 5.001)
	if got.Report.Tracking.SystemTime != 0 {
		t.Error("what chronyd said was changed")
	}
}

// TestNoAnswerFromBeforeAStep shares no answer across a step of the clock, or a
// suspension of the machine.
func TestNoAnswerFromBeforeAStep(t *testing.T) {
	fake := chronytest.NewFake(t, chronytest.Truthful(chrony.Report{Tracking: &chrony.Tracking{Stratum: 2, RefID: 0x50484330}, Sources: []chrony.Source{{Mode: chrony.ModeReferenceClock, RefID: 0x50484330, Poll: 6}}}))
	client, err := chrony.NewClient(fake.Address)
	if err != nil {
		t.Fatal(err)
	}
	tr := New(Config{Client: client, MaxAge: time.Second})
	t.Cleanup(func() { tr.Close() })
	s := simulate(t)
	if err := tr.Watch(WatchConfig{Interval: time.Hour, Clocks: s}); err != nil {
		t.Fatal(err)
	}
	before := tr.Snapshot(t.Context())
	for name, jump := range map[string]func(){
		"step":       func() { s.time.Real += 1e9 },
		"suspension": func() { s.time.Boot += 3600e9; s.time.Real += 3600e9 },
	} {
		s.mu.Lock()
		jump()
		s.mu.Unlock()
		after := tr.Snapshot(t.Context())
		if after == before || after.Err != nil {
			t.Errorf("%s: %+v", name, after)
		}
		before = after
	}
}
