package doctor

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// An Explanation says why the bound is as large as it is.
type Explanation struct {
	Bound   *float64 `json:"bound_seconds"` // null if there is none
	Summary string   `json:"summary"`
	Parts   []Part   `json:"parts"` // of the bound, the largest first
	Hint    string   `json:"hint,omitempty"`
}

// A Part is one term of the bound.
type Part struct {
	Term    string  `json:"term"`
	Seconds float64 `json:"seconds"`
	Share   float64 `json:"share"`          // of the bound
	Cause   string  `json:"cause"`          // what makes it as large as it is
	Gain    string  `json:"gain,omitempty"` // what would make it smaller, and by how much
}

// Explain explains the bound of a snapshot in which all reports were read.
func Explain(snapshot *tracker.Snapshot) *Explanation {
	s := &sight{Snapshot: snapshot}
	e := &Explanation{Summary: s.noBound(), Hint: tracker.Hint(snapshot.Err)}
	if !s.Estimate.HasBound() {
		if s.Err == nil {
			mend, run := s.remedy()
			e.Hint = mend + " (" + run + ")"
		}
		return e
	}
	bound := s.Estimate.Bound
	e.Bound = &bound
	e.Parts = s.parts()
	e.Summary = fmt.Sprintf("The clock is wrong by %s at most. ", clockerror.Format(bound))
	if largest := e.Parts[0]; bound > 0 {
		e.Summary += fmt.Sprintf("%s of it is %s.", percent(largest.Share), largest.Term)
	}
	if s.Estimate.State == clockerror.Synchronized {
		e.Hint = s.untilNextSample()
	}
	return e
}

// noBound says why there is no bound.
func (s *sight) noBound() string {
	const unlimited = "There is no bound: the clock can be wrong by any amount. "
	switch {
	case s.Err != nil:
		return unlimited + "Nothing is known of it: " + s.Err.Error() + "."
	case s.Estimate.State == clockerror.Local:
		return unlimited + `chronyd follows the clock itself ("local" in chrony.conf), since ` + s.reason() + "."
	case s.Estimate.State == clockerror.Unsynchronized:
		return unlimited + "chronyd follows nothing: " + s.reason() + "."
	default:
		return unlimited + "chronyd has no sample of it."
	}
}

func (s *sight) parts() []Part {
	t := s.Estimate.Terms
	parts := []Part{
		s.part("offset", t.Offset, s.explainOffset),
		s.part("dispersion", t.Dispersion, s.explainDispersion),
		s.part("delay", t.Delay, s.explainDelay),
		s.part("drift", t.Drift, s.explainDrift),
		s.part("reference", t.Reference, s.explainReference),
	}
	slices.SortStableFunc(parts, func(a, b Part) int { return cmp.Compare(b.Seconds, a.Seconds) })
	return parts
}

// worthwhile is the share of the bound below which nobody need care for a term.
const worthwhile = 0.1

func (s *sight) part(term string, seconds float64, explain func() (cause, gain string)) Part {
	p := Part{Term: term, Seconds: seconds}
	if s.Estimate.Bound > 0 {
		p.Share = seconds / s.Estimate.Bound
	}
	p.Cause, p.Gain = explain()
	if p.Share < worthwhile && !s.Estimate.Untraced {
		p.Gain = ""
	}
	return p
}

// selected returns the source that is followed, or nil.
func (s *sight) selected() *chrony.Source {
	for i, c := range s.Report.Sources {
		if followed(c) {
			return &s.Report.Sources[i]
		}
	}
	return nil
}

func (s *sight) explainOffset() (cause, gain string) {
	offset := s.Report.Tracking.SystemTime
	if offset == 0 {
		return "nothing is left to be corrected", ""
	}
	cause = "what chronyd still has to correct; it slews that away until the next sample brings a new estimate"
	if c := s.selected(); c != nil && c.Stats != nil && c.Stats.StandardDeviation > 0 {
		cause += fmt.Sprintf(". The samples of %s scatter by %s", nameOf(*c), clockerror.Format(c.Stats.StandardDeviation))
	}
	if abs(offset) >= largeOffset {
		gain = fmt.Sprintf("a step would end it at once (chronyc makestep); slewed, it takes %s at least", age(math.Ceil(abs(offset)/maxSlewRate*1e6)))
	}
	return cause, gain
}

// explainDelay splits the root delay into the way to the source and the way from
// there to its reference.
func (s *sight) explainDelay() (cause, gain string) {
	total, c := abs(s.Report.Tracking.RootDelay), s.selected()
	cause = fmt.Sprintf("half of the %s that a packet needs to the reference clock and back", clockerror.Format(total))
	switch {
	case c == nil:
		return cause, ""
	case c.Mode == chrony.ModeReferenceClock:
		return cause + ": what chrony.conf says of the reference clock (option delay), mostly nothing", ""
	case c.NTP == nil || c.NTP.TotalValid == 0:
		return cause + fmt.Sprintf(", by way of %s, of stratum %d", nameOf(*c), c.Stratum), s.nearer(total, nearServer)
	}
	far := min(abs(c.NTP.RootDelay), total)
	near := total - far
	cause += fmt.Sprintf(": %s to %s, and %s from there on", clockerror.Format(near), nameOf(*c), clockerror.Format(far))
	if near >= far {
		return cause, s.nearer(near, nearServer)
	}
	return cause, s.nearer(far, "a server that is itself nearer to its reference:")
}

const nearServer = "a server whose answers take"

// nearer says what is gained if a delay were a tenth of what it is.
func (s *sight) nearer(delay float64, what string) string {
	const tenth = 0.1
	return fmt.Sprintf("with %s a tenth of that, the bound would be about %s", what, clockerror.Format(s.Estimate.Bound-(1-tenth)*delay/2))
}

