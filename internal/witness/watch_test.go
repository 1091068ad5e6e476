package witness

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/beevik/ntp"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

// A world is a network of NTP servers and peers around one node. All servers know the
// time, unless they are told otherwise.
type world struct {
	mu      sync.Mutex
	began   time.Time
	off     time.Duration // by which the node's clock is ahead
	bound   float64
	jumps   uint64
	moved   float64
	servers map[netip.Addr]*fakeServer // others answer, too
	asked   []probed
	names   map[string][]netip.Addr
	dns     error
}

type fakeServer struct {
	off    time.Duration // by which it is ahead
	silent bool
	kiss   string
	leap   ntp.LeapIndicator
}

// probed is one request.
type probed struct {
	to netip.AddrPort
	at time.Duration // since the beginning
}

func newWorld() *world {
	return &world{began: time.Now(), bound: 1e-3, servers: make(map[netip.Addr]*fakeServer), names: make(map[string][]netip.Addr)}
}

func (w *world) Read() Reading {
	w.mu.Lock()
	defer w.mu.Unlock()
	boot := time.Since(w.began) + time.Second
	return Reading{
		Boot: int64(boot), Real: w.began.Add(boot + w.off).UnixNano(), Jumps: w.jumps, Moved: w.moved, Bound: w.bound,
		State: clockerror.Synchronized,
	}
}

func (w *world) exchange(ctx context.Context, to netip.AddrPort, _ *Key, timeout time.Duration) (*ntp.Response, error) {
	w.mu.Lock()
	w.asked = append(w.asked, probed{to, time.Since(w.began)})
	server := fakeServer{}
	if s := w.servers[to.Addr()]; s != nil {
		server = *s
	}
	ours := w.off
	w.mu.Unlock()
	const oneWay = 500 * time.Microsecond
	sent := time.Now()
	if server.silent {
		select {
		case <-time.After(timeout):
		case <-ctx.Done():
		}
		return nil, os.ErrDeadlineExceeded
	}
	time.Sleep(2 * oneWay)
	at := sent.Add(oneWay + server.off)
	r := &ntp.Response{
		Version: 4, Stratum: 1, Time: at, ReferenceTime: at.Add(-time.Second), Leap: server.leap,
		Timestamps: ntp.ProtocolTimestamps{ClientXmit: sent.Add(ours), ServerRecv: at, ServerXmit: at, ClientRecv: sent.Add(2*oneWay + ours)},
	}
	if server.kiss != "" {
		r.Stratum, r.KissCode = 0, server.kiss
	}
	return r, nil
}

func (w *world) lookup(_ context.Context, host string) ([]netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.names[host], w.dns
}

// change changes the world.
func (w *world) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// requests returns when a server was asked, and forgets all requests so far.
func (w *world) requests(to netip.Addr) (at []time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.asked {
		if p.to.Addr() == to {
			at = append(at, p.at)
		}
	}
	w.asked = nil
	return at
}

// start runs witnesses in this world until the test ends.
func (w *world) start(t *testing.T, config Config) *Witnesses {
	t.Helper()
	config.Exchange, config.Lookup = w.exchange, w.lookup
	config.Addresses = func() []netip.Addr { return nil }
	witnesses, err := New(config, w)
	chronytest.Must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		witnesses.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return witnesses
}

func (w *world) verdict(witnesses *Witnesses, kind Kind) Verdict {
	verdict, known := witnesses.Findings(w.Read()).Of(kind)
	if !known {
		return -1
	}
	return verdict
}

// await waits for a verdict, and returns how long it took.
func (w *world) await(t *testing.T, witnesses *Witnesses, kind Kind, want Verdict) time.Duration {
	t.Helper()
	began := time.Now()
	for w.verdict(witnesses, kind) != want {
		passed := time.Since(began)
		if passed > 2*time.Hour {
			t.Fatalf("still %v after %v", w.verdict(witnesses, kind), passed)
		}
		time.Sleep(max(10*time.Millisecond, passed/100))
	}
	return time.Since(began)
}

var (
	public1 = netip.MustParseAddr("192.0.2.1")
	public2 = netip.MustParseAddr("192.0.2.2")
	public3 = netip.MustParseAddr("192.0.2.3")
	private = netip.MustParseAddr("10.0.0.1")
)

// gaps returns the times between requests.
func gaps(at []time.Duration) (all []time.Duration) {
	for i := 1; i < len(at); i++ {
		all = append(all, at[i]-at[i-1])
	}
	return all
}

func within25(d, of time.Duration) bool {
	const slack = 10 * time.Millisecond
	return d >= of*3/4-slack && d <= of*5/4+slack
}

