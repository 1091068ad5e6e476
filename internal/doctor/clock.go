package doctor

import (
	"fmt"
	"math"
	"strings"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/status"
)

// checkState reports whether anything confirms the clock.
func checkState(s *facts) []Finding {
	f := Finding{Verdict: Wrong, Check: "state", Impact: "the clock's error is unknown: the bound is +Inf, and alerts on it fire"}
	o := s.noSource()
	switch s.Estimate.State {
	case clockerror.Unreachable:
		return nil // checkEndpoints reports why
	case clockerror.Synchronized:
		f.Verdict, f.Impact = Fine, ""
		o = obstacle{why: fmt.Sprintf("at most %s off, follows %s", status.Seconds(s.Estimate.Bound), s.sourceName())}
	case clockerror.Holdover:
		if s.Estimate.HasBound() {
			f.Impact = "the bound grows each second, at --clock.max-drift. chronyd itself never reports that it has lost its source"
		}
		o = s.holdover(o)
	case clockerror.Contradicted:
		f.Impact = "chronyd does not correct the clock; the bound includes the measurements"
		o = s.contradicted()
	case clockerror.Local:
		f.Impact = "chronyd reports an error of zero, however far off the clock is. The bound is +Inf"
		o = s.local(o)
	case clockerror.Unsynchronized:
		o.why = status.StateNote(s.Estimate.State) + ": " + o.why
	}
	f.Summary, f.Fix, f.Command = s.Estimate.State.String()+": "+o.why, o.fix, o.command
	return []Finding{f}
}

func (s *facts) sourceName() string { return s.Report.Tracking.SourceName() }

// holdover finds which of the three causes of a holdover applies.
func (s *facts) holdover(noSource obstacle) obstacle {
	e := s.Estimate
	limit := status.Seconds(e.HoldoverAge)
	switch {
	case s.Report.Sources != nil && !s.any(followed):
		noSource.why = "chronyd has selected no source: " + noSource.why
	case e.SampleAge <= e.HoldoverAge && !e.Approximate:
		return s.reconcile(fmt.Sprintf("samples of %s arrive, but chronyd's last update of the clock is %s old, more than %s",
			s.sourceName(), status.Duration(e.UpdateAge), limit))
	default:
		noSource.why = fmt.Sprintf("the last sample of %s is %s old, more than %s", s.sourceName(), status.Duration(e.SampleAge), limit)
	}
	return noSource
}

// reconcile returns the fix if chronyd does not act on its measurements.
func (s *facts) reconcile(why string) obstacle {
	causes := "Causes: a virtual machine was paused or restored; maxchange in chrony.conf makes chronyd ignore larger corrections; with the option -x chronyd does not set the clock"
	if d := s.node.conf.last("maxchange"); d != nil {
		causes = fmt.Sprintf("Cause: %q (%s) makes chronyd ignore larger corrections", d, d.where)
	}
	return obstacle{
		why:     why,
		fix:     `compare the sources with a clock that you trust. If they are accurate, restart chronyd, with "makestep 1 3" in chrony.conf. ` + causes,
		command: "chronyc -n sources; chronyc makestep",
	}
}

// local handles a chronyd that follows the local clock itself.
func (s *facts) local(noSource obstacle) obstacle {
	line := `"local" from chrony.conf`
	if d := s.node.conf.last("local"); d != nil {
		line = fmt.Sprintf("%q (%s)", d, d.where)
	}
	noSource.why = status.StateNote(clockerror.Local) + ` ("local" in chrony.conf): ` + noSource.why
	noSource.fix = "remove " + line + " and restart chronyd: it is for servers of an isolated network. Then " + noSource.fix
	return noSource
}

// checkEstimate finds a bound that is only an estimate.
func checkEstimate(s *facts) []Finding {
	if !s.Estimate.Approximate {
		return nil
	}
	f := Finding{
		Verdict: Note, Check: "bound", Summary: "an estimate: " + s.status().WhyApproximate(),
		Impact:  "it is made of chronyd's own terms, so it is too small more often",
		Fix:     "wait for the next sample. If this lasts, check the source",
		Command: "chronyc -n sources",
	}
	if s.Report.Sources == nil {
		f.Fix = openTracking
	}
	return []Finding{f}
}

// noSource finds why chronyd follows no source.
func (s *facts) noSource() obstacle {
	if s.Report == nil || s.Report.Tracking == nil {
		return obstacle{}
	}
	sources, activity := s.Report.Sources, s.Report.Activity
	if activity == nil {
		activity = &chrony.Activity{} // refused
	}
	return first([]obstacle{
		{activity.Offline > 0 && activity.Online == 0, "its sources are offline",
			"bring them online. If a script took them offline (often one for the network), make that script run chronyc online at boot",
			"chronyc online"},
		{activity.Unresolved > 0 && s.all(status.IsUnresolved), "the names of its sources have no addresses",
			"fix the node's name resolution, or use addresses in chrony.conf",
			"getent hosts " + s.configuredName()},
		{sources == nil, status.NotListed,
			openTracking,
			"chronyc -n sources"},
		{len(sources) == 0, "it has no source at all",
			"add at least one source to chrony.conf and restart chronyd: on Azure " + azureRefclock + `, else "pool SERVER iburst"`,
			runConf},
		{s.all(func(c chrony.Source) bool { return c.Reach == 0 }), "none of its sources answers",
			"let UDP port 123 through to them (firewall, network security group), or use sources that can be reached: " + names(sources),
			"chronyc -n ntpdata; chronyc activity"},
		{s.any(falseticker) && !s.any(followed), s.disagreement(),
			"compare them with a server that you trust, and remove the wrong ones; " + moreSources,
			"chronyc -n sources; chronyc selectdata"},
		{s.any(func(c chrony.Source) bool { return c.State == chrony.StateJittery }), "its sources jitter too much",
			"use sources that are nearer, or raise maxjitter in chrony.conf",
			"chronyc -n sourcestats"},
		{s.all(func(c chrony.Source) bool { return c.SampleAge == chrony.Never }), "no source has given a valid sample, although some answer" + s.badReplies(),
			"find the test that their replies fail. Limits in chrony.conf such as maxdelay may be too low",
			"chronyc -n ntpdata"},
		{true, "none of its sources is good enough, or it has just started: " + s.whyNot(),
			"wait a minute. If this lasts, use better sources",
			"chronyc -n sources; chronyc selectdata"},
	})
}

