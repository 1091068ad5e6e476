// Package tracker watches one node's clock. It owns the connection to chronyd,
// time, and all that changes; everybody else gets immutable snapshots.
//
// [Tracker.Snapshot] reads what is true now, for whoever asks. [Tracker.Watch]
// takes a sample at each tick, so that nothing is lost between two questions; each
// snapshot tells what it has found.
package tracker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"math"
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
	PTP      PTP      // not if only the judgement was asked for
	Watched  *Watched // nil if nobody watches
}

// Health is how the exchanges with chronyd have gone since the start.
type Health struct {
	chrony.Stats
	Exchanges uint64
	Failures  map[string]uint64 // to judge the clock, by reason: all of Reasons
}

// A Tracker reads the state of a clock.
type Tracker struct {
	config Config
	log    *slog.Logger
	ctx    context.Context // ends when the tracker is closed
	cancel context.CancelFunc
	work   sync.WaitGroup
	watch  *watch // nil unless Watch was called

	// The watch has a client of its own: no scrape makes it miss a tick.
	watchClient *chrony.Client

	mu        sync.Mutex
	readings  map[chrony.Want]*reading // those under way
	health    Health
	refused   []chrony.Want // by the chronyd that was read last
	refusedBy string        // its address
}

// A reading is one exchange with chronyd, and all who wait for it.
type reading struct {
	done     chan struct{} // closed when the snapshot is there
	snapshot *Snapshot
}

