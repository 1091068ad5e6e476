package chrony_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

// truth is the report of the scripted daemons of these tests. Each source has a
// different address and stratum.
var truth = chrony.Report{
	Tracking: &chrony.Tracking{RefID: 0x7f000101, Stratum: 3, RootDelay: 0.25},
	Activity: &chrony.Activity{Online: 40},
	Sources:  fortySources(),
}

func fortySources() []chrony.Source {
	sources := make([]chrony.Source, 40)
	for i := range sources {
		sources[i] = chrony.Source{
			Address: chrony.Address{IP: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})},
			Stratum: uint16(i),
		}
	}
	return sources
}

func right(r chronytest.Request) chronytest.Packet {
	return chronytest.Packet{Data: chronytest.Reply(r, truth)}
}

// changed returns the right reply with one byte set to another value.
func changed(r chronytest.Request, offset int, value byte) chronytest.Packet {
	packet := right(r)
	packet.Data[offset] = value
	return packet
}

// lie is a valid reply with wrong values.
func lie(r chronytest.Request) chronytest.Packet {
	return chronytest.Packet{Data: chronytest.Reply(r, chrony.Report{
		Tracking: &chrony.Tracking{Stratum: 15},
		Activity: &chrony.Activity{},
		Sources:  []chrony.Source{},
	})}
}

// TestFaults sends a faulty datagram before the right reply, for every kind of fault. The
// client must use the right one and count the other.
func TestFaults(t *testing.T) {
	type script = func(r chronytest.Request) []chronytest.Packet
	before := func(fault func(r chronytest.Request) chronytest.Packet) script {
		return func(r chronytest.Request) []chronytest.Packet {
			return []chronytest.Packet{fault(r), right(r)}
		}
	}
	var last atomic.Pointer[chronytest.Request] // for answers to an earlier question
	last.Store(&chronytest.Request{})
	for _, test := range []struct {
		name   string
		script script
		counts func(chrony.Stats) uint64 // of what this fault makes the client drop, or nil
	}{
		{"none", func(r chronytest.Request) []chronytest.Packet { return []chronytest.Packet{right(r)} }, nil},
		{"lost", func(r chronytest.Request) []chronytest.Packet {
			if r.Attempt == 0 {
				return nil
			}
			return []chronytest.Packet{right(r)}
		}, func(s chrony.Stats) uint64 { return s.Retries }},
		{"repeated", func(r chronytest.Request) []chronytest.Packet {
			return []chronytest.Packet{right(r), right(r)}
		}, unexpected},
		{"late", func(r chronytest.Request) []chronytest.Packet {
			earlier := lie(*last.Swap(&r))
			return []chronytest.Packet{earlier, right(r)}
		}, unexpected},
		{"later than the repetition", func(r chronytest.Request) []chronytest.Packet {
			packet := right(r)
			if r.Command == 14 && r.Attempt == 0 { // N_SOURCES
				packet.Delay = 150 * time.Millisecond
			}
			if r.Command == 15 && r.Argument == 39 { // so that the late reply comes in the middle of the next exchange
				packet.Delay = 100 * time.Millisecond
			}
			return []chronytest.Packet{packet}
		}, unexpected},
		{"sequence", before(func(r chronytest.Request) chronytest.Packet {
			r.Sequence++
			return lie(r)
		}), unexpected},
		{"command", before(func(r chronytest.Request) chronytest.Packet {
			p := lie(r)
			p.Data[5] ^= 1
			return p
		}), unexpected},
		{"version", before(func(r chronytest.Request) chronytest.Packet { return changed(r, 0, 5) }), malformed},
		{"packet type", before(func(r chronytest.Request) chronytest.Packet { return changed(r, 1, 1) }), malformed},
		{"reserved", before(func(r chronytest.Request) chronytest.Packet { return changed(r, 2, 1) }), malformed},
		{"empty", before(func(chronytest.Request) chronytest.Packet { return chronytest.Packet{} }), malformed},
		{"truncated header", before(func(r chronytest.Request) chronytest.Packet {
			return chronytest.Packet{Data: lie(r).Data[:27]}
		}), malformed},
		{"truncated body", before(func(r chronytest.Request) chronytest.Packet {
			p := lie(r)
			p.Data = p.Data[:len(p.Data)-1]
			return p
		}), malformed},
		{"longer body", before(func(r chronytest.Request) chronytest.Packet {
			p := lie(r)
			p.Data = append(p.Data, 0)
			return p
		}), malformed},
		{"oversized", before(func(r chronytest.Request) chronytest.Packet {
			return chronytest.Packet{Data: append(lie(r).Data, make([]byte, 1400)...)}
		}), func(s chrony.Stats) uint64 { return s.Oversized }},
		{"stranger", before(func(r chronytest.Request) chronytest.Packet {
			p := lie(r)
			p.Stranger = true // the kernel drops it, so the client can't count it
			return p
		}), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			t.Run("udp", func(t *testing.T) {
				t.Parallel() // most of the time they wait to send a request again
				survive(t, chronytest.NewFake(t, test.script), test.counts)
			})
			t.Run("socket", func(t *testing.T) {
				t.Parallel()
				if test.name == "stranger" {
					t.Skip("a second socket would need a path of its own; the kernel refuses it just the same")
				}
				survive(t, chronytest.NewFakeSocket(t, filepath.Join(t.TempDir(), "chronyd.sock"), test.script), test.counts)
			})
		})
	}
}

