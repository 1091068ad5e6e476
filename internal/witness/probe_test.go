package witness

import (
	"encoding/binary"
	"math"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

// A fakeClock is a clock that is judged.
type fakeClock struct {
	mu sync.Mutex
	Reading
	next *Reading // after the next one
}

// steady returns a clock with this bound, in seconds.
func steady(bound float64) *fakeClock {
	return &fakeClock{Reading: Reading{Boot: 1e9, Real: time.Now().UnixNano(), Bound: bound}}
}

func (c *fakeClock) Read() Reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.Reading
	if c.next != nil {
		c.Reading, c.next = *c.next, nil
	}
	return r
}

// A badServer answers each request with what a function makes of it.
func badServer(t *testing.T, answer func(request, reply []byte) [][]byte) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	chronytest.Must(t, err)
	t.Cleanup(func() { conn.Close() })
	go func() {
		for {
			var in [512]byte
			n, from, err := conn.ReadFromUDPAddrPort(in[:])
			if err != nil {
				return
			}
			for _, out := range answer(in[:n], goodReply(in[:n], time.Now())) {
				conn.WriteToUDPAddrPort(out, from)
			}
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// goodReply is what an accurate server of stratum 1 answers.
func goodReply(request []byte, now time.Time) []byte {
	b := make([]byte, headerLength)
	b[0], b[1], b[3] = 4<<3|serverMode, 1, 0xec
	copy(b[12:], "TEST")
	binary.BigEndian.PutUint64(b[16:], timestamp(now.Add(-time.Second)))
	copy(b[24:32], request[40:48])
	binary.BigEndian.PutUint64(b[32:], timestamp(now))
	binary.BigEndian.PutUint64(b[40:], timestamp(now))
	return b
}

// shift moves all times of a reply.
func shift(b []byte, by time.Duration) {
	units := uint64(int64(by.Seconds() * (1 << 32)))
	for _, at := range []int{16, 32, 40} {
		binary.BigEndian.PutUint64(b[at:], binary.BigEndian.Uint64(b[at:])+units)
	}
}

// TestReplies wants each bad reply to be dropped for its own reason.
func TestReplies(t *testing.T) {
	changed := func(f func(request, b []byte)) func(request, reply []byte) [][]byte {
		return func(request, reply []byte) [][]byte {
			f(request, reply)
			return [][]byte{reply}
		}
	}
	kissOfDeath := func(code string) func(request, reply []byte) [][]byte {
		return changed(func(_, b []byte) {
			b[0] |= 3 << 6
			b[1] = 0
			copy(b[12:], code)
		})
	}
	const year = 365 * 24 * time.Hour
	self := ReferenceID("node-1")
	for _, test := range []struct {
		name   string
		kind   Kind
		answer func(request, reply []byte) [][]byte
		want   Result
	}{
		{"good", UTC, changed(func(_, b []byte) {}), Agrees},
		{"a good peer", Peer, changed(func(_, b []byte) { b[1] = 15 }), Agrees},
		{"300 ms off", UTC, changed(func(_, b []byte) { shift(b, 300*time.Millisecond) }), Contradicts},
		{"an hour off", UTC, changed(func(_, b []byte) { shift(b, -time.Hour) }), Contradicts},
		{"300 ms off, with a larger root dispersion", UTC, changed(func(_, b []byte) { shift(b, 300*time.Millisecond); b[9] = 0; b[10] = 0x60 }), Agrees},
		{"silence", UTC, func(_, _ []byte) [][]byte { return nil }, NoAnswer},
		{"short", UTC, func(_, b []byte) [][]byte { return [][]byte{b[:47]} }, Malformed},
		{"empty", UTC, func(_, b []byte) [][]byte { return [][]byte{{}} }, Malformed},
		{"the request itself", UTC, func(request, _ []byte) [][]byte { return [][]byte{request} }, Malformed},
		{"no time", UTC, changed(func(_, b []byte) { clear(b[40:48]) }), Malformed},
		{"forged", UTC, changed(func(_, b []byte) { b[31]++ }), Mismatched},
		{"replayed", UTC, changed(func(_, b []byte) { copy(b[24:32], "replayed") }), Mismatched},
		{"a leap indicator of 3", UTC, changed(func(_, b []byte) { b[0] |= 3 << 6 }), Unsynchronized},
		{"stratum 16", UTC, changed(func(_, b []byte) { b[1] = 16 }), Unsynchronized},
		{"not updated for two days", UTC, changed(func(_, b []byte) { binary.BigEndian.PutUint64(b[16:], timestamp(time.Now().Add(-48*time.Hour))) }), Unsynchronized},
		{"RATE", UTC, kissOfDeath("RATE"), RateLimited},
		{"DENY", UTC, kissOfDeath("DENY"), Denied},
		{"RSTR", UTC, kissOfDeath("RSTR"), Denied},
		{"another kiss", UTC, kissOfDeath("STEP"), Unsynchronized},
		{"a root dispersion above 1 s", UTC, changed(func(_, b []byte) { b[9] = 1; b[11] = 1 }), Distant},
		{"a root delay above 2 s", UTC, changed(func(_, b []byte) { b[5] = 2; b[7] = 1 }), Distant},
		{"a root dispersion above 16 s", UTC, changed(func(_, b []byte) { b[9] = 17 }), Distant},
		{"another era", UTC, changed(func(_, b []byte) { shift(b, 20*year) }), OtherEra},
		{"a negative delay", UTC, changed(func(_, b []byte) {
			binary.BigEndian.PutUint64(b[40:], timestamp(time.Now().Add(5*time.Second)))
		}), Impossible},
		{"backwards", UTC, changed(func(_, b []byte) {
			binary.BigEndian.PutUint64(b[40:], timestamp(time.Now().Add(-5*time.Second)))
		}), Impossible},
		{"this node as a peer", Peer, changed(func(_, b []byte) { b[1] = 15; binary.BigEndian.PutUint32(b[12:], self) }), Self},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := prober{clock: steady(10e-3), exchange: Query, tolerance: 1e-3, self: self}
			timeout := 10 * time.Second
			if test.want == NoAnswer {
				timeout = 50 * time.Millisecond
			}
			r := p.probe(t.Context(), test.kind, badServer(t, test.answer), nil, timeout)
			if r.result != test.want || !r.measured() && r.result != Self && r.err == nil {
				t.Errorf("%s: %v", r.result, r.err)
			}
			if r.measured() == (r.boot == 0) {
				t.Errorf("%s: %+v", r.result, r.measurement)
			}
		})
	}
}

