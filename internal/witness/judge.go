package witness

import (
	"math"
	"slices"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// A measurement is what one exchange with a witness found.
type measurement struct {
	offset, uncertainty float64 // seconds; above zero, this clock is ahead

	// The judged clock at that time.
	boot  int64 // by CLOCK_BOOTTIME, in nanoseconds
	real  int64
	jumps uint64
	moved float64
}

// at ages a measurement: the clock was slewed since, and may have drifted by so many
// seconds per second. A jump makes it void.
func (m *measurement) at(now Reading, drift float64) (offset, uncertainty float64, valid bool) {
	age := max(0, seconds(now.Boot-m.boot))
	return m.offset + now.Moved - m.moved, m.uncertainty + drift*age, m.boot != 0 && m.jumps == now.Jumps
}

// far is how far off the clock may be by the measurement, in seconds.
func (m *measurement) far(now Reading, drift float64) float64 {
	offset, uncertainty, _ := m.at(now, drift)
	return clockerror.Measured(offset, uncertainty).Far
}

func seconds(nanoseconds int64) float64 { return float64(nanoseconds) * 1e-9 }

// A vote is where a witness stands.
type vote int

const (
	none vote = iota // it has not answered, or not with a measurement
	agrees
	contradicts
)

const (
	// confirmations are the contradictions in a row that make a UTC witness's vote.
	confirmations = 3

	// patience is the number of probes in a row without an answer after which a
	// witness no longer counts as answering.
	patience = 3

	// quorum is the number of peers that must answer. In a fleet with two peers, both.
	quorum = 3
)

// A standing is what one witness said last, and where it stands.
type standing struct {
	measurement
	vote   vote
	streak int     // contradictions in a row
	silent int     // probes in a row without an answer
	excess float64 // max(|offset| - uncertainty - bound, 0) of the measurement, in seconds
	node   uint32  // a peer's reference ID; 0 for UTC witnesses
}

// valid reports whether the witness has a vote: its last answer is from after the last
// jump, and not from before since, by CLOCK_BOOTTIME.
func (s *standing) valid(now Reading, since int64) bool {
	return s.vote != none && s.jumps == now.Jumps && s.boot >= since
}

// A report is how one probe ended.
type report struct {
	result Result
	node   uint32 // a peer's reference ID
	err    error  // why there is no measurement, or nil
	measurement
	excess float64
}

// measured reports whether the probe was a measurement of the clock.
func (r *report) measured() bool { return r.result == Agrees || r.result == Contradicts }

// answered reports whether the witness lives.
func (r *report) answered() bool {
	switch r.result {
	case Agrees, Contradicts, Unsynchronized, RateLimited, Distant, Jumped, LeapSecond, NoBound:
		return true
	}
	return false
}

// hear takes the result of a probe. So many contradictions in a row make a vote.
func (s *standing) hear(r *report, confirmations int) {
	if r.answered() {
		s.silent = 0
	} else {
		s.silent++
	}
	switch {
	case r.result == NoBound:
		s.measurement, s.vote, s.streak = r.measurement, none, 0
	case r.measured():
		if r.jumps != s.jumps {
			s.vote, s.streak = none, 0
		}
		s.measurement, s.excess, s.node = r.measurement, r.excess, r.node
		if r.result == Agrees {
			s.vote, s.streak = agrees, 0
		} else if s.streak++; s.streak >= confirmations {
			s.vote = contradicts
		}
	case r.answered() && r.result != Jumped, s.silent >= patience:
		s.vote, s.streak = none, 0
	}
}

// count counts the votes, and returns how far off the clock may be by those against it. A
// node with several addresses has one vote.
func count(now Reading, drift float64, since int64, standings []*standing) (against, all int, far float64) {
	for i, s := range standings {
		isSame := func(other *standing) bool { return other.node == s.node && other.valid(now, since) }
		if !s.valid(now, since) || s.node != 0 && slices.ContainsFunc(standings[:i], isSame) {
			continue
		}
		all++
		if s.vote == contradicts {
			against++
			far = max(far, s.far(now, drift))
		}
	}
	return against, all, far
}

// judgeServers returns the verdict of the UTC witnesses.
func judgeServers(now Reading, drift float64, standings []*standing) (Verdict, float64) {
	against, all, far := count(now, drift, 0, standings)
	switch {
	case all == 0:
		return Unproven, 0
	case all == 1 && against == 1:
		return Disputed, far
	case clockerror.IsMajority(against, all):
		return Contradicted, far
	default:
		return Consistent, 0
	}
}

// A panel is the peers that are asked. It is pure: the time is part of the readings.
type panel struct {
	members []*standing

	// since is when the clock was first contradicted, by CLOCK_BOOTTIME. Older answers
	// have no vote: they describe the clock before whatever has happened to it.
	since   int64
	verdict Verdict
	far     float64
	rounds  bucket // in which all members are asked at once
	asking  bool   // all members, so that the verdict waits for their answers
}

// newPanel allows a round of all members at once each 64 s, and a few in quick
// succession. Peers that change their minds all the time must not raise the cost.
func newPanel() panel { return panel{verdict: Unproven, rounds: bucket{size: 4, every: 64}} }

// A bucket limits how often something is done. It is full in the beginning.
type bucket struct {
	size  float64
	every float64 // seconds until one more is allowed
	used  float64
	at    int64 // by CLOCK_BOOTTIME, in nanoseconds
}

// take takes one, if there is one.
func (b *bucket) take(now int64) bool {
	b.used = max(0, b.used-max(0, seconds(now-b.at))/b.every)
	b.at = now
	if b.used+1 > b.size {
		return false
	}
	b.used++
	return true
}

// hear takes the result of a probe of one member. It reports whether all members should
// be asked at once, because the answer contradicts the verdict and is new.
func (p *panel) hear(i int, r *report) (news bool) {
	before := p.members[i].vote
	if p.members[i].jumps != r.jumps {
		before = none
	}
	p.members[i].hear(r, 1)
	if !r.measured() || p.members[i].vote == before {
		return false
	}
	if r.result == Agrees {
		return p.verdict == Contradicted && p.rounds.take(r.boot)
	}
	if p.verdict == Contradicted || !p.rounds.take(r.boot) {
		return false
	}
	p.since = r.boot
	p.asking = true
	return true
}

// hearAll takes the results of a round that began at a time by CLOCK_BOOTTIME. If one of
// them is the first contradiction, older answers have no vote.
func (p *panel) hearAll(began int64, round map[int]*report) {
	for i, r := range round {
		p.members[i].hear(r, 1)
		if r.result == Contradicts && p.verdict != Contradicted {
			p.since = max(p.since, began)
		}
	}
	p.asking = false
}

// judge updates the verdict.
func (p *panel) judge(now Reading, drift float64) {
	if p.asking {
		return
	}
	against, all, far := count(now, drift, p.since, p.members)
	need := min(quorum, max(2, len(p.members)))
	switch {
	case clockerror.IsMajority(against, all+p.waiting(now)) && all >= need:
		p.verdict, p.far = Contradicted, far
	case all < need, clockerror.IsMajority(against, all): // those that have not answered yet decide
		p.verdict, p.far = Unproven, 0
	default:
		p.verdict, p.far = Consistent, 0
	}
}

// waiting returns the number of members whose answer is too old, and who may still
// answer again. Until then they count as neither: a lost packet must not decide.
func (p *panel) waiting(now Reading) (n int) {
	for _, s := range p.members {
		if s.vote != none && !s.valid(now, p.since) {
			n++
		}
	}
	return n
}

// disagreement returns the second largest excess of the members.
func (p *panel) disagreement(now Reading) float64 {
	var all []float64
	for _, s := range p.members {
		if s.valid(now, 0) {
			all = append(all, s.excess)
		}
	}
	if len(all) < 2 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)-2]
}

// counts returns the number of members by their last answer.
func (p *panel) counts(now Reading) map[Verdict]int {
	counts := map[Verdict]int{Consistent: 0, Unproven: 0, Contradicted: 0}
	for _, s := range p.members {
		switch {
		case !s.valid(now, 0):
			counts[Unproven]++
		case s.vote == contradicts:
			counts[Contradicted]++
		default:
			counts[Consistent]++
		}
	}
	return counts
}

// leastBound returns the least |offset| + uncertainty of the UTC witnesses.
func leastBound(now Reading, drift float64, standings []*standing) float64 {
	least := math.Inf(1)
	for _, s := range standings {
		if _, _, valid := s.at(now, drift); valid {
			least = min(least, s.far(now, drift))
		}
	}
	return least
}
