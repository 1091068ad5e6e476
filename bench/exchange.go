package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	facebook "github.com/facebook/time/ntp/chrony"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

// An exchange is the cost of reading the reports with one peer, without rendering.
type exchange struct {
	cost
	peer     string
	requests int
	allocs   int
}

// measureExchanges measures all clients that can read the reports: ours, the floor,
// chrony_exporter's client and, for tracking, a fork of chronyc.
func measureExchanges(ctx context.Context, s setting, rounds, times int) (exchanges []exchange, err error) {
	client, err := chrony.NewClient(s.address)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	packets, err := record(ctx, s)
	if err != nil {
		return nil, err
	}
	conn, err := dial(s.address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// Without a deadline, this client waits forever for a lost packet.
	conn.SetDeadline(time.Now().Add(10 * time.Minute))

	self := func() time.Duration { return cpuOf(0) }
	peers := []peer{
		{ours, func() error { _, err := client.Report(ctx, s.want); return err }, self, 0},
		{floor, bare(conn, packets), self, 0},
	}
	if s.forExporter() {
		theirs := &facebook.Client{Connection: conn}
		peers = append(peers, peer{"facebook/time", func() error { return readWith(theirs, s.want) }, self, 0})
	}
	if s.want == chrony.WantTracking {
		chronyc, err := newChronyc(s.address)
		if err != nil {
			return nil, err
		}
		peers = append(peers, peer{"chronyc", chronyc.tracking, func() time.Duration { return cpuOf(0) + chronyc.used }, 0})
	}

	costs, err := takeTurns(ctx, peers, rounds, times)
	if err != nil {
		return nil, err
	}
	for i, p := range peers {
		allocs := testing.AllocsPerRun(10, func() { err = errors.Join(err, p.once()) })
		exchanges = append(exchanges, exchange{costs[i], p.name, len(packets), int(allocs)})
	}
	return exchanges, err
}

// dial connects to chronyd without our client.
func dial(address string) (net.Conn, error) {
	path, ok := strings.CutPrefix(address, "unix://")
	if !ok {
		return net.Dial("udp", address)
	}
	// chronyd sends its reply to the path that the client is bound to.
	reply := filepath.Join(filepath.Dir(path), rand.Text()+".sock")
	return net.DialUnix("unixgram", &net.UnixAddr{Name: reply, Net: "unixgram"}, &net.UnixAddr{Name: path, Net: "unixgram"})
}

// record returns the packets that our client sends.
func record(ctx context.Context, s setting) (packets [][]byte, err error) {
	chronyd, err := dial(s.address)
	if err != nil {
		return nil, err
	}
	defer chronyd.Close()
	relay, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	client, err := chrony.NewClient(relay.LocalAddr().String())
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		packet := make([]byte, 1024)
		for {
			n, from, err := relay.ReadFrom(packet)
			if err != nil {
				return
			}
			packets = append(packets, slices.Clone(packet[:n]))
			chronyd.Write(packet[:n])
			n, _ = chronyd.Read(packet)
			relay.WriteTo(packet[:n], from)
		}
	}()
	_, err = client.Report(ctx, s.want)
	relay.Close()
	<-ended
	return packets, err
}

// bare measures the floor: it sends and receives the same packets, with as many pending
// as our client, but encodes, checks and decodes nothing.
func bare(conn net.Conn, packets [][]byte) func() error {
	const window = 16
	reply := make([]byte, 1024)
	return func() error {
		sent := 0
		for received := range packets {
			for ; sent < len(packets) && sent-received < window; sent++ {
				if _, err := conn.Write(packets[sent]); err != nil {
					return err
				}
			}
			if _, err := conn.Read(reply); err != nil {
				return err
			}
		}
		return nil
	}
}

// readWith reads the reports as chrony_exporter does, one request after the other.
func readWith(client *facebook.Client, want chrony.Want) error {
	var failures []error
	ask := func(about chrony.Want, request facebook.RequestPacket) (reply facebook.ResponsePacket) {
		if want&about != 0 {
			var err error
			reply, err = client.Communicate(request)
			failures = append(failures, err)
		}
		return reply
	}
	ask(chrony.WantTracking, facebook.NewTrackingPacket())
	ask(chrony.WantServerStats, facebook.NewServerStatsPacket())
	if sources, ok := ask(chrony.WantSources, facebook.NewSourcesPacket()).(*facebook.ReplySources); ok {
		for i := range int32(sources.NSources) {
			if source, ok := ask(chrony.WantSources, facebook.NewSourceDataPacket(i)).(*facebook.ReplySourceData); ok {
				ask(chrony.WantNTPData, facebook.NewNTPDataPacket(source.IPAddr))
			}
			ask(chrony.WantSourceStats, facebook.NewSourceStatsPacket(i))
		}
	}
	return errors.Join(failures...)
}

// A chronyc reads tracking as Azure's chrony-tracker does: it forks chronyc and parses
// the output.
type chronyc struct {
	program string
	args    []string
	used    time.Duration // CPU time of its processes
}

func newChronyc(address string) (*chronyc, error) {
	program, err := chronytest.Program("chrony", "chronyc")
	if err != nil {
		return nil, err
	}
	// Azure's chrony-tracker also lets chronyc look up names. -n avoids that, because a
	// lookup can take any time.
	c := &chronyc{program: program, args: []string{"-n", "-h"}}
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		c.args = append(c.args, path, "tracking")
	} else {
		host, port, _ := net.SplitHostPort(address)
		c.args = append(c.args, host, "-p", port, "tracking")
	}
	return c, nil
}

func (c *chronyc) tracking() error {
	cmd := exec.Command(c.program, c.args...)
	out, err := cmd.Output()
	if err != nil {
		return err
	}
	c.used += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	found := 0
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(name) {
		case "Last offset", "Root delay", "Root dispersion":
			if _, err := strconv.ParseFloat(strings.Fields(value)[0], 64); err != nil {
				return err
			}
			found++
		}
	}
	if found != 3 {
		return fmt.Errorf("unexpected: %s", out)
	}
	return nil
}
