package status

import (
	"fmt"
	"strings"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// eventTexts has a text for each kind of event.
var eventTexts = map[tracker.EventKind]string{
	tracker.ChronydRestarted:  "chronyd was restarted",
	tracker.SourceChanged:     "chronyd follows another source",
	tracker.LeapStatusChanged: "the leap status changed",
	tracker.StateChanged:      "the clock's state changed",
	tracker.ClockStepped:      "the clock was stepped",
	tracker.Suspended:         "the machine was suspended",
	tracker.ForeignDiscipline: "another program steers this clock, or chronyd does not",

	// Those of witnesses begin with their kind.
	tracker.WitnessContradicted: "contradict the clock",
	tracker.WitnessDisputed:     "contradict the clock, but only one of them answers: it is unknown which one is wrong",
	tracker.WitnessCleared:      "no longer contradict the clock",
}

// An Event is something that happened to the clock.
type Event struct {
	Time    time.Time `json:"time"`
	Kind    string    `json:"event"`
	Text    string    `json:"text"`
	From    *string   `json:"from"`
	To      *string   `json:"to"`
	Seconds *float64  `json:"seconds"`
}

// Row describes the event in the words of this version, even if a tracker an event of
// another version reported it.
func (e Event) Row() Row { return Row{Label: Clock(e.Time), Value: e.words()} }

func (e Event) words() string {
	text, known := eventTexts[tracker.EventKind(e.Kind)]
	switch {
	case !known: // of another version
		return fmt.Sprintf("unknown event %q", e.Kind)
	case tracker.EventKind(e.Kind).FromWitnesses():
		return e.witnessWords()
	case e.Seconds != nil && e.Kind == string(tracker.ClockStepped):
		return text + " by " + Signed(*e.Seconds)
	case e.Seconds != nil:
		return text + " for " + Duration(*e.Seconds)
	case e.From != nil && e.To != nil:
		return fmt.Sprintf("%s from %s to %s", text, *e.From, *e.To)
	default:
		return text
	}
}

// witnessWords names the witnesses, and what they say if they no longer contradict the
// clock. The event goes from and to a kind with its verdict, such as "utc consistent".
func (e Event) witnessWords() string {
	var kind, verdict string
	if e.To != nil {
		kind, verdict, _ = strings.Cut(*e.To, " ")
	}
	who, known := kindNames[kind]
	if !known {
		who = "witnesses"
	}
	text := who + " " + eventTexts[tracker.EventKind(e.Kind)]
	if e.Kind == string(tracker.WitnessCleared) && verdict != "" {
		text += ": " + verdict
	}
	return text
}

// Events holds the latest events, and the number of events of each kind.
type Events struct {
	Events []Event           `json:"events"`
	Counts map[string]uint64 `json:"counts"`
}

// NewEvents returns the events that the watch has seen.
func NewEvents(t *tracker.Tracker) Events {
	answer := Events{Events: []Event{}, Counts: make(map[string]uint64)}
	for _, e := range t.Events() {
		entry := Event{Time: e.At, Kind: string(e.Kind)}
		if e.From != "" {
			entry.From, entry.To = &e.From, &e.To
		}
		if e.Kind == tracker.ClockStepped || e.Kind == tracker.Suspended {
			entry.Seconds = &e.Seconds
		}
		entry.Text = entry.words()
		answer.Events = append(answer.Events, entry)
	}
	if found := t.Watched(); found != nil {
		for kind, n := range found.Events {
			answer.Counts[string(kind)] = n
		}
	}
	return answer
}
