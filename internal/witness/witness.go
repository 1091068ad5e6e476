// Package witness checks this node's clock against measurements that do not come from
// chronyd. It knows neither Prometheus nor HTTP.
//
// There are two kinds of witnesses, which are never merged. UTC witnesses are NTP
// servers that chronyd does not use. They show whether the clock is close to UTC. Peers
// are the trackers of other nodes. They show whether the clock agrees with the fleet: a
// fleet that shares one wrong source agrees perfectly.
//
// A measurement finds the clock off by an offset ± an uncertainty. It contradicts the
// clock's bound if |offset| > bound + uncertainty + tolerance. If all bounds are honest,
// that is impossible, not just unlikely. Lost packets and lopsided delays make the
// uncertainty larger, or the measurement fail. They never make it contradict.
package witness

import (
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// A Kind is a kind of witnesses.
type Kind string

// The kinds.
const (
	UTC  Kind = "utc"
	Peer Kind = "peer"
)

// Kinds lists all kinds.
var Kinds = []Kind{UTC, Peer}

// A Verdict is what the witnesses of one kind say of the clock's bound.
type Verdict int

// The verdicts.
const (
	// Consistent: the measurements allow the bound. A minority may contradict it.
	Consistent Verdict = iota

	// Unproven: too few witnesses answer, or there is no bound to judge. This is no
	// evidence for the bound, and none against it.
	Unproven

	// Disputed: only one UTC witness answers, and it contradicts the bound. Nobody can
	// tell who is wrong.
	Disputed

	// Contradicted: most of the witnesses that answer contradict the bound.
	Contradicted
)

// Verdicts lists all verdicts.
var Verdicts = []Verdict{Consistent, Unproven, Disputed, Contradicted}

var verdictNames = [...]string{"consistent", "unproven", "disputed", "contradicted"}

// String returns the verdict's name, as in the label of chrony_witness_verdict.
func (v Verdict) String() string {
	if v < 0 || int(v) >= len(verdictNames) {
		return "invalid"
	}
	return verdictNames[v]
}

// MarshalText returns the verdict's name.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// A Result is how one probe of a witness ended.
type Result string

// The results. All but the first two are no measurement of the clock, and have no vote.
const (
	Agrees         Result = "consistent"     // the measurement allows the bound
	Contradicts    Result = "contradicting"  // the measurement contradicts the bound
	NoAnswer       Result = "no_answer"      // in time
	Failed         Result = "failed"         // the name or the network failed
	Malformed      Result = "malformed"      // too short, or not a reply
	Mismatched     Result = "mismatched"     // not the reply to this request: forged or replayed
	Unauthentic    Result = "unauthentic"    // the authentication failed
	Unsynchronized Result = "unsynchronized" // the witness does not know the time
	RateLimited    Result = "rate_limited"   // the server wants fewer requests (RATE)
	Denied         Result = "denied"         // the server refuses requests (DENY, RSTR)
	Distant        Result = "distant"        // the uncertainty, or the witness's distance to UTC, is above 1 s
	OtherEra       Result = "other_era"      // a time in another era of NTP
	Impossible     Result = "impossible"     // timestamps that cannot be: a negative delay
	Jumped         Result = "jumped"         // this clock jumped during the exchange
	Self           Result = "self"           // the answer came from this tracker
	LeapSecond     Result = "leap_second"    // a contradiction of at most 1 s around a leap second, which the server may smear
	NoBound        Result = "no_bound"       // a measurement, but this clock has no bound to judge
)

// Results lists all results.
var Results = []Result{Agrees, Contradicts, NoAnswer, Failed, Malformed, Mismatched, Unauthentic, Unsynchronized,
	RateLimited, Denied, Distant, OtherEra, Impossible, Jumped, Self, LeapSecond, NoBound}

// A RequestResult says what was done with an NTP request of a peer.
type RequestResult string

// The results of requests.
const (
	Answered RequestResult = "answered"
	Limited  RequestResult = "limited" // one of the rate limits
	Dropped  RequestResult = "dropped" // not a valid request, or from a public address
)

// RequestResults lists all results of requests.
var RequestResults = []RequestResult{Answered, Limited, Dropped}

// Findings are what the witnesses say. They are immutable.
type Findings struct {
	UTC      *ServerFindings // nil without UTC witnesses
	Peers    *PeerFindings   // nil without peers
	Requests map[RequestResult]uint64
}

// ServerFindings are those of the UTC witnesses.
type ServerFindings struct {
	Verdict Verdict
	Far     float64 // how far off the clock may be by them, in seconds; 0 unless disputed or contradicted

	// Bound is the least |offset| + uncertainty of all UTC witnesses, in seconds, grown
	// since the measurement. It takes no chronyd. +Inf if none has answered.
	Bound float64

	Servers []Server // in the order of the configuration
	Probes  map[Result]uint64
}

// A Server is one UTC witness.
type Server struct {
	Name string // as configured

	// Offset and Uncertainty are those of the last measurement, in seconds, aged. Above
	// zero, this clock is ahead of the server. They mean nothing unless Measured.
	Measured            bool
	Offset, Uncertainty float64
	At                  time.Time // of the measurement

	Contradicts bool   // in three probes in a row
	Last        Result // of the last probe; empty before the first
	LastAt      time.Time
	Err         error // why the last probe gave no measurement, or nil
}

// PeerFindings are those of the peers.
type PeerFindings struct {
	Verdict Verdict
	Far     float64 // as in ServerFindings

	// Authentic says that the peers prove who they are. If they do not, a forger can make
	// them contradict the clock.
	Authentic bool

	Addresses int             // in the last answers of the DNS, without this node's own
	Lookup    error           // why the last lookup failed, or nil
	Peers     map[Verdict]int // that are asked, by their last answer: consistent, unproven, contradicted

	// Disagreement is the second largest max(|offset| - uncertainty - bound, 0) of the
	// peers, in seconds: two peers at least are that far from this clock, beyond all
	// bounds. Clocks that are not traced to UTC may disagree without any fault.
	Disagreement float64

	Probes map[Result]uint64
}

// Of returns the verdict of a kind, and false if there are no such witnesses.
func (f *Findings) Of(kind Kind) (Verdict, bool) {
	switch {
	case f == nil:
	case kind == UTC && f.UTC != nil:
		return f.UTC.Verdict, true
	case kind == Peer && f.Peers != nil:
		return f.Peers.Verdict, true
	}
	return 0, false
}

// Probes returns the number of probes by result, or nil if there are no such witnesses.
func (f *Findings) Probes(kind Kind) map[Result]uint64 {
	switch {
	case kind == UTC && f.UTC != nil:
		return f.UTC.Probes
	case kind == Peer && f.Peers != nil:
		return f.Peers.Probes
	}
	return nil
}

// Contradict reports whether witnesses of either kind outvote the clock.
func (f *Findings) Contradict() bool {
	for _, kind := range Kinds {
		if verdict, known := f.Of(kind); known && verdict == Contradicted {
			return true
		}
	}
	return false
}

// A Clock is the clock that is judged, as this node's tracker sees it. It is safe for
// concurrent use.
type Clock interface {
	Read() Reading
}

// A Reading is the judged clock at one instant.
type Reading struct {
	Boot  int64  // CLOCK_BOOTTIME, in nanoseconds
	Real  int64  // CLOCK_REALTIME, in nanoseconds since 1970
	Jumps uint64 // steps and suspensions so far; a measurement from before one is void

	// Moved is how far, in seconds, the clock was slewed so far, beyond its frequency.
	Moved float64

	// State and Bound are what is claimed without the witnesses. Bound is +Inf if there
	// is none.
	State clockerror.State
	Bound float64

	// Untraced says that the bound is relative to a reference clock whose own error is
	// unknown, such as that of the machine's host.
	Untraced bool

	// Leap says that a leap second is announced, or was less than 24 h ago.
	Leap bool
}
