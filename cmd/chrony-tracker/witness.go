package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
	"github.com/chrony-tracker/chrony-tracker/internal/witness"
)

// witnessFlags say who checks the clock without chronyd.
type witnessFlags struct {
	ntp            []string
	peers          string
	tolerance      time.Duration
	interval       time.Duration
	keyFile        string
	trustPeers     bool
	listen         string
	listenToPublic bool
	limit          float64
}

func addWitnessFlags(clause *kingpin.CmdClause) *witnessFlags {
	f := &witnessFlags{}
	clause.Flag("witness.ntp", "An NTP server that chronyd does not use, to check the clock against UTC. Repeatable; one a line in the environment.").
		PlaceHolder("HOST[:PORT]").StringsVar(&f.ntp)
	clause.Flag("witness.peers", "The DNS name of the other nodes' trackers, such as a headless Service, to check the clock against the fleet. This tracker then answers theirs.").
		PlaceHolder("NAME[:PORT]").StringVar(&f.peers)
	clause.Flag("witness.tolerance", "By how much a measurement may lie outside of the bound before it contradicts the clock.").
		Default(witness.DefaultTolerance.String()).DurationVar(&f.tolerance)
	clause.Flag("witness.interval", "Time between two probes of an NTP server. Servers at public addresses are asked at most every 64s.").
		Default("256s").DurationVar(&f.interval)
	clause.Flag("witness.key-file", "A key file in chrony's format, with AES128 or AES256 keys. The first one authenticates this node to its peers; it accepts them all.").
		StringVar(&f.keyFile)
	clause.Flag("witness.trust-peers", "Let peers without a key change what programs act on, such as the readiness gate. A forger can then stop these.").
		BoolVar(&f.trustPeers)
	clause.Flag("witness.listen-address", "UDP address where this tracker answers its peers, with --witness.peers. By default the first --web.listen-address.").
		PlaceHolder("HOST:PORT").StringVar(&f.listen)
	clause.Flag("witness.answer-public", "Answer NTP requests from public addresses, too.").BoolVar(&f.listenToPublic)
	clause.Flag("witness.answer-limit", "How many NTP requests are answered per second.").
		Default(fmt.Sprint(witness.DefaultLimit)).Float64Var(&f.limit)
	return f
}

// config returns nil if there are no witnesses.
func (f *witnessFlags) config(web []string) (*tracker.WitnessConfig, error) {
	ntp := slices.DeleteFunc(slices.Clone(f.ntp), func(name string) bool { return strings.TrimSpace(name) == "" })
	if len(ntp) == 0 && f.peers == "" {
		return nil, nil
	}
	switch {
	case f.tolerance < 0:
		return nil, usageError{fmt.Errorf("--witness.tolerance=%v: must not be below zero", f.tolerance)}
	case f.interval < time.Second:
		return nil, usageError{fmt.Errorf("--witness.interval=%v: must be at least 1s", f.interval)}
	case !(f.limit >= 1):
		return nil, usageError{fmt.Errorf("--witness.answer-limit=%v: must be at least 1", f.limit)}
	}
	node := nodeName()
	if node == "" {
		return nil, hintedError{errors.New("the name of this node is unknown, so its peers could not tell it from themselves"), "set the environment variable NODE_NAME"}
	}
	config := &tracker.WitnessConfig{TrustPeers: f.trustPeers}
	config.NTP, config.Peers, config.Node, config.Interval = ntp, f.peers, node, f.interval
	if config.Tolerance = f.tolerance; f.tolerance == 0 {
		config.Tolerance = -1 // zero is the default
	}
	if f.keyFile != "" {
		keys, err := witness.ReadKeys(f.keyFile)
		if err != nil {
			return nil, hintedError{fmt.Errorf("--witness.key-file: %w", err), "chronyc keygen 1 AES128 128 makes such a line; this user must be able to read the file"}
		}
		config.Keys = keys
	}
	if f.peers != "" {
		listen, port, err := f.listenAddress(web)
		if err != nil {
			return nil, usageError{err}
		}
		config.PeerPort = port
		config.Responder = &witness.ResponderConfig{Address: listen, Node: node, Keys: config.Keys, Public: f.listenToPublic, Limit: f.limit}
	}
	if err := witness.Check(config.Config); err != nil {
		return nil, usageError{err}
	}
	return config, nil
}

// listenAddress is where this tracker answers its peers, which use the same port.
func (f *witnessFlags) listenAddress(web []string) (address string, port uint16, err error) {
	address, flag := f.listen, "--witness.listen-address"
	if address == "" {
		address, flag = fmt.Sprintf(":%d", witness.DefaultPort), "--web.listen-address"
		if len(web) > 0 {
			address = web[0]
		}
	}
	_, text, err := net.SplitHostPort(address)
	if err == nil {
		var n int
		if n, err = net.LookupPort("udp", text); err == nil && n == 0 {
			err = errors.New("peers must know the port")
		}
		port = uint16(n)
	}
	if err != nil {
		return "", 0, fmt.Errorf("%s=%s: %w; set --witness.listen-address=:PORT", flag, address, err)
	}
	return address, port, nil
}
