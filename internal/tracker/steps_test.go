package tracker

import (
	"math"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// update makes chronyd update the clock now.
func (s *simulation) update() {
	s.source.SampleAge = 0
	s.tracking.RefTime = s.time.time()
}

// bound returns the bound of the latest sample.
func (s *simulation) bound() float64 { return s.latest.estimate.Bound }

// TestSteps sets the clock by 9 s in each order of steps, updates and samples. A step
// that chronyd does not know stays in the bound until an update that certainly came
// later.
func TestSteps(t *testing.T) {
	const step = 9 * time.Second
	for _, test := range []struct {
		name    string
		happens func(*simulation)
		bound   float64 // in the samples after it
		updates int     // after which the bound is 1 ms
	}{
		{"between two samples", func(s *simulation) { s.step(step) }, 9.001, 1},
		{"back", func(s *simulation) { s.step(-step) }, 9.001, 1},
		{"twice", func(s *simulation) { s.step(step); s.sample(); s.step(-time.Second) }, 8.001, 1},
		{"right after an update", func(s *simulation) { s.update(); s.step(step) }, 9.001, 1},
		{"before an update that no sample has seen", func(s *simulation) { s.step(step); s.update(); s.tracking.SystemTime = -9 }, 18.001, 1},
		{"after a sample without an answer", func(s *simulation) {
			s.err = errRefused
			s.run(1)
			s.step(step)
			s.run(1)
			s.err = nil
		}, 9.001, 1},
		{"after a sample without an answer and an update", func(s *simulation) {
			s.err = errRefused
			s.run(1)
			s.update()
			s.step(step)
			s.run(1)
			s.err = nil
		}, 9.001, 1},
		{"before chronyd corrects its frequency for the temperature", func(s *simulation) {
			s.step(step)
			s.run(1)
			s.tracking.RefTime = s.tracking.RefTime.Add(3 * time.Microsecond)
		}, 9.001, 1},
		{"reported by the kernel, read immediately, then an update", func(s *simulation) {
			s.step(step)
			s.look(true)
			s.readBaseline(t.Context())
			s.pass(100 * time.Millisecond)
			s.update()
		}, 0.001, 0},
		{"by chronyd with an update", func(s *simulation) {
			s.update()
			s.tracking.LastOffset, s.tracking.RMSOffset = -9, 0
			s.step(step)
		}, 0.001, 0},
		{"by chronyd's command makestep", func(s *simulation) {
			s.tracking.SystemTime = 9
			s.sample()
			s.tracking.SystemTime, s.tracking.RefTime = 0, s.tracking.RefTime.Add(step)
			s.step(step)
		}, 0.001, 0},
		{"by as much as chronyd found once", func(s *simulation) {
			s.tracking.LastOffset = -9
			s.sample()
			s.step(step)
		}, 9.001, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := simulate(t)
			s.manual = true
			s.update()
			s.run(3)
			test.happens(s)
			for range 3 {
				s.run(1)
				near(t, "the bound", s.bound(), test.bound)
			}
			for range test.updates {
				s.pass(500 * time.Millisecond)
				s.tracking.SystemTime = 0
				s.update()
				s.run(1)
			}
			near(t, "the bound after the update", s.bound(), 0.001)
		})
	}
}

// TestStepBeforeTheFirstAnswer checks that there is no bound until an update, because
// the update before the step is unknown.
func TestStepBeforeTheFirstAnswer(t *testing.T) {
	s := simulate(t)
	s.manual = true
	s.update()
	s.err = errRefused
	s.run(2)
	s.step(9 * time.Second)
	s.run(2)
	s.err = nil
	for range 3 {
		s.run(1)
		if bound := s.bound(); !math.IsInf(bound, 1) {
			t.Errorf("the bound is %v", bound)
		}
		if got := s.now(); !math.IsInf(got.Bound, 1) {
			t.Errorf("now: %+v", got)
		}
	}
	s.update()
	s.run(1)
	near(t, "the bound after an update", s.bound(), 0.001)
}

// TestLeapSecond inserts a leap second that chronyd announced, and one that it did not
// announce.
func TestLeapSecond(t *testing.T) {
	midnight := begin.Truncate(24 * time.Hour).Add(24 * time.Hour)
	for _, test := range []struct {
		name  string
		leap  chrony.LeapStatus
		at    time.Time
		step  time.Duration
		bound float64
	}{
		{"inserted", chrony.LeapInsertSecond, midnight, -time.Second, 0.001},
		{"deleted", chrony.LeapDeleteSecond, midnight.Add(-time.Second), time.Second, 0.001},
		{"not announced", chrony.LeapNormal, midnight, -time.Second, 1.001},
		{"in the wrong direction", chrony.LeapInsertSecond, midnight, time.Second, 1.001},
		{"at noon", chrony.LeapInsertSecond, midnight.Add(-12 * time.Hour), -time.Second, 1.001},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := simulate(t)
			s.manual = true
			s.mu.Lock()
			s.time.Real = test.at.Add(-3200 * time.Millisecond).UnixNano()
			s.mu.Unlock()
			s.look(false) // events since the start are not part of this test
			s.steps = foreignSteps{}
			s.tracking.Leap = test.leap
			s.update()
			s.run(3)
			s.pass(200 * time.Millisecond)
			s.step(test.step)
			s.run(1)
			near(t, "the bound", s.bound(), test.bound)
		})
	}
}

