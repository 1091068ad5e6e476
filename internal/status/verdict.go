package status

import (
	"errors"
	"fmt"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// A Tone is the meaning of a color.
type Tone string

// The tones.
const (
	OK      Tone = "ok"
	Warning Tone = "warning"
	Bad     Tone = "bad"
	Unknown Tone = "unknown"
)

// Unobserved is the state while no sample was taken.
const Unobserved = "unobserved"

// states has a note and a tone for each state.
var states = map[clockerror.State]struct {
	note string
	tone Tone
}{
	clockerror.Synchronized:   {"the clock follows a source", OK},
	clockerror.Holdover:       {"samples or updates have stopped, or no source is selected", Warning},
	clockerror.Contradicted:   {"measurements contradict what chronyd claims", Bad},
	clockerror.Local:          {"chronyd follows the clock itself", Unknown},
	clockerror.Unsynchronized: {"chronyd follows no source", Unknown},
	clockerror.Unreachable:    {"chronyd does not answer", Unknown},
}

// StateNote explains a state.
func StateNote(s clockerror.State) string { return states[s].note }

// BoundNote explains the bound.
const BoundNote = "the clock is at most this far off"

// termNotes explain the terms of the bound.
var termNotes = map[string]string{
	"offset":       "what the last sample found, minus slews since",
	"delay":        "the sample's own error: network delay",
	"dispersion":   "the sample's own error: the rest",
	"drift":        "possible drift since the sample",
	"reference":    "the reference's own error, as assumed",
	"disagreement": "added by chronyd or other sources",
}

// termNote explains a term. It names witnesses only if there are any.
func (s Status) termNote(term string) string {
	if term == "disagreement" && s.Witnesses != nil {
		return "added by chronyd, other sources or witnesses"
	}
	return termNotes[term]
}

// Tone returns the color of the verdict.
func (s Status) Tone() Tone {
	switch tone := states[s.State].tone; {
	case s.Bound == nil:
		return Unknown
	case tone == OK && (s.Untraced || s.Approximate || s.Witnesses.Disputes()):
		return Warning
	default:
		return tone
	}
}

// Verdict returns the status in one sentence, and one more sentence for each doubt.
func (s Status) Verdict() string {
	if s.Bound == nil {
		return "The clock's error is unknown: " + s.cause() + "."
	}
	verdict := "The clock is at most " + Seconds(*s.Bound) + " off"
	switch {
	case s.ServerLocal:
		verdict += " its server" + s.sourceName() + ". The server follows its own clock."
	case s.Untraced:
		verdict += " its reference" + s.sourceName() + ". The reference's own error is unknown."
	default:
		verdict += "."
	}
	if within, by := s.Witnesses.Proof(); within != "" && s.Untraced {
		verdict += " It is " + within + " of UTC, by " + by + "."
	}
	if doubt := s.doubt(); doubt != "" {
		verdict += " " + sentence(doubt)
	}
	if s.Approximate {
		verdict += " This bound is an estimate: " + s.WhyApproximate() + "."
	}
	return verdict
}

// note explains the state. If witnesses make the clock contradicted, it names them.
func (s Status) note() string {
	who := s.Witnesses.Contradicting()
	if s.State != clockerror.Contradicted || who == "" {
		return states[s.State].note
	}
	if s.ownDoubt {
		who = "measurements of chronyd and of " + who
	}
	return who + " contradict what chronyd claims"
}

// doubt says who contradicts the bound that chronyd claims. It is empty if nobody does.
func (s Status) doubt() string {
	switch {
	case s.State == clockerror.Contradicted:
		return s.note()
	case s.Witnesses.Disputes():
		return "the only UTC server that answers contradicts what chronyd claims. It is unknown which one is wrong"
	default:
		return ""
	}
}

// UntracedNote says why the bound is not relative to UTC. It is empty if the bound is.
func (s Status) UntracedNote() string {
	switch {
	case s.ServerLocal:
		return "the server" + s.sourceName() + ", follows its own clock: the bound is relative to that server"
	case s.Untraced:
		return "the error of the reference clock" + s.sourceName() + ", is unknown: see --clock.reference-error"
	default:
		return ""
	}
}

// cause returns why there is no bound.
func (s Status) cause() string {
	switch {
	case !s.State.CanHaveBound():
		return s.note()
	case s.stepped:
		return "it was set after the latest sample"
	case s.SampleAge != nil:
		return "another program has set it, and chronyd has not updated it since"
	default:
		return "chronyd has no sample of it"
	}
}

// sourceName returns what the clock follows, after a comma.
func (s Status) sourceName() string {
	if s.Source == nil {
		return ""
	}
	return ", " + s.Source.Name
}

// NotListed is the cause if chronyd refuses the report sources.
const NotListed = "chronyd does not list its sources"

// WhyApproximate says why the bound is only an estimate.
func (s Status) WhyApproximate() string {
	switch {
	case s.Sources == nil:
		return NotListed
	case !s.sameUpdate:
		return "chronyd updated the clock while its sources were read"
	default:
		return "the source" + s.sourceName() + ", has no sample now: it is new, or chronyd dropped its samples after a step"
	}
}

// Short returns the verdict in a few words.
func (s Status) Short() string {
	switch {
	case s.Problem != nil:
		return s.State.String() + ": " + s.Problem.cause
	case s.Bound == nil:
		return s.State.String() + ": error unknown"
	default:
		return fmt.Sprintf("%s: at most %s off", s.State, Seconds(*s.Bound))
	}
}

// Header is the header of a gate's answer that has the state, for programs. The text is
// for people.
const Header = "Chrony-Clock-State"

// Within returns the verdict if the bound is within the limit. Otherwise it returns an
// error with the reason. A clock without a bound is never within a limit, however high.
func (s Status) Within(limit time.Duration) (verdict string, err error) {
	if s.Bound == nil {
		return "", errors.New("the clock's error is unknown: " + s.cause())
	}
	if *s.Bound <= limit.Seconds() {
		return s.Short(), nil
	}
	text := fmt.Sprintf("the clock may be %s off, more than %s", Seconds(*s.Bound), Seconds(limit.Seconds()))
	if doubt := s.doubt(); doubt != "" {
		text += "; " + doubt
	}
	return "", errors.New(text)
}

// Present is the status of the latest sample, aged. It has neither sources nor chronyd's
// address.
func Present(n tracker.Now) Status {
	s := newEstimate(n.At, n.Present)
	s.stepped, s.Witnesses = n.Stepped, newWitnesses(n.Witnesses, n.At, n.Present)
	if n.Err != nil {
		problem := newProblem(n.Err)
		s.Problem = &problem
	}
	return s
}

// NotSampled says why nothing is known of a clock whose sample is too old, or missing.
func NotSampled(n tracker.Now) error {
	if n.Current {
		return fmt.Errorf("the latest sample is older than %v, so the bound is unknown: set --sample.interval to 10s or less", tracker.LongestLifetime)
	}
	return errors.New("there is no recent sample of the clock")
}
