package doctor

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/status"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// An Explanation says why the bound is as large as it is.
type Explanation struct {
	Bound   *float64 `json:"bound_seconds"` // null if there is none
	Summary string   `json:"summary"`
	Parts   []Part   `json:"parts"` // of the bound, the largest first
	Hint    string   `json:"hint,omitempty"`

	Witnesses string `json:"witnesses,omitempty"` // what they add
}

// A Part is one term of the bound.
type Part struct {
	Term    string  `json:"term"`
	Seconds float64 `json:"seconds"`
	Share   float64 `json:"share"`          // of the bound
	Cause   string  `json:"cause"`          // what makes it as large as it is
	Gain    string  `json:"gain,omitempty"` // how to make it smaller, and by how much
}

// Explain explains the bound of a snapshot in which all reports were read, under the
// assumptions with which it was judged. The witnesses are those of the tracker on this
// node, or nil.
func Explain(snapshot *tracker.Snapshot, assume clockerror.Assumptions, witnesses *status.Witnesses) *Explanation {
	s := &facts{Snapshot: snapshot, assume: assume, tracked: Tracked{Witnesses: witnesses}}
	s.hear()
	e := &Explanation{Summary: s.status().Verdict(), Hint: tracker.Hint(s.Err), Witnesses: s.explainWitnesses()}
	switch {
	case s.Err != nil:
		e.Summary += " " + s.Err.Error() + "."
	case !s.Estimate.HasBound():
		o := s.noSource()
		e.Summary += " The reason: " + o.why + "."
		e.Hint = o.hint()
	default:
		bound := s.Estimate.Bound
		e.Bound, e.Parts = &bound, s.parts()
		if largest := e.Parts[0]; bound > 0 {
			e.Summary += fmt.Sprintf(" The largest term is %s: %s.", largest.Term, status.Percent(largest.Share))
		}
		switch s.Estimate.State {
		case clockerror.Synchronized:
			e.Hint = s.untilNextSample()
		case clockerror.Contradicted:
			o := s.contradicted()
			e.Summary += " " + o.why + "."
			e.Hint = o.hint()
		}
	}
	return e
}

func (s *facts) parts() (parts []Part) {
	explain := map[string]func() (cause, gain string){
		"offset":       s.explainOffset,
		"delay":        s.explainDelay,
		"dispersion":   s.explainDispersion,
		"drift":        s.explainDrift,
		"reference":    s.explainReference,
		"disagreement": s.explainDisagreement,
	}
	for term, seconds := range s.Estimate.Terms.All() {
		parts = append(parts, s.part(term, seconds, explain[term]))
	}
	slices.SortStableFunc(parts, func(a, b Part) int { return cmp.Compare(b.Seconds, a.Seconds) })
	return parts
}

// worthwhile is the smallest share of the bound that makes a term worth improving.
const worthwhile = 0.1

func (s *facts) part(term string, seconds float64, explain func() (cause, gain string)) Part {
	p := Part{Term: term, Seconds: seconds}
	if s.Estimate.Bound > 0 {
		p.Share = seconds / s.Estimate.Bound
	}
	p.Cause, p.Gain = explain()
	untraced := term == "reference" && s.Estimate.Untraced
	if p.Share < worthwhile && !untraced {
		p.Gain = ""
	}
	return p
}

// selected returns the source whose last sample the bound is made of, or nil.
func (s *facts) selected() *chrony.Source {
	return clockerror.Followed(s.Report.Tracking, s.Report.Sources)
}

// chronys returns chrony's own three terms, in seconds.
func (s *facts) chronys() float64 {
	t := s.Report.Tracking
	return math.Abs(t.SystemTime) + math.Abs(t.RootDispersion) + math.Abs(t.RootDelay)/2
}

// aged returns the terms of the last sample and its age, in seconds.
func (s *facts) aged() float64 {
	t := s.Estimate.Terms
	return t.Offset + t.Delay + t.Dispersion + t.Drift
}