// TestForeignDiscipline lets other programs and chronyd slew the clock.
func TestForeignDiscipline(t *testing.T) {
	const foreign = true
	for _, test := range []struct {
		name    string
		happens func(*simulation) // for each second
		event   bool
		moved   float64 // seconds, after 100 s without an update
	}{
		{"no program", func(s *simulation) { s.pass(time.Second) }, !foreign, 0},
		{"a second daemon, by 500 ppm", func(s *simulation) { s.slew(time.Second, 500); s.k.Frequency = 500 }, foreign, 0.05},
		{"adjtime, by -500 ppm, which is not in the kernel's frequency", func(s *simulation) { s.slew(time.Second, -500) }, foreign, 0.05},
		{"by 0.4 ppm, which is noise", func(s *simulation) { s.slew(time.Second, 0.4) }, !foreign, 0},
		{"chronyd, by its frequency", func(s *simulation) {
			s.tracking.Frequency, s.k.Frequency = -80, 80
			s.slew(time.Second, 80)
		}, !foreign, 0},
		{"chronyd, a large offset", func(s *simulation) {
			s.slew(time.Second, 1000)
			s.tracking.SystemTime -= 0.001
		}, !foreign, 0},
		{"chronyd, as it believes (-x)", func(s *simulation) {
			s.tracking.Frequency = -80
			s.tracking.SystemTime += 80e-6 // its own time runs ahead of the clock's
			s.pass(time.Second)
		}, !foreign, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := simulate(t)
			s.manual = true
			s.update()
			s.tracking.SystemTime = 0.2
			s.run(3)
			for range 100 {
				test.happens(s)
				s.sample()
			}
			if got := s.watched().ForeignDiscipline; got != test.event {
				t.Errorf("event: %v", got)
			}
			slewed := s.latest.known.Slewed
			if math.Abs(slewed-test.moved) > 0.01*test.moved+1e-4 {
				t.Errorf("slewed by %v, want %v", slewed, test.moved)
			}
			if test.event && s.bound() < 0.2+slewed {
				t.Errorf("the bound is %v", s.bound())
			}
			s.tracking.SystemTime = 0
			s.update()
			for range 130 {
				s.tracking.Frequency, s.k.Frequency = 0, 0
				s.run(1)
			}
			if s.watched().ForeignDiscipline || s.latest.known.Slewed != 0 {
				t.Errorf("130 s after it ended: %+v", s.latest.known)
			}
		})
	}
}

// TestBelievedDiscipline runs a chronyd that does not steer the clock (-x). The watch
// must notice that, and the bound must not grow.
func TestBelievedDiscipline(t *testing.T) {
	s := simulate(t)
	s.manual = true
	s.tracking.Frequency = -2
	for range 4 {
		s.tracking.SystemTime = 0
		s.update()
		for range 20 {
			s.tracking.SystemTime += 2e-6 // chronyd's own time runs ahead of the clock's
			s.run(1)
		}
	}
	if !s.watched().ForeignDiscipline || s.latest.known.Slewed != 0 {
		t.Errorf("noticed: %v, slewed by %v", s.watched().ForeignDiscipline, s.latest.known.Slewed)
	}
}

// TestStepIsNoSlew lets chronyd step the clock, so that nothing is left to slew.
func TestStepIsNoSlew(t *testing.T) {
	s := simulate(t)
	s.manual = true
	s.update()
	s.tracking.SystemTime = 9
	s.run(3)
	s.tracking.SystemTime, s.tracking.RefTime = 0, s.tracking.RefTime.Add(9*time.Second)
	s.step(9 * time.Second)
	s.run(10)
	if s.watched().ForeignDiscipline || s.latest.known.Slewed != 0 {
		t.Errorf("noticed: %v, slewed by %v", s.watched().ForeignDiscipline, s.latest.known.Slewed)
	}
	near(t, "the bound", s.bound(), 0.001)
}

// TestServerLocal checks that the watch asks once for each reference whether the server
// follows its own clock.
func TestServerLocal(t *testing.T) {
	s := simulate(t)
	s.ntp = &chrony.NTPData{RefID: chrony.RefIDLocal}
	asked := func() (n int) {
		for _, want := range s.asked {
			if want&chrony.WantNTPData != 0 {
				n++
			}
		}
		return n
	}
	s.run(100)
	if e := s.latest.estimate; !e.ServerLocal || !e.Untraced || asked() != 1 {
		t.Errorf("asked %d times: %+v", asked(), e)
	}
	s.tracking.Stratum++
	s.ntp = &chrony.NTPData{RefID: 0xc0000202}
	s.run(100)
	if e := s.latest.estimate; e.ServerLocal || e.Untraced || asked() != 2 {
		t.Errorf("asked %d times: %+v", asked(), e)
	}
}

// TestIntervals checks that a long update interval counts only after three samples that
// came as rarely.
func TestIntervals(t *testing.T) {
	s := simulate(t)
	s.manual = true
	s.source.Poll = 3
	s.update()
	s.run(1)
	age := func(seconds int) clockerror.State {
		for range seconds {
			s.source.SampleAge += time.Second
			s.run(1)
		}
		return s.watched().State
	}
	s.tracking.LastUpdateInterval = 60
	for i, want := range []clockerror.State{clockerror.Synchronized, clockerror.Holdover, clockerror.Holdover, clockerror.Synchronized} {
		if got := age(60); got != want {
			t.Errorf("after %d intervals: %v, want %v", i, got, want)
		}
		s.update()
		s.run(1)
	}
}
