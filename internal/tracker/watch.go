package tracker

import (
	"context"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// WatchConfig says how the clock is watched.
type WatchConfig struct {
	Interval   time.Duration // between two samples; DefaultInterval if zero
	History    time.Duration // for how long samples are kept; DefaultHistory if zero
	Objectives []Objective   // of different names
	Clocks     Clocks        // closed by the tracker; this machine's if nil
}

// How the clock is watched unless somebody says otherwise.
const (
	DefaultInterval = time.Second
	DefaultHistory  = time.Hour
)

// Watched is what the watch has found since it began. It is never changed.
type Watched struct {
	Since    time.Time
	Interval time.Duration // between two samples
	Samples  uint64
	SampleAt time.Time // when the latest one was taken; zero before the first

	// How long the clock was in each state, by state. In the Unobserved seconds
	// nobody looked: this program or the machine was asleep.
	StateSeconds []float64
	Unobserved   float64
	State        clockerror.State // of the latest sample
	StateSince   time.Time        // when it was first seen; zero before the first sample

	Distribution Distribution // of the samples' bounds
	Windows      []Window     // the shortest first
	Objectives   []Progress

	Steps    Jumps
	Sleeps   Jumps
	Steering float64 // seconds by which the clock was slewed, its corrected frequency included
	Kernel   *Kernel // at the latest sample; nil if the kernel doesn't tell
	Rival    bool    // another program steers the clock, or chronyd does not
	Events   map[EventKind]uint64
}

// A watch takes samples of the clock and keeps what they say together.
type watch struct {
	interval time.Duration
	timeout  time.Duration // of an exchange with chronyd
	clocks   Clocks
	sampler  *sampler
	log      *logQueue

	mu           sync.Mutex
	course       course
	steps        foreignSteps
	latest       *observation // nil before the first
	samples      uint64
	stateSeconds []float64
	unobserved   float64
	stateSince   time.Time
	history      history
	distribution Distribution
	objectives   []Progress
	reference    reference
	discipline   foreignDiscipline
	hasRival     bool
	events       events
}

func newWatch(config WatchConfig, timeout time.Duration, sampler *sampler, log *logQueue) (*watch, error) {
	now, err := config.Clocks.Read()
	if err != nil {
		return nil, err
	}
	longest := windowLengths[len(windowLengths)-1]
	const spare = 2 // both ends of a window may lie on a sample
	w := &watch{
		interval:     config.Interval,
		timeout:      timeout,
		clocks:       config.Clocks,
		sampler:      sampler,
		log:          log,
		course:       newCourse(now),
		stateSeconds: make([]float64, len(clockerror.States)),
		history:      newHistory(int(max(config.History, longest)/config.Interval)+spare, sampler.assume.ReferenceError),
		distribution: newDistribution(),
		objectives:   newProgress(config.Objectives),
		events:       newEvents(),
	}
	return w, nil
}

// run takes a sample at each tick until the context ends. The ticks lie on a grid
// of CLOCK_MONOTONIC, so that they don't drift; those that pass while a sample
// takes its time are not made up for.
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

// tick takes the sample that is due. chronyd has until the next one to answer: so
// each tick has its own outcome, however long chronyd hangs.
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
		return // the seconds will be missing
	}
	o := w.sampler.sample(limited, begin)
	if ctx.Err() != nil {
		return // it is over, and chronyd not to blame
	}
	if w.asleep(begin, patience) {
		w.sampler.forget()
		return // chronyd was not late, and what it said is old: nothing was seen
	}
	if kernel, err := w.clocks.Kernel(); err == nil {
		o.kernel = &kernel
	}
	w.record(o)
}

// asleep reports whether much more time has passed than chronyd was given.
func (w *watch) asleep(begin Instant, patience time.Duration) bool {
	now, err := w.look(false)
	return err != nil || time.Duration(now.Boot-begin.Boot) > patience+w.interval/2
}

