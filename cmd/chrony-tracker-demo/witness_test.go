package main

import (
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
	"github.com/chrony-tracker/chrony-tracker/internal/witness"
)

// detection is how long witnesses may take to contradict a clock: three probes of a UTC
// server, or two rounds of peers.
const detection = 10 * time.Second

// excused reports whether no witness has to know yet that the node's clock is off.
func excused(n *node, at time.Duration) bool {
	switch {
	case n.fault.event == pause:
		return held(at) < n.fault.pause+detection
	case n.fault.lie(0) != 0:
		return at < detection
	}
	return false
}

// healthyNodes is how many healthy nodes the fleet has, so that most peers of each node
// are honest.
const healthyNodes = 40

// blamed are the faults whose nodes are contradicted at some time.
var blamed = []string{"paused", "refused-updates", "lying-reference", "lying-servers", "paused-unnoticed"}

// TestWitnesses checks that the bound of each node is never below the true error of its
// clock, once witnesses had time to detect that. It also checks that they contradict
// no other clock.
func TestWitnesses(t *testing.T) {
	seen := watchFleet(t, len(faults)+healthyNodes)
	for _, s := range seen {
		switch {
		case s.fault.split:
		case s.fault.mute:
			if v := s.last.Witnesses.Peers.Verdict; v != witness.Unproven {
				t.Errorf("%s: %v", s.fault.name, v)
			}
		default:
			s.check(t)
		}
	}
	checkSplit(t, seen)
	healthy, liar := find(seen, "healthy").last.Witnesses, find(seen, "false-witness").last.Witnesses
	if u := healthy.UTC; u.Verdict != witness.Consistent || u.Bound > 0.1 || healthy.Peers.Verdict != witness.Consistent {
		t.Errorf("a healthy node: %+v, %+v", healthy.UTC, healthy.Peers)
	}
	if u := liar.UTC; u.Verdict != witness.Consistent || !u.Servers[1].Contradicts || u.Servers[0].Contradicts {
		t.Errorf("the node with a false witness: %+v", u)
	}
	if n := askedFalsePeer(seen); n == 0 {
		t.Error("no node noticed the false peer")
	}
}

func (s *watchedNode) check(t *testing.T) {
	t.Helper()
	contradicted := false
	for _, l := range s.looks {
		contradicted = contradicted || l.state == clockerror.Contradicted
		if truth := math.Abs(s.truth(l.at)); l.bound < truth && !excused(s.node, l.at) {
			t.Errorf("%s: after %v (%v) the bound is %v s, and the clock %v s off", s.fault.name, l.at, l.state, l.bound, truth)
			break
		}
	}
	wait := s.fault.event == pause && simulatedFleet < cycle
	if want := slices.Contains(blamed, s.fault.name); contradicted != want && !wait {
		t.Errorf("%s is contradicted: %v", s.fault.name, contradicted)
	}
}

// checkSplit checks the split fleet. Peers alone can't tell which half is right: one half
// is contradicted and no longer votes, so the other half is unproven. Nothing may confirm
// a clock of either half.
func checkSplit(t *testing.T, seen []*watchedNode) {
	t.Helper()
	contradicted := 0
	for _, s := range seen {
		if !s.fault.split {
			continue
		}
		switch s.last.Witnesses.Peers.Verdict {
		case witness.Contradicted:
			contradicted++
		case witness.Consistent:
			t.Errorf("%s: its peers confirm it", s.fault.name)
		}
	}
	if contradicted < 3 {
		t.Errorf("%d nodes of the split fleet are contradicted", contradicted)
	}
}

// askedFalsePeer counts the healthy nodes that a minority of peers contradicts.
func askedFalsePeer(seen []*watchedNode) (n int) {
	for _, s := range seen {
		if p := s.last.Witnesses.Peers; p.Verdict == witness.Consistent && p.Peers[witness.Contradicted] > 0 {
			n++
		}
	}
	return n
}

func find(seen []*watchedNode, fault string) *watchedNode {
	return seen[slices.IndexFunc(seen, func(s *watchedNode) bool { return s.fault.name == fault })]
}

// A watchedNode is a node and what its tracker said.
type watchedNode struct {
	*node
	looks []look
	last  *tracker.Snapshot
}

// watchFleet runs the trackers of a fleet, with witnesses, in simulated time.
func watchFleet(t *testing.T, size int) []*watchedNode {
	t.Helper()
	f := newFleet(fleetConfig{size: size, clusters: 1})
	seen := make([]*watchedNode, size)
	currents := make([]atomic.Pointer[node], size)
	chronyds := make([]*chronytest.Fake, size)
	for i := range size {
		chronyds[i] = fastChronyd(t, &currents[i])
		if f.newNode(i).fault.mute {
			chronyds[i].Close() // waiting for an answer would take no simulated time, but real time
		}
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(fleetConfig{size: size, clusters: 1, witnesses: true, interval: time.Second})
		defer f.close()
		var trackers []*tracker.Tracker
		for i := range seen {
			n := fastNode{f.newNode(i), new(atomic.Int64)}
			n.elapsed = func() time.Duration { return time.Duration(n.now.Load()) }
			currents[i].Store(n.node)
			tr, err := f.watch(n.node, n, chronyds[i].Address, time.Minute)
			chronytest.Must(t, err)
			seen[i], trackers = &watchedNode{node: n.node}, append(trackers, tr)
		}
		time.Sleep(time.Second / 2)
		for range simulatedFleet / time.Second {
			for i, s := range seen {
				now, at := trackers[i].Now(), time.Since(s.start)
				if now.Observed && !s.isPaused(at) {
					s.looks = append(s.looks, look{at, now.State, now.Bound})
				}
			}
			time.Sleep(time.Second)
		}
		for i, s := range seen {
			s.last = trackers[i].Snapshot(t.Context())
		}
	})
	return seen
}
