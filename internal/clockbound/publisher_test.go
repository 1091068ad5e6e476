package clockbound

import (
	"errors"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/segment"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

func newPublisher(path string) *Publisher {
	return New(Config{Path: path, Interval: time.Second, MaxDrift: 50, Logger: slog.New(slog.DiscardHandler)})
}

// published returns a publisher that writes to a new file.
func published(t *testing.T) (*Publisher, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shm0")
	p := newPublisher(path)
	if _, err := p.tend(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.release(nil) })
	return p, path
}

func mapped(t *testing.T, path string) *segment.Mapping {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := segment.Map(f, false)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func record(t *testing.T, m *segment.Mapping) segment.Record {
	t.Helper()
	r, _, ok := m.Read()
	if !ok {
		t.Fatal("no record")
	}
	return r
}

// good is a sample of a clock that is at most 1 ms off.
func good() tracker.Published {
	return tracker.Published{Instant: tracker.Instant{Mono: int64(monotonic())}, State: clockerror.Synchronized, Bound: 1e-3, Growth: 1e-5}
}

// TestRecords puts each state into the protocol's terms.
func TestRecords(t *testing.T) {
	p, path := published(t)
	m := mapped(t, path)
	if r := record(t, m); r.Status != segment.Unknown || r.Bound != noBound {
		t.Errorf("before the first sample: %+v", r)
	}
	for _, test := range []struct {
		name   string
		change func(*tracker.Published)
		status segment.Status
		bound  time.Duration
		drift  uint32
	}{
		{"synchronized", func(*tracker.Published) {}, segment.Synchronized, time.Millisecond, 50_000},
		{"a bound that is rounded up", func(p *tracker.Published) { p.Bound = 1e-3 + 1e-12 }, segment.Synchronized, time.Millisecond + 1, 50_000},
		{"fast drift", func(p *tracker.Published) { p.Growth = 70.0001e-6 }, segment.Synchronized, time.Millisecond, 70_001},
		{"faster than the protocol can say", func(p *tracker.Published) { p.Growth = 3 }, segment.Synchronized, 10*time.Second + time.Millisecond + 5, segment.MaxDrift},
		{"holdover", func(p *tracker.Published) { p.State = clockerror.Holdover }, segment.FreeRunning, time.Millisecond, 50_000},
		{"contradicted", func(p *tracker.Published) { p.State = clockerror.Contradicted }, segment.Unknown, noBound, 50_000},
		{"local", func(p *tracker.Published) { p.State, p.Bound = clockerror.Local, math.Inf(1) }, segment.Unknown, noBound, 50_000},
		{"unsynchronized", func(p *tracker.Published) { p.State, p.Bound = clockerror.Unsynchronized, math.Inf(1) }, segment.Unknown, noBound, 50_000},
		{"unreachable", func(p *tracker.Published) { p.State, p.Bound = clockerror.Unreachable, math.Inf(1) }, segment.Unknown, noBound, 50_000},
		{"synchronized without a bound", func(p *tracker.Published) { p.Bound = math.Inf(1) }, segment.Unknown, noBound, 50_000},
		{"a bound that is no number", func(p *tracker.Published) { p.Bound = math.NaN() }, segment.Unknown, noBound, 50_000},
		{"a bound of a thousand years", func(p *tracker.Published) { p.Bound = 3e10 }, segment.Unknown, noBound, 50_000},
		{"growth that is no number", func(p *tracker.Published) { p.Bound, p.Growth = math.Inf(1), math.NaN() }, segment.Unknown, noBound, segment.MaxDrift},
		{"a step", func(p *tracker.Published) { p.Disrupted = true }, segment.Disrupted, noBound, 50_000},
		{"unreachable after the step", func(p *tracker.Published) { p.State, p.Bound = clockerror.Unreachable, math.Inf(1) }, segment.Disrupted, noBound, 50_000},
		{"no bound after the step", func(p *tracker.Published) { p.Bound = math.Inf(1) }, segment.Disrupted, noBound, 50_000},
		{"a good sample after the step", func(*tracker.Published) {}, segment.Synchronized, time.Millisecond, 50_000},
	} {
		sample := good()
		test.change(&sample)
		p.Publish(sample)
		r := record(t, m)
		if r.Status != test.status || r.Bound != test.bound || r.MaxDrift != test.drift {
			t.Errorf("%s: %+v", test.name, r)
		}
		if late := time.Duration(sample.Mono) - r.AsOf; late < p.blur || late > time.Second || p.blur < 100*time.Microsecond {
			t.Errorf("%s: dated back by %v, the clock's resolution is %v", test.name, late, p.blur)
		}
		if lasts := r.VoidAfter - r.AsOf; lasts != 5*time.Second {
			t.Errorf("%s: valid for %v", test.name, lasts)
		}
		if found := p.Publication(); found.Status != test.status.String() || found.Generation != m.Generation() || found.Age < 0 || found.Age > time.Minute || found.Err != nil {
			t.Errorf("%s: %+v", test.name, found)
		}
	}
}

// TestFuture dates no record after the clock that ClockBound's client reads: if ticks of
// the kernel were lost, that clock is later than its resolution allows.
func TestFuture(t *testing.T) {
	p, path := published(t)
	sample := good()
	sample.Mono += int64(time.Minute)
	p.Publish(sample)
	if r := record(t, mapped(t, path)); r.AsOf > read(unix.CLOCK_MONOTONIC_COARSE) {
		t.Errorf("%v in the future", r.AsOf-monotonic())
	}
}

// TestLifetime is no shorter than the grace of ClockBound's client, and never long.
func TestLifetime(t *testing.T) {
	for interval, want := range map[time.Duration]time.Duration{
		100 * time.Millisecond: 5 * time.Second, time.Second: 5 * time.Second, 6 * time.Second: 9 * time.Second, time.Hour: 15 * time.Second,
	} {
		if got := Lifetime(interval); got != want {
			t.Errorf("%v: %v", interval, got)
		}
	}
}

// TestRestart keeps the file of the program that ran before, so that readers keep their
// mapping.
func TestRestart(t *testing.T) {
	p, path := published(t)
	m := mapped(t, path)
	p.Publish(good())
	generation := m.Generation()
	p.release(nil)
	os.Chmod(path, 0o600)
	p = newPublisher(path)
	defer p.release(nil)
	begin := time.Now()
	for ; time.Since(begin) < 2*quiet && p.Publication().Status == ""; time.Sleep(5 * time.Millisecond) {
		p.tend()
	}
	if r := record(t, m); r.Status != segment.Synchronized || m.Generation() != generation {
		t.Errorf("before the first sample: %+v", r)
	}
	for deadline := begin.Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		p.tend()
		p.Publish(good())
		if m.Generation() != generation {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing is written: %+v", p.Publication())
		}
	}
	// Somebody else might have written to it. Readers take a record for valid for longer.
	if waited := time.Since(begin); waited < quiet/2 {
		t.Errorf("only after %v", waited)
	}
	if r := record(t, m); r.Status != segment.Synchronized {
		t.Errorf("%+v", r)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o644 {
		t.Errorf("%v, %v", info, err)
	}
}

// TestReplaced makes a new file if there is no valid one.
func TestReplaced(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	for name, content := range map[string][]byte{"empty": {}, "another program's": []byte("hello"), "wiped": make([]byte, segment.Size)} {
		path := filepath.Join(t.TempDir(), "shm0")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		before, _ := os.Stat(path)
		p := newPublisher(path)
		if _, err := p.tend(); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p.Publish(good())
		p.release(nil)
		after, err := os.Stat(path)
		if err != nil || after.Mode() != 0o644 || after.Size() != segment.Size || os.SameFile(before, after) {
			t.Errorf("%s: %v, %v", name, after, err)
		}
		if files, _ := filepath.Glob(filepath.Dir(path) + "/.*"); len(files) != 0 {
			t.Errorf("%s: left behind: %v", name, files)
		}
	}
}

// TestLost writes to a new file if somebody removes, replaces or truncates it.
func TestLost(t *testing.T) {
	for name, lose := range map[string]func(string) error{
		"removed":   os.Remove,
		"truncated": func(path string) error { return os.Truncate(path, 0) },
		"replaced": func(path string) error {
			return errors.Join(os.WriteFile(path+"2", nil, 0o644), os.Rename(path+"2", path))
		},
	} {
		p, path := published(t)
		p.Publish(good())
		old := mapped(t, path)
		if err := lose(path); err != nil {
			t.Fatal(err)
		}
		p.Publish(good()) // must not crash
		if _, err := p.tend(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		p.Publish(good())
		if r := record(t, mapped(t, path)); r.Status != segment.Synchronized {
			t.Errorf("%s: %+v", name, r)
		}
		if name == "truncated" {
			continue // nobody can read it
		}
		if r := record(t, old); r.Status != segment.Unknown || r.VoidAfter != 0 {
			t.Errorf("%s: readers of the old file go on: %+v", name, r)
		}
	}
}

// TestRefused writes nothing where it must not, and says why.
func TestRefused(t *testing.T) {
	other := segment.Encode(segment.Record{})
	other[12] = 3 // the version
	large := make([]byte, 1<<20)
	for _, test := range []struct {
		name    string
		prepare func(t *testing.T, path string) (at string)
		reason  string
	}{
		{"no directory", func(_ *testing.T, path string) string { return path + "/none/shm0" }, DirectoryMissing},
		{"another version", func(_ *testing.T, path string) string { os.WriteFile(path, other, 0o644); return path }, ForeignFile},
		{"another program's large file", func(_ *testing.T, path string) string { os.WriteFile(path, large, 0o644); return path }, ForeignFile},
		{"a directory", func(_ *testing.T, path string) string { os.Mkdir(path, 0o755); return path }, Other},
		{"a FIFO", func(_ *testing.T, path string) string { syscall.Mkfifo(path, 0o644); return path }, ForeignFile},
		{"another tracker", func(t *testing.T, path string) string {
			first := newPublisher(path)
			if _, err := first.tend(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { first.release(nil) })
			return path
		}, AnotherWriter},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := test.prepare(t, filepath.Join(t.TempDir(), "shm0"))
			before, _ := os.Lstat(path)
			p := newPublisher(path)
			_, err := p.tend()
			if reasonOf(err) != test.reason || test.reason != Other && hintOf(err) == "" {
				t.Errorf("%v, %q, hint %q", err, reasonOf(err), hintOf(err))
			}
			p.Publish(good())
			p.Publish(good())
			if found := p.Publication(); found.Errors[test.reason] != 2 || found.Status != "" || found.Err == nil || found.Age >= 0 {
				t.Errorf("%+v", found)
			}
			if after, _ := os.Lstat(path); before != nil && (!os.SameFile(before, after) || before.Size() != after.Size()) {
				t.Errorf("the file has become %v", after)
			}
			p.release(nil)
		})
	}
}