func survive(t *testing.T, fake *chronytest.Fake, counts func(chrony.Stats) uint64) {
	t.Helper()
	client := dial(t, fake.Address)
	for range 3 {
		wantTruth(t, client)
	}
	if stats := client.Stats(); counts != nil && counts(stats) == 0 {
		t.Errorf("nothing counted: %+v", stats)
	}
}

func unexpected(s chrony.Stats) uint64 { return s.Unexpected }
func malformed(s chrony.Stats) uint64  { return s.Malformed }

func wantTruth(t *testing.T, client *chrony.Client) {
	t.Helper()
	report, err := client.Report(within(t, chronytest.Patience), chrony.WantTracking|chrony.WantActivity|chrony.WantSources)
	if err != nil || report.Refused != nil {
		t.Fatalf("%v, refused: %+v", err, report)
	}
	if *report.Tracking != *truth.Tracking || *report.Activity != *truth.Activity {
		t.Errorf("got %+v, %+v", *report.Tracking, *report.Activity)
	}
	if len(report.Sources) != len(truth.Sources) {
		t.Fatalf("%d sources", len(report.Sources))
	}
	for i, source := range report.Sources {
		if source != truth.Sources[i] {
			t.Errorf("source %d: %+v", i, source)
		}
	}
}

// TestReordered answers after eight requests, in reverse order.
func TestReordered(t *testing.T) {
	var held []chronytest.Packet
	fake := chronytest.NewFake(t, func(r chronytest.Request) []chronytest.Packet {
		if r.Command != 15 { // SOURCE_DATA
			return []chronytest.Packet{right(r)}
		}
		held = append([]chronytest.Packet{right(r)}, held...)
		if len(held) < 8 {
			return nil
		}
		all := held
		held = nil
		return all
	})
	wantTruth(t, dial(t, fake.Address))
}

// TestWindow counts the requests that arrive without an answer.
func TestWindow(t *testing.T) {
	count := func(t *testing.T, start func(chronytest.Script) *chronytest.Fake, want int) {
		t.Helper()
		first, repeated := 0, false
		fake := start(func(r chronytest.Request) []chronytest.Packet {
			if r.Command == 15 {
				repeated = repeated || r.Attempt > 0
				if !repeated {
					first++
					return nil
				}
			}
			return []chronytest.Packet{right(r)}
		})
		wantTruth(t, dial(t, fake.Address))
		fake.Close()
		if first != want {
			t.Errorf("%d requests outstanding, want %d", first, want)
		}
	}
	t.Run("udp", func(t *testing.T) {
		count(t, func(s chronytest.Script) *chronytest.Fake { return chronytest.NewFake(t, s) }, 16)
	})
	t.Run("socket", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "chronyd.sock")
		count(t, func(s chronytest.Script) *chronytest.Fake { return chronytest.NewFakeSocket(t, path, s) }, 16)
	})
}