// badReplies describes what is wrong with the sources' replies, if chronyd reports it.
func (s *facts) badReplies() (all string) {
	for _, c := range s.Report.Sources {
		if text := replies(c); text != "" {
			all += "; " + nameOf(c) + ": " + text
		}
	}
	return all
}

func (s *facts) any(is func(chrony.Source) bool) bool { return len(s.having(is)) > 0 }

func (s *facts) all(are func(chrony.Source) bool) bool {
	return len(s.having(are)) == len(s.Report.Sources)
}

func (s *facts) having(property func(chrony.Source) bool) (with []chrony.Source) {
	for _, c := range s.Report.Sources {
		if property(c) {
			with = append(with, c)
		}
	}
	return with
}

func followed(c chrony.Source) bool { return c.State == chrony.StateSelected }

func falseticker(c chrony.Source) bool { return c.State == chrony.StateFalseticker }

// configuredName returns the name of the first source without an address. chronyd
// before 4.0 does not list such sources.
func (s *facts) configuredName() string {
	for _, c := range s.having(status.IsUnresolved) {
		if c.ConfiguredName != "" {
			return c.ConfiguredName
		}
	}
	return "NAME"
}

func names(sources []chrony.Source) string {
	var all []string
	for _, c := range sources {
		all = append(all, nameOf(c))
	}
	return strings.Join(all, ", ")
}

// nameOf returns a source's name in chrony.conf, with its address if the two differ.
func nameOf(c chrony.Source) string {
	switch {
	case status.IsUnresolved(c) && c.ConfiguredName != "":
		return c.ConfiguredName
	case c.ConfiguredName != "" && c.ConfiguredName != c.Name():
		return c.Name() + " (" + c.ConfiguredName + ")"
	default:
		return c.Name()
	}
}

// whyNot gives chronyd's own reasons for not selecting its sources.
func (s *facts) whyNot() string {
	var why []string
	for _, c := range s.Report.Sources {
		why = append(why, nameOf(c)+" "+status.Standing(c))
	}
	return strings.Join(why, "; ")
}

// disagreement describes how far apart the sources are, and what each claims.
func (s *facts) disagreement() string {
	sampled := s.having(func(c chrony.Source) bool { return c.SampleAge != chrony.Never })
	low, high := math.Inf(1), math.Inf(-1)
	var claims []string
	for _, c := range sampled {
		low, high = min(low, c.AdjustedOffset), max(high, c.AdjustedOffset)
		claims = append(claims, nameOf(c)+" says that "+claim(c))
	}
	return fmt.Sprintf("its sources disagree by %s, and there is no majority: %s", status.Seconds(high-low), strings.Join(claims, ", "))
}

// claim describes a source's measurement of the clock.
func claim(c chrony.Source) string {
	return fmt.Sprintf("the clock is %s (± %s)", side(c.AdjustedOffset), status.Seconds(c.OffsetError))
}

// side writes an offset in words. Above zero, the clock is ahead.
func side(offset float64) string {
	if offset > 0 {
		return size(offset) + " ahead"
	}
	return size(-offset) + " behind"
}

// size formats a size. Unlike a bound, it is not rounded up from 3600.1 s to 3610 s.
func size(seconds float64) string {
	if seconds < 1 {
		return status.Seconds(seconds)
	}
	return fmt.Sprintf("%.6g s", seconds)
}

// largeOffset, in seconds, is a correction so large that a healthy chronyd does not
// slew it: nine hundred times the noise of a bad network.
const largeOffset = 0.1

// maxSlewRate is the fastest rate at which chronyd corrects the clock, in ppm
// (maxslewrate in chrony.conf).
const maxSlewRate = 83333.333

// checkOffset finds a large correction in progress.
func checkOffset(s *facts) []Finding {
	if !s.Estimate.HasBound() || math.Abs(s.Report.Tracking.SystemTime) < largeOffset {
		return nil
	}
	offset := -s.Report.Tracking.SystemTime // above zero, the clock is ahead
	f := Finding{
		Verdict: Wrong,
		Check:   "offset",
		Summary: fmt.Sprintf("the clock is %s. chronyd slews it back, which takes at least %s", side(offset), status.Duration(math.Ceil(math.Abs(offset)/maxSlewRate*1e6))),
		Impact:  "until then, programs see a wrong time, and a second is up to 8 % longer or shorter",
		Fix:     `step the clock now if the programs on this node tolerate that. To let chronyd step it whenever it is more than 1 s off, add "makestep 1.0 -1" to chrony.conf`,
		Command: "chronyc makestep",
	}
	if p := s.node.chronyd(); p != nil && !p.apart && !p.controlsClock() {
		f.Summary = fmt.Sprintf("the clock is %s, and chronyd does not correct it: it runs with -x", side(offset))
		f.Fix, f.Command = "start chronyd without -x", "systemctl cat chrony chronyd"
	}
	return []Finding{f}
}
