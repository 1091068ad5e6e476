package tracker

import (
	"math"
	"strings"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/witness"
)

// WitnessConfig says who checks the clock without chronyd, and who may ask this node.
type WitnessConfig struct {
	witness.Config
	Responder *witness.ResponderConfig // nil if nobody may ask

	// TrustPeers makes Now and Snapshot.Actionable include peers that do not prove who
	// they are. A forger could then stop what depends on this clock.
	TrustPeers bool
}

// witnessing is the part of a watch that deals with witnesses.
type witnessing struct {
	witnesses  *witness.Witnesses // nil without
	responder  *witness.Responder // nil if nobody may ask
	trustPeers bool

	steered steered
	leapAt  int64 // when a leap second was announced last, by CLOCK_BOOTTIME; zero if never

	// The findings of the latest sample.
	found   *witness.Findings
	seconds map[witness.Kind][]float64 // by verdict
}

// startWitnesses makes the watch hear witnesses. It is called before the watch runs.
func (t *Tracker) startWitnesses(w *watch, config *WitnessConfig) error {
	if config == nil {
		return nil
	}
	asking := config.Config
	asking.MaxDrift, asking.Logger = t.config.Assume.MaxDrift, t.log
	witnesses, err := witness.New(asking, w)
	if err != nil {
		return err
	}
	if config.Responder != nil {
		answering := *config.Responder
		answering.Logger = t.log
		if w.responder, err = witness.Listen(answering, w.serving); err != nil {
			return err
		}
	}
	w.witnesses, w.trustPeers = witnesses, config.TrustPeers
	w.seconds = make(map[witness.Kind][]float64)
	t.log.Info("witnesses check the clock", "ntp", strings.Join(config.NTP, " "), "peers", config.Peers)
	return nil
}

// runWitnesses asks and answers until the tracker is closed.
func (t *Tracker) runWitnesses(w *watch) {
	if w.witnesses != nil {
		t.work.Go(func() { w.witnesses.Run(t.ctx) })
	}
	if w.responder != nil {
		t.work.Go(w.responder.Run)
	}
}

// A steered clock is moved by slews. It sums up how far, beyond the frequency that
// chronyd reports: by that, the clock only follows the time.
type steered struct {
	last  Instant
	moved float64 // seconds
}

func (s *steered) add(now Instant, frequency float64) {
	if s.last != (Instant{}) {
		raw := now.Raw - s.last.Raw
		s.moved += seconds(now.Mono-s.last.Mono-raw) + frequency*1e-6*seconds(raw)
	}
	s.last = now
}

// Read is the clock that witnesses judge.
func (w *watch) Read() witness.Reading {
	now, err := w.look(false)
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.reading(now)
	if err != nil {
		r.Bound = math.Inf(1)
	}
	return r
}

// reading returns what is claimed without the witnesses. The mutex is held.
func (w *watch) reading(now Instant) witness.Reading {
	r := witness.Reading{
		Boot: now.Boot, Real: now.Real,
		Jumps: w.detector.steps.Count + w.detector.sleeps.Count,
		State: clockerror.Unreachable, Bound: math.Inf(1),
		Leap: w.leapAt != 0 && now.Boot-w.leapAt < int64(24*time.Hour),
	}
	r.Moved = w.steered.moved
	if w.isCurrent(now) {
		e := w.latest.estimate
		r.State, r.Bound = e.OwnState, e.OwnBound+w.since(now)
		r.Untraced = e.Untraced && !e.ServerLocal
	}
	return r
}

// frequency is by how much the clock would gain without steering, in ppm, as chronyd
// last reported it.
func (w *watch) frequency() float64 {
	if t := w.reference.tracking; t != nil {
		return t.Frequency
	}
	return 0
}

// isCurrent reports whether the latest sample still describes the clock, with what was
// seen since. The mutex is held.
func (w *watch) isCurrent(now Instant) bool {
	const intervals = 3 // a few samples may be late
	lifetime := max(LongestLifetime, intervals*w.interval)
	return w.latest != nil && now.Boot < w.latest.Boot+int64(lifetime) && w.detector.steppedAt <= w.latest.Boot
}

// since is by how much the bound of the latest sample has grown, in seconds. Slews count,
// because it is not known yet whether they corrected anything. The mutex is held.
func (w *watch) since(now Instant) float64 {
	return w.growth(w.latest.estimate, now.since(w.latest.Instant)) + math.Abs(w.steered.moved-w.latest.moved)
}

// growth is by how much a bound has grown since the sample, in seconds.
func (w *watch) growth(e clockerror.Estimate, elapsed float64) float64 {
	return max(e.Growth*elapsed, w.sampler.assume.Drift(elapsed)) + w.discipline.rate()*elapsed
}