// TestSequenceNumbers checks that sequence numbers are random, so that no one can guess
// an answer.
func TestSequenceNumbers(t *testing.T) {
	seen := make(map[uint32]bool)
	var steps []uint32
	previous := uint32(0)
	fake := chronytest.NewFake(t, func(r chronytest.Request) []chronytest.Packet {
		seen[r.Sequence] = true
		steps = append(steps, r.Sequence-previous)
		previous = r.Sequence
		return []chronytest.Packet{right(r)}
	})
	wantTruth(t, dial(t, fake.Address))
	fake.Close()
	if len(seen) != len(steps) {
		t.Errorf("%d numbers for %d requests", len(seen), len(steps))
	}
	small := 0
	for _, step := range steps {
		if step < 1<<16 {
			small++
		}
	}
	if small > len(steps)/4 {
		t.Errorf("%d of %d steps are small", small, len(steps))
	}
}

// TestRequests checks the length of requests. chronyd 4 ignores requests of more than
// 860 bytes, and refuses requests that are shorter than the reply.
func TestRequests(t *testing.T) {
	fake := chronytest.NewFake(t, func(r chronytest.Request) []chronytest.Packet {
		if r.Length < 520 || r.Length > 860 {
			t.Errorf("request %d has %d bytes", r.Command, r.Length)
		}
		return []chronytest.Packet{right(r)}
	})
	wantTruth(t, dial(t, fake.Address))
}

// TestErrors checks the error for each kind of failure.
func TestErrors(t *testing.T) {
	silent := func(chronytest.Request) []chronytest.Packet { return nil }
	status := func(code uint16) chronytest.Script {
		return func(r chronytest.Request) []chronytest.Packet {
			return []chronytest.Packet{{Data: chronytest.Status(r, code)}}
		}
	}
	otherType := func(r chronytest.Request) []chronytest.Packet {
		return []chronytest.Packet{{Data: chronytest.Body(r, 99, make([]byte, 76))}}
	}
	garbage := func(r chronytest.Request) []chronytest.Packet {
		return []chronytest.Packet{{Data: []byte("HTTP/1.1 400 Bad Request\r\n\r\n")}}
	}
	for _, test := range []struct {
		name   string
		script chronytest.Script
		is     []error
	}{
		{"silence", silent, []error{chrony.ErrNoAnswer, context.DeadlineExceeded}},
		{"unauthorised", status(2), []error{chrony.ErrUnauthorized}},
		{"unknown command", status(3), []error{chrony.ErrUnknownCommand}},
		{"wrong length", status(19), []error{chrony.ErrBadReply}},
		{"unknown reply", otherType, []error{chrony.ErrBadReply}},
		{"garbage", garbage, []error{chrony.ErrBadReply, context.DeadlineExceeded}},
	} {
		t.Run(test.name, func(t *testing.T) {
			fake := chronytest.NewFake(t, test.script)
			timeout := chronytest.Patience
			if slices.Contains(test.is, context.DeadlineExceeded) {
				timeout = time.Second
			}
			_, err := dial(t, fake.Address).Tracking(within(t, timeout))
			wantError(t, err, test.is...)
		})
	}
	t.Run("no listener", func(t *testing.T) {
		port, err := chronytest.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		address := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port)).String()
		_, err = dial(t, address).Tracking(within(t, chronytest.Patience))
		wantError(t, err, chrony.ErrNoAnswer)
		if errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a refusal is no passed deadline: %v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		fake := chronytest.NewFake(t, func(chronytest.Request) []chronytest.Packet { cancel(); return nil })
		_, err := dial(t, fake.Address).Tracking(ctx)
		wantError(t, err, context.Canceled)
	})
	for _, address := range []string{"127.0.0.1", ":323", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:70000", "127.0.0.1:ntp", "::1:323", "unix://run/chronyd.sock", "unix:///" + string(make([]byte, 120))} {
		_, err := chrony.NewClient(address)
		wantError(t, err, chrony.ErrAddress)
	}
}