// TestExplain names the reasons that a test run by root can't provoke.
func TestExplain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shm0")
	os.WriteFile(path, nil, 0o644)
	for _, test := range []struct {
		err    error
		file   string
		reason string
	}{
		{syscall.EROFS, path, ReadOnly},
		{syscall.ENOENT, path, DirectoryMissing},
		{syscall.EACCES, path, ForeignFile}, // the directory can be written
		{syscall.EACCES, path + ".lock", Permission},
		{syscall.ELOOP, path, ForeignFile},
		{syscall.ENOSPC, path, Other},
		{syscall.EIO, path, Other},
	} {
		if err := explain(&fs.PathError{Op: "open", Path: test.file, Err: test.err}, test.file); reasonOf(err) != test.reason || !errors.Is(err, test.err) {
			t.Errorf("%v: %v, %v", test.err, err, reasonOf(err))
		}
	}
}

// TestNamed names the file that is wanted, so that each attempt fails alike.
func TestNamed(t *testing.T) {
	err := named(&fs.PathError{Op: "write", Path: "/dir/.shm0.123", Err: syscall.ENOSPC}, "/dir/shm0")
	if want := "write /dir/shm0: no space left on device"; err.Error() != want || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v", err)
	}
}

// TestAnotherWriter leaves the segment to a program that begins to write to it, and
// takes it back once that has stopped.
func TestAnotherWriter(t *testing.T) {
	p, path := published(t)
	p.Publish(good())
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	amazon, err := segment.Map(f, true)
	if err != nil {
		t.Fatal(err)
	}
	theirs := segment.Record{Bound: 42, Status: segment.FreeRunning}
	synctest.Test(t, func(t *testing.T) {
		for range 30 {
			amazon.Write(theirs)
			p.Publish(good())
			if _, err := p.tend(); reasonOf(err) != AnotherWriter {
				t.Fatalf("%v", err)
			}
			if r := record(t, amazon); r != theirs {
				t.Fatalf("%+v", r)
			}
			time.Sleep(time.Second)
		}
		if n := p.Publication().Errors[AnotherWriter]; n != 30 {
			t.Errorf("%d errors", n)
		}
		time.Sleep(patience)
		if _, err := p.tend(); err != nil {
			t.Errorf("after it has stopped: %v", err)
		}
		if r := record(t, amazon); r.Status != segment.Synchronized {
			t.Errorf("%+v", r)
		}
	})
}