// without describes the gain if both the aged last sample and chronyd's own terms were
// smaller by the given seconds. It is empty without a gain.
func (s *facts) without(aged, chronys float64, what string) (gain string) {
	const worth = 0.99
	bound := s.boundWith(aged, chronys)
	if bound > worth*s.Estimate.Bound {
		return ""
	}
	return fmt.Sprintf("with %s, the bound would be about %s", what, status.Seconds(bound))
}

// boundWith returns what the bound would be if the aged last sample and chronyd's own
// terms were smaller by the given seconds. The findings of other sources stay the same.
func (s *facts) boundWith(aged, chronys float64) float64 {
	bound := max(s.aged()-aged, s.chronys()-chronys) + s.Estimate.Terms.Reference
	if _, others, witnesses := s.demands(); others > 0 || witnesses > 0 {
		bound = max(bound, s.Estimate.Bound)
	}
	return bound
}

// demands splits the disagreement into its parts, in seconds.
func (s *facts) demands() (chronys, others, witnesses float64) {
	total := s.Estimate.Terms.Disagreement
	if raised := s.Estimate.Bound - s.Estimate.OwnBound; raised > 0 && s.tracked.Witnesses != nil {
		witnesses = min(total, raised)
		total -= witnesses
	}
	if !s.Estimate.Approximate {
		chronys = min(total, max(0, s.chronys()-s.aged()))
	}
	return chronys, total - chronys, witnesses
}

func (s *facts) explainOffset() (cause, gain string) {
	offset := s.Report.Tracking.SystemTime
	c := s.selected()
	switch {
	case s.Estimate.Terms.Offset == 0:
		return "the last sample found no offset", ""
	case c == nil:
		cause = "what chronyd still has to correct"
	default:
		cause = fmt.Sprintf("where the last sample of %s found the clock, minus what was slewed since", nameOf(*c))
		if c.Stats != nil && c.Stats.StandardDeviation > 0 {
			cause += fmt.Sprintf(". Its samples scatter by %s", status.Seconds(c.Stats.StandardDeviation))
		}
	}
	if math.Abs(offset) >= largeOffset {
		cause += fmt.Sprintf(". chronyd still has to correct %s", status.Seconds(math.Abs(offset)))
		gain = fmt.Sprintf("a step would correct it at once (chronyc makestep); slewing takes at least %s", status.Duration(math.Ceil(math.Abs(offset)/maxSlewRate*1e6)))
	}
	return cause, gain
}

// explainDelay splits the root delay into the path to the source and the path from
// there to its reference.
func (s *facts) explainDelay() (cause, gain string) {
	total, c := math.Abs(s.Report.Tracking.RootDelay), s.selected()
	cause = fmt.Sprintf("half of the %s that a packet needs to the reference clock and back", status.Seconds(total))
	if s.Estimate.Terms.Delay < total/2 {
		cause = fmt.Sprintf("the sample's own error, which is below half of the %s that a packet needs to the reference clock and back", status.Seconds(total))
	}
	switch {
	case c == nil:
		return cause, ""
	case c.Mode == chrony.ModeReferenceClock:
		return cause + ": the option delay of the reference clock in chrony.conf, most often 0", ""
	case c.NTP == nil || c.NTP.TotalValid == 0:
		return cause + fmt.Sprintf(", over %s, of stratum %d", nameOf(*c), c.Stratum), s.nearer(total, nearServer)
	}
	far := min(math.Abs(c.NTP.RootDelay), total)
	near := total - far
	cause += fmt.Sprintf(": %s to %s, and %s from there on", status.Seconds(near), nameOf(*c), status.Seconds(far))
	if near >= far {
		return cause, s.nearer(near, nearServer)
	}
	return cause, s.nearer(far, "a server that is nearer to its own reference, by")
}

const nearServer = "a server whose answers take"

// nearer describes the gain if a delay were a tenth of its present value.
func (s *facts) nearer(delay float64, what string) string {
	const less = 0.9 / 2 // of the delay; half of it is in the bound
	return s.without(min(less*delay, s.Estimate.Terms.Delay), less*delay, what+" a tenth of that")
}

