package witness

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// ResponderConfig configures a [Responder]. The zero values are the defaults.
type ResponderConfig struct {
	Address string  // where it listens, as HOST:PORT or :PORT
	Node    string  // this node's name
	Keys    []Key   // that requests may be authenticated with
	Public  bool    // answer public addresses, too
	Limit   float64 // answers per second to all; DefaultLimit if zero
	Logger  *slog.Logger
}

// DefaultLimit is how many requests are answered per second.
const DefaultLimit = 1000

// Serving is what a responder says of this node's clock.
type Serving struct {
	// Valid says that peers may judge their clocks by this one: its state is synchronized or
	// holdover. If it is false, peers do not count the answer.
	Valid bool
	Bound float64 // seconds
}

// A Responder answers NTP requests with this node's time and the bound of its error. An
// answer is never longer than the request.
type Responder struct {
	config  ResponderConfig
	conn    *net.UDPConn
	serving func() Serving
	self    uint32
	macs    map[uint32]*cmac
	limits  limiter
	counts  [3]atomic.Uint64 // by result, in the order of RequestResults
}

// Listen returns a responder for the clock. Run answers. Close it if Run is not called.
func Listen(config ResponderConfig, serving func() Serving) (*Responder, error) {
	config.Limit = cmp.Or(config.Limit, DefaultLimit)
	config.Logger = cmp.Or(config.Logger, slog.New(slog.DiscardHandler))
	r := &Responder{config: config, serving: serving, self: ReferenceID(config.Node), limits: newLimiter(config.Limit), macs: make(map[uint32]*cmac)}
	for _, key := range config.Keys {
		m, err := newCMAC(key.key)
		if err != nil {
			return nil, err
		}
		r.macs[key.ID] = m
	}
	listen := net.ListenConfig{Control: setOptions}
	conn, err := listen.ListenPacket(context.Background(), "udp", config.Address)
	if err != nil {
		return nil, err
	}
	r.conn = conn.(*net.UDPConn)
	return r, nil
}

// setOptions asks the kernel when each packet came, and to which address: the answer
// must come from there.
func setOptions(network, _ string, raw syscall.RawConn) error {
	var err error
	control := func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
		if err == nil && network == "udp6" {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		}
		if err == nil && network == "udp4" {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
	}
	if failed := raw.Control(control); failed != nil {
		return failed
	}
	return err
}

// Addr returns where the responder listens.
func (r *Responder) Addr() netip.AddrPort { return r.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// Close ends Run.
func (r *Responder) Close() error { return r.conn.Close() }

// Requests returns what was done with the requests so far.
func (r *Responder) Requests() map[RequestResult]uint64 {
	counts := make(map[RequestResult]uint64, len(RequestResults))
	for i, result := range RequestResults {
		counts[result] = r.counts[i].Load()
	}
	return counts
}

const (
	headerLength = 48     // of an NTP message (RFC 5905, figure 8)
	macLength    = 4 + 16 // a key's ID and AES-CMAC (RFC 8573)
	longLength   = headerLength + macLength

	clientMode, serverMode = 3, 4
)

// Run answers until the responder is closed.
func (r *Responder) Run() {
	var in, out [longLength + 1]byte // so that a longer message is noticed
	var control [256]byte
	for {
		n, controlled, flags, from, err := r.conn.ReadMsgUDPAddrPort(in[:], control[:])
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // the kernel reports other errors once, such as that of an earlier answer
		}
		at, reply := readControl(control[:controlled])
		result := r.handle(in[:n], flags&unix.MSG_TRUNC == 0, from.Addr().Unmap(), at, out[:])
		r.count(result)
		if result == Answered {
			transmit(out[:n], r.macs)
			r.conn.WriteMsgUDPAddrPort(out[:n], reply, from) // if it fails, the client asks again
		}
	}
}

func (r *Responder) count(result RequestResult) {
	for i, one := range RequestResults {
		if one == result {
			r.counts[i].Add(1)
		}
	}
}

