package witness

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// A server is one UTC witness.
type server struct {
	name, host string
	port       uint16
	asks       chan struct{} // that it is asked at once
	address    netip.AddrPort

	// The mutex of the witnesses guards these.
	standing
	last   Result
	lastAt time.Time
	err    error
}

// runServer asks one UTC witness again and again.
func (w *Witnesses) runServer(ctx context.Context, s *server) {
	const atStart = 3
	var interval time.Duration // that the server asked for
	extra := bucket{size: 8, every: shortestPublic.Seconds()}
	for n := 1; ; n++ {
		r := w.askServer(ctx, s)
		if ctx.Err() != nil {
			return
		}
		least := w.shortest(s)
		extra.every = least.Seconds()
		regular := w.config.Interval
		switch {
		case r.result == RateLimited:
			interval = min(2*max(interval, regular), longestInterval)
		case r.result == Denied:
			interval = longestInterval
		case r.answered():
			interval = 0
		}
		wait := spread(max(regular, least, interval), 0.25)
		w.mu.Lock()
		doubtful := s.vote != contradicts && s.streak > 0 || s.silent > 0 && s.silent < patience
		against := s.vote == contradicts
		w.mu.Unlock()
		switch {
		case interval > 0:
		case n < atStart || doubtful:
			if extra.take(w.clock.Read().Boot) {
				wait = burstSpacing
			}
		case against:
			wait = spread(min(max(least, 16*time.Second), wait), 0.25) // notices soon that it is over
		}
		if !w.pause(ctx, s, wait, interval, &extra) {
			return
		}
	}
}

// pause waits for the next probe. It returns earlier if the server should be asked at
// once, unless that is too often.
func (w *Witnesses) pause(ctx context.Context, s *server, wait, demanded time.Duration, extra *bucket) bool {
	due := time.NewTimer(wait)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-due.C:
			return true
		case <-s.asks:
			if demanded == 0 && extra.take(w.clock.Read().Boot) {
				return true
			}
		}
	}
}

// shortest returns the shortest interval between two probes of a server.
func (w *Witnesses) shortest(s *server) time.Duration {
	if isPrivate(s.address.Addr()) {
		return shortestPrivate
	}
	return shortestPublic
}

// spread returns a duration that differs by a random share, so that nodes don't all ask
// at the same time.
func spread(d time.Duration, share float64) time.Duration {
	return time.Duration(float64(d) * (1 + share*(2*rand.Float64()-1)))
}

// askServer probes a UTC witness.
func (w *Witnesses) askServer(ctx context.Context, s *server) report {
	r := report{result: Failed}
	switch r.err = w.resolve(ctx, s); {
	case r.err != nil:
	case w.isOwn(s.address):
		r.result, r.err = Self, errors.New("chronyd can't confirm its own clock")
	default:
		r = w.probe(ctx, UTC, s.address, nil, serverTimeout)
	}
	if ctx.Err() != nil {
		return r
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.probes[UTC][r.result]++
	s.hear(&r, confirmations)
	s.last, s.lastAt, s.err = r.result, time.Now(), r.err
	return r
}

// isOwn reports whether chronyd on this node serves the time there. Another server on this
// node has another port.
func (w *Witnesses) isOwn(a netip.AddrPort) bool {
	return a.Port() == ntpPort && (a.Addr().IsLoopback() || slices.Contains(w.config.Addresses(), a.Addr()))
}

// resolve looks up the server's address, and keeps it while it is in the answer.
func (w *Witnesses) resolve(ctx context.Context, s *server) error {
	if a, err := netip.ParseAddr(s.host); err == nil {
		s.address = netip.AddrPortFrom(a, s.port)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	answer, err := w.config.Lookup(ctx, s.host)
	if err == nil && len(answer) == 0 {
		err = errors.New("the name has no address")
	}
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(answer, func(a netip.Addr) bool { return a.Unmap() == s.address.Addr() }) || s.silent >= patience {
		s.address = netip.AddrPortFrom(answer[rand.IntN(len(answer))].Unmap(), s.port)
	}
	return nil
}