func (s *facts) explainDispersion() (cause, gain string) {
	total, c, t := s.Estimate.Terms.Dispersion, s.selected(), s.Report.Tracking
	switch {
	case c == nil:
		return fmt.Sprintf("chronyd's root dispersion, %s, and what its last updates found", status.Seconds(math.Abs(t.RootDispersion))), ""
	case total == 0:
		return "nothing: the delay is all of the sample's own error", ""
	case c.NTP == nil || c.NTP.TotalValid == 0:
		return "the noise of the sample, and the dispersion that the source reports of itself", ""
	}
	inherited := min(math.Abs(c.NTP.RootDispersion), total)
	cause = fmt.Sprintf("%s that %s reports of itself; %s for the noise of the sample", status.Seconds(inherited), nameOf(*c), status.Seconds(total-inherited))
	if inherited > total/2 {
		gain = s.without(inherited, inherited, "a server that has none")
	}
	return cause, gain
}

// wander is the change of frequency that the bound allows for, in ppm, by the state.
func (s *facts) wander() float64 {
	wander := cmp.Or(s.assume.MaxWander, clockerror.DefaultMaxWander)
	// As in clockerror, this includes the sample that ended a holdover.
	if s.Estimate.State == clockerror.Holdover || s.Report.Tracking.LastUpdateInterval > s.Estimate.HoldoverAge {
		wander = max(wander, cmp.Or(s.assume.MaxDrift, clockerror.DefaultMaxDrift))
	}
	return wander
}

// interval returns the time between two polls of the source that is followed, in
// seconds, or 0.
func (s *facts) interval() float64 {
	if c := s.selected(); c != nil {
		return math.Ldexp(1, int(c.Poll))
	}
	return 0
}

// rounding, in seconds, is how much too small an age may be: chronyd rounds ages down.
const rounding = 1

func (s *facts) explainDrift() (cause, gain string) {
	e := s.Estimate
	since, of := e.SampleAge+rounding, "the last sample"
	if e.Approximate {
		since, of = e.UpdateAge+rounding, "chronyd's last update"
	}
	flag := "--clock.max-wander"
	if e.State == clockerror.Holdover {
		flag = "--clock.max-drift"
	}
	cause = fmt.Sprintf("%s is up to %s old, and the clock may drift by %.3g ppm", of, status.Duration(since), e.Growth*1e6)
	skew := math.Abs(s.Report.Tracking.Skew)
	switch found := s.found(); {
	case e.Approximate:
		cause += " (" + flag + ")"
	case found > 0:
		cause += fmt.Sprintf(": %.3g ppm are chronyd's skew, %.3g ppm are %s, and %.3g ppm the last sample found", skew, s.wander(), flag, found)
	default:
		cause += fmt.Sprintf(": %.3g ppm are chronyd's skew, and %.3g ppm are %s", skew, s.wander(), flag)
	}
	if e.State == clockerror.Holdover {
		return cause, s.noSource().hint()
	}
	return cause, s.lessDrift()
}

// found returns the additional drift that the last sample found, in ppm.
func (s *facts) found() float64 {
	const digits = 1e-6
	found := s.Estimate.Growth*1e6 - math.Abs(s.Report.Tracking.Skew) - s.wander()
	if found < digits*s.wander() {
		return 0
	}
	return found
}

// lessDrift describes how far the bound grows between two samples, and how to reduce
// that.
func (s *facts) lessDrift() string {
	interval, growth := s.interval(), s.Estimate.Growth
	if interval == 0 {
		return ""
	}
	gain := fmt.Sprintf("the bound grows by %s between two samples, %s apart", status.Seconds(growth*interval), status.Duration(interval))
	if option, shorter := s.shorterPoll(); option != "" {
		gain += fmt.Sprintf("; %s would make it %s", option, status.Seconds(growth*shorter))
	}
	const small = 1 // ppm
	if wander := s.wander(); wander > small && s.found() == 0 {
		less := growth - (wander-small)*1e-6
		gain += fmt.Sprintf("; --clock.max-wander=%v would make it %s: set it only with a measured history of this clock's frequency (docs/background/bound.md)", small, status.Seconds(less*interval))
	}
	return gain
}