// TestServerSchedule wants three probes at the start, and then one in each interval.
func TestServerSchedule(t *testing.T) {
	for _, test := range []struct {
		server   netip.Addr
		interval time.Duration
		want     time.Duration
	}{
		{public1, 0, 256 * time.Second},
		{public1, time.Second, 64 * time.Second},
		{private, 10 * time.Second, 10 * time.Second},
		{private, time.Second, 4 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.start(t, Config{NTP: []string{test.server.String()}, Interval: test.interval})
			time.Sleep(100 * test.want)
			all := gaps(w.requests(test.server))
			if len(all) < 75 || all[0].Round(time.Second) != burstSpacing || all[1].Round(time.Second) != burstSpacing {
				t.Fatalf("%d gaps, the first are %v", len(all), all[:min(2, len(all))])
			}
			for _, gap := range all[2:] {
				if !within25(gap, test.want) {
					t.Errorf("%v, of %v", gap, test.want)
				}
			}
		})
	}
}

// TestRateLimited wants a server that asks for fewer requests to get fewer, even if
// something happens to the clock.
func TestRateLimited(t *testing.T) {
	for _, kiss := range []string{"RATE", "DENY", "RSTR"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.servers[public1] = &fakeServer{kiss: kiss}
			witnesses := w.start(t, Config{NTP: []string{public1.String()}})
			for range 8 * 3600 / 60 {
				time.Sleep(time.Minute)
				witnesses.Ask()
			}
			at := w.requests(public1)
			want := 512 * time.Second
			for i, gap := range gaps(at) {
				if kiss != "RATE" {
					want = longestInterval
				}
				if !within25(gap, want) {
					t.Errorf("%s: gap %d is %v, not %v", kiss, i, gap, want)
				}
				want = min(2*want, longestInterval)
			}
			if len(at) < 5 {
				t.Errorf("%s: %d requests", kiss, len(at))
			}
			w.change(func() { w.servers[public1].kiss = "" })
			w.await(t, witnesses, UTC, Consistent)
			w.requests(public1)
			time.Sleep(3 * time.Hour)
			if at := w.requests(public1); len(at) < 20 {
				t.Errorf("%s: %d requests in three hours when it is over", kiss, len(at))
			}
		})
	}
}

// TestSourceLies wants a clock that is 300 ms off to be contradicted within three probes.
func TestSourceLies(t *testing.T) {
	for _, test := range []struct {
		servers []netip.Addr
		silent  int
		liars   int // as the clock is
		want    Verdict
	}{
		{[]netip.Addr{public1}, 0, 0, Disputed},
		{[]netip.Addr{public1, public2}, 0, 0, Contradicted},
		{[]netip.Addr{public1, public2}, 1, 0, Disputed},
		{[]netip.Addr{public1, public2}, 0, 1, Consistent},
		{[]netip.Addr{public1, public2, public3}, 0, 1, Contradicted},
		{[]netip.Addr{public1, public2, public3}, 3, 0, Unproven},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.off = -300 * time.Millisecond
			var config Config
			for i, s := range test.servers {
				config.NTP = append(config.NTP, s.String())
				server := &fakeServer{silent: i < test.silent}
				if i >= len(test.servers)-test.liars {
					server.off = w.off
				}
				w.servers[s] = server
			}
			witnesses := w.start(t, config)
			time.Sleep(burstSpacing)
			if v := w.verdict(witnesses, UTC); v == Contradicted || v == Disputed {
				t.Errorf("%v after one probe", v)
			}
			time.Sleep(burstSpacing + serverTimeout)
			f := witnesses.Findings(w.Read())
			if v, _ := f.Of(UTC); v != test.want {
				t.Errorf("%d servers: %v, want %v", len(test.servers), v, test.want)
			}
			if against := test.want == Contradicted || test.want == Disputed; against && math.Abs(f.UTC.Far-0.3) > 0.002 || !against && f.UTC.Far != 0 {
				t.Errorf("%d servers: up to %v s off", len(test.servers), f.UTC.Far)
			}
			for _, s := range test.servers {
				if n := len(w.requests(s)); n > confirmations {
					t.Errorf("%d probes of one server", n)
				}
			}
		})
	}
}

// pause stops the node's clock for a time, as a hypervisor does with a virtual machine.
func (w *world) pause(d time.Duration) { w.change(func() { w.off -= d }) }

func peerConfig(w *world, n int) Config {
	w.names["peers.example"] = fleet(n)
	return Config{Peers: "peers.example", Node: "node-1"}
}