// TestUnauthenticReplies wants a request with a key to count only replies with that key.
func TestUnauthenticReplies(t *testing.T) {
	mac, err := newCMAC(testKeys[0].key)
	chronytest.Must(t, err)
	sign := func(b []byte, id uint32) []byte {
		return append(binary.BigEndian.AppendUint32(b, id), mac.of(b[:headerLength])...)
	}
	var mu sync.Mutex
	signed := func(_, b []byte) [][]byte {
		mu.Lock()
		defer mu.Unlock()
		return [][]byte{sign(b, testKeys[0].ID)}
	}
	for _, test := range []struct {
		name   string
		answer func(request, reply []byte) [][]byte
		want   Result
	}{
		{"signed", signed, Agrees},
		{"not signed", func(_, b []byte) [][]byte { return [][]byte{b} }, Unauthentic},
		{"a crypto-NAK", func(_, b []byte) [][]byte { return [][]byte{append(b, 0, 0, 0, 0)} }, Unauthentic},
		{"changed", func(r, b []byte) [][]byte { s := signed(r, b); s[0][10]++; return s }, Unauthentic},
		{"another key", func(r, b []byte) [][]byte { return [][]byte{sign(b, 9)} }, Unauthentic},
	} {
		p := prober{clock: steady(10e-3), exchange: Query, tolerance: 1e-3}
		if r := p.probe(t.Context(), Peer, badServer(t, test.answer), &testKeys[0], 10*time.Second); r.result != test.want {
			t.Errorf("%s: %s: %v", test.name, r.result, r.err)
		}
	}
}

// TestForeignReply wants a reply from another address not even to be seen.
func TestForeignReply(t *testing.T) {
	other, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	chronytest.Must(t, err)
	defer other.Close()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	chronytest.Must(t, err)
	defer conn.Close()
	go func() {
		var in [512]byte
		n, from, err := conn.ReadFromUDPAddrPort(in[:])
		if err == nil {
			other.WriteToUDPAddrPort(goodReply(in[:n], time.Now()), from)
		}
	}()
	p := prober{clock: steady(10e-3), exchange: Query}
	if r := p.probe(t.Context(), UTC, conn.LocalAddr().(*net.UDPAddr).AddrPort(), nil, 100*time.Millisecond); r.result != NoAnswer {
		t.Errorf("%s: %v", r.result, r.err)
	}
}

