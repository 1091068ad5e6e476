package boundedtime

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/segment"
)

// DefaultPath is where Chrony Tracker and ClockBound publish the bound.
const DefaultPath = segment.DefaultPath

// A Status says how the present interval is known. The zero value is Unknown.
type Status int32

// The statuses. Only Synchronized and FreeRunning come with an interval.
const (
	Unknown      = Status(segment.Unknown)      // nothing confirms the clock
	Synchronized = Status(segment.Synchronized) // the clock follows its sources
	FreeRunning  = Status(segment.FreeRunning)  // no fresh measurement; the interval grows, and holds
	Disrupted    = Status(segment.Disrupted)    // the clock was set, or the machine was suspended, and no measurement has come since
)

// String returns unknown, synchronized, free_running or disrupted.
func (s Status) String() string { return segment.Status(s).String() }

// Why there is no interval.
var (
	ErrUnknown   = errors.New("boundedtime: nothing confirms the clock")
	ErrDisrupted = errors.New("boundedtime: the clock was set, or the machine was suspended")
	ErrStale     = errors.New("boundedtime: the bound is no longer updated")
	ErrClosed    = errors.New("boundedtime: closed")
)

// Config says where the bound is published. The zero value means DefaultPath.
type Config struct {
	// Path is a file in ClockBound's format. Empty means DefaultPath.
	Path string

	// URL is that of a Chrony Tracker on this node, such as http://127.0.0.1:9123. It is
	// asked if the file does not exist or is no longer updated. One answer takes about a
	// millisecond. Empty means that no tracker is asked.
	URL string

	// Client asks it. The default has a timeout of one second.
	Client *http.Client
}

// A Clock tells the time as an interval. It is safe for concurrent use.
type Clock struct {
	config Config
	remote *remote // nil without a URL

	base   time.Time     // a reading of this process's monotonic clock
	offset time.Duration // and CLOCK_MONOTONIC at that time

	mapping atomic.Pointer[segment.Mapping] // nil while there is none
	closed  atomic.Bool

	kept     atomic.Uint64 // the mark of the last record read
	mu       sync.Mutex
	last     segment.Record // that record
	openedAt time.Time      // when the file was last opened
	openErr  error
}

// Open opens the file. It fails if that is not possible and no URL is given.
func Open(config Config) (*Clock, error) {
	if config.Path == "" {
		config.Path = DefaultPath
	}
	c := &Clock{config: config}
	if config.URL != "" {
		c.remote = newRemote(config.URL, config.Client)
	}
	if err := c.calibrate(); err != nil && c.remote == nil {
		return nil, err
	}
	if err := c.reopen(); err != nil && c.remote == nil {
		return nil, err
	}
	return c, nil
}

// Close releases the file. Afterwards all methods report ErrClosed.
func (c *Clock) Close() error {
	c.mu.Lock() // not while another goroutine opens the file
	defer c.mu.Unlock()
	c.closed.Store(true)
	c.mapping.Store(nil)
	return nil
}

// calibrate finds CLOCK_MONOTONIC at the base. The Go runtime reads the same clock, but
// counts from the start of the process, so the difference is constant. Each attempt
// brackets it by two readings. Of the difference, the largest possible value counts:
// then records look older than they are, and their bounds are larger.
func (c *Clock) calibrate() error {
	const attempts = 10
	c.base = time.Now()
	best := time.Duration(1<<63 - 1)
	for range attempts {
		before := time.Since(c.base)
		monotonic, err := monotonicClock()
		after := time.Since(c.base)
		if err != nil {
			return err
		}
		if after-before < best {
			best, c.offset = after-before, monotonic-before
		}
	}
	return nil
}

// Now returns an interval that contains the present time. If there is none, err says
// why: it wraps ErrUnknown, ErrDisrupted, ErrStale or ErrClosed, and both times are
// zero. A caller that checks only err is safe.
//
// It reads memory and makes no system call, unless a tracker is asked.
func (c *Clock) Now() (earliest, latest time.Time, status Status, err error) {
	return c.now(context.Background())
}

// now is Now. The context ends a request to a tracker.
func (c *Clock) now(ctx context.Context) (earliest, latest time.Time, status Status, err error) {
	if now, bound, status, err := c.local(); err != ErrStale {
		if err != nil {
			return time.Time{}, time.Time{}, status, err
		}
		return now.Add(-bound), now.Add(bound), status, nil
	}
	return c.elsewhere(ctx)
}

// local reads the memory. A record is tied to the clock's reading: if a newer one is
// written meanwhile, such as after a step, the clock is read again.
func (c *Clock) local() (now time.Time, bound time.Duration, status Status, err error) {
	before := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(before)
		switch fault := recover().(type) {
		case nil:
		case interface{ Addr() uintptr }: // the file was truncated
			c.mapping.Store(nil)
			now, bound, status, err = time.Time{}, 0, Unknown, ErrStale
		default:
			panic(fault)
		}
	}()
	mapping := c.mapping.Load()
	if mapping == nil {
		return time.Time{}, 0, Unknown, ErrStale
	}
	const attempts = 8
	for i := range attempts {
		record, mark, ok := mapping.Read()
		if !ok {
			record = c.remembered()
		} else if mark != c.kept.Load() {
			c.remember(record, mark)
		}
		now = time.Now()
		if ok && !mapping.Unchanged(mark) && i < attempts-1 {
			continue
		}
		bound, status, err = judge(&record, now.Sub(c.base)+c.offset)
		break
	}
	runtime.KeepAlive(mapping)
	return now.Round(0), bound, status, err
}

