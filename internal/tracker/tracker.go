// Package tracker watches one node's clock. It owns the connection to chronyd, the
// time, and all mutable state. Other packages get immutable snapshots.
//
// [Tracker.Snapshot] reads the present state on request. [Tracker.Watch] takes a
// sample at each tick, so that nothing is missed between two requests. Each snapshot
// includes what the watch has found.
package tracker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
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

// Config configures a [Tracker].
type Config struct {
	Node    string         // name of the node that the clock belongs to; empty if unknown
	Client  *chrony.Client // closed by the tracker
	Timeout time.Duration  // for one exchange with chronyd; DefaultTimeout if zero
	Want    chrony.Want    // the reports to read in addition to judged
	PHC     string         // the PTP clock that chrony.conf names, such as /dev/ptp0, if any
	Assume  clockerror.Assumptions
	Logger  *slog.Logger // none if nil

	// MaxAge is how old an answer of chronyd may be when it is given to one more caller.
	// It limits how often callers make the tracker ask: at most one exchange begins in
	// this time. If it is zero, no answer is older than the question.
	MaxAge time.Duration
}

// judged are the reports that are needed to judge the clock.
const judged = chrony.WantTracking | chrony.WantSources

// A Snapshot is the state at one instant. It is immutable.
type Snapshot struct {
	Node     string         // of [Config]
	At       time.Time      // when it was taken
	Took     time.Duration  // to read from chronyd; zero if the caller stopped waiting
	Report   *chrony.Report // nil if chronyd did not answer
	Err      error          // why the clock's error is unknown, or nil
	Estimate clockerror.Estimate
	Health   Health
	PTP      PTP      // empty for [Tracker.Judge]
	Watched  *Watched // nil without [Tracker.Watch]

	Witnesses *Witnessed // nil if there are none

	// Actionable is the estimate for programs that act on it. It leaves out peers that
	// do not prove who they are, unless they are trusted.
	Actionable clockerror.Estimate
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
	readings  map[chrony.Want]*reading // the latest of each kind; it may be under way
	next      time.Time                // when the next one may begin
	health    Health
	refused   []chrony.Want // by the last chronyd that answered
	refusedBy string        // its address
}

// A reading is one exchange with chronyd, shared by all its callers.
type reading struct {
	done     chan struct{} // closed when the snapshot is ready
	snapshot *Snapshot
	jumps    uint64 // of the clock, when the snapshot was ready
}

// since reports whether chronyd answered at this time or later. A reading that failed
// counts from its end.
func (r *reading) since(t time.Time) bool {
	at := r.snapshot.At
	if r.snapshot.Err == nil {
		at = r.snapshot.Report.At
	}
	return !at.Before(t)
}

func (r *reading) isDone() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
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

// Close ends the watch, any reading in progress, and the connection to chronyd.
func (t *Tracker) Close() error {
	t.cancel()
	if t.watch != nil {
		t.watch.clocks.Close()
		if t.watch.responder != nil {
			t.watch.responder.Close()
		}
	}
	err := t.config.Client.Close()
	if t.watchClient != nil {
		err = errors.Join(err, t.watchClient.Close())
	}
	t.work.Wait()
	return err
}

// Watch takes samples until the tracker is closed. Call it at most once, before all
// other methods. It fails if the machine's clocks can't be read.
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
	if err := t.startWitnesses(w, config.Witness); err != nil {
		config.Clocks.Close()
		return err
	}
	t.watch, t.watchClient = w, client
	t.work.Go(func() { w.run(t.ctx) })
	t.work.Go(func() { w.await(t.ctx) })
	t.runWitnesses(w)
	return nil
}

