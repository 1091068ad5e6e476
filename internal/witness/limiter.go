package witness

import (
	"math/rand/v2"
	"net/netip"
	"time"
)

const (
	perAddress  = 1.0  // answers per second to one address
	burst       = 8.0  // to one address in quick succession
	leak        = 4    // one in so many requests beyond that is answered
	mostClients = 4096 // whose rate is known
)

// A limiter limits the rate of answers, to each address and to all. A leak remains:
// otherwise someone who forges a node's address could mute all its peers.
type limiter struct {
	rate    float64 // of all answers, per second
	each    float64 // the same to one address
	burst   float64 // to one address in quick succession
	spare   float64
	at      int64                // nanoseconds since 1970
	clients map[netip.Addr]int32 // by address, an index of entries
	entries []client
	newest  int32
	oldest  int32
}

// A client is an entry of a list in the order of the last request.
type client struct {
	address      netip.Addr
	spare        float64
	at           int64 // nanoseconds since 1970
	newer, older int32
}

const end = -1 // of the list

func newLimiter(rate float64) limiter {
	return limiter{rate: rate, each: perAddress, burst: burst, spare: rate, clients: make(map[netip.Addr]int32), newest: end, oldest: end}
}

// allow reports whether a request may be answered.
func (l *limiter) allow(from netip.Addr, at time.Time) bool {
	now := at.UnixNano()
	l.spare, l.at = refill(l.spare, l.rate, l.rate, l.at, now), now
	if l.spare < 1 {
		return false
	}
	c := l.client(from, now)
	c.spare, c.at = refill(c.spare, l.burst, l.each, c.at, now), now
	if c.spare >= 1 {
		c.spare--
	} else if rand.IntN(leak) != 0 {
		return false
	}
	l.spare--
	return true
}

func refill(spare, most, rate float64, at, now int64) float64 {
	return min(most, spare+rate*max(0, seconds(now-at)))
}

// client returns an address's entry as the newest. If there are too many, it takes the
// place of the one that was not seen for the longest time.
func (l *limiter) client(from netip.Addr, now int64) *client {
	i, known := l.clients[from]
	switch {
	case known:
		l.unlink(i)
	case len(l.entries) < mostClients:
		i = int32(len(l.entries))
		l.entries = append(l.entries, client{})
	default:
		i = l.oldest
		l.unlink(i)
		delete(l.clients, l.entries[i].address)
	}
	if !known {
		l.clients[from] = i
		l.entries[i] = client{address: from, spare: l.burst, at: now}
	}
	l.link(i)
	return &l.entries[i]
}

func (l *limiter) unlink(i int32) {
	e := &l.entries[i]
	if e.newer == end {
		l.newest = e.older
	} else {
		l.entries[e.newer].older = e.older
	}
	if e.older == end {
		l.oldest = e.newer
	} else {
		l.entries[e.older].newer = e.newer
	}
}

func (l *limiter) link(i int32) {
	e := &l.entries[i]
	e.newer, e.older = end, l.newest
	if l.newest == end {
		l.oldest = i
	} else {
		l.entries[l.newest].newer = i
	}
	l.newest = i
}