// await looks at the clocks whenever the kernel tells that the clock was set.
func (w *watch) await(ctx context.Context) {
	for {
		err := w.clocks.AwaitSet()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			w.log.say(slog.LevelWarn, "the kernel does not tell when the clock is set: a step is noticed at the next sample", "error", err)
			return
		}
		if _, err := w.look(true); err == nil {
			w.readBaseline(ctx)
		}
	}
}

// readBaseline asks chronyd at once after a step what it knows of the clock, so that
// its next update is told from the one before the step.
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

// look reads the clocks and notes what has happened to them since the last time.
func (w *watch) look(set bool) (Instant, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, err := w.clocks.Read()
	if err != nil {
		return now, err
	}
	stepped, slept := w.course.follow(now, set)
	if slept {
		w.note(now, Event{Kind: Suspended, Seconds: w.course.sleeps.Last})
	}
	if stepped || slept {
		w.reference.jumped = true
	}
	if stepped {
		if size := w.course.steps.Last; !w.steps.isLeapSecond(size, now.time()) {
			w.steps.add(size, now.Boot)
		}
		w.note(now, Event{Kind: ClockStepped, Seconds: w.course.steps.Last})
	}
	return now, nil
}

// unknown puts into an observation what chronyd does not know of the clock. Began is
// when it was asked, by CLOCK_BOOTTIME. The mutex is held.
func (w *watch) unknown(o *clockerror.Observation, began int64) {
	w.steps.apply(o, began)
	o.Slewed = w.discipline.slewed()
}

// tell puts into an observation what the watch knows.
func (w *watch) tell(o *clockerror.Observation, began int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unknown(o, began)
	list := w.sampler.list.Load()
	if now, err := w.clocks.Read(); err == nil && list.fits(o.Tracking) {
		list.tell(o, list.at(now.Boot, nil))
	}
}

// judge judges a sample, with what is known from others. The mutex is held.
func (w *watch) judge(o *observation) {
	stepped := w.latest != nil && w.course.steppedAt > w.latest.Boot
	rival := w.discipline.seen(o, stepped)
	if o.tracking != nil {
		w.steps.read(o.tracking, o.Boot)
		w.unknown(&o.known, o.Boot)
	}
	o.estimate = clockerror.Of(o.known, w.sampler.assume)
	if rival && !w.hasRival {
		w.note(o.Instant, Event{Kind: SteeredByAnother})
	}
	w.hasRival = rival
}

// record judges a sample and takes it in. It stands for the time since the one before in which the
// machine was awake. If that is more than one and a half intervals, ticks were
// missed: it stands for one interval then, and nobody has looked in the rest.
func (w *watch) record(o *observation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.judge(o)
	before := w.course.first
	if w.latest != nil {
		before = w.latest.Instant
	}
	elapsed, interval := o.since(before), w.interval.Seconds()
	stood := elapsed
	if asleep := (o.Boot - o.Mono) - (before.Boot - before.Mono); asleep > leastJump+o.Blur+before.Blur {
		stood = max(0, elapsed-seconds(asleep))
	}
	if stood > 1.5*interval {
		stood = interval
	}
	w.samples++
	w.stateSeconds[o.estimate.State] += stood
	w.unobserved += elapsed - stood
	for i := range w.objectives {
		w.objectives[i].add(o.estimate.Bound, stood, elapsed-stood)
	}
	if o.estimate.HasBound() {
		w.distribution.add(o.estimate.Bound)
	}
	w.history.add(newRecord(o, stood))
	w.compare(o)
	w.latest = o
}

// compare notes what is different from the sample before. The mutex is held.
func (w *watch) compare(o *observation) {
	w.logAnswer(o)
	for _, event := range w.reference.changes(o) {
		w.note(o.Instant, event)
	}
	if w.latest == nil {
		w.stateSince = o.time()
		w.log.say(slog.LevelInfo, "the clock is watched", append([]any{"state", o.estimate.State}, details(o)...)...)
	} else if from, to := w.latest.estimate.State, o.estimate.State; from != to {
		w.stateSince = o.time()
		w.note(o.Instant, Event{Kind: StateChanged, From: from.String(), To: to.String()}, details(o)...)
	}
}

