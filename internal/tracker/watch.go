package tracker

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/objective"
)

// WatchConfig configures [Tracker.Watch].
type WatchConfig struct {
	Interval   time.Duration         // between two samples; DefaultInterval if zero
	History    time.Duration         // how long samples are kept; DefaultHistory if zero
	Objectives []objective.Objective // with different names
	Clocks     Clocks                // closed by the tracker; this machine's if nil
	Publisher  Publisher             // nobody is told if nil
	Witness    *WitnessConfig        // nil if nobody else checks the clock
}

// The defaults of [WatchConfig].
const (
	DefaultInterval = time.Second
	DefaultHistory  = time.Hour
)

// Watched is what the watch has found since it began. It is immutable.
type Watched struct {
	Since    time.Time
	Interval time.Duration // between two samples
	Samples  uint64
	SampleAt time.Time // when the latest one was taken; zero before the first

	// How long the clock was in each state, by state. No sample covers the Unobserved
	// seconds: this program was stopped, or the machine was suspended.
	StateSeconds []float64
	Unobserved   float64
	State        clockerror.State // of the latest sample
	StateSince   time.Time        // when it was first seen; zero before the first sample

	Distribution Distribution // of the samples' bounds
	Windows      []Window     // the shortest first
	Objectives   []objective.Progress

	Steps             Jumps
	Sleeps            Jumps
	Steering          float64 // seconds that the clock was slewed, including its corrected frequency
	Kernel            *Kernel // at the latest sample; nil if the kernel doesn't report it
	ForeignDiscipline bool    // another program steers the clock, or chronyd does not
	Events            map[EventKind]uint64

	Publication *Publication // nil without a Publisher
}

// A watch takes samples of the clock and summarizes them.
type watch struct {
	interval time.Duration
	timeout  time.Duration // of an exchange with chronyd
	clocks   Clocks
	sampler  *sampler
	log      *slog.Logger

	publisher Publisher // or nil

	mu          sync.Mutex
	detector    stepDetector
	disruptedAt int64 // when the last step or suspension was seen, by CLOCK_BOOTTIME
	steps       foreignSteps
	discipline  foreignDiscipline
	hasForeign  bool         // another program disciplines the clock
	latest      *observation // nil before the first
	tally       tally
	reference   reference
	events      events
	witnessing
}

func newWatch(config WatchConfig, timeout time.Duration, sampler *sampler, log *slog.Logger) (*watch, error) {
	now, err := config.Clocks.Read()
	if err != nil {
		return nil, err
	}
	return &watch{
		interval:  config.Interval,
		timeout:   timeout,
		clocks:    config.Clocks,
		sampler:   sampler,
		log:       log,
		publisher: config.Publisher,
		detector:  newStepDetector(now),
		tally:     newTally(config, sampler.assume.ReferenceError),
		events:    newEvents(),
	}, nil
}

// run takes a sample at each tick until the context ends. The ticks lie on a grid
// of CLOCK_MONOTONIC, so that they don't drift. Ticks that pass during a slow sample
// are skipped.
func (w *watch) run(ctx context.Context) {
	due := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		w.tick(ctx, due)
		due = due.Add(w.interval)
		if late := time.Since(due); late > 0 {
			due = due.Add(late.Truncate(w.interval))
		}
		timer.Reset(time.Until(due))
	}
}

// tick takes the sample that is due. chronyd has until the next tick to answer. So
// each tick has its own result, even if chronyd hangs.
func (w *watch) tick(ctx context.Context, due time.Time) {
	patience := min(w.timeout, w.interval)
	deadline := due.Add(patience)
	if least := time.Now().Add(patience / 2); deadline.Before(least) {
		deadline = least
	}
	limited, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	begin, err := w.look(false)
	if err != nil {
		return // these seconds count as unobserved
	}
	o := w.sampler.sample(limited, begin)
	if ctx.Err() != nil {
		return // the watch is ending; this is not chronyd's failure
	}
	if w.asleep(begin, patience) {
		w.sampler.forget()
		return // this process was stopped, so the answer is old and chronyd was not late
	}
	if kernel, err := w.clocks.Kernel(); err == nil {
		o.kernel = &kernel
	}
	w.record(o)
}

// asleep reports whether much more time has passed than chronyd's timeout.
func (w *watch) asleep(begin Instant, patience time.Duration) bool {
	now, err := w.look(false)
	return err != nil || time.Duration(now.Boot-begin.Boot) > patience+w.interval/2
}

// await reads the clocks whenever the kernel reports that the clock was set.
func (w *watch) await(ctx context.Context) {
	for {
		err := w.clocks.AwaitSet()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			w.log.Warn("the kernel does not report when the clock is set: steps are detected at the next sample", "error", err)
			return
		}
		if _, err := w.look(true); err == nil {
			w.readBaseline(ctx)
		}
	}
}