// handle decides about a request and writes the answer, which has the same length. The
// cheapest checks come first, so that a flood costs little.
func (r *Responder) handle(in []byte, whole bool, from netip.Addr, at time.Time, out []byte) RequestResult {
	if !whole || len(in) != headerLength && len(in) != longLength {
		return Dropped
	}
	version, mode := in[0]>>3&7, in[0]&7
	if mode != clientMode || version < 3 || version > 4 || !r.config.Public && !isPrivate(from) {
		return Dropped
	}
	if !r.limits.allow(from, time.Now()) {
		return Limited
	}
	if len(in) == longLength && !r.authentic(in) {
		return Dropped
	}
	r.answer(in, version, at, out)
	return Answered
}

// authentic checks a request's authentication code.
func (r *Responder) authentic(in []byte) bool {
	m := r.macs[binary.BigEndian.Uint32(in[headerLength:])]
	return m != nil && subtle.ConstantTimeCompare(m.of(in[:headerLength]), in[headerLength+4:longLength]) == 1
}

// answer writes the answer, but for what [transmit] adds.
func (r *Responder) answer(in []byte, version byte, at time.Time, out []byte) {
	const (
		stratum   = 15 // no client should follow a tracker
		precision = -23
		unknown   = 3 // leap indicator
	)
	serving := r.serving()
	clear(out)
	out[0] = version<<3 | serverMode
	if !serving.Valid {
		out[0] |= unknown << 6
	}
	negative := int8(precision)
	out[1], out[2], out[3] = stratum, in[2], byte(negative)
	binary.BigEndian.PutUint32(out[8:], short(serving.Bound))
	binary.BigEndian.PutUint32(out[12:], r.self)
	received := timestamp(at)
	binary.BigEndian.PutUint64(out[16:], received) // the reference time; the root dispersion is of now
	copy(out[24:32], in[40:48])
	binary.BigEndian.PutUint64(out[32:], received)
	if len(in) == longLength {
		copy(out[headerLength:], in[headerLength:headerLength+4])
	}
}

// transmit sets the time of the answer at the last moment, and authenticates it if the
// request was.
func transmit(out []byte, macs map[uint32]*cmac) {
	binary.BigEndian.PutUint64(out[40:], max(timestamp(time.Now()), binary.BigEndian.Uint64(out[32:])))
	if len(out) == longLength {
		copy(out[headerLength+4:], macs[binary.BigEndian.Uint32(out[headerLength:])].of(out[:headerLength]))
	}
}

// short returns seconds in NTP's short format, rounded up to 2^-16 s. A bound that is
// unknown or too large is the largest value.
func short(seconds float64) uint32 {
	units := math.Ceil(seconds * (1 << 16))
	if !(units >= 0 && units <= math.MaxUint32) {
		return math.MaxUint32
	}
	return uint32(units)
}

// timestamp returns a time in NTP's format: seconds since 1900 in units of 2^-32 s.
func timestamp(t time.Time) uint64 {
	const since1900 = 2_208_988_800
	return uint64(t.Unix()+since1900)<<32 | uint64(t.Nanosecond())<<32/1e9
}

// readControl returns when the kernel received a packet, and the control message that
// makes the answer come from the address to which it was sent.
func readControl(control []byte) (at time.Time, reply []byte) {
	for len(control) >= unix.SizeofCmsghdr {
		header := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		length := int(header.Len)
		if length < unix.SizeofCmsghdr || length > len(control) {
			break
		}
		data := control[unix.CmsgLen(0):length]
		switch {
		case header.Level == unix.SOL_SOCKET && header.Type == unix.SO_TIMESTAMPNS && len(data) >= int(unsafe.Sizeof(unix.Timespec{})):
			t := (*unix.Timespec)(unsafe.Pointer(&data[0]))
			at = time.Unix(t.Unix())
		case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			(*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0])).Ifindex = 0 // any interface will do
			reply = control[:length]
		case header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0]))
			if !netip.AddrFrom16(info.Addr).IsLinkLocalUnicast() {
				info.Ifindex = 0
			}
			reply = control[:length]
		}
		control = control[min(unix.CmsgSpace(length-unix.CmsgLen(0)), len(control)):]
	}
	if at.IsZero() {
		at = time.Now()
	}
	return at, reply
}

// ServingOf returns what to serve of a clock with this state and bound.
func ServingOf(state clockerror.State, bound float64) Serving {
	valid := state == clockerror.Synchronized || state == clockerror.Holdover
	return Serving{Valid: valid && !math.IsInf(bound, 1), Bound: bound}
}
