package witness

import (
	"maps"
	"math"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// Findings returns what the witnesses say now. The caller reads the clock, because it
// may hold the clock's lock.
func (w *Witnesses) Findings(now Reading) *Findings {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := &Findings{}
	if len(w.servers) > 0 {
		f.UTC = w.serverFindings(now)
	}
	if w.config.Peers != "" {
		f.Peers = w.peerFindings(now)
	}
	return f
}

func (w *Witnesses) serverFindings(now Reading) *ServerFindings {
	standings := make([]*standing, len(w.servers))
	f := &ServerFindings{Servers: make([]Server, len(w.servers)), Probes: maps.Clone(w.probes[UTC])}
	for i, s := range w.servers {
		standings[i] = &s.standing
		entry := Server{Name: s.name, Contradicts: s.valid(now, 0) && s.vote == contradicts, Last: s.last, LastAt: s.lastAt, Err: s.err}
		if offset, uncertainty, valid := s.at(now, w.drift); valid {
			entry.Measured, entry.Offset, entry.Uncertainty, entry.At = true, offset, uncertainty, time.Unix(0, s.real).UTC()
		}
		f.Servers[i] = entry
	}
	f.Verdict, f.Far = judgeServers(now, w.drift, standings)
	f.Bound = leastBound(now, w.drift, standings)
	if math.IsInf(now.Bound, 1) {
		f.Verdict, f.Far = Unproven, 0
	}
	return f
}

func (w *Witnesses) peerFindings(now Reading) *PeerFindings {
	w.panel.judge(now, w.drift)
	f := &PeerFindings{
		Verdict: w.panel.verdict, Far: w.panel.far,
		Authentic: len(w.config.Keys) > 0,
		Addresses: len(w.directory.seen), Lookup: w.lookup,
		Peers:        w.panel.counts(now),
		Disagreement: w.panel.disagreement(now),
		Probes:       maps.Clone(w.probes[Peer]),
	}
	if math.IsInf(now.Bound, 1) {
		f.Verdict, f.Far = Unproven, 0
	}
	return f
}

// Testimony returns what the findings add to an observation of the clock.
func (f *Findings) Testimony() (all []clockerror.Testimony) {
	if f == nil {
		return nil
	}
	if f.UTC != nil && f.UTC.Far > 0 {
		all = append(all, clockerror.Testimony{Far: f.UTC.Far, Settled: f.UTC.Verdict == Contradicted})
	}
	if f.Peers != nil && f.Peers.Far > 0 {
		all = append(all, clockerror.Testimony{Far: f.Peers.Far, Settled: f.Peers.Verdict == Contradicted})
	}
	return all
}

// Authentic returns the findings without those of peers that do not prove who they are.
// A forger can only fake these.
func (f *Findings) Authentic() *Findings {
	if f == nil || f.Peers == nil || f.Peers.Authentic {
		return f
	}
	authentic := *f
	authentic.Peers = nil
	return &authentic
}
