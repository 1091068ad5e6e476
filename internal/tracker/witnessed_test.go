package tracker

import (
	"context"
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/beevik/ntp"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/objective"
	"github.com/chrony-tracker/chrony-tracker/internal/witness"
)

// A witnessedSimulation is a simulated machine with witnesses that know the time.
type witnessedSimulation struct {
	*simulation
	behind time.Duration // by which the machine's clock is behind; guarded by the simulation
}

// simulateWitnessed starts witnesses for a simulated machine, in a bubble of synctest.
func simulateWitnessed(t *testing.T, config WitnessConfig, objectives ...objective.Objective) *witnessedSimulation {
	t.Helper()
	s := &witnessedSimulation{simulation: simulate(t, objectives...)}
	s.tracking.RootDispersion = 50e-6
	config.Node, config.Exchange = "node-1", s.exchange
	config.Addresses = func() []netip.Addr { return nil }
	config.Lookup = func(context.Context, string) (all []netip.Addr, _ error) {
		for i := range byte(100) {
			all = append(all, netip.AddrFrom4([4]byte{10, 0, 0, i}))
		}
		return all, nil
	}
	tr := &Tracker{log: slog.New(slog.DiscardHandler)}
	if err := tr.startWitnesses(s.watch, &config); err != nil {
		t.Fatal(err)
	}
	s.sample()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.witnesses.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return s
}

// exchange asks a server that knows the time.
func (s *witnessedSimulation) exchange(context.Context, netip.AddrPort, *witness.Key, time.Duration) (*ntp.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	const delay = 100 * time.Microsecond
	ours := s.time.time()
	theirs := ours.Add(s.behind)
	return &ntp.Response{
		Version: 4, Stratum: 2, Time: theirs, ReferenceTime: theirs.Add(-time.Second),
		Timestamps: ntp.ProtocolTimestamps{ClientXmit: ours.Add(-delay), ServerRecv: theirs, ServerXmit: theirs, ClientRecv: ours.Add(delay)},
	}, nil
}

// live lets so many seconds pass, with a sample in each.
func (s *witnessedSimulation) live(seconds int) {
	for range seconds {
		time.Sleep(time.Second)
		s.run(1)
		synctest.Wait()
	}
}

// await returns after how many seconds the clock is in a state.
func (s *witnessedSimulation) await(t *testing.T, state clockerror.State) (seconds int) {
	t.Helper()
	for s.latest.estimate.State != state {
		if seconds++; seconds > 1000 {
			t.Fatalf("not %v after 1000 s: %+v", state, s.latest.estimate)
		}
		s.live(1)
	}
	return seconds
}

// pause pauses the machine, which does not notice it.
func (s *witnessedSimulation) pause(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behind += d
}

// TestPaused wants a machine that was paused for 28 s, with chronyd at poll 6, to be
// contradicted within 10 s if there are peers, or within one interval with UTC alone.
func TestPaused(t *testing.T) {
	for _, test := range []struct {
		name   string
		config WitnessConfig
		within int
		acts   clockerror.State // what programs act on
	}{
		{"peers", WitnessConfig{Config: witness.Config{Peers: "peers.example"}}, 10, clockerror.Synchronized},
		{"trusted peers", WitnessConfig{Config: witness.Config{Peers: "peers.example"}, TrustPeers: true}, 10, clockerror.Contradicted},
		{"UTC", WitnessConfig{Config: witness.Config{NTP: []string{"192.0.2.1", "192.0.2.2"}}}, 256*5/4 + 5, clockerror.Contradicted},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := simulateWitnessed(t, test.config, objective.Objective{Name: "loose", Limit: 60}, objective.Objective{Name: "tight", Limit: 20e-3}, objective.Objective{Name: "kept never", Limit: 1e-9})
				published := &notebook{}
				s.publisher = published
				s.live(300)
				if e := s.latest.estimate; e.State != clockerror.Synchronized || e.Bound > 20e-3 || e.Bound != e.OwnBound {
					t.Fatalf("%+v", e)
				}
				s.pause(28 * time.Second)
				took := s.await(t, clockerror.Contradicted)
				t.Logf("contradicted after %d s", took)
				if took > test.within {
					t.Errorf("contradicted after %d s", took)
				}
				e := s.latest.estimate
				if e.Bound < 28 || e.Bound > 28.1 || e.Terms.Disagreement < 27.9 || e.OwnState != clockerror.Synchronized || e.OwnBound > 20e-3 {
					t.Errorf("%+v", e)
				}
				if now := s.now(); now.State != test.acts || (now.Bound > 28) != (test.acts == clockerror.Contradicted) {
					t.Errorf("programs act on %+v", now)
				}
				if p := published.last(); p.State != test.acts || (p.Bound > 28) != (test.acts == clockerror.Contradicted) {
					t.Errorf("programs read %+v", p)
				}
				if serving := s.serving(); serving.Valid {
					t.Error("it tells its peers that it knows the time")
				}
				s.live(100)
				if e := s.latest.estimate; e.State != clockerror.Contradicted || e.Bound < 28 {
					t.Errorf("after 100 s: %+v", e)
				}

				// chronyd steps the clock.
				s.step(28 * time.Second)
				s.pause(-28 * time.Second)
				s.await(t, clockerror.Synchronized)
				s.live(600)
				if e := s.latest.estimate; e.State != clockerror.Synchronized || e.Bound > 20e-3 {
					t.Errorf("after the step: %+v", e)
				}
				if got := s.events.counts; got[WitnessContradicted] != 1 || got[WitnessCleared] != 1 || got[WitnessDisputed] != 0 {
					t.Errorf("%v", got)
				}
				checkSeconds(t, s, took, len(test.config.NTP) > 0)
			})
		})
	}
}