// New returns a tracker. It must be closed.
func New(config Config) *Tracker {
	config.Want |= chrony.WantTracking
	config.Timeout = cmp.Or(config.Timeout, DefaultTimeout)
	queue := newLogQueue(config.Logger)
	t := &Tracker{
		config:   config,
		log:      slog.New(queue),
		readings: make(map[chrony.Want]*reading),
		health:   Health{Failures: noFailures()},
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	go queue.write(t.ctx) // not waited for: the log may be stuck
	return t
}

// Close ends the watch, a reading that is under way, and the connection to
// chronyd.
func (t *Tracker) Close() error {
	t.cancel()
	if t.watch != nil {
		t.watch.clocks.Close()
	}
	err := t.config.Client.Close()
	if t.watchClient != nil {
		err = errors.Join(err, t.watchClient.Close())
	}
	t.work.Wait()
	return err
}

// Watch begins to take samples, until the tracker is closed. It is called once at
// most, before anything is asked of the tracker. It fails where the machine's
// clocks can't be read.
func (t *Tracker) Watch(config WatchConfig) error {
	config.Interval = cmp.Or(config.Interval, DefaultInterval)
	config.History = cmp.Or(config.History, DefaultHistory)
	if config.Clocks == nil {
		config.Clocks = openClocks()
	}
	client := t.config.Client.Clone()
	report := func(ctx context.Context, want chrony.Want) (*chrony.Report, error) {
		return t.exchange(ctx, client, want)
	}
	w, err := newWatch(config, t.config.Timeout, newSampler(report, config.Interval, t.config.Assume), t.log)
	if err != nil {
		config.Clocks.Close()
		return err
	}
	t.watch, t.watchClient = w, client
	t.work.Go(func() { w.run(t.ctx) })
	t.work.Go(func() { w.await(t.ctx) })
	return nil
}

// History returns the samples that were taken from the start on and before the
// end, in the order in which they were taken. The clock may have been set back in
// between.
func (t *Tracker) History(start, end time.Time) iter.Seq[Sample] {
	return func(yield func(Sample) bool) {
		if t.watch == nil {
			return
		}
		for _, r := range t.watch.records() {
			s := r.sample(t.watch.tally.history.reference)
			if !s.At.Before(start) && s.At.Before(end) && !yield(s) {
				return
			}
		}
	}
}

// Events returns the latest 100 events, the oldest first.
func (t *Tracker) Events() []Event {
	if t.watch == nil {
		return nil
	}
	return t.watch.latestEvents()
}

// Now tells, without asking chronyd, what the latest sample says of this instant.
func (t *Tracker) Now() Now {
	if t.watch == nil {
		return Now{At: time.Now(), Bound: math.Inf(1)}
	}
	return t.watch.now()
}

// Watched returns what the watch has found, or nil if nobody watches.
func (t *Tracker) Watched() *Watched {
	if t.watch == nil {
		return nil
	}
	return t.watch.watched()
}

// Snapshot reads all wanted reports and the sources from chronyd: what it says of
// the clock has arrived after it was called. All who ask while an exchange is under
// way share its result, unless chronyd had answered before they came. Whoever can't
// wait for it, because the context ends, gets a snapshot that says so.
//
// It is no sample: what the watch has found is in it, but does not change by it.
func (t *Tracker) Snapshot(ctx context.Context) *Snapshot { return t.ask(ctx, t.config.Want|judged) }

// Scrape is like Snapshot, but reads the sources only if they are wanted, or if the
// watch has no list of them that belongs to the same clock update.
func (t *Tracker) Scrape(ctx context.Context) *Snapshot { return t.ask(ctx, t.config.Want) }

// Judge is like Snapshot, but reads no more than what the clock is judged by.
func (t *Tracker) Judge(ctx context.Context) *Snapshot { return t.ask(ctx, judged) }

func (t *Tracker) ask(ctx context.Context, want chrony.Want) *Snapshot {
	start := time.Now()
	// A reading ends by its own deadline, but for something that can't happen;
	// the one that follows a reading which came too early is cut short.
	const grace = time.Second
	cut := time.NewTimer(t.config.Timeout + grace)
	defer cut.Stop()
	for {
		r := t.join(want)
		select {
		case <-r.done:
			if s := r.snapshot; s.Err != nil || !s.Report.At.Before(start) {
				return s
			}
			cut.Reset(t.config.Timeout - time.Since(start))
		case <-cut.C:
			return t.abandon(want, context.DeadlineExceeded)
		case <-ctx.Done():
			return t.abandon(want, ctx.Err())
		}
	}
}

// join returns the reading that is under way, or begins one.
func (t *Tracker) join(want chrony.Want) *reading {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.readings[want]
	if r == nil {
		r = &reading{done: make(chan struct{})}
		t.readings[want] = r
		go t.read(r, want)
	}
	return r
}

func (t *Tracker) read(r *reading, want chrony.Want) {
	ctx, cancel := context.WithTimeout(t.ctx, t.config.Timeout)
	defer cancel()
	start := time.Now()
	list, began := t.known()
	read := want
	if !list.serves(began, 0) {
		read |= chrony.WantSources
	}
	report, err := t.exchange(ctx, t.config.Client, read)
	if err == nil && read&chrony.WantSources == 0 && !list.fits(report.Tracking) {
		var anew *chrony.Report // chronyd has updated the clock since
		if anew, err = t.exchange(ctx, t.config.Client, judged); err == nil {
			report.Tracking, report.Sources, report.At, report.SameUpdate = anew.Tracking, anew.Sources, anew.At, anew.SameUpdate
		}
	}
	took := time.Since(start)
	ptp := t.ptp(want)

	t.mu.Lock()
	defer t.mu.Unlock()
	r.snapshot = t.snapshot(report, err, began, took, ptp)
	delete(t.readings, want)
	close(r.done)
	if err == nil && want&t.config.Want == t.config.Want {
		t.logRefusals(report)
	}
}

// known returns the sources that the watch knows of, or nil, and CLOCK_BOOTTIME.
func (t *Tracker) known() (*sourceList, int64) {
	if t.watch == nil {
		return nil, 0
	}
	now, err := t.watch.look(false) // notices a step before chronyd is asked
	if err != nil {
		return nil, 0
	}
	return t.watch.sampler.list.Load(), now.Boot
}

// exchange reads reports from chronyd, for a snapshot or for a sample. Without
// tracking it has failed; the report then tells at most what else was refused.
//
// Sources that belong to another clock update than tracking does are read once more.
func (t *Tracker) exchange(ctx context.Context, client *chrony.Client, want chrony.Want) (*chrony.Report, error) {
	report, err := client.Report(ctx, want)
	if err == nil && report.Given&judged == judged && !report.SameUpdate {
		if again, failed := client.Report(ctx, want); failed == nil {
			report = again
		}
	}
	if err == nil {
		err = report.Refused[chrony.WantTracking]
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.health.Exchanges++
	if err != nil {
		t.countFailure(err)
	}
	return report, err
}

// countFailure counts a failure by its reason. The mutex is held.
func (t *Tracker) countFailure(err error) {
	t.health.Failures = maps.Clone(t.health.Failures) // snapshots have the old one
	t.health.Failures[Reason(err)]++
}

// ptp reads the PTP clocks, unless only the judgement is asked for.
func (t *Tracker) ptp(want chrony.Want) PTP {
	if want&t.config.Want != t.config.Want {
		return PTP{}
	}
	return readPTP(sysfs, t.config.PHC)
}

// abandon makes the snapshot of somebody who doesn't wait for the reading's end.
func (t *Tracker) abandon(want chrony.Want, cause error) *Snapshot {
	err := fmt.Errorf("%w in time: %w: %w", chrony.ErrNoAnswer, errAbandoned, cause)
	ptp := t.ptp(want)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.countFailure(err)
	return t.snapshot(nil, err, 0, 0, ptp)
}

// snapshot judges what was read, when it was asked for, by CLOCK_BOOTTIME. The mutex
// is held.
func (t *Tracker) snapshot(report *chrony.Report, err error, began int64, took time.Duration, ptp PTP) *Snapshot {
	var o clockerror.Observation
	if err == nil {
		o = t.observe(report, began)
	}
	t.health.Stats = t.config.Client.Stats()
	if t.watch != nil {
		t.health.Stats = t.health.Plus(t.watchClient.Stats())
	}
	return &Snapshot{
		At:       time.Now(),
		Took:     took,
		Report:   report,
		Err:      err,
		Estimate: clockerror.Of(o, t.config.Assume),
		Health:   t.health,
		PTP:      ptp,
		Watched:  t.Watched(),
	}
}

// observe puts a report and what the watch knows together.
func (t *Tracker) observe(report *chrony.Report, began int64) clockerror.Observation {
	o := clockerror.Observation{Tracking: report.Tracking, At: report.At}
	if t.watch != nil {
		t.watch.tell(&o, began)
	}
	if report.SameUpdate {
		o.Sources = report.Sources
	} else if report.Sources != nil || report.Refused[chrony.WantSources] != nil {
		o.Sources = nil // of another update, or refused
	}
	return o
}