// wantError checks the cause of an error, and that it is an OpError with a hint.
func wantError(t *testing.T, err error, is ...error) {
	t.Helper()
	for _, target := range is {
		if !errors.Is(err, target) {
			t.Errorf("%v is not %q", err, target)
		}
	}
	var op *chrony.OpError
	if !errors.As(err, &op) || op.Hint() == "" || op.Address == "" {
		t.Errorf("%#v has no address or no hint", err)
	}
}

// TestRefusedReport checks that a refused report does not affect the others.
func TestRefusedReport(t *testing.T) {
	fake := chronytest.NewFake(t, chronytest.Truthful(chrony.Report{Tracking: truth.Tracking, Activity: truth.Activity}))
	report, err := dial(t, fake.Address).Report(within(t, chronytest.Patience), chrony.WantTracking|chrony.WantActivity|chrony.WantSources)
	if err != nil {
		t.Fatal(err)
	}
	if report.Tracking == nil || report.Activity == nil || report.Sources != nil {
		t.Errorf("got %+v", report)
	}
	if !errors.Is(report.Refused[chrony.WantSources], chrony.ErrUnauthorized) {
		t.Errorf("refused: %v", report.Refused)
	}
}

// TestRefusedSources checks that no per-source report counts as given if the sources are
// not listed.
func TestRefusedSources(t *testing.T) {
	fake := chronytest.NewFake(t, chronytest.Truthful(chrony.Report{Tracking: truth.Tracking}))
	report, err := dial(t, fake.Address).Report(within(t, chronytest.Patience), chrony.WantTracking|chrony.WantSourceStats|chrony.WantNTPData)
	if err != nil || report.Tracking == nil {
		t.Fatalf("%v, %+v", err, report)
	}
	for _, want := range []chrony.Want{chrony.WantSourceStats, chrony.WantNTPData} {
		if !errors.Is(report.Refused[want], chrony.ErrUnauthorized) {
			t.Errorf("%v: refused %v", want, report.Refused)
		}
	}
	if len(report.Refused) != 2 {
		t.Errorf("refused without being wanted: %v", report.Refused)
	}
}

// TestSourcesRefusedInBetween refuses one source after chronyd has given the number of
// sources.
func TestSourcesRefusedInBetween(t *testing.T) {
	known := truth
	known.Sources = fortySources()
	for i := range known.Sources {
		known.Sources[i].Stats = &chrony.SourceStats{Address: known.Sources[i].Address}
	}
	fake := chronytest.NewFake(t, func(r chronytest.Request) []chronytest.Packet {
		if r.Command == 15 && r.Argument == 5 {
			return []chronytest.Packet{{Data: chronytest.Status(r, 2)}}
		}
		return []chronytest.Packet{{Data: chronytest.Reply(r, known)}}
	})
	report, err := dial(t, fake.Address).Report(within(t, chronytest.Patience), chrony.WantAll)
	if err != nil || report.Tracking == nil || report.Sources != nil {
		t.Fatalf("%v, %+v", err, report)
	}
	if !errors.Is(report.Refused[chrony.WantSources], chrony.ErrUnauthorized) {
		t.Errorf("refused: %v", report.Refused)
	}
}

// TestListedTwice changes the order of the sources between two requests.
func TestListedTwice(t *testing.T) {
	fake := chronytest.NewFake(t, func(r chronytest.Request) []chronytest.Packet {
		if r.Command == 15 && r.Argument == 1 {
			r.Argument = 0
		}
		return []chronytest.Packet{right(r)}
	})
	sources, err := dial(t, fake.Address).Sources(within(t, chronytest.Patience))
	if err != nil || len(sources) != 39 {
		t.Errorf("%d sources, %v", len(sources), err)
	}
}

// TestVanishingSource removes a source after chronyd has given the number of sources.
func TestVanishingSource(t *testing.T) {
	for name, vanished := range map[string]func(chronytest.Request) []byte{
		"no such source":        func(r chronytest.Request) []byte { return chronytest.Status(r, 4) },
		"success without reply": func(r chronytest.Request) []byte { return chronytest.Status(r, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			fake := chronytest.NewFake(t, func(r chronytest.Request) []chronytest.Packet {
				if r.Command == 15 && r.Argument == 39 {
					return []chronytest.Packet{{Data: vanished(r)}}
				}
				return []chronytest.Packet{right(r)}
			})
			sources, err := dial(t, fake.Address).Sources(within(t, chronytest.Patience))
			if err != nil || len(sources) != 39 {
				t.Errorf("%d sources, %v", len(sources), err)
			}
		})
	}
}

