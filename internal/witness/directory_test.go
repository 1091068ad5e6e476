package witness

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// fleet returns the addresses of so many nodes.
func fleet(n int) []netip.Addr {
	all := make([]netip.Addr, n)
	for i := range all {
		all[i] = netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
	}
	return all
}

// TestChoose wants each node of a large fleet to be asked by about as many, and a change
// of the fleet to change few choices.
func TestChoose(t *testing.T) {
	const nodes = 5000
	all := fleet(nodes)
	now := time.Now()
	asked := make(map[netip.Addr]int)
	changed := 0
	d := newDirectory()
	d.add(now, all, nil)
	const some = 250 // choosing for all takes long with the race detector
	for i := range some {
		delete(d.seen, all[i])
		seed := seedOf(fmt.Sprint("node-", i))
		chosen := d.choose(seed, mostPeers)
		if len(chosen) != mostPeers || slices.Contains(chosen, all[i]) {
			t.Fatalf("node %d asks %v", i, chosen)
		}
		for _, a := range chosen {
			asked[a]++
		}
		gone := chosen[3]
		delete(d.seen, gone)
		next := d.choose(seed, mostPeers)
		for _, a := range chosen {
			if a != gone && !slices.Contains(next, a) {
				changed++
			}
		}
		d.seen[gone], d.seen[all[i]] = now.Unix(), now.Unix()
	}
	if changed > 0 {
		t.Errorf("%d others changed when one left", changed)
	}
	most := 0
	for _, n := range asked {
		most = max(most, n)
	}
	// 250 nodes ask 2,000 times: 0.4 for each on average, which leaves two of three out.
	if most > 6 || len(asked) < 1550 || len(asked) > 1750 {
		t.Errorf("%d nodes are asked, one of them by %d", len(asked), most)
	}
}

// TestDirectory covers lists that are cut off, old, long, or have this node's address.
func TestDirectory(t *testing.T) {
	now := time.Now()
	all := fleet(10_000)
	d := newDirectory()
	d.add(now, nil, nil)
	if got := d.choose(1, mostPeers); len(got) != 0 {
		t.Errorf("an empty list: %v", got)
	}
	own := all[:2]
	d.add(now, all, own)
	if len(d.seen) != 9998 || len(d.choose(1, mostPeers)) != mostPeers {
		t.Errorf("%d addresses", len(d.seen))
	}
	d.add(now, []netip.Addr{netip.MustParseAddr("::ffff:10.1.0.5")}, own)
	if len(d.seen) != 9998 {
		t.Error("an IPv4 address counts twice")
	}

	// Each answer has 40 of 100 addresses.
	d = newDirectory()
	for range 12 {
		now = now.Add(lookupInterval)
		some := slices.Clone(all[:100])
		rand.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
		d.add(now, some[:40], nil)
	}
	if len(d.seen) < 98 {
		t.Errorf("%d of 100 addresses are known", len(d.seen))
	}
	d.add(now.Add(remembered), nil, nil)
	if len(d.choose(1, mostPeers)) == 0 {
		t.Error("an hour without an answer, and all are forgotten")
	}
	d.add(now.Add(remembered+time.Second), nil, nil)
	if got := d.choose(1, mostPeers); len(got) != 0 {
		t.Errorf("after more than an hour: %v", got)
	}
}

// TestSilentPeers wants a silent peer to be replaced, unless there is no other.
func TestSilentPeers(t *testing.T) {
	now := time.Now()
	d := newDirectory()
	d.add(now, fleet(20), nil)
	first := d.choose(1, mostPeers)
	d.silent[first[2]] = now
	second := d.choose(1, mostPeers)
	if slices.Contains(second, first[2]) || len(second) != mostPeers {
		t.Errorf("%v is still asked", first[2])
	}
	d.add(now.Add(shunned+time.Second), fleet(20), nil)
	if got := d.choose(1, mostPeers); !slices.Equal(got, first) {
		t.Errorf("it is not asked again: %v, before %v", got, first)
	}
	for _, a := range fleet(20) {
		d.silent[a] = now
	}
	if got := d.choose(1, mostPeers); len(got) != mostPeers {
		t.Errorf("all are silent, and %d are asked", len(got))
	}
}
