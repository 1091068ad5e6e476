package chronytest

import (
	"encoding/binary"
	"net"
	"sync/atomic"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// A Request is a request from a client to a [Fake].
type Request struct {
	Number   int // number of the request to this fake, from 0
	Command  uint16
	Attempt  uint16
	Sequence uint32
	Argument uint32 // the first four bytes of the request's data
	Length   int
}

// A Packet is a packet that a [Fake] sends back.
type Packet struct {
	Data     []byte
	Delay    time.Duration
	Stranger bool // sent from another socket than the one that got the request
}

// A Script returns the packets that a [Fake] sends for a request: none, the right reply,
// or anything else. It is called for one request at a time.
type Script func(Request) []Packet

// A Fake is a scripted chronyd.
type Fake struct {
	Address string // in the form of chrony.Dial

	script   Script
	conn     net.PacketConn
	requests atomic.Int64
	done     chan struct{}
}

// NewFake starts a fake on a UDP port of 127.0.0.1.
func NewFake(t TB, script Script) *Fake {
	t.Helper()
	return NewFakeAt(t, "127.0.0.1:0", script)
}

// NewFakeAt starts a fake on the given UDP address.
func NewFakeAt(t TB, address string, script Script) *Fake {
	t.Helper()
	return newFake(t, "udp", address, "", script)
}

// NewFakeSocket starts a fake on a Unix socket with the given path.
func NewFakeSocket(t TB, path string, script Script) *Fake {
	t.Helper()
	return newFake(t, "unixgram", path, "unix://", script)
}

// StartFake starts a fake on the given UDP address, for programs that are not tests. The
// caller must close it.
func StartFake(address string, script Script) (*Fake, error) {
	return startFake("udp", address, "", script)
}

func newFake(t TB, network, address, prefix string, script Script) *Fake {
	t.Helper()
	f, err := startFake(network, address, prefix, script)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func startFake(network, address, prefix string, script Script) (*Fake, error) {
	conn, err := net.ListenPacket(network, address)
	if err != nil {
		return nil, err
	}
	f := &Fake{Address: prefix + conn.LocalAddr().String(), script: script, conn: conn, done: make(chan struct{})}
	go f.serve()
	return f, nil
}

// Requests returns the number of requests so far.
func (f *Fake) Requests() int { return int(f.requests.Load()) }

// Close stops the fake. It does not call its script any more.
func (f *Fake) Close() {
	f.conn.Close()
	<-f.done
}

func (f *Fake) serve() {
	defer close(f.done)
	var b [2048]byte
	for {
		n, from, err := f.conn.ReadFrom(b[:])
		if err != nil {
			return // closed
		}
		if n < 24 {
			continue
		}
		request := Request{
			Number:   int(f.requests.Add(1)) - 1,
			Command:  binary.BigEndian.Uint16(b[4:]),
			Attempt:  binary.BigEndian.Uint16(b[6:]),
			Sequence: binary.BigEndian.Uint32(b[8:]),
			Argument: binary.BigEndian.Uint32(b[20:]),
			Length:   n,
		}
		for _, packet := range f.script(request) {
			f.send(packet, from)
		}
	}
}

func (f *Fake) send(packet Packet, to net.Addr) {
	send := func() { f.conn.WriteTo(packet.Data, to) }
	if packet.Stranger {
		send = func() { sendFromElsewhere(packet.Data, to) }
	}
	if packet.Delay == 0 {
		send()
		return
	}
	time.AfterFunc(packet.Delay, send)
}

func sendFromElsewhere(data []byte, to net.Addr) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return // as if the packet was lost
	}
	defer conn.Close()
	conn.WriteTo(data, to)
}

// Truthful returns the script of a chronyd whose state is the report. It refuses a report
// that is nil.
func Truthful(report chrony.Report) Script {
	return func(r Request) []Packet { return []Packet{{Data: Reply(r, report)}} }
}

// Status codes of replies.
const (
	statusSuccess      = 0
	statusUnauthorized = 2
	statusInvalid      = 3
	statusNoSuchSource = 4
)

// Reply encodes the reply of a chronyd whose state is the report.
func Reply(r Request, report chrony.Report) []byte {
	switch r.Command {
	case 14: // N_SOURCES
		if report.Sources == nil {
			return Status(r, statusUnauthorized)
		}
		return Body(r, 2, binary.BigEndian.AppendUint32(nil, uint32(len(report.Sources))))
	case 15: // SOURCE_DATA
		if int64(r.Argument) >= int64(len(report.Sources)) {
			return Status(r, statusNoSuchSource)
		}
		return Body(r, 3, sourceBody(report.Sources[r.Argument]))
	case 33: // TRACKING
		if report.Tracking == nil {
			return Status(r, statusUnauthorized)
		}
		return Body(r, 5, trackingBody(*report.Tracking))
	case 34: // SOURCESTATS
		if int64(r.Argument) >= int64(len(report.Sources)) {
			return Status(r, statusNoSuchSource)
		}
		if report.Sources[r.Argument].Stats == nil {
			return Status(r, statusUnauthorized)
		}
		return Body(r, 6, statsBody(*report.Sources[r.Argument].Stats))
	case 44: // ACTIVITY
		if report.Activity == nil {
			return Status(r, statusUnauthorized)
		}
		return Body(r, 12, activityBody(*report.Activity))
	case 69: // SELECT_DATA
		if int64(r.Argument) >= int64(len(report.Sources)) {
			return Status(r, statusNoSuchSource)
		}
		if report.Sources[r.Argument].Select == nil {
			return Status(r, statusUnauthorized)
		}
		return Body(r, 23, selectBody(*report.Sources[r.Argument].Select))
	default:
		return Status(r, statusInvalid)
	}
}

// Status encodes a reply without a body.
func Status(r Request, status uint16) []byte { return packet(r, 1, status, nil) }

// Body encodes a successful reply with a type and a body.
func Body(r Request, replyType uint16, body []byte) []byte {
	return packet(r, replyType, statusSuccess, body)
}

func packet(r Request, replyType, status uint16, body []byte) []byte {
	b := make([]byte, 28, 28+len(body))
	b[0], b[1] = 6, 2
	binary.BigEndian.PutUint16(b[4:], r.Command)
	binary.BigEndian.PutUint16(b[6:], replyType)
	binary.BigEndian.PutUint16(b[8:], status)
	binary.BigEndian.PutUint32(b[16:], r.Sequence)
	return append(b, body...)
}