// History returns the samples from start (inclusive) to end (exclusive), in the order
// they were taken. The clock may have been set back in between. Samples that the history
// drops during the iteration are left out.
func (t *Tracker) History(start, end time.Time) iter.Seq[Sample] {
	return func(yield func(Sample) bool) {
		if t.watch == nil {
			return
		}
		var part [64]record // a few, so that the lock is held briefly and the memory stays small
		from, to := t.watch.kept()
		for from < to {
			n := 0
			from, n = t.watch.records(from, part[:min(to-from, uint64(len(part)))])
			for i := range part[:n] {
				s := part[i].sample(t.watch.tally.history.reference)
				if !s.At.Before(start) && s.At.Before(end) && !yield(s) {
					return
				}
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

// Now returns the present bound from the latest sample. It does not ask chronyd.
func (t *Tracker) Now() Now {
	if t.watch == nil {
		return unsampled(time.Now())
	}
	return t.watch.now()
}

// Watched returns what the watch has found, or nil without [Tracker.Watch].
func (t *Tracker) Watched() *Watched {
	if t.watch == nil {
		return nil
	}
	return t.watch.watched()
}

// Snapshot reads all wanted reports and the sources from chronyd. Its tracking arrives
// at most MaxAge before the call. Concurrent calls share one exchange, unless chronyd had
// answered it before that. If the context ends first, the snapshot reports that.
//
// It is not a sample: it includes what the watch has found, but does not change it.
func (t *Tracker) Snapshot(ctx context.Context) *Snapshot { return t.ask(ctx, t.config.Want|judged) }

// Scrape is like Snapshot, but reads the sources only if they are wanted, or if the
// watch has no list of them that belongs to the same clock update.
func (t *Tracker) Scrape(ctx context.Context) *Snapshot { return t.ask(ctx, t.config.Want) }

// Judge is like Snapshot, but reads only the reports needed to judge the clock.
func (t *Tracker) Judge(ctx context.Context) *Snapshot { return t.ask(ctx, judged) }

func (t *Tracker) ask(ctx context.Context, want chrony.Want) *Snapshot {
	start := time.Now()
	oldest := start.Add(-t.config.MaxAge)
	// A reading ends by its own deadline, so the first timer never fires. If the
	// first reading began too early, a second one follows with the remaining time.
	const grace = time.Second
	cut := time.NewTimer(t.config.Timeout + t.config.MaxAge + grace)
	defer cut.Stop()
	for {
		r := t.join(want, oldest)
		select {
		case <-r.done:
			if s := r.snapshot; s.Err != nil || r.since(oldest) {
				return s
			}
			cut.Reset(t.config.Timeout + t.config.MaxAge - time.Since(start))
		case <-cut.C:
			return t.abandon(want, context.DeadlineExceeded)
		case <-ctx.Done():
			return t.abandon(want, ctx.Err())
		}
	}
}

// join returns a reading with at least the wanted reports: one that is done and not too
// old, or one in progress. If there is none, it begins one.
func (t *Tracker) join(want chrony.Want, oldest time.Time) *reading {
	jumps := t.jumps()
	t.mu.Lock()
	defer t.mu.Unlock()
	var joined *reading
	for given, r := range t.readings {
		switch done := r.isDone(); {
		case given&want != want || done && (r.jumps != jumps || !r.since(oldest)):
		case done:
			return r
		case joined == nil || given == want:
			joined = r
		}
	}
	if joined == nil {
		joined = &reading{done: make(chan struct{})}
		t.readings[want] = joined
		begin := time.Now()
		if t.next.After(begin) {
			begin = t.next
		}
		t.next = begin.Add(t.config.MaxAge)
		go t.read(joined, want, begin)
	}
	return joined
}

// jumps counts the steps of the clock and the suspensions of the machine. An answer from
// before one of them is not shared any more.
func (t *Tracker) jumps() uint64 {
	if t.watch == nil {
		return 0
	}
	return t.watch.jumps()
}

func (t *Tracker) read(r *reading, want chrony.Want, begin time.Time) {
	select {
	case <-time.After(time.Until(begin)):
	case <-t.ctx.Done():
	}
	ctx, cancel := context.WithTimeout(t.ctx, t.config.Timeout)
	defer cancel()
	start := time.Now()
	jumps := t.jumps()
	list, began := t.known()
	read := want
	if !list.serves(began, 0) {
		read |= chrony.WantSources
	}
	report, err := t.exchange(ctx, t.config.Client, read)
	if err == nil && read&chrony.WantSources == 0 && !list.fits(report.Tracking) {
		// chronyd has updated the clock since
		report, err = t.exchange(ctx, t.config.Client, want|chrony.WantSources)
	}
	took := time.Since(start)
	ptp := t.ptp(want)

	t.mu.Lock()
	defer t.mu.Unlock()
	r.snapshot, r.jumps = t.snapshot(report, err, began, took, ptp), jumps
	close(r.done)
	if err == nil && want&t.config.Want == t.config.Want {
		t.logRefusals(report)
	}
}

// known returns the watch's list of sources, or nil, and CLOCK_BOOTTIME.
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

// exchange reads reports from chronyd, for a snapshot or for a sample. It fails without
// tracking. Then the report shows at most which other reports were refused.
//
// If the sources belong to another clock update than tracking, it reads them once more.
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
	t.health.Failures = maps.Clone(t.health.Failures) // snapshots share the old map
	t.health.Failures[Reason(err)]++
}

// ptp reads the PTP clocks, except for Judge.
func (t *Tracker) ptp(want chrony.Want) PTP {
	if want&t.config.Want != t.config.Want {
		return PTP{}
	}
	return readPTP(sysfs, t.config.PHC)
}

// abandon makes the snapshot for a caller that stopped waiting for the reading.
func (t *Tracker) abandon(want chrony.Want, cause error) *Snapshot {
	err := fmt.Errorf("%w in time: %w: %w", chrony.ErrNoAnswer, errAbandoned, cause)
	ptp := t.ptp(want)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.countFailure(err)
	return t.snapshot(nil, err, 0, 0, ptp)
}

// snapshot judges a reading. Its start is given by CLOCK_BOOTTIME. The mutex is held.
func (t *Tracker) snapshot(report *chrony.Report, err error, began int64, took time.Duration, ptp PTP) *Snapshot {
	var o clockerror.Observation
	if err == nil {
		o = t.observe(report, began)
	}
	estimate, actionable, witnesses := t.judge(o)
	t.health.Stats = t.config.Client.Stats()
	if t.watch != nil {
		t.health.Stats = t.health.Plus(t.watchClient.Stats())
	}
	return &Snapshot{
		Node:     t.config.Node,
		At:       time.Now(),
		Took:     took,
		Report:   report,
		Err:      err,
		Estimate: estimate,
		Health:   t.health,
		PTP:      ptp,
		Watched:  t.Watched(),

		Witnesses:  witnesses,
		Actionable: actionable,
	}
}

// observe combines a report with the watch's findings.
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