// TestPausedMachine wants a machine that was paused for 28 s to be contradicted within
// 10 s if there are peers, and within an interval if there are UTC witnesses only.
func TestPausedMachine(t *testing.T) {
	for _, nodes := range []int{2, 3, 8, 5000} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			witnesses := w.start(t, peerConfig(w, nodes))
			w.await(t, witnesses, Peer, Consistent)
			time.Sleep(100 * time.Second)
			w.pause(28 * time.Second)
			took := w.await(t, witnesses, Peer, Contradicted)
			if took > 10*time.Second {
				t.Errorf("%d peers: it took %v", nodes, took)
			}
			if far := witnesses.Findings(w.Read()).Peers.Far; far < 28 || far > 28.1 {
				t.Errorf("%d peers: up to %v s off", nodes, far)
			}
			// chronyd steps the clock.
			w.pause(-28 * time.Second)
			w.change(func() { w.jumps++ })
			witnesses.Ask()
			if took := w.await(t, witnesses, Peer, Consistent); took > 2*time.Second {
				t.Errorf("%d peers: after the step it took %v", nodes, took)
			}
			// Or it slews the clock.
			w.pause(28 * time.Second)
			w.await(t, witnesses, Peer, Contradicted)
			w.pause(-28 * time.Second)
			if took := w.await(t, witnesses, Peer, Consistent); took > 8*time.Second {
				t.Errorf("%d peers: after a slew it took %v", nodes, took)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		witnesses := w.start(t, Config{NTP: []string{public1.String(), public2.String()}})
		w.await(t, witnesses, UTC, Consistent)
		time.Sleep(1000 * time.Second)
		w.pause(28 * time.Second)
		if took := w.await(t, witnesses, UTC, Contradicted); took > 256*time.Second*5/4+10*time.Second {
			t.Errorf("with UTC witnesses it took %v", took)
		}
		w.pause(-28 * time.Second)
		if took := w.await(t, witnesses, UTC, Consistent); took > 3*time.Minute {
			t.Errorf("it took %v to clear", took)
		}
	})
}

// TestAsk wants all witnesses to be asked at once, but not as often as a clock can jump.
func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		config := peerConfig(w, 20)
		config.NTP = []string{public1.String()}
		witnesses := w.start(t, config)
		time.Sleep(101 * time.Second)
		w.requests(public1)
		witnesses.Ask()
		time.Sleep(10 * time.Millisecond)
		w.mu.Lock()
		if len(w.asked) != 1+mostPeers {
			t.Errorf("%d of %d are asked at once", len(w.asked), 1+mostPeers)
		}
		w.mu.Unlock()
		for range 3600 {
			time.Sleep(time.Second)
			witnesses.Ask()
		}
		if n := len(w.requests(public1)); n > 3600/64+10 {
			t.Errorf("a server is asked %d times in an hour", n)
		}
	})
}

// TestPeerSchedule wants one peer to be asked every 4 s, each in turn, and a silent one
// to be tried again and then replaced.
func TestPeerSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		witnesses := w.start(t, peerConfig(w, 100))
		time.Sleep(10 * time.Second)
		w.requests(public1)
		const round = mostPeers * peerSpacing
		time.Sleep(10 * round)
		counts := make(map[netip.Addr]int)
		w.change(func() {
			for _, p := range w.asked {
				counts[p.to.Addr()]++
				if p.to.Port() != DefaultPort {
					t.Errorf("port %d", p.to.Port())
				}
			}
			w.asked = nil
		})
		if len(counts) != mostPeers {
			t.Errorf("%d peers are asked", len(counts))
		}
		var one netip.Addr
		for a, n := range counts {
			one = a
			if n != 10 {
				t.Errorf("%v is asked %d times in 10 rounds", a, n)
			}
		}

		w.change(func() { w.servers[one] = &fakeServer{silent: true} })
		time.Sleep(4 * round)
		at := w.requests(one)
		if len(at) != patience*peerAttempts || at[1]-at[0] != peerTimeout || at[2]-at[1] != peerTimeout {
			t.Errorf("a silent peer is asked at %v", at)
		}
		time.Sleep(round)
		if f := witnesses.Findings(w.Read()); f.Peers.Peers[Consistent] != mostPeers || f.Peers.Verdict != Consistent {
			t.Errorf("%+v", f.Peers)
		}
		if n := len(w.requests(one)); n != 0 {
			t.Errorf("it is asked %d times after that", n)
		}
	})
}