// maxClockError is by how much, in ppm, chronyd takes the clock's frequency to be
// unsure beyond what it has measured (maxclockerror in chrony.conf).
const maxClockError = 1

// growth is how fast the dispersion grows between two samples, in ppm.
func (s *sight) growth() float64 {
	t := s.Report.Tracking
	return t.Skew + abs(t.ResidualFrequency) + maxClockError
}

// interval returns the time between two polls of the source that is followed, in
// seconds, or 0.
func (s *sight) interval() float64 {
	if c := s.selected(); c != nil {
		return math.Ldexp(1, int(c.Poll))
	}
	return 0
}

func (s *sight) explainDispersion() (cause, gain string) {
	total := s.Estimate.Terms.Dispersion
	grown := min(total, s.Estimate.SampleAge*s.growth()*1e-6)
	inherited, rest := 0.0, "the noise of the samples and what the source itself reports"
	if c := s.selected(); c != nil && c.NTP != nil && c.NTP.TotalValid > 0 {
		inherited = min(abs(c.NTP.RootDispersion), total-grown)
		rest = "the noise of the samples"
	}
	var sum []string
	if grown > 0 {
		sum = append(sum, fmt.Sprintf("%s grown in the %s since the last sample, at %.3g ppm (its skew is %.3g)",
			clockerror.Format(grown), age(s.Estimate.SampleAge), s.growth(), s.Report.Tracking.Skew))
	}
	if inherited > 0 {
		sum = append(sum, fmt.Sprintf("%s that %s reports of itself", clockerror.Format(inherited), s.sourceName()))
	}
	if left := total - grown - inherited; left > 0 {
		sum = append(sum, clockerror.Format(left)+" for "+rest)
	}
	return strings.Join(sum, "; "), s.lessDispersion(total, grown, inherited)
}

// lessDispersion says what would take the largest part of the dispersion away.
func (s *sight) lessDispersion(total, grown, inherited float64) string {
	const manySamples, fast = 8, 64 // s
	c := s.selected()
	switch {
	case c != nil && c.Stats != nil && c.Stats.Samples < manySamples:
		return fmt.Sprintf("it will shrink by itself: chronyd has %d samples only", c.Stats.Samples)
	case inherited > total/2:
		return fmt.Sprintf("with a server that has none, the bound would be about %s", clockerror.Format(s.Estimate.Bound-inherited))
	case s.interval() > fast && grown > total/2:
		return fmt.Sprintf("it grows to %s until the next poll, after %s; with maxpoll 6 it would stay below %s",
			clockerror.Format(total-grown+s.interval()*s.growth()*1e-6), age(s.interval()), clockerror.Format(total-grown+fast*s.growth()*1e-6))
	default:
		return ""
	}
}

func (s *sight) explainDrift() (cause, gain string) {
	if s.Estimate.State != clockerror.Holdover {
		return "samples arrive", ""
	}
	since := s.Estimate.SampleAge - s.Estimate.HoldoverAge
	cause = fmt.Sprintf("the last sample is %s old, and since %s the clock is taken to drift by %.3g ppm (--clock.max-drift)",
		age(s.Estimate.SampleAge), age(since), s.Estimate.Terms.Drift/since*1e6)
	mend, run := s.remedy()
	return cause, mend + " (" + run + ")"
}

func (s *sight) explainReference() (cause, gain string) {
	switch {
	case s.Estimate.Untraced:
		return fmt.Sprintf("nothing is known of the error of the reference clock %s, so none is in the bound: it is not traced to UTC", s.sourceName()),
			"say how wrong it can be with --clock.reference-error: the bound becomes larger, and true"
	case s.Estimate.Terms.Reference > 0:
		return "what --clock.reference-error says of the reference", ""
	default:
		return "the source is taken to be right", ""
	}
}

// untilNextSample says how large the bound becomes before a sample makes it smaller.
func (s *sight) untilNextSample() string {
	left := s.interval() - s.Estimate.SampleAge
	if left < 1 {
		return ""
	}
	return fmt.Sprintf("Until the next sample, in about %s, the bound grows to %s.", age(left), clockerror.Format(s.Estimate.Bound+left*s.growth()*1e-6))
}

// percent writes a share, and never 100 % of what has other parts.
func percent(share float64) string {
	switch {
	case share == 1:
		return "100 %"
	case share > 0.99:
		return "over 99 %"
	case share > 0 && share < 0.01:
		return "under 1 %"
	default:
		return fmt.Sprintf("%.0f %%", share*100)
	}
}

// Print writes the explanation for a person, in lines of 80 columns.
func (e *Explanation) Print(w io.Writer) error {
	var b strings.Builder
	b.WriteString(wrapFrom(e.Summary, 0) + "\n")
	for _, p := range e.Parts {
		size := clockerror.Format(p.Seconds)
		size += strings.Repeat(" ", max(0, 8-utf8.RuneCountInString(size)))
		fmt.Fprintf(&b, "\n%s\n", strings.TrimRight(fmt.Sprintf("%-11s %s %11s  %s", p.Term, size, percent(p.Share), bar(p.Share)), " "))
		b.WriteString("  " + wrapFrom(p.Cause, 2) + "\n")
		if p.Gain != "" {
			b.WriteString("  gain: " + wrapFrom(p.Gain, 8) + "\n")
		}
	}
	if e.Hint != "" {
		b.WriteString("\n" + wrapFrom(e.Hint, 0) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// bar draws a share.
func bar(share float64) string {
	const width = 40
	return strings.Repeat("█", int(math.Round(share*width)))
}
