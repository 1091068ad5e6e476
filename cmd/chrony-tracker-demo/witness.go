package main

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/beevik/ntp"

	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
	"github.com/chrony-tracker/chrony-tracker/internal/witness"
)

// A network connects the nodes of a fleet to their witnesses: to each other, and to
// three UTC servers. No packet leaves the program.
type network struct {
	peers map[string][]netip.Addr // by the name that a node looks up

	mu      sync.RWMutex
	members map[netip.Addr]member
}

// A member is a node that answers its peers.
type member struct {
	*node
	clocks  tracker.Clocks
	tracker *tracker.Tracker
}

// newNetwork returns the network of so many nodes. It knows all addresses from the
// start. Nodes that have not started do not answer.
func newNetwork(f *fleet) *network {
	w := &network{peers: make(map[string][]netip.Addr), members: make(map[netip.Addr]member)}
	for i := range f.size {
		n := f.newNode(i)
		w.peers[n.peers()] = append(w.peers[n.peers()], n.address())
	}
	return w
}

// join makes a node answer its peers.
func (w *network) join(m member) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.members[m.address()] = m
}

// address is that of a node, in a private network.
func (n *node) address() netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n.number >> 16), byte(n.number >> 8), byte(n.number)})
}

// peers is the name of a node's peers: those in its cluster. A split fleet has its own
// peers.
func (n *node) peers() string {
	if n.fault.split {
		return "peers.split.example"
	}
	return "peers." + n.cluster + ".example"
}

// utcServers are the UTC witnesses, in a documentation network (RFC 5737).
var utcServers = []string{"203.0.113.1", "203.0.113.2", "203.0.113.3"}

// witnesses says who checks a node's clock.
func (w *network) witnesses(n *node, clocks tracker.Clocks) *tracker.WitnessConfig {
	config := &tracker.WitnessConfig{TrustPeers: true}
	config.Peers, config.Node = n.peers(), n.name
	if !n.fault.split {
		config.NTP = utcServers
	}
	config.Addresses = func() []netip.Addr { return []netip.Addr{n.address()} }
	config.Lookup = func(_ context.Context, name string) ([]netip.Addr, error) { return w.peers[name], nil }
	config.Exchange = func(ctx context.Context, to netip.AddrPort, _ *witness.Key, timeout time.Duration) (*ntp.Response, error) {
		if err := n.await(ctx); err != nil {
			return nil, err
		}
		if n.loses() {
			return nil, silence(ctx, timeout)
		}
		w.mu.RLock()
		peer, known := w.members[to.Addr()]
		w.mu.RUnlock()
		switch i := utcServer(to.Addr()); {
		case i >= 0:
			return n.askServer(clocks, i)
		case known && !peer.isPaused(peer.elapsed()):
			return n.askPeer(clocks, peer)
		default:
			return nil, silence(ctx, timeout)
		}
	}
	return config
}

// await waits while the machine is paused. What it waits for is lost.
func (n *node) await(ctx context.Context) error {
	if !n.isPaused(n.elapsed()) {
		return nil
	}
	for n.isPaused(n.elapsed()) {
		silence(ctx, time.Second)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return os.ErrDeadlineExceeded
}

// silence waits for an answer that does not come.
func silence(ctx context.Context, timeout time.Duration) error {
	select {
	case <-time.After(timeout):
	case <-ctx.Done():
	}
	return os.ErrDeadlineExceeded
}

// loses reports whether the network loses a packet of a node now.
func (n *node) loses() bool {
	return n.loss > 0 && n.random(n.elapsed(), witnessed).Float64() < n.loss
}

func utcServer(a netip.Addr) int {
	for i, server := range utcServers {
		if a.String() == server {
			return i
		}
	}
	return -1
}

// A lag is the time that a packet takes each way, in seconds.
type lag struct{ there, back float64 }

// lag returns the delays of an exchange. They are not the same in both directions.
func (n *node) lag(least float64) lag {
	random := n.random(n.elapsed(), witnessed)
	least = max(least, n.delay) / 2
	return lag{least * (1 + random.Float64()), least * (1 + random.Float64())}
}

// askServer asks a UTC server, which is right unless the node's fault makes it lie.
func (n *node) askServer(clocks tracker.Clocks, server int) (*ntp.Response, error) {
	lie := 0.0
	if server < len(n.fault.witnessLies) {
		lie = n.fault.witnessLies[server]
	}
	return n.exchange(clocks, n.lag(10e-3), func() (ntp.Response, time.Time, error) {
		utc := n.start.Add(n.elapsed()).Add(time.Duration(nanoseconds(lie)))
		return ntp.Response{Stratum: 1, RootDispersion: 50 * time.Microsecond}, utc, nil
	})
}

// askPeer asks another node. It answers as the tracker's responder does.
func (n *node) askPeer(clocks tracker.Clocks, peer member) (*ntp.Response, error) {
	return n.exchange(clocks, n.lag(400e-6), func() (ntp.Response, time.Time, error) {
		now := peer.tracker.Now()
		at, err := peer.clocks.Read()
		r := ntp.Response{Stratum: 15, ReferenceID: witness.ReferenceID(peer.name)}
		if !now.Observed || !witness.ServingOf(now.State, now.Bound).Valid {
			r.Leap = ntp.LeapNotInSync
		} else {
			r.RootDispersion = time.Duration(math.Ceil(now.Bound * 1e9))
		}
		return r, time.Unix(0, at.Real+nanoseconds(peer.fault.tells)), err
	})
}

// exchange makes the response of a server that answers at once. The packets' delays
// are added to the timestamps.
func (n *node) exchange(clocks tracker.Clocks, delay lag, answer func() (ntp.Response, time.Time, error)) (*ntp.Response, error) {
	sent, err := clocks.Read()
	r, at, failed := answer()
	received, failedAgain := clocks.Read()
	if err := errors.Join(err, failed, failedAgain); err != nil {
		return nil, err
	}
	there, back := time.Duration(nanoseconds(delay.there)), time.Duration(nanoseconds(delay.back))
	at = at.Add(there)
	r.Version, r.Precision = 4, time.Microsecond
	r.Time, r.ReferenceTime = at, at.Add(-time.Second)
	r.Timestamps = ntp.ProtocolTimestamps{
		ClientXmit: time.Unix(0, sent.Real), ServerRecv: at, ServerXmit: at, ClientRecv: time.Unix(0, received.Real).Add(there + back),
	}
	return &r, nil
}

// split are the nodes of a split fleet. Half of them follow a wrong server.
func split() (all []fault) {
	const right, wrong = "split-right", "split-wrong"
	for range 3 {
		all = append(all,
			fault{name: right, what: "half of its peers are 200 ms off, and it has no UTC witness to decide", ntp: true, split: true},
			fault{name: wrong, what: "its servers, and those of half of its peers, are 200 ms off; it has no UTC witness to decide", ntp: true, split: true, lies: []float64{0.2, 0.2, 0.2}})
	}
	return all
}