// TestDiscovery wants names without an answer, late nodes, and an own address to be fine.
func TestDiscovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.dns = errors.New("no such host")
		config := peerConfig(w, 0)
		witnesses := w.start(t, config)
		time.Sleep(10 * time.Minute)
		f := witnesses.Findings(w.Read())
		if f.Peers.Verdict != Unproven || f.Peers.Lookup == nil || f.Peers.Addresses != 0 {
			t.Errorf("%+v", f.Peers)
		}
		w.change(func() { w.dns, w.names["peers.example"] = nil, fleet(5) })
		if took := w.await(t, witnesses, Peer, Consistent); took > time.Minute {
			t.Errorf("a late DNS is noticed after %v", took)
		}
		late := netip.MustParseAddr("10.9.9.9")
		w.change(func() { w.names["peers.example"] = append(fleet(5), late) })
		w.requests(late)
		time.Sleep(10 * time.Minute)
		if len(w.requests(late)) == 0 {
			t.Error("a new node is not asked within 10 minutes")
		}
		w.change(func() { w.dns = errors.New("timeout") })
		time.Sleep(50 * time.Minute)
		if v := w.verdict(witnesses, Peer); v != Consistent {
			t.Errorf("%v, 50 minutes without a DNS", v)
		}
		time.Sleep(20 * time.Minute)
		if v := w.verdict(witnesses, Peer); v != Unproven {
			t.Errorf("%v, 70 minutes without a DNS", v)
		}
	})
	w := newWorld()
	witnesses, err := New(Config{Peers: "peers.example", Lookup: w.lookup, Addresses: func() []netip.Addr { return fleet(1) }}, w)
	chronytest.Must(t, err)
	w.names["peers.example"] = fleet(3)
	witnesses.discover(t.Context())
	if len(witnesses.addresses) != 2 || slices.Contains(witnesses.addresses, fleet(1)[0]) {
		t.Errorf("%v are asked", witnesses.addresses)
	}
}

// TestNoBound wants no verdict while there is nothing to judge, but the witnesses' own
// bound all the same.
func TestNoBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.bound, w.off = math.Inf(1), 20*time.Millisecond
		config := peerConfig(w, 20)
		config.NTP = []string{public1.String()}
		witnesses := w.start(t, config)
		time.Sleep(time.Minute)
		f := witnesses.Findings(w.Read())
		if f.UTC.Verdict != Unproven || f.Peers.Verdict != Unproven || math.Abs(f.UTC.Bound-0.02) > 0.005 || len(f.Testimony()) != 0 {
			t.Errorf("%+v, %+v", f.UTC, f.Peers)
		}
		w.change(func() { w.bound = 1e-3 })
		witnesses.Ask()
		if took := w.await(t, witnesses, Peer, Contradicted); took > time.Second {
			t.Errorf("it took %v", took)
		}
		if f := witnesses.Findings(w.Read()); len(f.Testimony()) == 0 || len(f.Authentic().Testimony()) != 0 || !f.Contradict() {
			t.Errorf("%+v", f.Testimony())
		}
	})
}

// TestLeapSecond wants a smearing server to be no evidence.
func TestLeapSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for _, s := range []netip.Addr{public1, public2} {
			w.servers[s] = &fakeServer{off: 500 * time.Millisecond, leap: ntp.LeapAddSecond}
		}
		witnesses := w.start(t, Config{NTP: []string{public1.String(), public2.String()}})
		time.Sleep(time.Hour)
		if v := w.verdict(witnesses, UTC); v != Unproven {
			t.Error(v)
		}
	})
}

func TestNew(t *testing.T) {
	for _, test := range []struct {
		config Config
		fails  bool
	}{
		{Config{}, false},
		{Config{NTP: []string{"time.example.com", "time.example.com:124", "192.0.2.1", "2001:db8::1", "[2001:db8::1]:124"}}, false},
		{Config{Peers: "peers.example:9124"}, false},
		{Config{NTP: []string{"time.example.com", "time.example.com:123"}}, true},
		{Config{NTP: []string{"time.example.com:"}}, true},
		{Config{NTP: []string{"time.example.com:0"}}, true},
		{Config{NTP: []string{"time.example.com:65536"}}, true},
		{Config{NTP: []string{":123"}}, true},
		{Config{NTP: []string{""}}, true},
		{Config{NTP: []string{"ntp://time.example.com"}}, true},
		{Config{Peers: "a b"}, true},
	} {
		if err := Check(test.config); (err != nil) != test.fails {
			t.Errorf("%+v: %v", test.config, err)
		}
	}
}

// TestResolve wants a server's address to be kept while the name has it.
func TestResolve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.names["time.example.com"] = []netip.Addr{public1, public2}
		witnesses := w.start(t, Config{NTP: []string{"time.example.com"}})
		time.Sleep(time.Hour)
		var first netip.Addr
		w.change(func() { first = w.asked[0].to.Addr() })
		if n := len(w.requests(first)); n < 10 {
			t.Errorf("%v is asked %d times", first, n)
		}
		w.change(func() { w.servers[first] = &fakeServer{silent: true} })
		time.Sleep(24 * time.Hour)
		if v := w.verdict(witnesses, UTC); v != Consistent {
			t.Errorf("%v with one of two addresses", v)
		}
	})
}