// blur is how far ahead of this clock a record may be: the writer's clock is read on
// another processor.
const blur = time.Microsecond

// judge returns the bound of a record at a time of CLOCK_MONOTONIC.
func judge(r *segment.Record, now time.Duration) (bound time.Duration, status Status, err error) {
	switch {
	case now >= r.VoidAfter || now < r.AsOf-blur:
		return 0, Unknown, ErrStale // whatever its status: a newer file may have a good one
	case r.Status == segment.Disrupted:
		return 0, Disrupted, ErrDisrupted
	case !r.Status.HasBound(), r.Bound < 0, r.Bound > segment.MaxBound, r.MaxDrift > segment.MaxDrift:
		return 0, Unknown, ErrUnknown
	}
	status = Status(r.Status)
	if now >= r.AsOf+segment.Grace {
		status = FreeRunning
	}
	return r.BoundAt(now), status, nil
}

// remember keeps a record for the case that the writer dies in the middle of the next.
func (c *Clock) remember(r segment.Record, mark uint64) {
	if c.mu.TryLock() {
		c.last = r
		c.kept.Store(mark)
		c.mu.Unlock()
	}
}

func (c *Clock) remembered() segment.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// elsewhere is for a file that is missing or no longer updated. It may have been
// replaced, so it is opened again, once a second at most. Then the tracker is asked.
func (c *Clock) elsewhere(ctx context.Context) (earliest, latest time.Time, status Status, err error) {
	if c.closed.Load() {
		return time.Time{}, time.Time{}, Unknown, ErrClosed
	}
	if err = c.reopen(); err == nil {
		var now time.Time
		var bound time.Duration
		if now, bound, status, err = c.local(); err == nil {
			return now.Add(-bound), now.Add(bound), status, nil
		} else if err != ErrStale {
			return time.Time{}, time.Time{}, status, err
		}
	}
	if c.remote != nil {
		return c.remote.now(ctx)
	}
	if err != ErrStale {
		err = fmt.Errorf("%w: %w", ErrStale, err)
	}
	return time.Time{}, time.Time{}, Unknown, err
}

func (c *Clock) reopen() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	const often = time.Second
	if !c.openedAt.IsZero() && time.Since(c.openedAt) < often {
		return c.openErr
	}
	c.openedAt = time.Now()
	c.openErr = c.open()
	return c.openErr
}

// open opens the file. The mutex is held.
func (c *Clock) open() error {
	f, err := os.Open(c.config.Path)
	if err != nil {
		return fmt.Errorf("boundedtime: %w", err)
	}
	defer f.Close()
	mapping, err := segment.Map(f, false)
	if err != nil {
		return fmt.Errorf("boundedtime: %s: %w", c.config.Path, err)
	}
	if !c.closed.Load() {
		record, mark := first(mapping)
		c.last = record // no longer that of another file
		c.kept.Store(mark)
		c.mapping.Store(mapping)
	}
	return nil
}

// first reads a file that was just opened, so that a record is known if the next reader
// meets a write. It returns none if it meets one itself, or if the file was truncated.
func first(mapping *segment.Mapping) (record segment.Record, mark uint64) {
	before := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(before)
		if fault := recover(); fault != nil {
			if _, truncated := fault.(interface{ Addr() uintptr }); !truncated {
				panic(fault)
			}
			record, mark = segment.Record{}, 0
		}
	}()
	if r, m, ok := mapping.Read(); ok {
		return r, m
	}
	return segment.Record{}, 0
}

// After reports whether t has certainly passed. If the time is not known, it reports
// false.
func (c *Clock) After(t time.Time) bool {
	earliest, _, _, err := c.Now()
	return err == nil && earliest.After(t)
}

// Before reports whether t has certainly not come yet. If the time is not known, it
// reports false.
func (c *Clock) Before(t time.Time) bool {
	_, latest, _, err := c.Now()
	return err == nil && latest.Before(t)
}

// WaitUntilAfter waits until t has certainly passed: the commit wait. While the time is
// not known, it waits, too. If the context ends first, the error wraps the context's,
// and says why the time was not known, if it was not.
func (c *Clock) WaitUntilAfter(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		earliest, _, _, err := c.now(ctx)
		if err == nil && earliest.After(t) {
			return nil
		}
		if err == ErrClosed {
			return err
		}
		pause := retry
		if err == nil {
			pause = min(t.Sub(earliest)+1, longest)
		}
		if pause <= shortest && ctx.Err() == nil {
			runtime.Gosched()
			continue
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			if err != nil {
				return fmt.Errorf("%w: %w", ctx.Err(), err)
			}
			return ctx.Err()
		}
	}
}

const (
	retry    = 10 * time.Millisecond  // while the time is not known
	longest  = time.Second            // then look again: the clock may have been set
	shortest = 100 * time.Microsecond // a timer would take longer
)
