package chronytest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// A TimeSource is an NTP server with an adjustable error. A real server can't jump.
type TimeSource struct {
	Line    string // line of chrony.conf that makes a chronyd follow it, without a poll interval
	Address string // host:port

	conn net.PacketConn

	mu    sync.Mutex
	error time.Duration
	loss  float64   // share of the requests that it ignores
	told  time.Time // when it first told its error; zero if nobody has asked since
}

// timeSources counts the time sources, so that each gets its own address. chronyd
// identifies sources by address.
var timeSources atomic.Uint32

// NewTimeSource starts a time source without an error.
func NewTimeSource(t TB) *TimeSource {
	t.Helper()
	n := timeSources.Add(1)
	host := netip.AddrFrom4([4]byte{127, 1, byte(n >> 8), byte(n)})
	conn, err := net.ListenPacket("udp", netip.AddrPortFrom(host, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	port := conn.LocalAddr().(*net.UDPAddr).Port
	s := &TimeSource{Line: fmt.Sprintf("server %v port %d iburst", host, port), Address: conn.LocalAddr().String(), conn: conn}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.serve()
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return s
}

// SetError sets the error from now on. Above zero, the source is ahead.
func (s *TimeSource) SetError(e time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.error != e {
		s.error, s.told = e, time.Time{}
	}
}

// SetLoss makes it ignore a share of the requests from now on, as if packets were lost.
func (s *TimeSource) SetLoss(share float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loss = share
}

// Told returns when it first told its present error, or zero if it has not yet.
func (s *TimeSource) Told() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told
}

// Forget makes [TimeSource.Told] begin anew, as after a restart of the chronyd that asks.
func (s *TimeSource) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = time.Time{}
}

func (s *TimeSource) serve() {
	var b [512]byte
	for {
		n, from, err := s.conn.ReadFrom(b[:])
		if err != nil {
			return // closed
		}
		if n >= packetLength {
			s.answer(b[:packetLength], from)
		}
	}
}

const packetLength = 48 // RFC 5905, figure 8

func (s *TimeSource) answer(request []byte, to net.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rand.Float64() < s.loss {
		return
	}
	now := s.now()
	reply := []byte{4<<3 | 4, 1, request[2], 0xec} // version 4, mode server; stratum 1; poll; precision of 1 µs
	reply = append(reply, make([]byte, 8)...)      // root delay and dispersion
	reply = append(reply, "TEST"...)
	reply = binary.BigEndian.AppendUint64(reply, now)
	reply = append(reply, request[40:]...) // the client's transmit timestamp
	reply = binary.BigEndian.AppendUint64(reply, now)
	reply = binary.BigEndian.AppendUint64(reply, s.now())
	s.conn.WriteTo(reply, to)
	if s.told.IsZero() {
		s.told = time.Now()
	}
}

// now returns the time as an NTP timestamp: seconds since 1900 in units of 2^-32 s.
func (s *TimeSource) now() uint64 {
	const since1900 = 2_208_988_800
	t := time.Now().Add(s.error)
	return uint64(t.Unix()+since1900)<<32 | uint64(t.Nanosecond())<<32/1e9
}