// TestFirstSourceVanishes removes the source whose request shows whether chronyd gives
// a report. The client must still ask about the other sources.
func TestFirstSourceVanishes(t *testing.T) {
	sources := fortySources()
	sources[39].Address = chrony.Address{ID: 7} // its name is not resolved
	for i := range sources {
		sources[i].Stats = &chrony.SourceStats{Address: sources[i].Address}
	}
	fake := chronytest.NewFake(t, func(r chronytest.Request) []chronytest.Packet {
		const sourceStats, sourceName = 34, 65
		switch {
		case r.Command == sourceStats && r.Argument == 0, r.Command == sourceName && r.Argument == 0xc0000200:
			return []chronytest.Packet{{Data: chronytest.Status(r, 4)}}
		case r.Command == sourceName:
			return []chronytest.Packet{{Data: chronytest.Body(r, 19, append([]byte("ntp.example"), make([]byte, 245)...))}}
		}
		return []chronytest.Packet{{Data: chronytest.Reply(r, chrony.Report{Sources: sources})}}
	})
	report, err := dial(t, fake.Address).Report(within(t, chronytest.Patience), chrony.WantSourceStats|chrony.WantSourceNames)
	if err != nil || len(report.Sources) != 40 || report.Refused != nil {
		t.Fatalf("%v, %+v", err, report)
	}
	for i, s := range report.Sources {
		if (s.Stats != nil) != (i > 0) || (s.ConfiguredName == "ntp.example") != (i > 0) {
			t.Errorf("source %d: %+v", i, s)
		}
	}
}

// TestAbsurdCount reads a chronyd that claims to have four billion sources.
func TestAbsurdCount(t *testing.T) {
	fake := chronytest.NewFake(t, func(r chronytest.Request) []chronytest.Packet {
		return []chronytest.Packet{{Data: chronytest.Body(r, 2, []byte{0xff, 0xff, 0xff, 0xff})}}
	})
	_, err := dial(t, fake.Address).Sources(within(t, chronytest.Patience))
	wantError(t, err, chrony.ErrBadReply)
}

// TestRecovers loses all packets for a while. The next request must succeed.
func TestRecovers(t *testing.T) {
	fake := chronytest.NewFake(t, func(r chronytest.Request) []chronytest.Packet {
		if r.Number < 3 {
			return nil
		}
		return []chronytest.Packet{right(r)}
	})
	client := dial(t, fake.Address)
	if _, err := client.Tracking(within(t, 150*time.Millisecond)); !errors.Is(err, chrony.ErrNoAnswer) {
		t.Fatal(err)
	}
	if _, err := client.Tracking(within(t, chronytest.Patience)); err != nil {
		t.Error(err)
	}
}

// TestBusyClient checks that a caller waits no longer than its context allows while
// another one uses the client.
func TestBusyClient(t *testing.T) {
	asked := make(chan struct{}, 16)
	fake := chronytest.NewFake(t, func(chronytest.Request) []chronytest.Packet { asked <- struct{}{}; return nil })
	client := dial(t, fake.Address)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { client.Tracking(ctx) })
	<-asked
	_, err := client.Tracking(within(t, 10*time.Millisecond))
	wantError(t, err, chrony.ErrNoAnswer, context.DeadlineExceeded)
	cancel()
	wg.Wait()
}

// TestManyCallers shares one client among goroutines.
func TestManyCallers(t *testing.T) {
	fake := chronytest.NewFake(t, chronytest.Truthful(truth))
	client := dial(t, fake.Address)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { wantTruth(t, client) })
	}
	wg.Wait()
}

