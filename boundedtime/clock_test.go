package boundedtime_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/chrony-tracker/chrony-tracker/boundedtime"
	"github.com/chrony-tracker/chrony-tracker/internal/segment"
)

// monotonic reads the clock of the protocol. It is late by some milliseconds, as it is
// for ClockBound's daemon.
func monotonic() time.Duration { return read(unix.CLOCK_MONOTONIC_COARSE) }

func read(clock int32) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}

// fresh is a record of a clock that is at most a millisecond off.
func fresh() segment.Record {
	now := monotonic()
	return segment.Record{AsOf: now, VoidAfter: now + time.Hour, Bound: time.Millisecond, MaxDrift: 50_000, Status: segment.Synchronized}
}

func write(t testing.TB, path string, r segment.Record) {
	t.Helper()
	if err := os.WriteFile(path+".new", segment.Encode(r), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, r segment.Record) (*boundedtime.Clock, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shm0")
	write(t, path, r)
	c, err := boundedtime.Open(boundedtime.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, path
}

// writer maps the file for writing.
func writer(t testing.TB, path string) *segment.Mapping {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := segment.Map(f, true)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestNow wants an interval only from records that hold.
func TestNow(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*segment.Record)
		status boundedtime.Status
		err    error
	}{
		{"fresh", func(*segment.Record) {}, boundedtime.Synchronized, nil},
		{"free running", func(r *segment.Record) { r.Status = segment.FreeRunning }, boundedtime.FreeRunning, nil},
		{"no longer written", func(r *segment.Record) { r.AsOf -= 6 * time.Second }, boundedtime.FreeRunning, nil},
		{"void", func(r *segment.Record) { r.VoidAfter = r.AsOf }, boundedtime.Unknown, boundedtime.ErrStale},
		{"unknown", func(r *segment.Record) { r.Status = segment.Unknown }, boundedtime.Unknown, boundedtime.ErrUnknown},
		{"a status that does not exist", func(r *segment.Record) { r.Status = 7 }, boundedtime.Unknown, boundedtime.ErrUnknown},
		{"disrupted", func(r *segment.Record) { r.Status = segment.Disrupted }, boundedtime.Disrupted, boundedtime.ErrDisrupted},
		{"disrupted and void", func(r *segment.Record) { r.Status, r.VoidAfter = segment.Disrupted, r.AsOf }, boundedtime.Unknown, boundedtime.ErrStale},
		{"of another boot", func(r *segment.Record) { r.AsOf += time.Minute }, boundedtime.Unknown, boundedtime.ErrStale},
		{"a bound below zero", func(r *segment.Record) { r.Bound = -1 }, boundedtime.Unknown, boundedtime.ErrUnknown},
		{"a bound that overflows", func(r *segment.Record) { r.Bound = math.MaxInt64 }, boundedtime.Unknown, boundedtime.ErrUnknown},
		{"a drift that makes no sense", func(r *segment.Record) { r.MaxDrift = 1e9 }, boundedtime.Unknown, boundedtime.ErrUnknown},
	} {
		r := fresh()
		test.change(&r)
		c, _ := open(t, r)
		before := time.Now()
		earliest, latest, status, err := c.Now()
		after := time.Now()
		if status != test.status || !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
			t.Errorf("%s: %v, %v", test.name, status, err)
		}
		if err != nil {
			if !earliest.IsZero() || !latest.IsZero() || c.After(time.Time{}) || c.Before(after.Add(time.Hour)) {
				t.Errorf("%s: an interval all the same", test.name)
			}
			continue
		}
		// True time may be anywhere within the bound.
		if earliest.After(after.Add(-r.Bound)) || latest.Before(before.Add(r.Bound)) || latest.Sub(earliest) > 2*r.Bound+time.Millisecond {
			t.Errorf("%s: %v to %v", test.name, earliest, latest)
		}
		if !c.After(before.Add(-time.Second)) || c.After(after) || c.Before(before) || !c.Before(after.Add(time.Second)) {
			t.Errorf("%s: wrong order", test.name)
		}
	}
}