// readBaseline asks chronyd for its tracking right after a step. This separates its
// next update from the one before the step.
func (w *watch) readBaseline(ctx context.Context) {
	w.mu.Lock()
	waiting := w.steps.waiting
	w.mu.Unlock()
	if !waiting {
		return
	}
	began, err := w.clocks.Read()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, min(w.timeout, w.interval)/2)
	defer cancel()
	report, err := w.sampler.report(ctx, chrony.WantTracking)
	if err != nil {
		return // the next sample tries again
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.steps.read(report.Tracking, began.Boot)
}

// look reads the clocks and records what has happened to them since the last reading.
func (w *watch) look(set bool) (Instant, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, err := w.clocks.Read()
	if err != nil {
		return now, err
	}
	stepped, slept := w.detector.follow(now, set)
	if slept {
		w.note(now, Event{Kind: Suspended, Seconds: w.detector.sleeps.Last})
	}
	if stepped || slept {
		w.reference.jumped = true
		w.disrupt(now)
	}
	if slept {
		w.ask()
	}
	if w.witnesses != nil {
		w.steered.add(now, w.frequency())
	}
	if stepped {
		if size := w.detector.steps.Last; !w.steps.isLeapSecond(size, now.time()) {
			w.steps.add(size, now.Boot)
		}
		w.note(now, Event{Kind: ClockStepped, Seconds: w.detector.steps.Last})
	}
	return now, nil
}

// unknown adds to an observation what chronyd does not know about the clock. began is
// the time of the request by CLOCK_BOOTTIME. The mutex is held.
func (w *watch) unknown(o *clockerror.Observation, began int64) {
	w.steps.apply(o, began, w.detector.last.Boot)
	o.Slewed = w.discipline.slewed()
}

// tell adds the watch's findings to an observation.
func (w *watch) tell(o *clockerror.Observation, began int64) {
	now, err := w.look(false) // notices a step during the exchange
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unknown(o, began)
	list := w.sampler.list.Load()
	switch {
	case list == nil:
	case err == nil && list.fits(o.Tracking):
		list.tell(o, list.at(now.Boot, nil))
	default:
		list.tell(o, nil)
	}
}

// judge judges a sample, using the earlier ones. The mutex is held.
func (w *watch) judge(o *observation) {
	stepped := w.latest != nil && w.detector.steppedAt > w.latest.Boot
	foreign := w.discipline.seen(o, stepped)
	if o.tracking != nil {
		w.steps.read(o.tracking, o.Boot)
		w.unknown(&o.known, o.Boot)
	}
	o.estimate, o.actionable, o.found = w.hear(o.known)
	w.seenLeap(o)
	if foreign && !w.hasForeign {
		w.note(o.Instant, Event{Kind: ForeignDiscipline})
	}
	w.hasForeign = foreign
}

// record judges a sample and stores it.
func (w *watch) record(o *observation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.judge(o)
	before := w.detector.first
	if w.latest != nil {
		before = w.latest.Instant
	}
	stood := w.tally.add(o, before, w.interval.Seconds())
	w.compare(o)
	if w.isNews(o) {
		w.ask()
	}
	w.latest = o
	w.tallyWitnesses(o, stood)
	w.publish()
}

// watched returns a copy of what was found.
func (w *watch) watched() *Watched {
	w.mu.Lock()
	defer w.mu.Unlock()
	found := &Watched{
		Since:             w.detector.first.time(),
		Interval:          w.interval,
		Steps:             w.detector.steps,
		Sleeps:            w.detector.sleeps,
		Steering:          w.detector.steering(),
		ForeignDiscipline: w.hasForeign,
		Events:            maps.Clone(w.events.counts),
	}
	w.tally.tell(found, w.detector.first.Boot)
	if w.latest != nil {
		found.SampleAt, found.State, found.Kernel = w.latest.time(), w.latest.estimate.State, w.latest.kernel
	}
	if w.publisher != nil {
		publication := w.publisher.Publication()
		found.Publication = &publication
	}
	return found
}

// kept returns the numbers of the history's samples: from the oldest (inclusive) to the
// latest (exclusive).
func (w *watch) kept() (from, to uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tally.history.kept()
}

// records copies the history's samples from the given number on. It returns the number of
// the next one, and how many it has copied.
func (w *watch) records(from uint64, into []record) (next uint64, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tally.history.copy(from, into)
}

// jumps counts the steps of the clock and the suspensions so far.
func (w *watch) jumps() uint64 {
	w.look(false) // if the clocks can't be read, no new ones are known
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.detector.steps.Count + w.detector.sleeps.Count
}

func (w *watch) latestEvents() []Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.events.latest)
}
