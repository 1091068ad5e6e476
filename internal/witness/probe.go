package witness

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/beevik/ntp"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// An Exchange asks an NTP server once. With a key, both sides prove who they are.
type Exchange func(ctx context.Context, to netip.AddrPort, key *Key, timeout time.Duration) (*ntp.Response, error)

// Query asks over UDP. The socket is connected, so the kernel drops what others send.
//
// It sets no GetSystemTime: that would turn off the kernel's timestamps. With these, the
// uncertainty on a busy machine is ten times smaller.
func Query(ctx context.Context, to netip.AddrPort, key *Key, timeout time.Duration) (*ntp.Response, error) {
	undo := func() bool { return true }
	defer func() { undo() }()
	return ntp.QueryWithOptions(to.String(), ntp.QueryOptions{
		Timeout: timeout,
		Auth:    key.options(),
		Dialer: func(_, remote string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "udp", remote)
			if err == nil {
				undo = context.AfterFunc(ctx, func() { conn.Close() })
			}
			return conn, err
		},
	})
}

const (
	// stepped, in nanoseconds, is how far CLOCK_REALTIME may move against CLOCK_BOOTTIME
	// during an exchange.
	stepped = 100_000

	// longest, in seconds, is the largest uncertainty of a measurement.
	longest = 1

	// oscillator is how far off the frequency of any clock is during an exchange: 100 ppm.
	oscillator = 100e-6

	// smear, in seconds, is how far off a server may be around a leap second.
	smear = 1

	// hosts, in seconds, is how far apart the reference clocks of two nodes may be if they
	// are not traced to UTC. Both bounds can then be right. It allows for hosts that smear
	// a leap second, and is far less than the pause of a machine that matters.
	hosts = 1
)

// A prober asks witnesses and judges their answers.
type prober struct {
	clock     Clock
	exchange  Exchange
	tolerance float64 // seconds
	self      uint32  // this node's reference ID
}

// probe asks a witness once.
func (p *prober) probe(ctx context.Context, kind Kind, to netip.AddrPort, key *Key, timeout time.Duration) report {
	before := p.clock.Read()
	response, err := p.exchange(ctx, to, key, timeout)
	after := p.clock.Read()
	r := report{}
	if kind == Peer && err == nil {
		if r.node = response.ReferenceID; r.node == p.self {
			r.result = Self
			return r
		}
	}
	if r.result, r.err = failure(response, err); r.result != "" {
		return r
	}
	if r.result, r.err = r.measurement.read(response); r.result != "" {
		return r
	}
	if moved := (after.Real - after.Boot) - (before.Real - before.Boot); before.Jumps != after.Jumps || moved > stepped || moved < -stepped {
		r.result, r.err = Jumped, errors.New("this clock jumped during the exchange")
		return r
	}
	r.boot, r.real, r.jumps, r.moved = after.Boot, after.Real, after.Jumps, after.Moved
	after.Bound, after.Leap = math.Max(before.Bound, after.Bound), after.Leap || announcesLeap(response)
	p.judge(&r, kind, after)
	return r
}

// judge compares a measurement with the clock's bound, the larger of those just before
// and just after.
func (p *prober) judge(r *report, kind Kind, now Reading) {
	bound, tolerance := now.Bound, p.tolerance
	if kind == Peer && now.Untraced {
		tolerance = max(tolerance, hosts)
	}
	m := clockerror.Measured(r.offset, r.uncertainty)
	switch {
	case math.IsInf(bound, 1):
		r.result = NoBound
		return
	case !m.Excludes(bound + tolerance):
		r.result = Agrees
	case kind == UTC && now.Leap && !m.Excludes(bound+smear):
		r.result, r.err = LeapSecond, errors.New("it may smear a leap second")
	default:
		r.result = Contradicts
	}
	r.excess = max(0, m.Near-bound)
}

func announcesLeap(r *ntp.Response) bool {
	return r.Leap == ntp.LeapAddSecond || r.Leap == ntp.LeapDelSecond
}

// failures are the errors of the library, by what they mean here.
var failures = []struct {
	err    error
	result Result
}{
	{os.ErrDeadlineExceeded, NoAnswer},
	{syscall.ECONNREFUSED, NoAnswer},
	{ntp.ErrAuthFailed, Unauthentic},
	{ntp.ErrAuthNAK, Unauthentic},
	{ntp.ErrServerResponseMismatch, Mismatched},
	{ntp.ErrServerTickedBackwards, Impossible},
	{ntp.ErrInvalidMode, Malformed},
	{ntp.ErrInvalidTransmitTime, Malformed},
	{ntp.ErrInvalidTime, Malformed}, // also of a packet that is too short
	{ntp.ErrInvalidLeapSecond, Unsynchronized},
	{ntp.ErrInvalidStratum, Unsynchronized},
	{ntp.ErrServerClockFreshness, Unsynchronized},
	{ntp.ErrInvalidDispersion, Distant},
}

// failure returns why a response is no measurement, or an empty result.
func failure(response *ntp.Response, err error) (Result, error) {
	if err == nil {
		err = response.Validate()
	}
	switch {
	case err == nil:
		return "", nil
	case errors.Is(err, ntp.ErrKissOfDeath):
		return kiss(response.KissCode), fmt.Errorf("the server refuses: %q", response.KissCode)
	}
	for _, f := range failures {
		if errors.Is(err, f.err) {
			return f.result, err
		}
	}
	return Failed, err
}

// kiss returns the meaning of a kiss code (RFC 5905, section 7.4).
func kiss(code string) Result {
	switch code {
	case "RATE":
		return RateLimited
	case "DENY", "RSTR":
		return Denied
	default:
		return Unsynchronized
	}
}

// read takes offset and uncertainty from a valid response. It computes the delay
// itself, because the library raises a negative one to zero. With kernel timestamps,
// all times are those of CLOCK_REALTIME.
func (m *measurement) read(r *ntp.Response) (Result, error) {
	t := r.Timestamps
	t1, t4 := t.ClientXmit.Round(0), t.ClientRecv.Round(0)
	const day = 24 * time.Hour
	if r.Era != eraOf(t4) && t.ServerRecv.Sub(t4).Abs() > day {
		return OtherEra, fmt.Errorf("it says that it is the year %d", t.ServerRecv.Year())
	}
	elapsed := t4.Sub(t1)
	delay := elapsed - t.ServerXmit.Sub(t.ServerRecv)
	if elapsed < 0 || delay < 0 {
		return Impossible, fmt.Errorf("a network delay of %v", delay)
	}
	m.offset = -(t.ServerRecv.Sub(t1) + t.ServerXmit.Sub(t4)).Seconds() / 2
	m.uncertainty = (delay+r.RootDelay).Seconds()/2 + r.RootDispersion.Seconds() + r.Precision.Seconds() + oscillator*elapsed.Seconds()
	if !(m.uncertainty <= longest) {
		return Distant, fmt.Errorf("the measurement is uncertain by %.3g s", m.uncertainty)
	}
	return "", nil
}

// eraOf returns the era of NTP: the second one begins in 2036.
func eraOf(t time.Time) uint8 {
	const since1900 = 2_208_988_800
	return uint8(uint64(t.Unix()+since1900) >> 32)
}
