package tracker

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// An EventKind is something that happens to the clock or to chronyd.
type EventKind string

// The kinds of events.
const (
	// ChronydRestarted: chronyd was not running and then it answered, or its update
	// interval is zero again. The interval is zero only before the second update. A
	// restart is missed if its second update comes before the next sample.
	ChronydRestarted EventKind = "chronyd_restarted"

	SourceChanged     EventKind = "source_changed"
	LeapStatusChanged EventKind = "leap_status_changed"
	StateChanged      EventKind = "state_changed"
	ClockStepped      EventKind = "clock_stepped"
	Suspended         EventKind = "suspended"

	// ForeignDiscipline: the kernel's frequency is not the one that chronyd set.
	ForeignDiscipline EventKind = "foreign_discipline"

	// Witnesses of one kind begin to contradict the clock, or to dispute it, or no
	// longer do either.
	WitnessContradicted EventKind = "witness_contradicted"
	WitnessDisputed     EventKind = "witness_disputed"
	WitnessCleared      EventKind = "witness_cleared"
)

// EventKinds lists all kinds.
var EventKinds = []EventKind{ChronydRestarted, SourceChanged, LeapStatusChanged, StateChanged, ClockStepped, Suspended, ForeignDiscipline,
	WitnessContradicted, WitnessDisputed, WitnessCleared}

// FromWitnesses reports whether only a tracker with witnesses has such events.
func (k EventKind) FromWitnesses() bool {
	return k == WitnessContradicted || k == WitnessDisputed || k == WitnessCleared
}

// An Event is something that happened at some time.
type Event struct {
	At       time.Time // when it was noticed
	Kind     EventKind
	From, To string  // what has changed; empty for other kinds
	Seconds  float64 // the size of a step, above zero if forward, or the length of a suspension; else 0
}

// keptEvents is how many events are kept.
const keptEvents = 100

// events are the latest ones, and how many there were.
type events struct {
	latest []Event
	counts map[EventKind]uint64
}

func newEvents() events {
	e := events{counts: make(map[EventKind]uint64)}
	for _, kind := range EventKinds {
		e.counts[kind] = 0
	}
	return e
}

func (e *events) add(event Event) {
	if len(e.latest) == keptEvents {
		e.latest = slices.Delete(e.latest, 0, 1)
	}
	e.latest = append(e.latest, event)
	e.counts[event.Kind]++
}

// A reference is what chronyd follows, as last reported. It is kept while chronyd
// does not answer.
type reference struct {
	tracking *chrony.Tracking // nil if chronyd never answered
	gone     bool             // chronyd was not running at some time since
	jumped   bool             // the clock jumped since chronyd last reported an update interval
}

// changes compares chronyd's report with its previous one.
func (r *reference) changes(o *observation) []Event {
	if o.err != nil {
		r.gone = r.gone || isGone(o.err)
		r.jumped = true // if it was stopped: it takes that for a jump of the clock
		return nil
	}
	before, now := r.tracking, o.tracking
	// chronyd also forgets its last update when the clock jumps under it.
	restarted := r.gone || before != nil && before.LastUpdateInterval > 0 && now.LastUpdateInterval == 0 && !r.jumped
	r.tracking, r.gone = now, false
	r.jumped = r.jumped && now.LastUpdateInterval == 0
	if before == nil {
		return nil
	}
	var found []Event
	if restarted {
		found = append(found, Event{Kind: ChronydRestarted})
	}
	if from, to := sourceName(before), sourceName(now); from != to {
		found = append(found, Event{Kind: SourceChanged, From: from, To: to})
	}
	if before.Leap != now.Leap {
		found = append(found, Event{Kind: LeapStatusChanged, From: before.Leap.String(), To: now.Leap.String()})
	}
	return found
}

func sourceName(t *chrony.Tracking) string {
	if name := t.SourceName(); name != "" {
		return name
	}
	return "none"
}

// isGone reports whether chronyd was not running. A chronyd that hangs or refuses
// still runs.
func isGone(err error) bool {
	refused := errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.ECONNRESET)
	return refused && !errors.Is(err, context.DeadlineExceeded)
}

// compare records the changes since the previous sample. The mutex is held.
func (w *watch) compare(o *observation) {
	w.logAnswer(o)
	for _, event := range w.reference.changes(o) {
		w.note(o.Instant, event)
	}
	if w.latest == nil {
		w.tally.stateSince = o.time()
		w.log.Info("the clock is watched", append([]any{"state", o.estimate.State}, details(o)...)...)
	} else if from, to := w.latest.estimate.State, o.estimate.State; from != to {
		w.tally.stateSince = o.time()
		w.note(o.Instant, Event{Kind: StateChanged, From: from.String(), To: to.String()}, details(o)...)
	}
}

// note stores an event and logs it. The mutex is held.
func (w *watch) note(now Instant, event Event, args ...any) {
	event.At = now.time()
	w.events.add(event)
	if event.From != "" {
		args = append([]any{"from", event.From, "to", event.To}, args...)
	}
	if event.Seconds != 0 {
		args = append(args, "seconds", strconv.FormatFloat(event.Seconds, 'g', 6, 64))
	}
	w.log.Info("clock event", append([]any{"event", string(event.Kind)}, args...)...)
}

// details are the values that the log shows next to a state.
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

// logAnswer logs when chronyd begins to answer, or why it does not answer. The mutex
// is held.
func (w *watch) logAnswer(o *observation) {
	last := w.latest
	switch {
	case o.err == nil && (last == nil || last.err != nil || last.address != o.address):
		w.log.Info("chronyd answers", "address", o.address)
	case o.err != nil && (last == nil || last.err == nil || Reason(last.err) != Reason(o.err)):
		w.log.Warn("the clock's error is unknown", "state", o.estimate.State, "error", o.err, "hint", Hint(o.err))
	}
}
