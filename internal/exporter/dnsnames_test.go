package exporter

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

func nameless(i byte) chrony.Address {
	return chrony.Address{IP: netip.AddrFrom4([4]byte{192, 0, 2, i})}
}

// TestNames checks that names arrive later, and that no scrape waits for a resolver.
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
	chronytest.Limit(t, chronytest.Patience) // the resolver never answers, so a caller that waits for it waits forever
	for range 100 {
		if got := names.Of(nameless(1)); got != "192.0.2.1" {
			t.Errorf("before it was looked up the name was %q", got)
		}
		names.Of(nameless(2))
	}
	close(answer)
	chronytest.Await(t, "both look-ups", func() bool { return names.Of(nameless(1)) == "a.example,b.example" && asked.Load() == 2 },
		func() any { return names.Of(nameless(1)) })
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