// TestSeveralAddresses asks this machine. The first address does not answer, or nothing
// listens there. The client must reach the second one within one deadline.
func TestSeveralAddresses(t *testing.T) {
	for _, test := range []struct {
		name    string
		first   chronytest.Script
		timeout time.Duration // half of it is for the first address
	}{
		{"mute", func(chronytest.Request) []chronytest.Packet { return nil }, 3 * time.Second},
		{"no listener", nil, chronytest.Patience},
	} {
		t.Run(test.name, func(t *testing.T) {
			port, err := chronytest.FreePort() // also at the first address
			if err != nil {
				t.Fatal(err)
			}
			second := chronytest.NewFakeAt(t, fmt.Sprintf("127.0.0.2:%d", port), chronytest.Truthful(truth))
			if test.first != nil {
				chronytest.NewFakeAt(t, fmt.Sprintf("127.0.0.1:%d", port), test.first)
			}
			defer chrony.SetLoopback([]string{"127.0.0.1", "127.0.0.2"}, uint16(port))()
			report, err := dial(t, "").Report(within(t, test.timeout), chrony.WantTracking)
			if err != nil {
				t.Fatal(err)
			}
			if report.Address != second.Address {
				t.Errorf("answered by %s", report.Address)
			}
		})
	}
}

// TestReplaced replaces chronyd in the middle of a report. The values of the clock must
// all come from the same chronyd.
func TestReplaced(t *testing.T) {
	restarted := chrony.Report{
		Tracking: &chrony.Tracking{Leap: chrony.LeapNotSynchronized},
		Sources:  fortySources(),
	}
	fake := chronytest.NewFake(t, func(r chronytest.Request) []chronytest.Packet {
		if r.Number == 0 {
			return []chronytest.Packet{right(r)}
		}
		return []chronytest.Packet{{Data: chronytest.Reply(r, restarted)}}
	})
	report, err := dial(t, fake.Address).Report(within(t, chronytest.Patience), chrony.WantTracking|chrony.WantSources)
	if err != nil {
		t.Fatal(err)
	}
	if report.Tracking.Leap != chrony.LeapNotSynchronized {
		t.Errorf("an old tracking with new sources: %+v", report.Tracking)
	}
}

// TestReplacedSocket does the same with a new socket. The client must ask everything
// again.
func TestReplacedSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chronyd.sock")
	counted := make(chan struct{})
	first := chronytest.NewFakeSocket(t, path, func(r chronytest.Request) []chronytest.Packet {
		if r.Number < 2 { // TRACKING, N_SOURCES
			return []chronytest.Packet{right(r)}
		}
		if r.Number == 2 {
			close(counted)
		}
		return nil
	})
	three := chrony.Report{Tracking: truth.Tracking, Activity: truth.Activity, Sources: fortySources()[:3]}
	done := make(chan *chrony.Report)
	go func() {
		report, err := dial(t, first.Address).Report(within(t, chronytest.Patience), chrony.WantTracking|chrony.WantSources)
		if err != nil {
			t.Error(err)
		}
		done <- report
	}()
	<-counted
	first.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	chronytest.NewFakeSocket(t, path, chronytest.Truthful(three))
	if report := <-done; report != nil && len(report.Sources) != 3 {
		t.Errorf("%d sources of two daemons", len(report.Sources))
	}
}

// TestClose aborts an exchange that would never end.
func TestClose(t *testing.T) {
	asked := make(chan struct{}, 64)
	fake := chronytest.NewFake(t, func(chronytest.Request) []chronytest.Packet { asked <- struct{}{}; return nil })
	client := dial(t, fake.Address)
	failed := make(chan error)
	go func() {
		_, err := client.Tracking(context.Background())
		failed <- err
	}()
	<-asked
	client.Close()
	wantError(t, <-failed, net.ErrClosed)
	_, err := client.Tracking(context.Background())
	wantError(t, err, net.ErrClosed)
}

