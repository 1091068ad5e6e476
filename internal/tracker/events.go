package tracker

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// An EventKind is something that happens to the clock or to chronyd.
type EventKind string

// The kinds of events.
const (
	// ChronydRestarted: nobody was there to answer and then chronyd was, or its
	// update interval is zero again, which it is only before its second update.
	// What is over between two samples, second update included, goes unseen.
	ChronydRestarted EventKind = "chronyd_restarted"

	SourceChanged     EventKind = "source_changed"
	LeapStatusChanged EventKind = "leap_status_changed"
	StateChanged      EventKind = "state_changed"
	ClockStepped      EventKind = "clock_stepped"
	Suspended         EventKind = "suspended"

	// SteeredByAnother: the kernel's frequency is not the one that chronyd set.
	SteeredByAnother EventKind = "steered_by_another"
)

// EventKinds lists all kinds.
var EventKinds = []EventKind{ChronydRestarted, SourceChanged, LeapStatusChanged, StateChanged, ClockStepped, Suspended, SteeredByAnother}

// String says in words what has happened.
func (k EventKind) String() string { return eventTexts[k] }

// eventTexts are what the log says, too.
var eventTexts = map[EventKind]string{
	ChronydRestarted:  "chronyd was restarted",
	SourceChanged:     "chronyd follows another source",
	LeapStatusChanged: "the leap status has changed",
	StateChanged:      "the clock's state has changed",
	ClockStepped:      "the clock was stepped",
	Suspended:         "the machine was suspended",
	SteeredByAnother:  "another program steers this clock, or chronyd does not",
}

// An Event is something that happened at some time.
type Event struct {
	At       time.Time // when it was noticed
	Kind     EventKind
	From, To string  // what has changed; empty for other kinds
	Seconds  float64 // the size of a step, above zero if forward, or the length of a suspension; else 0
}

// keptEvents is how many events are remembered.
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

// A reference is what chronyd follows, as it last told. It outlives the times in
// which chronyd gives no answer.
type reference struct {
	tracking *chrony.Tracking // nil if it never told
	gone     bool             // nobody was there since
	jumped   bool             // the clock has, since chronyd last told of an update interval
}

// changes compares what chronyd tells now with what it told before.
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

// isGone reports whether nobody was there to answer, which a chronyd that hangs
// or refuses would have been.
func isGone(err error) bool {
	refused := errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.ECONNRESET)
	return refused && !errors.Is(err, context.DeadlineExceeded)
}