// TestRun opens the file once its directory exists.
func TestRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "late")
	p := newPublisher(filepath.Join(dir, "shm0"))
	done := make(chan struct{})
	go func() { defer close(done); p.Run(t.Context()) }()
	await(t, func() bool { return p.Publication().Err != nil })
	p.Publish(good())
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return p.Publication().Status == "synchronized" })
	t.Cleanup(func() { <-done })
}

func await(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in 10 s")
		}
	}
}

// BenchmarkTend is what it costs every 5 s to look after the file.
func BenchmarkTend(b *testing.B) {
	p := newPublisher(filepath.Join(b.TempDir(), "shm0"))
	if _, err := p.tend(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		p.tend()
	}
}

// TestInspect looks at segments in every condition, as the doctor does.
func TestInspect(t *testing.T) {
	p, path := published(t)
	p.Publish(good())
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				p.Publish(good())
			}
		}
	}()
	if i := Inspect(path); i.Err != nil || !i.Held || !i.Exists || !i.Written || i.Foreign() || i.Status != "synchronized" || i.Lasts != 5*time.Second {
		t.Errorf("in use: %+v", i)
	}
	close(stop)
	p.release(nil)
	if i := Inspect(path); i.Err != nil || i.Held || !i.Exists || i.Written {
		t.Errorf("left: %+v", i)
	}
	if i := Inspect(filepath.Dir(path) + "/none/shm0"); reasonOf(i.Err) != DirectoryMissing || i.Exists {
		t.Errorf("no directory: %+v", i)
	}
	other := segment.Encode(segment.Record{})
	other[12] = 3 // the version
	os.WriteFile(path, other, 0o644)
	if i := Inspect(path); reasonOf(i.Err) != ForeignFile || i.Exists {
		t.Errorf("another version: %+v", i)
	}
	os.WriteFile(path, segment.Encode(segment.Record{VoidAfter: 1000 * time.Second}), 0o644)
	if i := Inspect(path); !i.Foreign() {
		t.Errorf("Amazon's: %+v", i)
	}
}

// TestInspectTruncated must not crash if the file is truncated meanwhile.
func TestInspectTruncated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shm0")
	os.WriteFile(path, segment.Encode(segment.Record{}), 0o644)
	m := mapped(t, path)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	i := &Inspection{Path: path}
	if i.watch(m); i.Exists || !i.Written {
		t.Errorf("%+v", i)
	}
}

// BenchmarkPublish is what a sample costs in addition.
func BenchmarkPublish(b *testing.B) {
	path := filepath.Join(b.TempDir(), "shm0")
	p := newPublisher(path)
	if _, err := p.tend(); err != nil {
		b.Fatal(err)
	}
	sample := good()
	b.ReportAllocs()
	for b.Loop() {
		p.Publish(sample)
	}
}