// shorterPoll returns a shorter poll interval that is acceptable for the source, as an
// option of chrony.conf and in seconds.
func (s *facts) shorterPoll() (option string, seconds float64) {
	const public, own = 6, 4 // log2 of seconds; a public server must not be polled more often
	switch c := s.selected(); {
	case c.Mode == chrony.ModeReferenceClock && c.Poll > 0:
		return "poll 0", 1
	case c.Mode == chrony.ModeReferenceClock:
		return "", 0
	case c.Poll > public:
		return fmt.Sprintf("maxpoll %d", public), 1 << public
	case c.Poll > own:
		return fmt.Sprintf("maxpoll %d (only with a server of your own)", own), 1 << own
	default:
		return "", 0
	}
}

func (s *facts) explainReference() (cause, gain string) {
	cause = s.status().UntracedNote()
	switch {
	case s.Estimate.ServerLocal:
		return cause, "follow a server that follows UTC"
	case s.Estimate.Untraced:
		return cause, "set --clock.reference-error to the largest error of that clock: the bound becomes larger, and relative to UTC"
	case s.Estimate.Terms.Reference > 0:
		return "--clock.reference-error", ""
	default:
		return "assumed to be 0", ""
	}
}

func (s *facts) explainDisagreement() (cause, gain string) {
	chronys, others, witnesses := s.demands()
	var demands []string
	if chronys > 0 {
		t := s.Report.Tracking
		demands = append(demands, fmt.Sprintf("chronyd's own estimate is %s more than the last sample: system time %s, root dispersion %s, half the root delay %s",
			status.Seconds(chronys), status.Seconds(math.Abs(t.SystemTime)), status.Seconds(math.Abs(t.RootDispersion)), status.Seconds(math.Abs(t.RootDelay)/2)))
	}
	if others > 0 {
		demands = append(demands, fmt.Sprintf("most other sources prove that the clock is further off: %s", s.measured(s.Estimate.OwnBound-others)))
		gain = "compare the sources with a clock that you trust (chronyc -n sources), and remove the wrong ones"
	}
	if witnesses > 0 {
		demands = append(demands, fmt.Sprintf("%s more than chronyd claims come from witnesses: %s", status.Seconds(witnesses), s.testified()))
		gain = s.outvoted().fix
	}
	if demands == nil && s.tracked.Witnesses != nil {
		return "chronyd's own estimate, the other sources and the witnesses do not demand more", ""
	}
	if demands == nil {
		return "neither chronyd's own estimate nor the other sources demand more", ""
	}
	return strings.Join(demands, "; "), gain
}

// measured lists sources whose last sample found the clock further off than a limit,
// in seconds, whatever its margin.
func (s *facts) measured(limit float64) string {
	const most = 3
	var all []string
	for _, c := range s.Report.Sources {
		offset := c.AdjustedOffset - s.Report.Tracking.SystemTime
		if beyond := math.Abs(offset) - math.Abs(c.OffsetError) - limit; c.SampleAge != chrony.Never && beyond > 0 {
			all = append(all, fmt.Sprintf("%s measured %s (± %s), %s more", nameOf(c), side(offset), status.Seconds(math.Abs(c.OffsetError)), size(beyond)))
		}
	}
	if n := len(all); n > most {
		all = append(all[:most], fmt.Sprintf("and so did %d others", n-most))
	}
	return strings.Join(all, "; ")
}

// contradiction describes chronyd's claim, and the sources that measured otherwise.
func (s *facts) contradiction() string {
	claim := s.chronys() + s.Estimate.Terms.Reference
	return fmt.Sprintf("that the clock is at most %s off, but %s", status.Seconds(claim), s.measured(claim))
}

// untilNextSample describes how large the bound gets before the next sample.
func (s *facts) untilNextSample() string {
	left := s.interval() - s.Estimate.SampleAge
	if left < 1 {
		return ""
	}
	growth := s.Estimate.Growth * left
	bound := s.boundWith(-growth, 0)
	if bound <= s.Estimate.Bound {
		return ""
	}
	return fmt.Sprintf("Until the next sample, in about %s, the bound grows by %s to %s.", status.Duration(left), status.Seconds(bound-s.Estimate.Bound), status.Seconds(bound))
}
