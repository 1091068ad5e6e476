package witness

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"net/netip"
	"slices"
	"time"
)

const (
	// remembered is how long an address is a candidate after the last answer of the DNS
	// that has it. Thousands of addresses do not fit into one answer, so each answer
	// has some of them.
	remembered = time.Hour

	// shunned is how long a peer that does not answer comes after all others.
	shunned = 10 * time.Minute

	// mostAddresses limits the memory.
	mostAddresses = 1 << 14
)

// A directory knows the addresses of the peers. Its times are those of the process.
type directory struct {
	seen   map[netip.Addr]int64     // when an answer had the address last, in seconds since 1970
	silent map[netip.Addr]time.Time // when a peer did not answer
}

func newDirectory() directory {
	return directory{seen: make(map[netip.Addr]int64), silent: make(map[netip.Addr]time.Time)}
}

// add adds an answer of the DNS, without this node's own addresses.
func (d *directory) add(now time.Time, answer, own []netip.Addr) {
	for _, a := range answer {
		a = a.Unmap()
		if slices.Contains(own, a) || len(d.seen) >= mostAddresses {
			continue
		}
		d.seen[a] = now.Unix()
	}
	for _, a := range own {
		delete(d.seen, a)
	}
	for a, at := range d.seen {
		if now.Unix()-at > int64(remembered/time.Second) {
			delete(d.seen, a)
		}
	}
	for a, at := range d.silent {
		if now.Sub(at) > shunned {
			delete(d.silent, a)
		}
	}
}

// choose returns the peers of this node, by rendezvous hash. Each node asks others, and
// each is asked by about as many. A change of the list changes few choices. It is no
// ring of sorted addresses, because neighbors often share a host.
func (d *directory) choose(seed uint64, most int) []netip.Addr {
	var best []candidate
	for a := range d.seen {
		c := candidate{a, 0, score(seed, a)}
		if at, silent := d.silent[a]; silent {
			c.silent = at.UnixNano() // the longest silent may be back
		}
		if len(best) == most && best[most-1].compare(c) < 0 {
			continue
		}
		i, _ := slices.BinarySearchFunc(best, c, candidate.compare)
		best = slices.Insert(best[:min(len(best), most-1)], i, c)
	}
	chosen := make([]netip.Addr, len(best))
	for i, c := range best {
		chosen[i] = c.address
	}
	return chosen
}

// A candidate is a possible peer.
type candidate struct {
	address netip.Addr
	silent  int64 // since when; 0 if it is not
	score   uint64
}

// compare sorts the best candidates first.
func (a candidate) compare(b candidate) int {
	return cmp.Or(cmp.Compare(a.silent, b.silent), cmp.Compare(b.score, a.score), a.address.Compare(b.address))
}

// score is the rendezvous hash of this node and a peer.
func score(seed uint64, a netip.Addr) uint64 {
	b := a.As16()
	x := seed ^ binary.BigEndian.Uint64(b[:8])
	x = mix(x) ^ binary.BigEndian.Uint64(b[8:])
	return mix(x)
}

// mix spreads the bits (the finalizer of SplitMix64): addresses differ in few of them.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// ReferenceID returns the NTP reference ID of a node: a hash of its name.
func ReferenceID(node string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(node))
	return h.Sum32()
}

// seedOf returns the seed of a node's choice: a hash of its name.
func seedOf(node string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(node))
	return h.Sum64()
}
