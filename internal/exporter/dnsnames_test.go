package exporter

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

func nameless(i byte) chrony.Address {
	return chrony.Address{IP: netip.AddrFrom4([4]byte{192, 0, 2, i})}
}

// TestNames wants names to come by and by, and nobody to wait for a resolver.
func TestNames(t *testing.T) {
	var asked atomic.Int32
	answer := make(chan struct{})
	names := newDNSNames(t.Context(), func(ctx context.Context, address string) ([]string, error) {
		asked.Add(1)
		select {
		case <-answer:
		case <-ctx.Done():
		}
		if address == "192.0.2.2" {
			return nil, errors.New("no such host")
		}
		return []string{"b.example.", "a.example.", "b.example."}, nil
	})
	start := time.Now()
	for range 100 {
		if got := names.Of(nameless(1)); got != "192.0.2.1" {
			t.Errorf("before it was looked up the name was %q", got)
		}
		names.Of(nameless(2))
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("a mute resolver cost %v", took)
	}
	close(answer)
	for begin := time.Now(); names.Of(nameless(1)) != "a.example,b.example" || asked.Load() < 2; time.Sleep(time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("the name is %q after %d look-ups", names.Of(nameless(1)), asked.Load())
		}
	}
	if got := names.Of(nameless(2)); got != "192.0.2.2" {
		t.Errorf("who has no name is %q", got)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("%d look-ups", n)
	}
	for i := range 3 * maxNames {
		names.Of(chrony.Address{IP: netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1))})
	}
	names.mu.Lock()
	defer names.mu.Unlock()
	if len(names.known) > maxNames {
		t.Errorf("%d names are kept", len(names.known))
	}
	if (*DNSNames)(nil).Of(chrony.Address{ID: 3}) != "ID#0000000003" {
		t.Error("no names at all")
	}
}
