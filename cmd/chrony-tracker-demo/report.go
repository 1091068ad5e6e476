package main

import (
	"math"
	"net/netip"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// A path is the network path from a node to its sources.
type path struct {
	pollExponent int     // log2 of the seconds between two polls
	delay        float64 // seconds, the smallest round-trip delay
	jitter       float64 // seconds, the largest error of a measurement
	dispersion   float64 // seconds, what chronyd adds to half the delay
	loss         float64 // fraction of polls without an answer
}

var (
	toHost     = path{pollExponent: 3, delay: 1e-9, jitter: 1.5e-6, dispersion: 2e-6} // a PTP clock
	toServers  = path{pollExponent: 6, delay: 1.2e-3, jitter: 200e-6, dispersion: 300e-6}
	oftenAsked = path{pollExponent: 3, delay: 1.2e-3, jitter: 200e-6, dispersion: 300e-6}
	farAway    = path{pollExponent: 6, delay: 0.09, jitter: 0.01, dispersion: 0.02, loss: 0.3}
)

// measurementError returns the error of a source's sample from the network, in seconds.
// It is below the sample's error margin.
func (n *node) measurementError(source int, at time.Duration) float64 {
	return n.jitter * n.evenly(at, measurement+uint64(source))
}

// networkDelay returns a sample's delay, in seconds. If a packet waits in one direction
// only, the measurement is off by half of that time.
func (n *node) networkDelay(source int, at time.Duration) float64 {
	if !n.fault.ntp {
		return n.delay // chronyd does not measure the delay of a reference clock
	}
	return n.delay + 2*math.Abs(n.measurementError(source, at))
}

// report returns chronyd's report at t.
func (n *node) report(t time.Duration) chrony.Report {
	r := chrony.Report{Tracking: n.tracking(t), Activity: &chrony.Activity{}}
	if n.fault.ntp {
		n.addServers(&r, t)
	} else {
		n.addHost(&r, t)
	}
	if n.fault.spoil != nil {
		n.fault.spoil(&r)
	}
	return r
}

// tracking returns chronyd's tracking report. Package chrony reads the time of an
// answer from the clock of the machine that runs the simulation. So the reference time
// is by that clock too, not by the node's.
func (n *node) tracking(t time.Duration) *chrony.Tracking {
	const maxClockError = 1e-6 // the default of the directive maxclockerror
	u := n.updated(t)
	before := n.updated(u - 1)
	found, frequency := n.found(u), n.frequency(u)
	skew := n.skew(u)
	return &chrony.Tracking{
		RefTime:            n.start.Add(u),
		SystemTime:         -n.remaining(t), // positive if the clock is behind
		LastOffset:         found,
		RMSOffset:          max(n.jitter/2, math.Abs(found)/2),
		Frequency:          frequency * 1e6,
		Skew:               skew * 1e6,
		RootDelay:          n.networkDelay(0, u),
		RootDispersion:     n.dispersion + (skew+maxClockError)*(t-u).Seconds(),
		LastUpdateInterval: (u - before).Seconds(),
	}
}

// skew returns the error bound of chronyd's frequency, in seconds per second. chronyd
// fits a line to several samples, and the frequency changes meanwhile.
func (n *node) skew(u time.Duration) float64 {
	const least, intervals = 0.02e-6, 4
	return least + intervals*math.Abs(n.frequency(u)-n.frequency(n.updated(u-1)))
}

var phc = chrony.RefID('P'<<24 | 'H'<<16 | 'C'<<8 | '0')

// addHost adds the clock of the machine's host, a PTP clock.
func (n *node) addHost(r *chrony.Report, t time.Duration) {
	r.Tracking.RefID, r.Tracking.Stratum = phc, 1
	s := n.source(0, t)
	s.RefID, s.Mode, s.State = phc, chrony.ModeReferenceClock, chrony.StateSelected
	s.Stats.RefID = phc
	r.Sources = []chrony.Source{s}
}

// addServers adds three servers. This chronyd also gives selectdata over UDP
// (opencommands).
func (n *node) addServers(r *chrony.Report, t time.Duration) {
	r.Tracking.Address, r.Tracking.Stratum = server(0), 3
	r.Tracking.RefID = chrony.RefID(192<<24 | 2<<8 | 1)
	states := []chrony.SourceState{chrony.StateSelected, chrony.StateCombined, chrony.StateSelectable}
	verdicts := []chrony.SelectState{'*', '+', 'L'}
	r.Activity.Online = uint32(len(states))
	for i := range states {
		s := n.source(i, t)
		s.Address, s.Stratum, s.State = server(i), 2, states[i]
		s.Stats.Address = s.Address
		s.Select = &chrony.SelectData{
			Address: s.Address, State: verdicts[i], SampleAge: s.SampleAge, Score: 1,
			Low: s.AdjustedOffset - s.OffsetError, High: s.AdjustedOffset + s.OffsetError,
		}
		r.Sources = append(r.Sources, s)
	}
}

// server returns the address of a time server, in a documentation network (RFC 5737).
func server(i int) chrony.Address {
	return chrony.Address{IP: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})}
}

// source returns chronyd's report on a source's last sample.
func (n *node) source(i int, t time.Duration) chrony.Source {
	const kept = 16 // samples
	at := n.sampled(i, t)
	// The sample came before the update that it led to.
	measured := n.unnoticed(at-1) - n.fault.lie(i) + n.measurementError(i, at)
	adjusted := measured
	for u := n.updated(t); u >= at; u = n.updated(u - 1) {
		adjusted -= n.found(u)
	}
	return chrony.Source{
		Poll: int16(n.pollExponent), Reach: n.reach(i, t), SampleAge: n.age(at, t),
		MeasuredOffset: measured,
		AdjustedOffset: adjusted,
		OffsetError:    n.networkDelay(i, at)/2 + n.dispersion,
		Stats: &chrony.SourceStats{
			Samples: kept, Runs: kept / 2, Span: (kept - 1) * n.interval(),
			StandardDeviation: n.jitter / 2, Skew: n.skew(n.updated(t)) * 1e6, Offset: adjusted, OffsetError: n.jitter / 2,
		},
	}
}

// reach returns one bit for each of the last eight polls: 1 if it was answered. The
// lowest bit is the latest poll.
func (n *node) reach(source int, t time.Duration) uint8 {
	var reach uint8
	for i := range 8 {
		if poll := n.poll(source, t) - time.Duration(i)*n.interval(); n.answering(source, poll) == poll {
			reach |= 1 << i
		}
	}
	return reach
}

// age returns a sample's age as chronyd reports it, in whole seconds. It is by the
// node's clock, which may have been set or paused since.
func (n *node) age(at, t time.Duration) time.Duration {
	moved := time.Duration(nanoseconds(n.moved(t) - n.moved(at)))
	return max(0, t-at+moved).Truncate(time.Second)
}
