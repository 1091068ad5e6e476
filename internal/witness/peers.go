package witness

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// runPeers asks the peers, one after the other.
func (w *Witnesses) runPeers(ctx context.Context) {
	w.discover(ctx)
	w.askAll(ctx)
	lookup := time.NewTimer(w.nextLookup())
	defer lookup.Stop()
	tick := time.NewTicker(peerSpacing)
	defer tick.Stop()
	for next := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-lookup.C:
			w.discover(ctx)
			lookup.Reset(w.nextLookup())
		case <-w.asks:
			w.askAll(ctx)
		case <-tick.C:
			next++
			if w.askNext(ctx, next) {
				w.askAll(ctx)
			}
		}
	}
}

// nextLookup returns the time until the next lookup. It is short while there are no
// peers.
func (w *Witnesses) nextLookup() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.directory.seen) == 0 {
		return spread(peerSpacing*5, 0.2)
	}
	return spread(lookupInterval, 0.2)
}

// discover looks up the peers and chooses those of this node. If the lookup fails, the
// earlier answers serve for an hour.
func (w *Witnesses) discover(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	answer, err := w.config.Lookup(limited, w.config.Peers)
	if ctx.Err() != nil {
		return
	}
	own := w.config.Addresses()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil && (w.lookup == nil || w.lookup.Error() != err.Error()) {
		w.log.Warn("the peers can't be looked up", "name", w.config.Peers, "error", err)
	}
	if w.lookup = err; err != nil {
		answer = nil
	}
	w.directory.add(time.Now(), answer, own)
	w.choose()
}

// choose chooses the members of the panel. Those that stay keep their standing. The
// mutex is held.
func (w *Witnesses) choose() {
	chosen := w.directory.choose(seedOf(w.config.Node), mostPeers)
	members := make([]*standing, len(chosen))
	for i, a := range chosen {
		if was := slices.Index(w.addresses, a); was >= 0 {
			members[i] = w.panel.members[was]
		} else {
			members[i] = &standing{}
		}
	}
	w.addresses, w.panel.members = chosen, members
}

// askNext asks one peer. It reports whether all should be asked.
func (w *Witnesses) askNext(ctx context.Context, n int) (news bool) {
	w.mu.Lock()
	if len(w.addresses) == 0 {
		w.mu.Unlock()
		return false
	}
	address := w.addresses[n%len(w.addresses)]
	w.mu.Unlock()
	r := w.askPeer(ctx, address)
	if ctx.Err() != nil {
		return false
	}
	now := w.clock.Read()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.probes[Peer][r.result]++
	if i := slices.Index(w.addresses, address); i >= 0 {
		news = w.panel.hear(i, &r)
		w.replaceSilent(i, &r)
	}
	w.panel.judge(now, w.drift)
	return news
}

// askAll asks all peers at the same time.
func (w *Witnesses) askAll(ctx context.Context) {
	began := w.clock.Read().Boot
	w.mu.Lock()
	addresses := w.addresses
	w.panel.asking = len(addresses) > 0
	w.mu.Unlock()
	reports := make([]report, len(addresses))
	var asking sync.WaitGroup
	for i, address := range addresses {
		asking.Go(func() { reports[i] = w.askPeer(ctx, address) })
	}
	asking.Wait()
	if ctx.Err() != nil {
		return
	}
	now := w.clock.Read()
	w.mu.Lock()
	defer w.mu.Unlock()
	heard := make(map[int]*report, len(reports))
	for i := range reports {
		w.probes[Peer][reports[i].result]++
		heard[i] = &reports[i] // only this goroutine chooses the members
	}
	w.panel.hearAll(began, heard)
	for i := range slices.Backward(reports) {
		w.replaceSilent(slices.Index(w.addresses, addresses[i]), &reports[i])
	}
	w.panel.judge(now, w.drift)
}

// askPeer probes a peer, and repeats that if there is no answer.
func (w *Witnesses) askPeer(ctx context.Context, address netip.Addr) (r report) {
	var key *Key
	if len(w.config.Keys) > 0 {
		key = &w.config.Keys[0]
	}
	for attempt := range peerAttempts {
		timeout := peerTimeout
		if attempt == peerAttempts-1 {
			timeout = lastTimeout
		}
		began := time.Now()
		r = w.probe(ctx, Peer, netip.AddrPortFrom(address, w.config.PeerPort), key, timeout)
		if r.answered() || r.result == Self || ctx.Err() != nil {
			break
		}
		if attempt < peerAttempts-1 {
			sleep(ctx, peerTimeout-time.Since(began))
		}
	}
	return r
}

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// replaceSilent replaces a peer that does not answer. The mutex is held.
func (w *Witnesses) replaceSilent(i int, r *report) {
	if i < 0 {
		return
	}
	address := w.addresses[i]
	switch {
	case r.result == Self:
		delete(w.directory.seen, address)
	case w.panel.members[i].silent >= patience:
		w.directory.silent[address] = time.Since(w.directory.began)
	default:
		delete(w.directory.silent, address)
		return
	}
	w.choose()
}
