package tracker_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/beevik/ntp"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
	"github.com/chrony-tracker/chrony-tracker/internal/witness"
)

// server returns the address of a time source, as --witness.ntp has it.
func server(t testing.TB, source *chronytest.TimeSource) string {
	t.Helper()
	var host string
	var port int
	if _, err := fmt.Sscanf(source.Line, "server %s port %d", &host, &port); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s:%d", host, port)
}

// awaitSnapshot waits for a snapshot.
func awaitSnapshot(t *testing.T, tr *tracker.Tracker, is func(*tracker.Snapshot) bool) *tracker.Snapshot {
	t.Helper()
	for deadline := time.Now().Add(chronytest.Patience); ; time.Sleep(20 * time.Millisecond) {
		s := tr.Snapshot(t.Context())
		if is(s) {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v, %+v", s.Estimate, s.Witnesses)
		}
	}
}

// TestWitnesses lets real NTP servers check the clock of a real chronyd.
func TestWitnesses(t *testing.T) {
	t.Parallel()
	d := chronytest.NewSynchronized(t, "")
	a, b := chronytest.NewTimeSource(t), chronytest.NewTimeSource(t)
	tr := start(t, d.Address, tracker.Config{})
	config := &tracker.WitnessConfig{Config: witness.Config{NTP: []string{server(t, a), server(t, b)}, Interval: 4 * time.Second}}
	chronytest.Must(t, tr.Watch(tracker.WatchConfig{Interval: 100 * time.Millisecond, Witness: config}))
	s := awaitSnapshot(t, tr, func(s *tracker.Snapshot) bool {
		verdict, known := s.Witnesses.Of(witness.UTC)
		return known && verdict == witness.Consistent
	})
	if s.Estimate.State != clockerror.Synchronized || s.Witnesses.UTC.Bound > 0.1 || s.Witnesses.Peers != nil {
		t.Errorf("%+v, %+v", s.Estimate, s.Witnesses.UTC)
	}
	a.SetError(300 * time.Millisecond)
	b.SetError(300 * time.Millisecond)
	s = awaitSnapshot(t, tr, func(s *tracker.Snapshot) bool { return s.Estimate.State == clockerror.Contradicted })
	if e := s.Estimate; e.Bound < 0.3 || e.Bound > 0.4 || e.OwnBound > 0.1 || s.Actionable != e || !s.Witnesses.Contradict() {
		t.Errorf("%+v, %+v", e, s.Witnesses.UTC)
	}
	a.SetError(0)
	b.SetError(0)
	awaitSnapshot(t, tr, func(s *tracker.Snapshot) bool { return s.Estimate.State == clockerror.Synchronized })
}

// TestPeers lets four trackers check each other. The clock of one of them seems to be
// 250 ms off.
func TestPeers(t *testing.T) {
	t.Parallel()
	const nodes, wrong = 4, 2
	d := chronytest.NewSynchronized(t, "")
	port, err := chronytest.FreePort()
	chronytest.Must(t, err)
	var all []netip.Addr
	for i := range byte(nodes) {
		all = append(all, netip.AddrFrom4([4]byte{127, 7, byte(port >> 8), i + 1}))
	}
	var trackers []*tracker.Tracker
	for i, address := range all {
		config := &tracker.WitnessConfig{
			Config: witness.Config{
				Peers: "peers.example", PeerPort: uint16(port), Node: fmt.Sprint("node-", i),
				Lookup:    func(context.Context, string) ([]netip.Addr, error) { return all, nil },
				Addresses: func() []netip.Addr { return []netip.Addr{address} },
			},
			Responder: &witness.ResponderConfig{Address: netip.AddrPortFrom(address, uint16(port)).String(), Node: fmt.Sprint("node-", i)},
		}
		if i == wrong {
			config.Exchange = func(ctx context.Context, to netip.AddrPort, key *witness.Key, timeout time.Duration) (*ntp.Response, error) {
				r, err := witness.Query(ctx, to, key, timeout)
				if err == nil {
					r.Timestamps.ClientXmit = r.Timestamps.ClientXmit.Add(250 * time.Millisecond)
					r.Timestamps.ClientRecv = r.Timestamps.ClientRecv.Add(250 * time.Millisecond)
				}
				return r, err
			}
		}
		tr := start(t, d.Address, tracker.Config{})
		chronytest.Must(t, tr.Watch(tracker.WatchConfig{Interval: 100 * time.Millisecond, Witness: config}))
		trackers = append(trackers, tr)
	}
	awaitSnapshot(t, trackers[wrong], func(s *tracker.Snapshot) bool {
		e := s.Estimate
		return e.State == clockerror.Contradicted && e.Bound > 0.25 && e.Bound < 0.35 && s.Actionable.State == clockerror.Synchronized
	})
	for i, tr := range trackers {
		if i == wrong {
			continue
		}
		s := awaitSnapshot(t, tr, func(s *tracker.Snapshot) bool {
			return s.Witnesses.Requests[witness.Answered] > 0 && s.Witnesses.Peers.Peers[witness.Consistent] >= 2
		})
		if s.Estimate.State != clockerror.Synchronized || s.Witnesses.Peers.Verdict == witness.Contradicted || s.Witnesses.Peers.Addresses != nodes-1 {
			t.Errorf("node %d: %+v, %+v", i, s.Estimate, s.Witnesses.Peers)
		}
	}
}

// TestWitnessErrors wants a port that is taken to be an error.
func TestWitnessErrors(t *testing.T) {
	fake := chronytest.NewFake(t, func(chronytest.Request) []chronytest.Packet { return nil })
	for _, config := range []*tracker.WitnessConfig{
		{Config: witness.Config{NTP: []string{"a b"}}},
		{Config: witness.Config{Peers: "peers.example"}, Responder: &witness.ResponderConfig{Address: strings.TrimPrefix(fake.Address, "udp://")}},
	} {
		tr := start(t, fake.Address, tracker.Config{})
		if err := tr.Watch(tracker.WatchConfig{Witness: config}); err == nil {
			t.Errorf("%+v: no error", config)
		}
	}
}

// BenchmarkWitnesses measures the CPU time of a probe, with the server's share of it, and
// what share of a core 8 peers and 2 UTC witnesses take by that.
func BenchmarkWitnesses(b *testing.B) {
	source := chronytest.NewTimeSource(b)
	to := netip.MustParseAddrPort(server(b, source))
	before := cpuTime(b)
	probes := 0
	for b.Loop() {
		if _, err := witness.Query(b.Context(), to, nil, time.Second); err != nil {
			b.Fatal(err)
		}
		probes++
	}
	used := float64(cpuTime(b)-before) / float64(probes) // with the server's share
	const perSecond = 1/4. + 2/256.
	b.ReportMetric(used, "cpu-ns/probe")
	b.ReportMetric(100*used*perSecond/float64(time.Second), "%core")
	b.ReportMetric(0, "ns/op")
}
