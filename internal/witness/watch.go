package witness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
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

	mu        sync.Mutex
	panel     panel
	addresses []netip.Addr // of the panel's members
	directory directory
	lookup    error
	probes    map[Kind]map[Result]uint64
}

// A server is one UTC witness.
type server struct {
	name, host string
	port       uint16
	asks       chan struct{} // that it is asked at once
	address    netip.AddrPort

	// The mutex of the witnesses guards these.
	standing
	last   Result
	lastAt time.Time
	err    error
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
// returns immediately.
func (w *Witnesses) Ask() {
	for _, s := range w.servers {
		select {
		case s.asks <- struct{}{}:
		default:
		}
	}
	select {
	case w.asks <- struct{}{}:
	default:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.panel.asking = len(w.addresses) > 0
}

// runServer asks one UTC witness again and again.
func (w *Witnesses) runServer(ctx context.Context, s *server) {
	const atStart = 3
	var interval time.Duration // that the server asked for
	extra := bucket{size: 8, every: shortestPublic.Seconds()}
	for n := 1; ; n++ {
		r := w.askServer(ctx, s)
		if ctx.Err() != nil {
			return
		}
		least := w.shortest(s)
		extra.every = least.Seconds()
		regular := w.config.Interval
		switch {
		case r.result == RateLimited:
			interval = min(2*max(interval, regular), longestInterval)
		case r.result == Denied:
			interval = longestInterval
		case r.answered():
			interval = 0
		}
		wait := spread(max(regular, least, interval), 0.25)
		w.mu.Lock()
		doubtful := s.vote != contradicts && s.streak > 0 || s.silent > 0 && s.silent < patience
		against := s.vote == contradicts
		w.mu.Unlock()
		switch {
		case interval > 0:
		case n < atStart || doubtful:
			if extra.take(w.clock.Read().Boot) {
				wait = burstSpacing
			}
		case against:
			wait = spread(min(max(least, 16*time.Second), wait), 0.25) // notices soon that it is over
		}
		if !w.pause(ctx, s, wait, interval, &extra) {
			return
		}
	}
}

// pause waits for the next probe. It returns earlier if the server should be asked at
// once, unless that is too often.
func (w *Witnesses) pause(ctx context.Context, s *server, wait, demanded time.Duration, extra *bucket) bool {
	due := time.NewTimer(wait)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-due.C:
			return true
		case <-s.asks:
			if demanded == 0 && extra.take(w.clock.Read().Boot) {
				return true
			}
		}
	}
}

// shortest returns the shortest interval between two probes of a server.
func (w *Witnesses) shortest(s *server) time.Duration {
	if isPrivate(s.address.Addr()) {
		return shortestPrivate
	}
	return shortestPublic
}

// spread returns a duration that differs by a random share, so that nodes don't all ask
// at the same time.
func spread(d time.Duration, share float64) time.Duration {
	return time.Duration(float64(d) * (1 + share*(2*rand.Float64()-1)))
}

// askServer probes a UTC witness.
func (w *Witnesses) askServer(ctx context.Context, s *server) report {
	r := report{result: Failed}
	if r.err = w.resolve(ctx, s); r.err == nil {
		r = w.probe(ctx, UTC, s.address, nil, serverTimeout)
	}
	if ctx.Err() != nil {
		return r
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.probes[UTC][r.result]++
	s.hear(&r, confirmations)
	s.last, s.lastAt, s.err = r.result, time.Now(), r.err
	return r
}

// resolve looks up the server's address, and keeps it while it is in the answer.
func (w *Witnesses) resolve(ctx context.Context, s *server) error {
	if a, err := netip.ParseAddr(s.host); err == nil {
		s.address = netip.AddrPortFrom(a, s.port)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	answer, err := w.config.Lookup(ctx, s.host)
	if err == nil && len(answer) == 0 {
		err = errors.New("the name has no address")
	}
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(answer, func(a netip.Addr) bool { return a.Unmap() == s.address.Addr() }) || s.silent >= patience {
		s.address = netip.AddrPortFrom(answer[rand.IntN(len(answer))].Unmap(), s.port)
	}
	return nil
}

// runPeers asks the peers, one after the other.
func (w *Witnesses) runPeers(ctx context.Context) {
	w.discover(ctx)
	w.askAll(ctx)
	lookup := time.NewTimer(w.nextLookup())
	defer lookup.Stop()
	tick := time.NewTicker(peerSpacing)
	defer tick.Stop()
	for next := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-lookup.C:
			w.discover(ctx)
			lookup.Reset(w.nextLookup())
		case <-w.asks:
			w.askAll(ctx)
		case <-tick.C:
			next++
			if w.askNext(ctx, next) {
				w.askAll(ctx)
			}
		}
	}
}