// TestCalibration lets the bound grow by a second each second, so that it shows how old
// the record seems to be.
func TestCalibration(t *testing.T) {
	r := fresh()
	r.AsOf, r.Bound, r.MaxDrift = read(unix.CLOCK_MONOTONIC)-2*time.Second, 0, segment.MaxDrift
	c, _ := open(t, r)
	for range 100 {
		before := read(unix.CLOCK_MONOTONIC)
		earliest, latest, _, err := c.Now()
		after := read(unix.CLOCK_MONOTONIC)
		age := latest.Sub(earliest) / 2
		const rounding = 10 // ns: MaxDrift is not quite a second each second
		if err != nil || age < before-r.AsOf-rounding || age > after-r.AsOf+time.Millisecond {
			t.Fatalf("seems to be %v old, not %v to %v; %v", age, before-r.AsOf, after-r.AsOf, err)
		}
	}
}

// TestReplaced follows a file that was replaced, and one that was missing.
func TestReplaced(t *testing.T) {
	for _, status := range segment.Statuses {
		r := fresh()
		r.VoidAfter, r.Status = r.AsOf, status
		c, path := open(t, r)
		write(t, path, fresh())
		await(t, func() bool { _, _, _, err := c.Now(); return err == nil })
	}
}

func await(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in 10 s")
		}
	}
}

// TestTruncated wants an error, and no crash.
func TestTruncated(t *testing.T) {
	c, path := open(t, fresh())
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := c.Now(); !errors.Is(err, boundedtime.ErrStale) {
		t.Errorf("%v", err)
	}
	write(t, path, fresh())
	await(t, func() bool { _, _, _, err := c.Now(); return err == nil })
}

