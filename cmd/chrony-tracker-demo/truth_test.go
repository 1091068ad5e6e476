package main

import (
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// A look is a tracker's result for a node at one time.
type look struct {
	at    time.Duration // since the node's start
	state clockerror.State
	bound float64
}

// simulated is how long a tracker watches each node: two cycles of the cyclic faults.
const simulated = 2*cycle + 2*time.Minute

// expected are the states that each fault leads to, and the size in seconds that the
// clock's error must reach.
var expected = map[string]struct {
	states  []clockerror.State
	largest float64
}{
	"healthy":         {[]clockerror.State{clockerror.Synchronized}, 1e-7},
	"lost-source":     {[]clockerror.State{clockerror.Synchronized, clockerror.Holdover}, 1e-3},
	"stepped":         {[]clockerror.State{clockerror.Synchronized}, 0.299},
	"lying-source":    {[]clockerror.State{clockerror.Synchronized}, 1e-5},
	"local":           {[]clockerror.State{clockerror.Local}, 1e-3},
	"unsynchronized":  {[]clockerror.State{clockerror.Unsynchronized}, 1e-3},
	"far-away":        {[]clockerror.State{clockerror.Synchronized}, 1e-3},
	"drifting":        {[]clockerror.State{clockerror.Synchronized}, 1e-5},
	"overloaded":      {[]clockerror.State{clockerror.Synchronized}, 1e-7},
	"paused":          {[]clockerror.State{clockerror.Synchronized, clockerror.Contradicted}, 7.99},
	"refused-updates": {[]clockerror.State{clockerror.Contradicted}, 0.5},
	"set-and-refused": {[]clockerror.State{clockerror.Holdover, clockerror.Contradicted}, 0.5},
	"lying-reference": {[]clockerror.State{clockerror.Synchronized}, 0.049},

	"lying-servers":    {[]clockerror.State{clockerror.Synchronized}, 0.299},
	"paused-unnoticed": {[]clockerror.State{clockerror.Synchronized}, 27.9},
	"false-peer":       {[]clockerror.State{clockerror.Synchronized}, 1e-5},
	"false-witness":    {[]clockerror.State{clockerror.Synchronized}, 1e-5},
	"split-right":      {[]clockerror.State{clockerror.Synchronized}, 1e-5},
	"split-wrong":      {[]clockerror.State{clockerror.Synchronized}, 0.199},
}

// TestBound checks that the bound is never below the true error of the clock. A real
// tracker watches each node, in simulated time.
func TestBound(t *testing.T) {
	f := fleet{fleetConfig: fleetConfig{clusters: 1}}
	for i := range len(faults) + 2 {
		n := f.newNode(i)
		if n.fault.mute {
			continue // it has no bound
		}
		t.Run(n.name+" "+n.fault.name, func(t *testing.T) {
			t.Parallel()
			looks, watched := watchFast(t, func() *node { return f.newNode(i) })
			testBound(t, n, looks)
			if watched.ForeignDiscipline || watched.Sleeps.Count > 0 || (watched.Steps.Count > 0) != (n.fault.event != 0) {
				t.Errorf("the clocks: rival %v, sleeps %+v, steps %+v", watched.ForeignDiscipline, watched.Sleeps, watched.Steps)
			}
		})
	}
}

// TestStepWithoutUpdate sets a clock while chronyd ignores its sources. The next samples
// show the step, but chronyd never updates the clock.
func TestStepWithoutUpdate(t *testing.T) {
	const at, by = 5 * time.Minute, -0.2
	set := fault{name: "set-and-refused", ntp: true, event: step, ignored: never, moves: func(t time.Duration) float64 {
		if t >= at {
			return leave(t) + by
		}
		return leave(t)
	}}
	start := func() *node { return newNode("set", "", 12, &set) }
	looks, _ := watchFast(t, start)
	testBound(t, start(), looks)
}

func testBound(t *testing.T, n *node, looks []look) {
	var states []clockerror.State
	var largest float64
	tooSmall := 0
	for _, l := range looks {
		truth := math.Abs(n.truth(l.at))
		largest = max(largest, truth)
		if !slices.Contains(states, l.state) {
			states = append(states, l.state)
		}
		if unseen(n, l.at) || l.bound >= truth {
			continue
		}
		if tooSmall++; tooSmall == 1 && n.fault.lie(0) == 0 {
			t.Errorf("after %v (%v) the bound is %v s, and the clock %v s off", l.at, l.state, l.bound, truth)
		}
	}
	if n.fault.lie(0) != 0 && tooSmall == 0 {
		t.Error("the bound covers an error that nothing shows")
	}
	slices.Sort(states)
	want := expected[n.fault.name]
	if !slices.Equal(states, want.states) {
		t.Errorf("the tracker sees %v, want %v", states, want.states)
	}
	if largest < want.largest {
		t.Errorf("the clock is at most %v s off, want %v s", largest, want.largest)
	}
}

// unseen reports whether nothing on the node can show its pause yet, because chronyd has
// not polled its source since. The tracker sees the new sample up to a second late,
// because chronyd rounds ages down. Until then it answers from the previous sample.
func unseen(n *node, at time.Duration) bool {
	return n.fault.event == pause && n.sampled(0, at-2*time.Second) < at-held(at)
}

// A fastNode is a node in a synctest bubble, where time jumps forward when all
// goroutines wait. Its chronyd answers from outside of the bubble. Its time is the time
// at which the tracker last read the clocks.
type fastNode struct {
	*node
	now *atomic.Int64
}

func (n fastNode) Read() (tracker.Instant, error) {
	n.now.Store(int64(time.Since(n.start)))
	return n.node.Read()
}

// fastChronyd starts the chronyd of a node in a bubble. It answers at once, even if the
// fault has a delay: no simulated time passes until the answer.
func fastChronyd(t *testing.T, current *atomic.Pointer[node]) *chronytest.Fake {
	return chronytest.NewFake(t, func(r chronytest.Request) []chronytest.Packet {
		n := current.Load()
		return []chronytest.Packet{{Data: chronytest.Reply(r, n.report(n.elapsed()))}}
	})
}

// watchFast runs a tracker that samples a node once per second. Between the samples it
// asks for the current bound.
func watchFast(t *testing.T, newNode func() *node) ([]look, *tracker.Watched) {
	t.Helper()
	var current atomic.Pointer[node]
	chronyd := fastChronyd(t, &current)
	var looks []look
	var watched *tracker.Watched
	synctest.Test(t, func(t *testing.T) {
		n := fastNode{newNode(), new(atomic.Int64)}
		n.elapsed = func() time.Duration { return time.Duration(n.now.Load()) }
		current.Store(n.node)
		client, err := chrony.NewClient(chronyd.Address)
		if err != nil {
			t.Fatal(err)
		}
		watch := tracker.New(tracker.Config{Client: client})
		defer watch.Close()
		if err := watch.Watch(tracker.WatchConfig{Interval: time.Second, History: simulated, Clocks: n}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second / 2)
		for range simulated / time.Second {
			now := watch.Now()
			looks = append(looks, look{time.Since(n.start), now.State, now.Bound})
			time.Sleep(time.Second)
		}
		watched = watch.Watched()
		var at time.Duration
		for s := range watch.History(time.Time{}, time.Now().Add(time.Hour)) {
			looks = append(looks, look{at, s.State, s.Bound})
			at += time.Second
		}
		if at != simulated+time.Second {
			t.Fatalf("samples of %v, want one per second of %v", at, simulated)
		}
	})
	return looks, watched
}
