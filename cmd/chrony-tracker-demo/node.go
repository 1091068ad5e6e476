package main

import (
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// A node is a simulated machine. Everything about it is a function of its number and
// the time since its start, so it keeps no state. truth.go computes the error of its
// clock, and report.go what its chronyd reports.
type node struct {
	name, cluster string
	number        uint64
	fault         *fault
	path                               // to its sources
	start         time.Time            // UTC
	elapsed       func() time.Duration // since the start
	mean, phase   float64              // of the oscillator's frequency; see gained

	closing sync.Once
	closed  chan struct{}
}

// newNode returns a node with a fault, or a healthy one if f is nil. Half of the healthy
// nodes follow the clock of their machine's host, as on AKS. The others follow three
// servers.
func newNode(name, cluster string, number int, f *fault) *node {
	if f == nil {
		f = &fault{name: "healthy", what: "healthy", ntp: number%2 == 0}
	}
	n := &node{name: name, cluster: cluster, number: uint64(number), fault: f, path: f.route(), start: time.Now(), closed: make(chan struct{})}
	n.elapsed = func() time.Duration { return time.Since(n.start) }
	n.mean, n.phase = 15e-6*n.evenly(0, oscillatorMean), math.Pi*n.evenly(0, oscillatorPhase)
	return n
}

// answer returns the reply of the node's chronyd.
func (n *node) answer(r chronytest.Request) []chronytest.Packet {
	if n.fault.mute {
		return nil
	}
	return []chronytest.Packet{{Data: chronytest.Reply(r, n.report(n.elapsed())), Delay: n.fault.late}}
}

// Read reads the node's clocks. truth is the error of CLOCK_REALTIME. The other clocks
// behave as on a real machine: only CLOCK_REALTIME is set, and nothing steers
// CLOCK_MONOTONIC_RAW.
func (n *node) Read() (tracker.Instant, error) {
	t := n.elapsed()
	steered, set := nanoseconds(n.truth(t)), nanoseconds(n.set(t))
	now := int64(t) + steered - set
	return tracker.Instant{
		Real: n.start.UnixNano() + now + set,
		Boot: now, Mono: now,
		Raw: int64(t) + nanoseconds(n.gained(t)+n.paused(t)),
	}, nil
}

// Kernel returns what chronyd sets in the kernel.
func (n *node) Kernel() (tracker.Kernel, error) {
	frequency := n.frequency(n.updated(n.elapsed()))
	return tracker.Kernel{Frequency: -frequency * 1e6, MaxError: 1e-3, EstimatedError: 1e-6, Synchronized: true}, nil
}

// AwaitSet never reports a step. The next sample shows it.
func (n *node) AwaitSet() error {
	<-n.closed
	return net.ErrClosed
}

func (n *node) Close() error {
	n.closing.Do(func() { close(n.closed) })
	return nil
}

var _ tracker.Clocks = (*node)(nil)

// random returns a source of random numbers. It is the same for the same node, time
// and purpose.
func (n *node) random(t time.Duration, purpose uint64) *rand.Rand {
	return rand.New(rand.NewPCG(n.number, uint64(t)^purpose<<56))
}

// evenly returns a random number from -1 to 1, evenly distributed.
func (n *node) evenly(t time.Duration, purpose uint64) float64 {
	return 2*n.random(t, purpose).Float64() - 1
}

// The purposes of random numbers. Each time source has its own numbers.
const (
	oscillatorMean uint64 = iota
	oscillatorPhase
	measurement
	lostPoll  = measurement + 8
	witnessed = lostPoll + 8
)

func nanoseconds(seconds float64) int64 { return int64(math.Round(seconds * 1e9)) }
