package witness

import (
	"net/netip"
	"runtime"
	"testing"
	"time"
)

// TestMemory wants witnesses and a responder to need less than 1 MiB in a fleet of 5,000
// nodes.
func TestMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs memory of its own")
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	w, err := New(Config{NTP: []string{"192.0.2.1", "192.0.2.2"}, Peers: "peers.example"}, newWorld())
	if err != nil {
		t.Fatal(err)
	}
	w.directory.add(time.Now(), fleet(5000), nil)
	w.choose()
	limits := newLimiter(DefaultLimit)
	for i := range uint32(mostClients) {
		limits.client(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), time.Now().UnixNano())
	}
	found := w.Findings(Reading{})
	used := heap() - before
	t.Logf("%d KiB", used/1024)
	if used > 1<<20 {
		t.Errorf("%d bytes", used)
	}
	runtime.KeepAlive(w)
	runtime.KeepAlive(found)
	runtime.KeepAlive(limits)
}

// BenchmarkFindings measures what the tracker asks for at each sample.
func BenchmarkFindings(b *testing.B) {
	w, err := New(Config{NTP: []string{"192.0.2.1", "192.0.2.2"}, Peers: "peers.example"}, newWorld())
	if err != nil {
		b.Fatal(err)
	}
	w.directory.add(time.Now(), fleet(5000), nil)
	w.choose()
	b.ReportAllocs()
	for b.Loop() {
		w.Findings(Reading{})
	}
}