// checkSeconds wants each observed second in one class and one verdict.
func checkSeconds(t *testing.T, s *witnessedSimulation, undetected int, utc bool) {
	t.Helper()
	found := s.watched()
	for _, p := range found.Objectives {
		sum := 0.0
		for _, seconds := range p.Classes {
			sum += seconds
		}
		near(t, p.Name+", all classes", sum, p.Total-found.Unobserved)
		near(t, p.Name+" is contradicted", p.Classes[objective.Contradicted], found.StateSeconds[clockerror.Contradicted])
		if (p.Classes[objective.Proven] > 500) != (utc && p.Name != "kept never") || p.Classes[objective.Contradicted] < 100 {
			t.Errorf("%s: %v", p.Name, p.Classes)
		}
		if p.Name == "kept never" && p.Classes[objective.Outside] < 500 {
			t.Errorf("%s: %v", p.Name, p.Classes)
		}
	}
	for kind, seconds := range s.seconds {
		sum := 0.0
		for _, n := range seconds {
			sum += n
		}
		near(t, string(kind)+", all verdicts", sum, found.Objectives[0].Total-found.Unobserved)
		if seconds[witness.Contradicted] < 100 || seconds[witness.Consistent] < 300 {
			t.Errorf("%s: %v", kind, seconds)
		}
	}
}

// TestDisputed wants a single UTC witness to raise the bound and nothing else.
func TestDisputed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := simulateWitnessed(t, WitnessConfig{Config: witness.Config{NTP: []string{"192.0.2.1"}}})
		s.pause(300 * time.Millisecond)
		s.live(10)
		e := s.latest.estimate
		if e.State != clockerror.Synchronized || e.Bound < 0.3 || e.Bound > 0.31 || s.latest.actionable != e || s.events.counts[WitnessDisputed] != 1 {
			t.Errorf("%+v, %v", e, s.events.counts)
		}
		if !s.serving().Valid {
			t.Error("it tells its peers that it does not know the time")
		}
	})
}

// TestWitnessBound wants the witnesses' bound to outlive chronyd, and to follow a slew.
func TestWitnessBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := simulateWitnessed(t, WitnessConfig{Config: witness.Config{NTP: []string{"192.0.2.1"}}})
		s.live(20)
		s.err = errRefused
		s.live(1)
		if e := s.latest.estimate; e.State != clockerror.Unreachable || s.latest.found.UTC.Verdict != witness.Unproven {
			t.Errorf("%+v, %+v", e, s.latest.found.UTC)
		}
		before := witnessBound(s.latest.found)
		if before > 0.01 {
			t.Errorf("%v s", before)
		}
		for range 10 { // another program makes the clock run faster by 1 %
			time.Sleep(time.Second)
			s.slew(time.Second, 10_000)
			s.sample()
		}
		if after := witnessBound(s.latest.found); after < 0.1 || after > 0.102 {
			t.Errorf("%v s, then %v s", before, after)
		}
		s.step(time.Millisecond)
		s.run(1)
		if after := witnessBound(s.latest.found); !math.IsInf(after, 1) {
			t.Errorf("%v s after a step", after)
		}
		s.live(1)
		if after := witnessBound(s.latest.found); after > 0.2 {
			t.Errorf("%v s when the witness was asked again", after)
		}
	})
}

// TestWithoutWitnesses wants nothing to be different without them.
func TestWithoutWitnesses(t *testing.T) {
	s := simulate(t, objective.Objective{Name: "loose", Limit: 1})
	s.run(10)
	if s.witnesses != nil || s.latest.found != nil || s.witnessed(s.latest.found) != nil || s.latest.estimate != s.latest.actionable {
		t.Errorf("%+v", s.latest)
	}
	if p := s.watched().Objectives[0]; !slices.Equal(p.Classes[:], []float64{0, 0, 0, p.Good}) || p.Good == 0 {
		t.Errorf("%+v", p)
	}
}