// TestDeadWriter uses the last record when the writer died in the middle of a write.
func TestDeadWriter(t *testing.T) {
	c, path := open(t, fresh())
	if _, _, _, err := c.Now(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.WriteAt(binary.NativeEndian.AppendUint16(nil, 3), 14)
	f.WriteAt(make([]byte, 40), 16)
	if _, _, status, err := c.Now(); err != nil || status != boundedtime.Synchronized {
		t.Errorf("%v, %v", status, err)
	}
}

// TestMissing fails at once, unless a tracker can be asked.
func TestMissing(t *testing.T) {
	if _, err := boundedtime.Open(boundedtime.Config{Path: "/none/shm0"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestClose(t *testing.T) {
	c, _ := open(t, fresh())
	c.Close()
	if _, _, _, err := c.Now(); err != boundedtime.ErrClosed {
		t.Errorf("%v", err)
	}
	if err := c.WaitUntilAfter(t.Context(), time.Now()); err != boundedtime.ErrClosed {
		t.Errorf("%v", err)
	}
}

// TestWait waits until a time has passed by the earliest possible clock.
func TestWait(t *testing.T) {
	for _, bound := range []time.Duration{10 * time.Microsecond, 20 * time.Millisecond} {
		r := fresh()
		r.Bound, r.MaxDrift = bound, 0
		c, _ := open(t, r)
		begin := time.Now()
		if err := c.WaitUntilAfter(t.Context(), begin); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(begin); waited < bound || waited > bound+5*time.Second {
			t.Errorf("waited for %v, the bound is %v", waited, bound)
		}
	}
}

// TestWaitUnknown waits while the time is not known.
func TestWaitUnknown(t *testing.T) {
	r := fresh()
	r.Status = segment.Disrupted
	c, path := open(t, r)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	past := time.Now().Add(-time.Minute)
	if err := c.WaitUntilAfter(ctx, past); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, boundedtime.ErrDisrupted) {
		t.Errorf("%v", err)
	}
	done := make(chan error)
	go func() { done <- c.WaitUntilAfter(t.Context(), past) }()
	writer(t, path).Write(fresh())
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestRemote asks a tracker if there is no file.
func TestRemote(t *testing.T) {
	begin := time.Now()
	const takes = 20 * time.Millisecond
	body := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/now" || body == "" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, body, begin.Add(-time.Second).Format(time.RFC3339Nano), begin.Add(time.Second).Format(time.RFC3339Nano))
		time.Sleep(takes)
	}))
	defer server.Close()
	c, err := boundedtime.Open(boundedtime.Config{Path: "/none/shm0", URL: server.URL + "/"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const answer = `{"state":%q,"earliest":"%%s","latest":"%%s"}`
	for _, test := range []struct {
		body   string
		status boundedtime.Status
	}{
		{fmt.Sprintf(answer, "synchronized"), boundedtime.Synchronized},
		{fmt.Sprintf(answer, "holdover"), boundedtime.FreeRunning},
		{fmt.Sprintf(answer, "contradicted"), boundedtime.Unknown},
		{`{"state":"synchronized","earliest":null,"latest":null} %.0s%.0s`, boundedtime.Unknown},
		{`nonsense %s %s`, boundedtime.Unknown},
		{"", boundedtime.Unknown},
	} {
		body = test.body
		earliest, latest, status, err := c.Now()
		if status != test.status || (err == nil) != (status != boundedtime.Unknown) || err != nil && !errors.Is(err, boundedtime.ErrUnknown) {
			t.Errorf("%s: %v, %v", test.body, status, err)
		}
		// Time has passed since the tracker has looked at its clock.
		if err == nil && (!earliest.Equal(begin.Add(-time.Second)) || latest.Before(begin.Add(time.Second+takes))) {
			t.Errorf("%v to %v", earliest.Sub(begin), latest.Sub(begin))
		}
	}
}

// TestWaitRemote ends with its context, even if the tracker that it asks does not answer.
func TestWaitRemote(t *testing.T) {
	asked := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	}))
	defer server.Close()
	c, err := boundedtime.Open(boundedtime.Config{Path: "/none/shm0", URL: server.URL, Client: &http.Client{}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if err := c.WaitUntilAfter(ctx, time.Now()); !errors.Is(err, context.Canceled) || !errors.Is(err, boundedtime.ErrUnknown) {
		t.Errorf("%v", err)
	}
}

// TestConcurrent reads in many goroutines while records are written. In each, the bound
// and the age belong together.
func TestConcurrent(t *testing.T) {
	r := fresh()
	c, path := open(t, r)
	m := writer(t, path)
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for range 5000 {
				if earliest, latest, _, err := c.Now(); err != nil || latest.Sub(earliest) < 2*time.Millisecond || latest.Sub(earliest) > 3*time.Millisecond {
					t.Errorf("%v, %v", latest.Sub(earliest), err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { work.Wait(); close(done) }()
	for {
		select {
		case <-done:
			return
		default:
			m.Write(fresh())
		}
	}
}

// TestAllocations wants none.
func TestAllocations(t *testing.T) {
	c, path := open(t, fresh())
	m := writer(t, path)
	if n := testing.AllocsPerRun(100, func() {
		m.Write(fresh())
		c.Now()
		c.After(time.Time{})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkNow compares Now with time.Now in one run: medians of batches that take turns.
func BenchmarkNow(b *testing.B) {
	c, _ := open(b, fresh())
	const batch = 1000
	plain, bounded := make([]time.Duration, 0, 1<<20), make([]time.Duration, 0, 1<<20)
	b.ReportAllocs()
	for b.Loop() {
		begin := time.Now()
		for range batch {
			_ = time.Now()
		}
		middle := time.Now()
		for range batch {
			if _, _, _, err := c.Now(); err != nil {
				b.Fatal(err)
			}
		}
		plain, bounded = append(plain, middle.Sub(begin)), append(bounded, time.Since(middle))
	}
	each := func(batches []time.Duration) float64 {
		slices.Sort(batches)
		return float64(batches[len(batches)/2]) / batch
	}
	b.ReportMetric(each(plain), "time.Now-ns")
	b.ReportMetric(each(bounded), "Now-ns")
	b.ReportMetric(each(bounded)/each(plain), "times")
	b.ReportMetric(0, "ns/op") // of a batch
}
