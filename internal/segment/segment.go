// Package segment is the shared memory of ClockBound, version 2 of its protocol: 80
// bytes in a file, which one program writes and any number of programs map and read.
// Without a lock, readers get a consistent record or none.
//
// The protocol is documented in docs/PROTOCOL.md of github.com/aws/clock-bound. All
// numbers are in the machine's byte order. That includes the magic number, which is two
// numbers of 32 bits.
package segment

import (
	"encoding/binary"
	"errors"
	"time"
)

// Size is the size of a segment, in bytes.
const Size = headSize + 64

const (
	headSize = 16
	version  = 2
	magic0   = 0x414D5A4E
	magic1   = 0x43420200
)

// DefaultPath is where ClockBound's clients look for the segment.
const DefaultPath = "/var/run/clockbound/shm0"

// Grace is how long ClockBound's client takes a record's status as it is. Only then it
// looks at VoidAfter.
const Grace = 5 * time.Second

// A Status says whether the bound of a record holds.
type Status int32

// The statuses of the protocol.
const (
	Unknown      Status = iota // nothing confirms the clock; the bound means nothing
	Synchronized               // the clock follows its sources
	FreeRunning                // the clock drifts; the bound grows, and holds
	Disrupted                  // the clock was set, or stood still; the bound means nothing
)

// Statuses lists them.
var Statuses = []Status{Unknown, Synchronized, FreeRunning, Disrupted}

func (s Status) String() string {
	switch s {
	case Synchronized:
		return "synchronized"
	case FreeRunning:
		return "free_running"
	case Disrupted:
		return "disrupted"
	default:
		return "unknown"
	}
}

// HasBound reports whether the bound of such a record holds.
func (s Status) HasBound() bool { return s == Synchronized || s == FreeRunning }

// A Record is what a segment says about the clock.
type Record struct {
	AsOf      time.Duration // by CLOCK_MONOTONIC
	VoidAfter time.Duration // by CLOCK_MONOTONIC; from then on the record means nothing
	Bound     time.Duration // at AsOf
	MaxDrift  uint32        // how fast the bound grows, in ns per second (ppb)
	Status    Status
}

// The largest values that make sense. ClockBound's client refuses to add up larger ones.
const (
	MaxDrift = 1_000_000_000 - 1
	MaxBound = 100 * 365 * 24 * time.Hour
)

// BoundAt returns the bound at a time of CLOCK_MONOTONIC, rounded up. It says nothing
// about whether it holds.
func (r *Record) BoundAt(now time.Duration) time.Duration {
	age := max(0, now-r.AsOf)
	return r.Bound + time.Duration(float64(age)*float64(r.MaxDrift)*1e-9) + 1
}

// words are a record as it is in the memory. The sixth is a marker of Amazon's VMClock,
// and the last says that it is in use. This program sets both to zero, and reads neither.
type words [8]uint64

func (r *Record) encode() (w words) {
	var b [64]byte
	put := binary.NativeEndian
	seconds := func(at int, d time.Duration) {
		put.PutUint64(b[at:], uint64(d/time.Second))
		put.PutUint64(b[at+8:], uint64(d%time.Second))
	}
	seconds(0, r.AsOf)
	seconds(16, r.VoidAfter)
	put.PutUint64(b[32:], uint64(r.Bound))
	put.PutUint32(b[48:], r.MaxDrift)
	put.PutUint32(b[52:], uint32(r.Status))
	for i := range w {
		w[i] = put.Uint64(b[8*i:])
	}
	return w
}

func (w *words) decode() (r Record) {
	var last [8]byte
	get := binary.NativeEndian
	get.PutUint64(last[:], w[6])
	return Record{
		AsOf:      time.Duration(w[0])*time.Second + time.Duration(w[1]),
		VoidAfter: time.Duration(w[2])*time.Second + time.Duration(w[3]),
		Bound:     time.Duration(w[4]),
		MaxDrift:  get.Uint32(last[:]),
		Status:    Status(get.Uint32(last[4:])),
	}
}

// A head is what comes before the record.
type head struct {
	size                uint32
	version, generation uint16
}

func (h head) word() uint64 {
	var b [8]byte
	binary.NativeEndian.PutUint32(b[:], h.size)
	binary.NativeEndian.PutUint16(b[4:], h.version)
	binary.NativeEndian.PutUint16(b[6:], h.generation)
	return binary.NativeEndian.Uint64(b[:])
}

func headOf(word uint64) head {
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], word)
	return head{binary.NativeEndian.Uint32(b[:]), binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:])}
}

// next returns the generation during and after a write. It skips 0, which means that
// nothing was written yet. A writer that died in the middle of a write has left an odd
// one.
func next(generation uint16) (during, after uint16) {
	during = generation | 1
	after = during + 1
	if after == 0 {
		after = 2
	}
	return during, after
}

// What is wrong with a file that is no segment.
var (
	ErrNotSegment = errors.New("not a ClockBound segment")
	ErrVersion    = errors.New("a ClockBound segment of another version")
)

// check checks the beginning of a file, and its size.
func check(beginning []byte, size int64) error {
	if len(beginning) < headSize {
		return ErrNotSegment
	}
	get := binary.NativeEndian
	h := headOf(get.Uint64(beginning[8:]))
	switch {
	case get.Uint32(beginning) != magic0 || get.Uint32(beginning[4:]) != magic1:
		return ErrNotSegment
	case h.version == 0 || h.generation == 0:
		return ErrNotSegment // its writer has not finished the first write
	case h.version != version:
		return ErrVersion
	case h.size < Size || size < int64(h.size):
		return ErrNotSegment
	default:
		return nil
	}
}

// Encode returns a file with a record.
func Encode(r Record) []byte {
	b := make([]byte, 0, Size)
	put := binary.NativeEndian
	b = put.AppendUint32(b, magic0)
	b = put.AppendUint32(b, magic1)
	b = put.AppendUint64(b, head{Size, version, 2}.word())
	for _, word := range r.encode() {
		b = put.AppendUint64(b, word)
	}
	return b
}