// serving is what peers are told of this clock.
func (w *watch) serving() witness.Serving {
	now, err := w.look(false)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil || !w.isCurrent(now) {
		return witness.Serving{Bound: math.Inf(1)}
	}
	e := w.latest.estimate
	return witness.ServingOf(e.State, e.Bound+w.since(now))
}

// ask asks the witnesses at once, because something has happened to the clock.
func (w *watch) ask() {
	if w.witnesses != nil {
		w.witnesses.Ask()
	}
}

// isNews reports whether a sample claims something new, so that the witnesses should
// judge it at once. The mutex is held.
func (w *watch) isNews(o *observation) bool {
	if w.latest == nil {
		return true
	}
	was, is := w.latest.estimate, o.estimate
	return was.State != is.State || was.HasBound() != is.HasBound() || w.detector.steppedAt > w.latest.Boot
}

// hear judges an observation with what the witnesses say. The second estimate is for
// programs that act on it. The mutex is held.
func (w *watch) hear(o clockerror.Observation) (all, actionable clockerror.Estimate, found *witness.Findings) {
	all = clockerror.Of(o, w.sampler.assume)
	if w.witnesses == nil {
		return all, all, nil
	}
	now := w.reading(w.detector.last)
	now.State, now.Bound = all.OwnState, all.OwnBound
	found = w.witnesses.Findings(now)
	if w.responder != nil {
		found.Requests = w.responder.Requests()
	}
	if o.Witnesses = found.Testimony(); o.Witnesses == nil {
		return all, all, found
	}
	all = clockerror.Of(o, w.sampler.assume)
	if w.trustPeers {
		return all, all, found
	}
	o.Witnesses = found.Authentic().Testimony()
	return all, clockerror.Of(o, w.sampler.assume), found
}

// seenLeap notices an announced leap second. The mutex is held.
func (w *watch) seenLeap(o *observation) {
	if t := o.tracking; t != nil && (t.Leap == chrony.LeapInsertSecond || t.Leap == chrony.LeapDeleteSecond) {
		w.leapAt = o.Boot
	}
}

// tallyWitnesses counts the seconds that a sample stands for, and notes what the
// witnesses changed their minds about. The mutex is held.
func (w *watch) tallyWitnesses(o *observation, stood float64) {
	before := w.found
	w.found, o.moved = o.found, w.steered.moved
	for _, kind := range witness.Kinds {
		verdict, known := o.found.Of(kind)
		if !known {
			continue
		}
		if w.seconds[kind] == nil {
			w.seconds[kind] = make([]float64, len(witness.Verdicts))
		}
		w.seconds[kind][verdict] += stood
		was, known := before.Of(kind)
		if !known {
			was = witness.Unproven
		}
		w.noteVerdict(o, kind, was, verdict)
	}
}

// verdictEvents are the events of verdicts against the clock.
var verdictEvents = map[witness.Verdict]EventKind{
	witness.Contradicted: WitnessContradicted,
	witness.Disputed:     WitnessDisputed,
}

func (w *watch) noteVerdict(o *observation, kind witness.Kind, from, to witness.Verdict) {
	event := verdictEvents[to]
	if from == to || event == "" && verdictEvents[from] == "" {
		return
	}
	if event == "" {
		event = WitnessCleared
	}
	name := func(v witness.Verdict) string { return string(kind) + " " + v.String() }
	w.note(o.Instant, Event{Kind: event, From: name(from), To: name(to)})
}

// witnessBound returns a bound that takes no chronyd, in seconds; +Inf if there is none.
func witnessBound(found *witness.Findings) float64 {
	if found == nil || found.UTC == nil {
		return math.Inf(1)
	}
	return found.UTC.Bound
}

// A Witnessed is what witnesses say of this clock. It is immutable.
type Witnessed struct {
	*witness.Findings

	// Seconds is how long each verdict of each kind has lasted, by verdict.
	Seconds map[witness.Kind][]float64
}

// witnessed returns a copy of what the witnesses say. The mutex is held.
func (w *watch) witnessed(found *witness.Findings) *Witnessed {
	if found == nil {
		return nil
	}
	all := &Witnessed{Findings: found, Seconds: make(map[witness.Kind][]float64, len(w.seconds))}
	for kind, seconds := range w.seconds {
		all.Seconds[kind] = append([]float64(nil), seconds...)
	}
	return all
}

// judge judges an observation for a snapshot, with what the witnesses say now.
func (t *Tracker) judge(o clockerror.Observation) (all, actionable clockerror.Estimate, witnesses *Witnessed) {
	w := t.watch
	if w == nil {
		all = clockerror.Of(o, t.config.Assume)
		return all, all, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	all, actionable, found := w.hear(o)
	return all, actionable, w.witnessed(found)
}