// note keeps an event, and logs it. The mutex is held.
func (w *watch) note(now Instant, event Event, args ...any) {
	event.At = now.time()
	w.events.add(event)
	if event.From != "" {
		args = append([]any{"from", event.From, "to", event.To}, args...)
	}
	if event.Seconds != 0 {
		args = append(args, "seconds", strconv.FormatFloat(event.Seconds, 'g', 6, 64))
	}
	w.log.say(slog.LevelInfo, eventTexts[event.Kind], args...)
}

// details are what the log says beside a state.
func details(o *observation) []any {
	bound := "none" // JSON has no infinity
	if o.estimate.HasBound() {
		bound = strconv.FormatFloat(o.estimate.Bound, 'g', 6, 64)
	}
	args := []any{"bound_seconds", bound}
	if o.tracking != nil {
		args = append(args, "reference", o.tracking.SourceName())
	}
	return args
}

// logAnswer says when chronyd begins to answer, and why it does not. The mutex is
// held.
func (w *watch) logAnswer(o *observation) {
	last := w.latest
	switch {
	case o.err == nil && (last == nil || last.err != nil || last.address != o.address):
		w.log.say(slog.LevelInfo, "chronyd answers", "address", o.address)
	case o.err != nil && (last == nil || last.err == nil || reason(last.err) != reason(o.err)):
		w.log.say(slog.LevelWarn, "nothing is known of the clock", "state", o.estimate.State, "error", o.err, "hint", Hint(o.err))
	}
}

// watched returns a copy of what was found.
func (w *watch) watched() *Watched {
	w.mu.Lock()
	defer w.mu.Unlock()
	found := &Watched{
		Since:        w.course.first.time(),
		Interval:     w.interval,
		Samples:      w.samples,
		StateSeconds: slices.Clone(w.stateSeconds),
		Unobserved:   w.unobserved,
		StateSince:   w.stateSince,
		Distribution: w.distribution.clone(),
		Windows:      w.history.windows(w.course.first.Boot),
		Objectives:   slices.Clone(w.objectives),
		Steps:        w.course.steps,
		Sleeps:       w.course.sleeps,
		Steering:     w.course.steering(),
		Rival:        w.hasRival,
		Events:       maps.Clone(w.events.counts),
	}
	if w.latest != nil {
		found.SampleAt, found.State, found.Kernel = w.latest.time(), w.latest.estimate.State, w.latest.kernel
	}
	return found
}

// records returns a copy of the history, the oldest first.
func (w *watch) records() []record {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.history.copy()
}

func (w *watch) latestEvents() []Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.events.latest)
}

// Now is what is known of this instant.
type Now struct {
	At    time.Time // by the clock that is judged
	State clockerror.State

	// Observed is false if the latest sample is too old to say anything, or there
	// is none yet. State means nothing then.
	Observed bool

	// Bound, in seconds, holds at any time until Until, unless the clock is
	// stepped: the drift until then is in it. +Inf if there is none.
	Bound    float64
	Until    time.Time
	Untraced bool // see clockerror.Estimate
}

// longestLifetime is for how long a sample says something of the present, however
// rarely samples are taken: chronyd may do much to a clock in between.
const longestLifetime = 15 * time.Second

// now answers from the latest sample, so that it costs nothing to ask often. A
// sample serves for one and a half intervals: by then there is another one.
func (w *watch) now() Now {
	at, err := w.look(false)
	answer := Now{At: at.time(), Bound: math.Inf(1)}
	if err != nil {
		return answer
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.latest == nil {
		return answer
	}
	lifetime := min(w.interval+w.interval/2, longestLifetime)
	end := w.latest.Boot + int64(lifetime)
	answer.Until = at.time().Add(time.Duration(end - at.Boot))
	if at.Boot >= end {
		return answer
	}
	estimate := w.latest.estimate
	answer.Observed, answer.State, answer.Untraced = true, estimate.State, estimate.Untraced
	if w.course.steppedAt > w.latest.Boot {
		return answer // what was said before a step does not hold after it
	}
	answer.Bound = estimate.Bound + max(estimate.Growth*lifetime.Seconds(), w.sampler.assume.Drift(lifetime.Seconds()))
	return answer
}