// TestOwnClock wants this clock's own jumps and doubts to be no verdict.
func TestOwnClock(t *testing.T) {
	off := func(by time.Duration) netip.AddrPort {
		return badServer(t, func(_, b []byte) [][]byte { shift(b, by); return [][]byte{b} })
	}
	for _, test := range []struct {
		name   string
		by     time.Duration
		kind   Kind
		change func(c *fakeClock)
		want   Result
	}{
		{"a jump", 0, UTC, func(c *fakeClock) { next := c.Reading; next.Jumps++; c.next = &next }, Jumped},
		{"a step that the watch did not see", 0, UTC, func(c *fakeClock) { next := c.Reading; next.Real += 200_000; c.next = &next }, Jumped},
		{"a slew", 0, UTC, func(c *fakeClock) { next := c.Reading; next.Real += 90_000; c.next = &next }, Agrees},
		{"no bound", time.Hour, UTC, func(c *fakeClock) { c.Bound = math.Inf(1) }, NoBound},
		{"the larger of both bounds counts", 300 * time.Millisecond, UTC, func(c *fakeClock) { next := c.Reading; next.Bound = 0.5; c.next = &next }, Agrees},
		{"the larger of both bounds counts", 300 * time.Millisecond, UTC, func(c *fakeClock) { next := c.Reading; c.Bound = 0.5; c.next = &next }, Agrees},
		{"a leap second", 900 * time.Millisecond, UTC, func(c *fakeClock) { c.Leap = true }, LeapSecond},
		{"more than a leap second", 1300 * time.Millisecond, UTC, func(c *fakeClock) { c.Leap = true }, Contradicts},
		{"a peer around a leap second", 900 * time.Millisecond, Peer, func(c *fakeClock) { c.Leap = true }, Contradicts},
	} {
		c := steady(1e-3)
		test.change(c)
		p := prober{clock: c, exchange: Query, tolerance: 1e-3}
		if r := p.probe(t.Context(), test.kind, off(test.by), nil, 10*time.Second); r.result != test.want {
			t.Errorf("%s: %s: %v", test.name, r.result, r.err)
		}
	}
}

// TestTolerance wants a measurement to contradict by more than the tolerance.
func TestTolerance(t *testing.T) {
	p := prober{tolerance: 1e-3}
	for offset, want := range map[float64]Result{0.0029: Agrees, -0.0029: Agrees, 0.0031: Contradicts, -0.0031: Contradicts} {
		r := report{measurement: measurement{offset: offset, uncertainty: 1e-3}}
		if p.judge(&r, Peer, Reading{Bound: 1e-3}); r.result != want || math.Abs(r.excess-(math.Abs(offset)-2e-3)) > 1e-9 {
			t.Errorf("%v: %s, %v s", offset, r.result, r.excess)
		}
	}
}

// TestUntraced wants the peers of a clock that follows its host to show how far the hosts
// differ, and to contradict it only if no two hosts can differ by that much. UTC servers
// always judge it.
func TestUntraced(t *testing.T) {
	p := prober{tolerance: 1e-3}
	for _, test := range []struct {
		kind     Kind
		untraced bool
		offset   float64
		want     Result
	}{
		{Peer, true, 0.25, Agrees},
		{Peer, true, -0.25, Agrees},
		{Peer, true, -28, Contradicts},
		{Peer, false, 0.25, Contradicts},
		{UTC, true, 0.25, Contradicts},
	} {
		r := report{measurement: measurement{offset: test.offset, uncertainty: 1e-3}}
		p.judge(&r, test.kind, Reading{Bound: 1e-3, Untraced: test.untraced})
		if excess := math.Abs(test.offset) - 2e-3; r.result != test.want || math.Abs(r.excess-excess) > 1e-9 {
			t.Errorf("%+v: %s, %v s beyond all bounds", test, r.result, r.excess)
		}
	}
}

// TestSign wants the offset of a clock that is ahead to be above zero.
func TestSign(t *testing.T) {
	server := badServer(t, func(_, b []byte) [][]byte { shift(b, -300*time.Millisecond); return [][]byte{b} })
	p := prober{clock: steady(1e-3), exchange: Query, tolerance: 1e-3}
	r := p.probe(t.Context(), UTC, server, nil, 10*time.Second)
	if r.offset < 0.3-r.uncertainty || r.offset > 0.3+r.uncertainty || math.Abs(r.excess-(r.offset-r.uncertainty-1e-3)) > 1e-9 {
		t.Errorf("%+v", r)
	}
	m := clockerror.Measured(r.offset, r.uncertainty)
	if far := r.far(Reading{Boot: r.boot + 100e9, Moved: -0.1}, 50e-6); math.Abs(far-(m.Far-0.1+5e-3)) > 1e-9 {
		t.Errorf("after 100 s and a slew it is %v, of %v", far, m.Far)
	}
}
