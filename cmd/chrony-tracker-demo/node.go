package main

import (
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// A node is a machine that is not there. Everything about it follows from its
// number and the time since its start, so nothing has to be kept.
type node struct {
	name, cluster string
	number        uint64
	fault         *fault // nil if nothing is wrong
	start         time.Time

	closing sync.Once
	closed  chan struct{}
}

func newNode(name, cluster string, number int, fault *fault) *node {
	return &node{name: name, cluster: cluster, number: uint64(number), fault: fault, start: time.Now(), closed: make(chan struct{})}
}

// usesNTP reports whether the node follows three servers in the network. Others
// follow the clock of their machine's host, as nodes of AKS do.
func (n *node) usesNTP() bool {
	if n.fault != nil {
		return n.fault.ntp
	}
	return n.number%2 == 0
}

// answer is the script of the node's chronyd.
func (n *node) answer(r chronytest.Request) []chronytest.Packet {
	packet := chronytest.Packet{Data: chronytest.Reply(r, n.report(time.Since(n.start)))}
	if n.fault != nil {
		if n.fault.mute {
			return nil
		}
		packet.Delay = n.fault.late
	}
	return []chronytest.Packet{packet}
}

// report is what chronyd says after some time.
func (n *node) report(elapsed time.Duration) chrony.Report {
	var r chrony.Report
	if n.usesNTP() {
		r = n.followServers(elapsed)
	} else {
		r = n.followHost(elapsed)
	}
	if n.fault != nil && n.fault.spoil != nil {
		n.fault.spoil(&r, elapsed)
	}
	return r
}

var phc = chrony.RefID('P'<<24 | 'H'<<16 | 'C'<<8 | '0')

// followHost reports a clock that follows a PTP clock every eight seconds.
func (n *node) followHost(elapsed time.Duration) chrony.Report {
	const poll, jitter = 3, 1.5e-6
	update, age := n.lastPoll(elapsed, poll)
	t := n.tracking(update, age, poll, jitter)
	t.RefID, t.Stratum = phc, 1
	t.RootDelay, t.RootDispersion = 1e-9, 2e-6+drifted(age)
	source := chrony.Source{
		RefID: phc, Mode: chrony.ModeReferenceClock, State: chrony.StateSelected, Poll: poll, Reach: 0o377,
		SampleAge: age, MeasuredOffset: t.LastOffset, AdjustedOffset: t.LastOffset, OffsetError: 2e-6,
		Stats: &chrony.SourceStats{RefID: phc, Samples: 32, Runs: 15, Span: 250 * time.Second, StandardDeviation: jitter, Skew: t.Skew, OffsetError: jitter},
	}
	return chrony.Report{Tracking: t, Activity: &chrony.Activity{}, Sources: []chrony.Source{source}}
}

// followServers reports a clock that follows three servers every 64 seconds. This
// chronyd lets anybody ask how it selects them (opencommands).
func (n *node) followServers(elapsed time.Duration) chrony.Report {
	const poll, jitter, delay = 6, 60e-6, 1.2e-3
	update, age := n.lastPoll(elapsed, poll)
	t := n.tracking(update, age, poll, jitter)
	t.Address, t.Stratum = server(0), 3
	t.RefID = chrony.RefID(192<<24 | 2<<8 | 1)
	t.RootDelay, t.RootDispersion = delay, 200e-6+drifted(age)
	r := chrony.Report{Tracking: t, Activity: &chrony.Activity{Online: 3}}
	states := []chrony.SourceState{chrony.StateSelected, chrony.StateCombined, chrony.StateSelectable}
	verdicts := []chrony.SelectState{'*', '+', 'L'}
	for i := range states {
		offset := t.LastOffset + jitter*n.noise(update, uint64(i+1))
		margin := delay/2 + 300e-6*float64(i+1)
		r.Sources = append(r.Sources, chrony.Source{
			Address: server(i), State: states[i], Stratum: 2, Poll: poll, Reach: 0o377,
			SampleAge: age, MeasuredOffset: offset, AdjustedOffset: offset, OffsetError: margin,
			Stats:  &chrony.SourceStats{Address: server(i), Samples: 12, Runs: 6, Span: 800 * time.Second, StandardDeviation: jitter, Skew: t.Skew, Offset: offset, OffsetError: jitter},
			Select: &chrony.SelectData{Address: server(i), State: verdicts[i], SampleAge: age, Score: 1, Low: offset - margin, High: offset + margin},
		})
	}
	return r
}

// server is the address of a time server in a network that is for examples.
func server(i int) chrony.Address {
	return chrony.Address{IP: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})}
}

// tracking is what all reports have: a clock with noise whose frequency wanders.
func (n *node) tracking(update uint64, age time.Duration, poll int, jitter float64) *chrony.Tracking {
	offset := jitter * n.noise(update, 0)
	const correction = 4 // seconds in which most of an offset is slewed away
	return &chrony.Tracking{
		RefTime:            time.Now().Add(-age),
		SystemTime:         -offset * math.Exp(-age.Seconds()/correction),
		LastOffset:         offset,
		RMSOffset:          jitter,
		Frequency:          n.frequency() + 0.01*n.noise(update, 9),
		ResidualFrequency:  0.001 * n.noise(update, 8),
		Skew:               0.02 + 0.005*math.Abs(n.noise(update, 7)),
		LastUpdateInterval: math.Ldexp(1, poll),
	}
}

// frequency is by how much, in ppm, this node's crystal runs too fast.
func (n *node) frequency() float64 { return 15 * n.noise(0, 6) }

// lastPoll returns the number of the latest poll of the source, and its age. No
// two nodes poll at the same time.
func (n *node) lastPoll(elapsed time.Duration, poll int) (number uint64, age time.Duration) {
	interval := time.Second << poll
	phase := time.Duration(n.number * 7919 % uint64(interval/time.Millisecond) * uint64(time.Millisecond))
	elapsed += phase
	return uint64(elapsed / interval), elapsed % interval
}

// noise is a number from the standard normal distribution: always the same for
// the same node, poll and purpose.
func (n *node) noise(poll, purpose uint64) float64 {
	return rand.New(rand.NewPCG(n.number, poll<<8|purpose)).NormFloat64()
}

// drifted is by how much chronyd lets the dispersion grow, in seconds.
func drifted(age time.Duration) float64 { return 1e-6 * age.Seconds() }

// Read reads the machine's clocks. They agree, but for the steps.
func (n *node) Read() (tracker.Instant, error) {
	elapsed := time.Since(n.start)
	now := int64(elapsed)
	i := tracker.Instant{
		Real: n.start.UnixNano() + now,
		Boot: now, Mono: now,
		Raw: now + int64(n.frequency()*1e-6*float64(now)),
	}
	if n.fault != nil && n.fault.steps {
		i.Real += int64(stepped(elapsed))
	}
	return i, nil
}

// Kernel is what chronyd tells the kernel.
func (n *node) Kernel() (tracker.Kernel, error) {
	return tracker.Kernel{Frequency: -n.frequency(), MaxError: 1e-3, EstimatedError: 1e-6, Synchronized: true}, nil
}

// AwaitSet never sees a step: the next sample does.
func (n *node) AwaitSet() error {
	<-n.closed
	return net.ErrClosed
}

func (n *node) Close() error {
	n.closing.Do(func() { close(n.closed) })
	return nil
}

var _ tracker.Clocks = (*node)(nil)
