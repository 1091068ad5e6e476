package tracker

import (
	"math"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// A notebook keeps what is published.
type notebook []Published

func (n *notebook) Publish(p Published)    { *n = append(*n, p) }
func (*notebook) Publication() Publication { return Publication{Path: "notebook"} }

func (n notebook) last() Published { return n[len(n)-1] }

// publishing simulates a machine whose samples are published.
func publishing(t *testing.T) (*simulation, *notebook) {
	t.Helper()
	s, n := simulate(t), &notebook{}
	s.publisher = n
	s.run(3)
	if len(*n) != 3 {
		t.Fatalf("%d of 3 samples", len(*n))
	}
	return s, n
}

// TestPublish publishes each sample as it was judged, from the instant that it began.
func TestPublish(t *testing.T) {
	s, n := publishing(t)
	s.takes = 100 * time.Millisecond
	began := s.time.Mono + int64(time.Second)
	s.run(1)
	p := n.last()
	if p.Mono != began || p.Disrupted || p.State != clockerror.Synchronized || p.Bound != s.bound() {
		t.Errorf("%+v", p)
	}
	// An application may use it for longer than until the next sample.
	near(t, "the growth", p.Growth, clockerror.DefaultMaxDrift*1e-6)
	s.err = errRefused
	s.run(1)
	if p := n.last(); p.State != clockerror.Unreachable || !math.IsInf(p.Bound, 1) {
		t.Errorf("%+v", p)
	}
	if found := s.watched().Publication; found == nil || found.Path != "notebook" {
		t.Errorf("%+v", found)
	}
}

// TestPublishDisrupted publishes a step and a suspension as soon as it is seen, and what
// was measured before it no more.
func TestPublishDisrupted(t *testing.T) {
	for name, happens := range map[string]func(*simulation){
		"a step":            func(s *simulation) { s.step(time.Minute) },
		"a small step back": func(s *simulation) { s.step(-time.Millisecond) },
		"a suspension":      func(s *simulation) { s.sleep(time.Minute) },
	} {
		s, n := publishing(t)
		happens(s)
		s.look(true) // as the kernel reports it
		if p := n.last(); !p.Disrupted || !math.IsInf(p.Bound, 1) || p.Mono != s.time.Mono {
			t.Errorf("%s: %+v", name, p)
		}
		s.run(1)
		if p := n.last(); p.Disrupted || p.Bound != s.bound() {
			t.Errorf("%s, then a sample: %+v", name, p)
		}
		// One that is seen only after chronyd has answered.
		before := len(*n)
		s.whileAsked, s.takes = happens, 10*time.Millisecond
		s.run(1)
		s.whileAsked = nil
		if len(*n) != before+1 || !n.last().Disrupted {
			t.Errorf("%s during a sample: %+v", name, (*n)[before:])
		}
		s.run(1)
		if p := n.last(); p.Disrupted {
			t.Errorf("%s during a sample, then a sample: %+v", name, p)
		}
	}
}

// TestPublishActionable publishes what programs may act on: a forger, who can contradict
// the clock, can't stop them.
func TestPublishActionable(t *testing.T) {
	s, n := publishing(t)
	bound := n.last().Bound
	s.latest.estimate.State, s.latest.estimate.Bound = clockerror.Contradicted, 5
	s.publish()
	if p := n.last(); p.State != clockerror.Synchronized || p.Bound != bound {
		t.Errorf("contradicted by a forger: %+v", p)
	}
	s.latest.actionable = s.latest.estimate
	s.publish()
	if p := n.last(); p.State != clockerror.Contradicted {
		t.Errorf("contradicted: %+v", p)
	}
}

// TestPublishLeapSecond allows for an announced leap second that chronyd corrects only
// after midnight (leapsecmode slew).
func TestPublishLeapSecond(t *testing.T) {
	midnight := begin.Truncate(24 * time.Hour).Add(24 * time.Hour)
	for _, test := range []struct {
		leap   chrony.LeapStatus
		before time.Duration // midnight
		more   float64       // seconds
	}{
		{chrony.LeapInsertSecond, time.Hour, 0},
		{chrony.LeapInsertSecond, 15 * time.Second, 1},
		{chrony.LeapInsertSecond, time.Second, 1},
		{chrony.LeapDeleteSecond, 2 * time.Second, 1},
		{chrony.LeapNormal, time.Second, 0},
		{chrony.LeapInsertSecond, -10 * time.Second, 0},
	} {
		s, n := publishing(t)
		s.pass(midnight.Add(-test.before).Sub(s.time.time()) - time.Second)
		s.tracking.Leap = test.leap
		s.run(1)
		near(t, "the bound", n.last().Bound-s.bound(), test.more)
		near(t, "the bound now", s.now().Bound-s.bound(), test.more+75e-6)
	}
}
