package chrony

import (
	"encoding/binary"
	"math"
	"net/netip"
	"strconv"
	"time"
)

// The packets of the monitoring protocol, version 6 (chrony's candm.h). All
// integers are big-endian.
const (
	protocolVersion = 6
	typeRequest     = 1
	typeReply       = 2

	requestHeaderLen = 20
	replyHeaderLen   = 28

	// requestLen is the length of every request, in bytes. chronyd refuses a
	// request that is shorter than its reply, and later versions have longer
	// replies. One fixed length works for all reports of all versions. From 4.0 on,
	// chronyd ignores requests of more than 860 bytes.
	requestLen = 520

	// maxReplyLen is longer than any reply to this package's requests, in bytes. A
	// longer packet is not from chronyd.
	maxReplyLen = requestLen
)

// A command is a request of the protocol, with the reply formats that this package
// reads. A format never changes: a chronyd with more fields sends another reply type.
type command struct {
	name     string // name in candm.h, without REQ_
	code     uint16
	replies  []layout
	ofSource bool // for one source, which can disappear
}

// A layout is one reply format.
type layout struct {
	reply   uint16 // reply type
	bodyLen int    // bytes, without the header
}

var (
	cmdNumSources  = command{name: "N_SOURCES", code: 14, replies: []layout{{2, 4}}}
	cmdSourceData  = command{name: "SOURCE_DATA", code: 15, replies: []layout{{3, 48}}, ofSource: true}
	cmdTracking    = command{name: "TRACKING", code: 33, replies: []layout{{5, 76}}}
	cmdSourceStats = command{name: "SOURCESTATS", code: 34, replies: []layout{{6, 56}}, ofSource: true}
	cmdRTC         = command{name: "RTCREPORT", code: 35, replies: []layout{{7, 28}}}
	cmdActivity    = command{name: "ACTIVITY", code: 44, replies: []layout{{12, 20}}}
	cmdSmoothing   = command{name: "SMOOTHING", code: 51, replies: []layout{{13, 24}}}
	cmdServerStats = command{name: "SERVER_STATS", code: 54, replies: []layout{{14, 20}, {22, 32}, {24, 44}, {25, 168}}}
	cmdNTPData     = command{name: "NTP_DATA", code: 57, replies: []layout{{16, 124}, {26, 144}}, ofSource: true}
	cmdSourceName  = command{name: "NTP_SOURCE_NAME", code: 65, replies: []layout{{19, 256}}, ofSource: true}
	cmdAuthData    = command{name: "AUTH_DATA", code: 67, replies: []layout{{20, 24}}, ofSource: true}
	cmdSelectData  = command{name: "SELECT_DATA", code: 69, replies: []layout{{23, 48}}, ofSource: true}
)

// replyNull is the type of a reply without a body. Every refusal has it.
const replyNull = 1

// length returns the length of a reply's body, and whether the reply type is known.
func (c *command) length(reply uint16) (length int, known bool) {
	if reply == replyNull {
		return 0, true
	}
	for _, l := range c.replies {
		if l.reply == reply {
			return l.bodyLen, true
		}
	}
	return 0, false
}

// putRequest writes a request to b, whose length is requestLen. chronyd ignores the
// attempt number.
func putRequest(b []byte, q *query) {
	clear(b)
	b[0] = protocolVersion
	b[1] = typeRequest
	binary.BigEndian.PutUint16(b[4:], q.command.code)
	binary.BigEndian.PutUint16(b[6:], q.attempts)
	binary.BigEndian.PutUint32(b[8:], q.sequence)
	if q.address.IsUnspecified() {
		binary.BigEndian.PutUint32(b[requestHeaderLen:], q.index)
	} else {
		putAddress(b[requestHeaderLen:], q.address)
	}
}

// A replyHeader is the header of a reply.
type replyHeader struct {
	command  uint16
	reply    uint16
	status   uint16
	sequence uint32
}

// parseReply splits a packet into header and body. ok is false if the packet is not a
// reply of this protocol.
func parseReply(b []byte) (header replyHeader, body []byte, ok bool) {
	if len(b) < replyHeaderLen || b[0] != protocolVersion || b[1] != typeReply || b[2] != 0 || b[3] != 0 {
		return replyHeader{}, nil, false
	}
	return replyHeader{
		command:  binary.BigEndian.Uint16(b[4:]),
		reply:    binary.BigEndian.Uint16(b[6:]),
		status:   binary.BigEndian.Uint16(b[8:]),
		sequence: binary.BigEndian.Uint32(b[16:]),
	}, b[replyHeaderLen:], true
}

func wireUint16(b []byte) uint16 { return binary.BigEndian.Uint16(b) }
func wireUint32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

// wireFloat decodes chrony's 32-bit float: a signed exponent of 7 bits above a signed
// coefficient of 25 bits. It has no NaN and no infinity. The range is -2^62 to 2^62.
func wireFloat(b []byte) float64 {
	x := int32(binary.BigEndian.Uint32(b))
	exponent, coefficient := x>>25, x<<7>>7
	return math.Ldexp(float64(coefficient), int(exponent)-25)
}

