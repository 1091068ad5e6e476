//go:build system

package daemons

import (
	"encoding/binary"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
	"github.com/chrony-tracker/chrony-tracker/internal/witness"
)

// TestFlood sends requests from many addresses as fast as it can, and wants the watch to
// miss no sample.
func TestFlood(t *testing.T) {
	d := chronytest.NewSynchronized(t, "")
	port, err := chronytest.FreePort()
	chronytest.Must(t, err)
	client, err := chrony.NewClient(d.Address)
	chronytest.Must(t, err)
	tr := tracker.New(tracker.Config{Client: client})
	defer tr.Close()
	config := &tracker.WitnessConfig{
		Config:    witness.Config{Peers: "127.0.0.1"},
		Responder: &witness.ResponderConfig{Address: fmt.Sprintf("127.0.0.1:%d", port)},
	}
	chronytest.Must(t, tr.Watch(tracker.WatchConfig{Witness: config}))
	var conns []*net.UDPConn
	for i := range 256 {
		conn, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 8, byte(i>>8), byte(i))}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		chronytest.Must(t, err)
		defer conn.Close()
		conns = append(conns, conn)
	}
	request := make([]byte, 48)
	request[0] = 4<<3 | 3
	binary.BigEndian.PutUint64(request[40:], 1)
	before, sent, began := tr.Watched(), 0, time.Now()
	const rate, length = 100_000, 20 * time.Second
	for time.Since(began) < length {
		for range 100 {
			if _, err := conns[sent%len(conns)].Write(request); err == nil {
				sent++
			}
		}
		if ahead := time.Duration(sent)*time.Second/rate - time.Since(began); ahead > 0 {
			time.Sleep(ahead)
		}
	}
	took := time.Since(began)
	after := tr.Watched()
	requests := tr.Snapshot(t.Context()).Witnesses.Requests
	t.Logf("%d requests in %v: %v; %d samples, %v s unobserved", sent, took, requests, after.Samples-before.Samples, after.Unobserved-before.Unobserved)
	if after.Unobserved > before.Unobserved || after.Samples-before.Samples < uint64(length/time.Second)-1 {
		t.Errorf("%d samples, %v s unobserved", after.Samples-before.Samples, after.Unobserved-before.Unobserved)
	}
	if most := uint64(witness.DefaultLimit * (took.Seconds() + 2)); requests[witness.Answered] > most {
		t.Errorf("%d answers", requests[witness.Answered])
	}
}
