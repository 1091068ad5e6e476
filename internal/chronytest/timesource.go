package chronytest

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// A TimeSource is an NTP server with an adjustable error. A real server can't jump.
type TimeSource struct {
	Line string // line of chrony.conf that makes a chronyd follow it, without a poll interval

	conn  net.PacketConn
	error atomic.Int64 // nanoseconds
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
	s := &TimeSource{Line: fmt.Sprintf("server %v port %d iburst", host, port), conn: conn}
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
func (s *TimeSource) SetError(e time.Duration) { s.error.Store(int64(e)) }

func (s *TimeSource) serve() {
	const length = 48 // RFC 5905, figure 8
	var b [512]byte
	for {
		n, from, err := s.conn.ReadFrom(b[:])
		if err != nil {
			return // closed
		}
		if n < length {
			continue
		}
		now := s.now()
		reply := []byte{4<<3 | 4, 1, b[2], 0xec}  // version 4, mode server; stratum 1; poll; precision of 1 µs
		reply = append(reply, make([]byte, 8)...) // root delay and dispersion
		reply = append(reply, "TEST"...)
		reply = binary.BigEndian.AppendUint64(reply, now)
		reply = append(reply, b[40:length]...) // the client's transmit timestamp
		reply = binary.BigEndian.AppendUint64(reply, now)
		reply = binary.BigEndian.AppendUint64(reply, s.now())
		s.conn.WriteTo(reply, from)
	}
}

// now returns the time as an NTP timestamp: seconds since 1900 in units of 2^-32 s.
func (s *TimeSource) now() uint64 {
	const since1900 = 2_208_988_800
	t := time.Now().Add(time.Duration(s.error.Load()))
	return uint64(t.Unix()+since1900)<<32 | uint64(t.Nanosecond())<<32/1e9
}
