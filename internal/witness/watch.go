package witness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// Config says who the witnesses are. The zero values of all other fields are the
// defaults.
type Config struct {
	NTP   []string // UTC witnesses, as HOST or HOST:PORT
	Peers string   // the DNS name of the peers, as NAME or NAME:PORT; or empty

	PeerPort  uint16        // UDP port of the peers, unless Peers has one; DefaultPort if zero
	Interval  time.Duration // between two probes of a UTC witness; DefaultInterval if zero
	Tolerance time.Duration // DefaultTolerance if zero; below zero, there is none
	MaxDrift  float64       // of the clock since a measurement, in ppm; clockerror.DefaultMaxDrift if zero
	Keys      []Key         // the first authenticates requests to peers; none if empty
	Node      string        // this node's name, which no other node has
	Logger    *slog.Logger  // none if nil

	// For tests and simulations. The defaults use the network.
	Exchange  Exchange
	Lookup    func(ctx context.Context, host string) ([]netip.Addr, error)
	Addresses func() []netip.Addr // this node's own
}

// The defaults of [Config].
const (
	DefaultPort      = 9123
	DefaultInterval  = 256 * time.Second
	DefaultTolerance = time.Millisecond
)

const (
	ntpPort = 123

	// Servers that belong to others are asked at most this often.
	shortestPublic  = 64 * time.Second
	shortestPrivate = 4 * time.Second

	// longestInterval is the most that a server can ask for.
	longestInterval = 4096 * time.Second

	burstSpacing  = 2 * time.Second // between probes at the start, and until a contradiction is confirmed
	serverTimeout = 2 * time.Second

	mostPeers    = 8
	peerSpacing  = 4 * time.Second
	peerAttempts = 3
	peerTimeout  = 250 * time.Millisecond
	lastTimeout  = time.Second // of the last attempt: a busy machine is slow

	lookupInterval = 5 * time.Minute
	lookupTimeout  = 10 * time.Second
)

// Witnesses ask others about this node's clock.
type Witnesses struct {
	config Config
	prober
	drift   float64 // seconds per second
	log     *slog.Logger
	servers []*server
	asks    chan struct{} // that the peers are asked at once
	began   time.Time

	mu        sync.Mutex
	calls     bucket // in which all peers are asked at once because of Ask
	panel     panel
	addresses []netip.Addr // of the panel's members
	directory directory
	lookup    error
	probes    map[Kind]map[Result]uint64
}

// New returns witnesses of a clock. Run asks them.
func New(config Config, clock Clock) (*Witnesses, error) {
	config.PeerPort = cmp.Or(config.PeerPort, DefaultPort)
	config.Interval = cmp.Or(config.Interval, DefaultInterval)
	config.Tolerance = max(0, cmp.Or(config.Tolerance, DefaultTolerance))
	config.MaxDrift = cmp.Or(config.MaxDrift, clockerror.DefaultMaxDrift)
	config.Logger = cmp.Or(config.Logger, slog.New(slog.DiscardHandler))
	if config.Exchange == nil {
		config.Exchange = Query
	}
	if config.Lookup == nil {
		config.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if config.Addresses == nil {
		config.Addresses = interfaceAddresses
	}
	w := &Witnesses{
		config:    config,
		prober:    prober{clock: clock, exchange: config.Exchange, tolerance: config.Tolerance.Seconds(), self: ReferenceID(config.Node)},
		drift:     clockerror.Assumptions{MaxDrift: config.MaxDrift}.Drift(1),
		log:       config.Logger,
		asks:      make(chan struct{}, 1),
		began:     time.Now(),
		calls:     bucket{size: 8, every: 16},
		panel:     newPanel(),
		directory: newDirectory(),
		probes:    make(map[Kind]map[Result]uint64),
	}
	for _, kind := range Kinds {
		w.probes[kind] = make(map[Result]uint64)
	}
	if config.Peers != "" {
		var err error
		if w.config.Peers, w.config.PeerPort, err = splitAddress(config.Peers, config.PeerPort); err != nil {
			return nil, fmt.Errorf("--witness.peers=%s: %w", config.Peers, err)
		}
	}
	for _, name := range config.NTP {
		host, port, err := splitAddress(name, ntpPort)
		if err == nil && slices.ContainsFunc(w.servers, func(s *server) bool { return s.host == host && s.port == port }) {
			err = errors.New("there is one of this name already")
		}
		if err != nil {
			return nil, fmt.Errorf("--witness.ntp=%s: %w", name, err)
		}
		w.servers = append(w.servers, &server{name: name, host: host, port: port, asks: make(chan struct{}, 1)})
	}
	return w, nil
}

// Check reports what is wrong with the names of the witnesses.
func Check(config Config) error {
	_, err := New(config, nil)
	return err
}

// splitAddress splits HOST, HOST:PORT, [IPv6]:PORT or IPv6.
func splitAddress(text string, otherwise uint16) (host string, port uint16, err error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return a.String(), otherwise, nil
	}
	host, port, found := text, otherwise, false
	if h, p, err := net.SplitHostPort(text); err == nil {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return "", 0, errors.New("the port must be from 1 to 65535")
		}
		host, port, found = h, uint16(n), true
	}
	if host == "" || !found && slices.ContainsFunc([]byte(host), func(c byte) bool { return c == ':' || c == '[' || c == ' ' || c == '/' }) {
		return "", 0, errors.New("no host: write time.example.com, 192.0.2.1, or [2001:db8::1]:123")
	}
	return host, port, nil
}

// Run asks the witnesses until the context ends.
func (w *Witnesses) Run(ctx context.Context) {
	var work sync.WaitGroup
	for _, s := range w.servers {
		work.Go(func() { w.runServer(ctx, s) })
	}
	if w.config.Peers != "" {
		work.Go(func() { w.runPeers(ctx) })
	}
	work.Wait()
}

// Ask asks all witnesses at once, because something has happened to the clock. It
// returns immediately. If it is called too often, the witnesses are asked at their
// regular times only.
func (w *Witnesses) Ask() {
	for _, s := range w.servers {
		select {
		case s.asks <- struct{}{}:
		default:
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.calls.take(int64(time.Since(w.began))) {
		return
	}
	w.panel.asking = len(w.addresses) > 0
	select {
	case w.asks <- struct{}{}:
	default:
	}
}

// interfaceAddresses returns this node's own addresses.
func interfaceAddresses() []netip.Addr {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var own []netip.Addr
	for _, a := range all {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, prefix.Addr().Unmap().WithZone(""))
		}
	}
	return own
}

// isPrivate reports whether an address belongs to a private network, or to this machine.
func isPrivate(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || shared.Contains(a)
}

// shared is the address space of carrier-grade NAT (RFC 6598). Clusters use it for nodes
// and pods.
var shared = netip.MustParsePrefix("100.64.0.0/10")