// TestShiftedSources adds a source before the others, between the requests for the list
// and for the statistics. No source may get another's statistics.
func TestShiftedSources(t *testing.T) {
	sources := fortySources()
	for i := range sources {
		sources[i].Stats = &chrony.SourceStats{Address: sources[i].Address, Samples: uint32(i)}
	}
	// Two reference clocks with the same reference ID differ only in their order.
	for i := range 2 {
		sources[i].Mode, sources[i].Address, sources[i].RefID = chrony.ModeReferenceClock, chrony.Address{}, 0x47505300
		sources[i].Stats = &chrony.SourceStats{RefID: 0x47505300, Samples: uint32(i)}
	}
	known := chrony.Report{Sources: sources}
	shifted := chrony.Report{Sources: append([]chrony.Source{{
		Address: chrony.Address{ID: 7},
		Stats:   &chrony.SourceStats{Address: chrony.Address{ID: 7}, Samples: 99},
	}}, sources...)}
	for name, stats := range map[string]chrony.Report{"same": known, "shifted": shifted} {
		t.Run(name, func(t *testing.T) {
			fake := chronytest.NewFake(t, func(r chronytest.Request) []chronytest.Packet {
				if r.Command == 34 { // SOURCESTATS
					return []chronytest.Packet{{Data: chronytest.Reply(r, stats)}}
				}
				return []chronytest.Packet{{Data: chronytest.Reply(r, known)}}
			})
			report, err := dial(t, fake.Address).Report(within(t, chronytest.Patience), chrony.WantSourceStats)
			if err != nil || report.Refused != nil || len(report.Sources) != 40 {
				t.Fatalf("%v, %+v", err, report)
			}
			for i, s := range report.Sources {
				if s.Stats == nil && name == "shifted" && i == 39 {
					continue // no request was about it at its new index
				}
				if s.Stats == nil || s.Stats.Address != s.Address {
					t.Errorf("source %d, %v, has %+v", i, s.Name(), s.Stats)
				}
				if name == "same" && s.Stats.Samples != uint32(i) {
					t.Errorf("source %d has the statistics of %d", i, s.Stats.Samples)
				}
			}
		})
	}
}