// endOfTime is the first second of the year 10000. RFC 3339 cannot represent it. Later
// times are invalid.
const endOfTime = 253402300800

// wireTime decodes a time in UTC. It returns the zero Time if chronyd sent zero, which
// means never, or an invalid time.
func wireTime(b []byte) time.Time {
	const noHighPart = 0x7fffffff // sent if time_t has 32 bits
	high, low, nsec := wireUint32(b), wireUint32(b[4:]), wireUint32(b[8:])
	if high == noHighPart {
		high = 0
	}
	sec := uint64(high)<<32 | uint64(low)
	if sec >= endOfTime || sec == 0 && nsec == 0 {
		return time.Time{}
	}
	return time.Unix(int64(sec), int64(min(nsec, 999_999_999))).UTC()
}

// Never is the age of an event that has not happened.
const Never = time.Duration(math.MaxInt64)

// wireAge decodes whole seconds since an event, or Never. It also returns Never for ages
// of 2³¹ s and more. chronyd computes the age from the clock. If the clock was set back
// since the event, the age is negative and wraps around.
func wireAge(b []byte) time.Duration {
	seconds := wireUint32(b)
	if seconds > math.MaxInt32 {
		return Never
	}
	return time.Duration(seconds) * time.Second
}

// An Address identifies the source of a report. The zero Address is chronyd's
// "unspecified": a reference clock, the local reference, or none.
type Address struct {
	IP netip.Addr // invalid unless the source has an IP address
	ID uint32     // chronyd's number of a source without an IP address (4.0 and later), else 0
}

// IsUnspecified reports whether the address is no source on the network.
func (a Address) IsUnspecified() bool { return a == Address{} }

// String returns the IP address, or the number of an unresolved source as chronyc prints
// it (ID#0000000001), or an empty string.
func (a Address) String() string {
	switch {
	case a.IP.IsValid():
		return a.IP.String()
	case a.ID != 0:
		digits := strconv.FormatUint(uint64(a.ID), 10)
		return "ID#" + "0000000000"[len(digits):] + digits
	default:
		return ""
	}
}

const familyIPv4, familyIPv6, familyID = 1, 2, 3

// wireAddress decodes an address. An unknown address family gives an unspecified
// address. This can only make the bound more cautious.
func wireAddress(b []byte) Address {
	switch wireUint16(b[16:]) {
	case familyIPv4:
		return Address{IP: netip.AddrFrom4([4]byte(b))}
	case familyIPv6:
		return Address{IP: netip.AddrFrom16([16]byte(b))}
	case familyID:
		return Address{ID: wireUint32(b)}
	default:
		return Address{}
	}
}

func putAddress(b []byte, a Address) {
	family := uint16(familyID)
	switch {
	case a.IP.Is4():
		family = familyIPv4
		copy(b, a.IP.AsSlice())
	case a.IP.IsValid():
		family = familyIPv6
		copy(b, a.IP.AsSlice())
	default:
		binary.BigEndian.PutUint32(b, a.ID)
	}
	binary.BigEndian.PutUint16(b[16:], family)
}

// A Count is a number that not every version of chronyd reports.
type Count struct {
	n     uint64
	known bool
}

// CountOf returns a Count with a value.
func CountOf(n uint64) Count { return Count{n, true} }

// Value returns the number, and whether chronyd reported it.
func (c Count) Value() (n uint64, known bool) { return c.n, c.known }

// wireCount32 decodes a number of 32 bits. All ones mean that chronyd does not have it.
func wireCount32(b []byte) Count {
	if n := wireUint32(b); n != math.MaxUint32 {
		return CountOf(uint64(n))
	}
	return Count{}
}

// wireCount64 is wireCount32 for 64 bits.
func wireCount64(b []byte) Count {
	if n := binary.BigEndian.Uint64(b); n != math.MaxUint64 {
		return CountOf(n)
	}
	return Count{}
}

// A RefID is a reference ID (RFC 5905, section 7.3): the IPv4 address of a server, the
// first four bytes of the MD5 digest of its IPv6 address, or the name of a reference
// clock in up to four ASCII characters.
type RefID uint32

// RefIDLocal is the reference ID of chronyd's local reference: the clock follows itself.
// A server can have the same reference ID, but it also has an address.
const RefIDLocal RefID = 0x7f7f0101

// String returns the reference ID as eight hexadecimal digits, as in chronyc.
func (id RefID) String() string {
	const hex = "0123456789ABCDEF"
	var b [8]byte
	for i := range b {
		b[i] = hex[id>>(28-4*i)&0xf]
	}
	return string(b[:])
}

// Name returns the name of a reference clock: the printable ASCII characters of the
// reference ID. It may be empty.
func (id RefID) Name() string {
	var name []byte
	for shift := 24; shift >= 0; shift -= 8 {
		if c := byte(id >> shift); c > ' ' && c <= '~' {
			name = append(name, c)
		}
	}
	return string(name)
}
