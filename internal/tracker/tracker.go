// Package tracker watches one node's clock. It owns the connection to chronyd,
// time, and all that changes; everybody else gets immutable snapshots.
package tracker

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// DefaultTimeout is how long chronyd may take to answer. It takes less than a
// millisecond when all is well.
const DefaultTimeout = time.Second

// Config says what is watched, and how.
type Config struct {
	Client  *chrony.Client // closed by the tracker
	Timeout time.Duration  // for one exchange with chronyd; DefaultTimeout if zero
	Want    chrony.Want    // the reports to read beside those that judge the clock
	PHC     string         // the PTP clock that chrony.conf names, such as /dev/ptp0, if any
	Assume  clockerror.Assumptions
	Logger  *slog.Logger // none if nil
}

// judged are the reports that the clock is judged by.
const judged = chrony.WantTracking | chrony.WantSources

// A Snapshot is what was known at one instant. It is never changed.
type Snapshot struct {
	At       time.Time      // when it was taken
	Took     time.Duration  // to read from chronyd; zero if nobody waited for the end of that
	Report   *chrony.Report // nil if chronyd gave no answer
	Err      error          // why nothing can be said of the clock, or nil
	Estimate clockerror.Estimate
	Health   Health
	PTP      PTP
}

// Health is how the exchanges with chronyd have gone since the start.
type Health struct {
	chrony.Stats
	Exchanges uint64
	Failures  map[string]uint64 // to judge the clock, by reason: all of Reasons
}

// A Tracker reads the state of a clock.
type Tracker struct {
	client  *chrony.Client
	timeout time.Duration
	want    chrony.Want
	phc     string
	assume  clockerror.Assumptions
	log     *slog.Logger
	ctx     context.Context // ends when the tracker is closed
	cancel  context.CancelFunc

	mu      sync.Mutex
	reading *reading // under way, or nil
	health  Health

	toLog chan *Snapshot
}

// A reading is one exchange with chronyd, and all who wait for it.
type reading struct {
	done     chan struct{} // closed when the snapshot is there
	snapshot *Snapshot
}

// New returns a tracker. It must be closed.
func New(config Config) *Tracker {
	t := &Tracker{
		client:  config.Client,
		timeout: config.Timeout,
		want:    config.Want | judged,
		phc:     config.PHC,
		assume:  config.Assume,
		log:     config.Logger,
		health:  Health{Failures: noFailures()},
		toLog:   make(chan *Snapshot, logBacklog),
	}
	if t.timeout == 0 {
		t.timeout = DefaultTimeout
	}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	go t.logChanges()
	return t
}

// Close ends a reading that is under way, and the connection to chronyd.
func (t *Tracker) Close() error {
	t.cancel()
	return t.client.Close()
}

// Snapshot reads the clock's state from chronyd: what it says of the clock has
// arrived after it was called. All who ask while an exchange is under way share
// its result, unless chronyd had answered before they came. Whoever can't wait
// for it, because the context ends, gets a snapshot that says so.
func (t *Tracker) Snapshot(ctx context.Context) *Snapshot {
	start := time.Now()
	// A reading ends by its own deadline, but for something that can't happen;
	// the one that follows a reading which came too early is cut short.
	const never = time.Second
	cut := time.NewTimer(t.timeout + never)
	defer cut.Stop()
	for {
		r := t.join()
		select {
		case <-r.done:
			if s := r.snapshot; s.Err != nil || !s.Report.At.Before(start) {
				return s
			}
			cut.Reset(t.timeout - time.Since(start))
		case <-cut.C:
			return t.abandon(context.DeadlineExceeded)
		case <-ctx.Done():
			return t.abandon(ctx.Err())
		}
	}
}

// join returns the reading that is under way, or begins one.
func (t *Tracker) join() *reading {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reading == nil {
		t.reading = &reading{done: make(chan struct{})}
		go t.read(t.reading)
	}
	return t.reading
}

func (t *Tracker) read(r *reading) {
	ctx, cancel := context.WithTimeout(t.ctx, t.timeout)
	defer cancel()
	start := time.Now()
	report, err := t.client.Report(ctx, t.want)
	if err == nil {
		err = report.Refused[chrony.WantTracking]
	}
	took := time.Since(start)
	ptp := readPTP(sysfs, t.phc)

	t.mu.Lock()
	defer t.mu.Unlock()
	t.health.Exchanges++
	r.snapshot = t.snapshot(report, err, took, ptp)
	t.reading = nil
	close(r.done)
	t.queueLog(r.snapshot)
}

// abandon makes the snapshot of somebody who doesn't wait for the reading's end.
func (t *Tracker) abandon(cause error) *Snapshot {
	ptp := readPTP(sysfs, t.phc)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.snapshot(nil, fmt.Errorf("%w in time: %w: %w", chrony.ErrNoAnswer, errAbandoned, cause), 0, ptp)
}

// snapshot judges what was read. The mutex is held.
func (t *Tracker) snapshot(report *chrony.Report, err error, took time.Duration, ptp PTP) *Snapshot {
	var o clockerror.Observation
	if err == nil {
		o = clockerror.Observation{Tracking: report.Tracking, Sources: report.Sources, At: report.At}
	} else {
		t.health.Failures = maps.Clone(t.health.Failures) // snapshots have the old one
		t.health.Failures[reason(err)]++
	}
	t.health.Stats = t.client.Stats()
	return &Snapshot{
		At:       time.Now(),
		Took:     took,
		Report:   report,
		Err:      err,
		Estimate: clockerror.Of(o, t.assume),
		Health:   t.health,
		PTP:      ptp,
	}
}