// TestUnknownCommandIsRemembered asks a chronyd 3 twice for a report that it does not
// know.
func TestUnknownCommandIsRemembered(t *testing.T) {
	asked := 0
	fake := chronytest.NewFake(t, func(r chronytest.Request) []chronytest.Packet {
		if r.Command == 51 { // SMOOTHING
			asked++
		}
		return []chronytest.Packet{right(r)}
	})
	client := dial(t, fake.Address)
	for range 3 {
		report, err := client.Report(within(t, chronytest.Patience), chrony.WantTracking|chrony.WantSmoothing)
		if err != nil || !errors.Is(report.Refused[chrony.WantSmoothing], chrony.ErrUnknownCommand) {
			t.Errorf("%v, %+v", err, report)
		}
	}
	fake.Close()
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// TestOneRefusalForAllSources checks that after one refusal, the client does not request
// the report for the other sources.
func TestOneRefusalForAllSources(t *testing.T) {
	asked := 0
	fake := chronytest.NewFake(t, func(r chronytest.Request) []chronytest.Packet {
		if r.Command == 57 { // NTP_DATA
			asked++
			return []chronytest.Packet{{Data: chronytest.Status(r, 2)}}
		}
		return []chronytest.Packet{right(r)}
	})
	report, err := dial(t, fake.Address).Report(within(t, chronytest.Patience), chrony.WantNTPData)
	fake.Close()
	if err != nil || len(report.Sources) != 40 || !errors.Is(report.Refused[chrony.WantNTPData], chrony.ErrUnauthorized) {
		t.Errorf("%v, %+v", err, report)
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// TestSilentReport reads a chronyd that never answers one kind of request. Only this
// report may be missing, and a late answer must be dropped.
func TestSilentReport(t *testing.T) {
	truth := chronytest.Truthful(chrony.Report{Tracking: &chrony.Tracking{Stratum: 2}, Sources: []chrony.Source{{Poll: 6}}, Activity: &chrony.Activity{Online: 1}})
	for silent, want := range map[uint16]chrony.Want{44: chrony.WantActivity, 69: chrony.WantSelectData} {
		fake := chronytest.NewFake(t, func(r chronytest.Request) []chronytest.Packet {
			if r.Command == silent {
				return nil
			}
			return truth(r)
		})
		client := newClient(t, fake.Address)
		for range 2 {
			report, err := client.Report(within(t, 1500*time.Millisecond), chrony.WantTracking|chrony.WantSources|chrony.WantActivity|chrony.WantSelectData)
			if err != nil {
				t.Fatal(err)
			}
			if refused := report.Refused[want]; !errors.Is(refused, context.DeadlineExceeded) || !errors.Is(refused, chrony.ErrNoAnswer) {
				t.Errorf("%v: %v", want, refused)
			}
			if report.Tracking == nil || len(report.Sources) != 1 || report.Given&want != 0 || report.Given&chrony.WantTracking == 0 {
				t.Errorf("%v takes more with it: %+v", want, report)
			}
		}
		timeout := chronytest.Patience
		if silent == 44 {
			timeout = 100 * time.Millisecond
		}
		if report, err := client.Report(within(t, timeout), chrony.WantActivity); (err == nil) != (silent != 44) {
			t.Errorf("nothing was answered: %+v, %v", report, err)
		}
	}
	for _, silent := range []uint16{14, 15, 33} { // the reports that the clock is judged by
		fake := chronytest.NewFake(t, func(r chronytest.Request) []chronytest.Packet {
			if r.Command == silent {
				return nil
			}
			return truth(r)
		})
		if report, err := newClient(t, fake.Address).Report(within(t, 200*time.Millisecond), chrony.WantTracking|chrony.WantSources|chrony.WantActivity); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without an answer to %d: %+v, %v", silent, report, err)
		}
	}
}

func newClient(t *testing.T, address string) *chrony.Client {
	t.Helper()
	client, err := chrony.NewClient(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// TestSameUpdate reads a chronyd that updates the clock during the exchange. Adjusted
// offsets and the system time are consistent only if it does not.
func TestSameUpdate(t *testing.T) {
	const tracking, nSources, sourceData, never = 33, 14, 15, 99
	const judged = chrony.WantTracking | chrony.WantSources
	before, after := time.Unix(1_800_000_000, 0), time.Unix(1_800_000_064, 0)
	some := fortySources()[:20] // more than the client asks about at once
	each := slices.Repeat([]uint16{sourceData}, len(some))
	all := slices.Concat([]uint16{tracking, nSources}, each, []uint16{tracking})
	for _, test := range []struct {
		name    string
		want    chrony.Want
		sources []chrony.Source
		update  int // the request before which the update comes, by number
		told    []uint16
		same    bool
	}{
		{"no update", judged, some, never, all, true},
		{"no update, and an answer that is lost", judged, some, never, all, true},
		{"an update before the sources", judged, some, 1, all, false},
		{"an update after the sources", judged, some, len(all) - 1, all, false},
		{"an update just before all", judged, some, 0, all, true},
		{"no sources", judged, []chrony.Source{}, never, []uint16{tracking, nSources, tracking}, true},
		{"sources refused", judged, nil, never, []uint16{tracking, nSources, tracking}, false},
		{"tracking alone", chrony.WantTracking, some, never, []uint16{tracking}, false},
		{"sources alone", chrony.WantSources, some, never, append([]uint16{nSources}, each...), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var answered []uint16 // commands that were answered; a repeated request counts once
			done := make(map[uint32]bool)
			fake := chronytest.NewFake(t, func(r chronytest.Request) []chronytest.Packet {
				if strings.HasSuffix(test.name, "lost") && r.Command == sourceData && r.Argument == 19 && r.Attempt == 0 {
					return nil
				}
				known := chrony.Report{Tracking: &chrony.Tracking{RefTime: before}, Sources: test.sources}
				if len(answered) >= test.update {
					known.Tracking.RefTime = after
				}
				if !done[r.Sequence] {
					done[r.Sequence], answered = true, append(answered, r.Command)
				}
				return []chronytest.Packet{{Data: chronytest.Reply(r, known)}}
			})
			report, err := newClient(t, fake.Address).Report(within(t, chronytest.Patience), test.want)
			fake.Close()
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(answered, test.told) {
				t.Errorf("it answered %v, want %v", answered, test.told)
			}
			if report.SameUpdate != test.same {
				t.Errorf("of the same update: %v", report.SameUpdate)
			}
			if latest := test.update < len(answered); test.want&chrony.WantTracking != 0 && report.Tracking.RefTime.Equal(after) != latest {
				t.Errorf("the reference time is %v", report.Tracking.RefTime)
			}
		})
	}
}
