package exporter

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

const (
	nameAge     = time.Hour        // after this, a name is looked up again
	noNameAge   = 5 * time.Minute  // the same for an address without a name
	nameTimeout = 10 * time.Second // for one lookup
	maxNames    = 1024             // kept at a time; a node has fewer sources

	maxNamesOfOne = 4 // of one address
)

// DNSNames looks up the DNS names of addresses in the background. A scrape never waits:
// it gets the names that are known by then.
type DNSNames struct {
	lookup func(context.Context, string) ([]string, error)
	wanted chan string // addresses to look up, one after another

	mu    sync.Mutex
	known map[string]name // by address
}

type name struct {
	text    string // empty if there is none, or not yet
	expires time.Time
}

// NewDNSNames starts to look up names. It ends with the context.
func NewDNSNames(ctx context.Context) *DNSNames {
	return newDNSNames(ctx, net.DefaultResolver.LookupAddr)
}

func newDNSNames(ctx context.Context, lookup func(context.Context, string) ([]string, error)) *DNSNames {
	n := &DNSNames{lookup: lookup, wanted: make(chan string, maxNames), known: make(map[string]name)}
	go func() {
		for {
			select {
			case address := <-n.wanted:
				n.find(ctx, address)
			case <-ctx.Done():
				return
			}
		}
	}()
	return n
}

// Of returns the name of an address, or the address while no name is known. It works on
// a nil DNSNames too.
func (n *DNSNames) Of(a chrony.Address) string {
	address := a.String()
	if n == nil || !a.IP.IsValid() {
		return address
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	known, found := n.known[address]
	if now := time.Now(); !found || now.After(known.expires) {
		n.want(address, now)
	}
	if known.text == "" {
		return address
	}
	return known.text
}

// want queues an address for a lookup, unless there are too many. The mutex is held.
func (n *DNSNames) want(address string, now time.Time) {
	if len(n.known) >= maxNames {
		for old, name := range n.known {
			if now.After(name.expires) {
				delete(n.known, old)
			}
		}
	}
	if len(n.known) >= maxNames {
		return
	}
	select {
	case n.wanted <- address:
		n.known[address] = name{n.known[address].text, now.Add(noNameAge)} // meanwhile
	default:
	}
}

func (n *DNSNames) find(ctx context.Context, address string) {
	ctx, cancel := context.WithTimeout(ctx, nameTimeout)
	defer cancel()
	names, err := n.lookup(ctx, address)
	names = names[:min(len(names), maxNamesOfOne)]
	for i := range names {
		names[i] = strings.TrimSuffix(names[i], ".")
	}
	slices.Sort(names)
	found := name{strings.ToValidUTF8(strings.Join(slices.Compact(names), ","), "?"), time.Now().Add(nameAge)}

	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil || found.text == "" {
		found = name{n.known[address].text, time.Now().Add(noNameAge)} // if the resolver is down, known names stay
	}
	n.known[address] = found
}