// nextLookup returns the time until the next lookup. It is short while there are no
// peers.
func (w *Witnesses) nextLookup() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.directory.seen) == 0 {
		return spread(peerSpacing*5, 0.2)
	}
	return spread(lookupInterval, 0.2)
}

// discover looks up the peers and chooses those of this node. If the lookup fails, the
// earlier answers serve for an hour.
func (w *Witnesses) discover(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	answer, err := w.config.Lookup(limited, w.config.Peers)
	if ctx.Err() != nil {
		return
	}
	own := w.config.Addresses()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil && (w.lookup == nil || w.lookup.Error() != err.Error()) {
		w.log.Warn("the peers can't be looked up", "name", w.config.Peers, "error", err)
	}
	if w.lookup = err; err != nil {
		answer = nil
	}
	w.directory.add(time.Now(), answer, own)
	w.choose()
}

// choose chooses the members of the panel. Those that stay keep their standing. The
// mutex is held.
func (w *Witnesses) choose() {
	chosen := w.directory.choose(seedOf(w.config.Node), mostPeers)
	members := make([]*standing, len(chosen))
	for i, a := range chosen {
		if was := slices.Index(w.addresses, a); was >= 0 {
			members[i] = w.panel.members[was]
		} else {
			members[i] = &standing{}
		}
	}
	w.addresses, w.panel.members = chosen, members
}

// askNext asks one peer. It reports whether all should be asked.
func (w *Witnesses) askNext(ctx context.Context, n int) (news bool) {
	w.mu.Lock()
	if len(w.addresses) == 0 {
		w.mu.Unlock()
		return false
	}
	address := w.addresses[n%len(w.addresses)]
	w.mu.Unlock()
	r := w.askPeer(ctx, address)
	if ctx.Err() != nil {
		return false
	}
	now := w.clock.Read()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.probes[Peer][r.result]++
	if i := slices.Index(w.addresses, address); i >= 0 {
		news = w.panel.hear(i, &r)
		w.replaceSilent(i, &r)
	}
	w.panel.judge(now, w.drift)
	return news
}

// askAll asks all peers at the same time.
func (w *Witnesses) askAll(ctx context.Context) {
	began := w.clock.Read().Boot
	w.mu.Lock()
	addresses := w.addresses
	w.panel.asking = len(addresses) > 0
	w.mu.Unlock()
	reports := make([]report, len(addresses))
	var asking sync.WaitGroup
	for i, address := range addresses {
		asking.Go(func() { reports[i] = w.askPeer(ctx, address) })
	}
	asking.Wait()
	if ctx.Err() != nil {
		return
	}
	now := w.clock.Read()
	w.mu.Lock()
	defer w.mu.Unlock()
	heard := make(map[int]*report, len(reports))
	for i := range reports {
		w.probes[Peer][reports[i].result]++
		heard[i] = &reports[i] // only this goroutine chooses the members
	}
	w.panel.hearAll(began, heard)
	for i := range slices.Backward(reports) {
		w.replaceSilent(slices.Index(w.addresses, addresses[i]), &reports[i])
	}
	w.panel.judge(now, w.drift)
}

// askPeer probes a peer, and repeats that if there is no answer.
func (w *Witnesses) askPeer(ctx context.Context, address netip.Addr) (r report) {
	var key *Key
	if len(w.config.Keys) > 0 {
		key = &w.config.Keys[0]
	}
	for attempt := range peerAttempts {
		timeout := peerTimeout
		if attempt == peerAttempts-1 {
			timeout = lastTimeout
		}
		began := time.Now()
		r = w.probe(ctx, Peer, netip.AddrPortFrom(address, w.config.PeerPort), key, timeout)
		if r.answered() || r.result == Self || ctx.Err() != nil {
			break
		}
		if attempt < peerAttempts-1 {
			sleep(ctx, peerTimeout-time.Since(began))
		}
	}
	return r
}

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// replaceSilent replaces a peer that does not answer. The mutex is held.
func (w *Witnesses) replaceSilent(i int, r *report) {
	if i < 0 {
		return
	}
	address := w.addresses[i]
	switch {
	case r.result == Self:
		delete(w.directory.seen, address)
	case w.panel.members[i].silent >= patience:
		w.directory.silent[address] = time.Now()
	default:
		delete(w.directory.silent, address)
		return
	}
	w.choose()
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
