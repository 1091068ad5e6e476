package doctor

import (
	"fmt"
	"math"
	"strings"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// checkState tells whether anything confirms the clock.
func checkState(s *sight) []Finding {
	f := Finding{Verdict: Wrong, Check: "state", Costs: "the bound is +Inf, and every alert on it fires: the clock's error is unknown"}
	switch s.Estimate.State {
	case clockerror.Unreachable:
		return nil // the ways tell why
	case clockerror.Synchronized:
		f.Verdict, f.Costs = Fine, ""
		f.Says = fmt.Sprintf("synchronized: the clock follows %s and is at most %s off", s.sourceName(), clockerror.Format(s.Estimate.Bound))
	case clockerror.Holdover:
		s.holdover(&f)
	case clockerror.Contradicted:
		f.Says = "contradicted: chronyd claims " + s.contradiction()
		f.Costs = "chronyd does not correct the clock; the bound includes the measurements"
		f.Mend, f.Run = s.reconcile()
	case clockerror.Local:
		s.local(&f)
	case clockerror.Unsynchronized:
		f.Says = "unsynchronized: chronyd follows nothing: " + s.reason()
		f.Mend, f.Run = s.remedy()
	}
	return []Finding{f}
}

func (s *sight) sourceName() string { return s.Report.Tracking.SourceName() }

// holdover says which of its three causes it has.
func (s *sight) holdover(f *Finding) {
	e := s.Estimate
	if e.HasBound() {
		f.Costs = "the bound grows with every second, by --clock.max-drift; chronyd itself never reports that it has lost its source"
	}
	f.Mend, f.Run = s.remedy()
	limit := clockerror.Format(e.HoldoverAge)
	switch {
	case s.Report.Sources != nil && !s.any(followed):
		f.Says = "holdover: chronyd has selected no source: " + s.reason()
	case e.SampleAge <= e.HoldoverAge && !e.Approximate:
		f.Says = fmt.Sprintf("holdover: samples of %s arrive, but chronyd's last update of the clock is %s old, more than %s", s.sourceName(), age(e.UpdateAge), limit)
		f.Mend, f.Run = s.reconcile()
	default:
		f.Says = fmt.Sprintf("holdover: the last sample of %s is %s old, more than %s", s.sourceName(), age(e.SampleAge), limit)
	}
}

// reconcile says what to do where chronyd does not act on what it measures.
func (s *sight) reconcile() (mend, run string) {
	mend = "compare the sources with a clock that you trust. If they are right, restart chronyd, with \"makestep 1 3\" in chrony.conf. "
	if d := s.node.conf.last("maxchange"); d != nil {
		mend += fmt.Sprintf("Cause: %q (%s) makes chronyd ignore larger corrections", d, d.where)
	} else {
		mend += "Causes: a virtual machine that was paused or restored; maxchange in chrony.conf, which makes chronyd ignore larger corrections; option -x, with which chronyd does not set the clock"
	}
	return mend, "chronyc -n sources; chronyc makestep"
}

// checkEstimate tells of a bound that is only an estimate.
func checkEstimate(s *sight) []Finding {
	if !s.Estimate.Approximate {
		return nil
	}
	f := Finding{
		Verdict: Note,
		Check:   "bound",
		Says:    "an estimate: " + s.whyApproximate(),
		Costs:   "it is made of chronyd's own terms, which are too small more often: in 0.08 % of simulated samples",
		Mend:    "wait for the next sample; if this lasts, see what has become of the source",
		Run:     "chronyc -n sources",
	}
	if s.Report.Sources == nil {
		f.Mend = openTracking
	}
	return []Finding{f}
}

// whyApproximate says why the last sample is unknown.
func (s *sight) whyApproximate() string {
	if s.Report.Sources == nil {
		return "chronyd does not list its sources, so its last sample is unknown"
	}
	if !s.Report.SameUpdate {
		return "chronyd updated the clock while its sources were read"
	}
	return fmt.Sprintf("%s has no sample now: it is new, or chronyd has dropped its samples after a step", s.sourceName())
}

func (s *sight) local(f *Finding) {
	f.Says = `local: chronyd follows the clock itself: "local" is in chrony.conf, and ` + s.reason()
	f.Costs = "chronyd reports no error at all, whatever the truth is; the bound is +Inf"
	f.Mend = `remove "local" from chrony.conf (it is for servers of an isolated network) and restart chronyd. Then: `
	if d := s.node.conf.last("local"); d != nil {
		f.Mend = fmt.Sprintf("remove %q (%s; it is for servers of an isolated network) and restart chronyd. Then: ", d, d.where)
	}
	mend, run := s.remedy()
	f.Mend += mend
	f.Run = run
}

// reason says why chronyd has no source to follow.
func (s *sight) reason() string { why, _, _ := s.trouble(); return why }

// remedy says what to do about that.
func (s *sight) remedy() (mend, run string) { _, mend, run = s.trouble(); return mend, run }

// trouble says why no source is followed, what to do about it, and the command that
// tells more. It names the first obstacle that they meet.
func (s *sight) trouble() (why, mend, run string) {
	sources := s.Report.Sources
	if a := s.Report.Activity; a != nil && a.Offline > 0 && a.Online == 0 {
		return "its sources are offline", "bring them online; whatever took them offline (a network script, mostly) must do so at boot", "chronyc online"
	}
	switch {
	case s.Report.Activity != nil && s.Report.Activity.Unresolved > 0 && s.all(unresolved):
		return "the names of its sources have no addresses", "mend the name resolution of the node, or name the sources by address", "getent hosts " + s.configuredName()
	case sources == nil:
		return "chronyd does not tell what its sources are", openTracking, "chronyc -n sources"
	case len(sources) == 0:
		return "it has no source at all", addSource, runConf
	case s.all(func(c chrony.Source) bool { return c.Reach == 0 }):
		return "none of its sources answers", "let UDP port 123 through to them (firewall, network security group), or name sources that can be reached: " + names(sources), "chronyc -n ntpdata; chronyc activity"
	case s.any(falseticker) && !s.any(followed):
		return s.disagreement(), "find out which one is right (compare them with a server that you trust), remove the wrong one, and have at least three, better four", "chronyc -n sources; chronyc selectdata"
	case s.any(func(c chrony.Source) bool { return c.State == chrony.StateJittery }):
		return "its sources are too variable", "name sources that are nearer, or raise maxjitter in chrony.conf", "chronyc -n sourcestats"
	case s.all(func(c chrony.Source) bool { return c.SampleAge == chrony.Never }):
		return "no source has given a valid sample, though some answer" + s.badReplies(), "see which test their replies fail; maxdelay and its kin in chrony.conf are limits that may be too low", "chronyc -n ntpdata"
	default:
		return "none of its sources is good enough, or it has only just begun: " + s.whyNot(), "wait a minute; if it stays so, name better sources", "chronyc -n sources; chronyc selectdata"
	}
}

// badReplies says what is wrong with the replies of the sources, where chronyd tells.
func (s *sight) badReplies() (all string) {
	for _, c := range s.Report.Sources {
		if text := replies(c); text != "" {
			all += "; " + nameOf(c) + ": " + text
		}
	}
	return all
}

const addSource = "name at least one source in chrony.conf and restart chronyd: on Azure \"refclock PHC /dev/ptp_hyperv poll 3 dpoll -2 offset 0 stratum 2\", else \"pool SERVER iburst\""

func (s *sight) any(is func(chrony.Source) bool) bool { return len(s.having(is)) > 0 }

func (s *sight) all(are func(chrony.Source) bool) bool {
	return len(s.having(are)) == len(s.Report.Sources)
}

func (s *sight) having(property func(chrony.Source) bool) (with []chrony.Source) {
	for _, c := range s.Report.Sources {
		if property(c) {
			with = append(with, c)
		}
	}
	return with
}

func unresolved(c chrony.Source) bool { return c.Address.ID != 0 && !c.Address.IP.IsValid() }

func followed(c chrony.Source) bool { return c.State == chrony.StateSelected }

func falseticker(c chrony.Source) bool { return c.State == chrony.StateFalseticker }

// configuredName is that of the first source without an address. Before 4.0 chronyd
// does not list those.
func (s *sight) configuredName() string {
	for _, c := range s.having(unresolved) {
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

// nameOf is a source's name in chrony.conf with its address, where the two differ.
func nameOf(c chrony.Source) string {
	switch {
	case unresolved(c) && c.ConfiguredName != "":
		return c.ConfiguredName
	case c.ConfiguredName != "" && c.ConfiguredName != c.Name():
		return c.Name() + " (" + c.ConfiguredName + ")"
	default:
		return c.Name()
	}
}

// whyNot gives chronyd's own reasons for not selecting its sources.
func (s *sight) whyNot() string {
	var why []string
	for _, c := range s.Report.Sources {
		why = append(why, nameOf(c)+" "+Standing(c))
	}
	return strings.Join(why, "; ")
}

// disagreement says how far apart the sources are, and what each claims.
func (s *sight) disagreement() string {
	sampled := s.having(func(c chrony.Source) bool { return c.SampleAge != chrony.Never })
	low, high := math.Inf(1), math.Inf(-1)
	var claims []string
	for _, c := range sampled {
		low, high = min(low, c.AdjustedOffset), max(high, c.AdjustedOffset)
		claims = append(claims, nameOf(c)+" says that "+claim(c))
	}
	return fmt.Sprintf("its sources disagree by %s, and no majority can be found: %s", clockerror.Format(high-low), strings.Join(claims, ", "))
}

// claim is what a source says of the clock.
func claim(c chrony.Source) string {
	return fmt.Sprintf("the clock is %s (± %s)", side(c.AdjustedOffset), clockerror.Format(c.OffsetError))
}

// side writes an offset in words. Above zero, the clock is ahead.
func side(offset float64) string {
	if offset > 0 {
		return size(offset) + " ahead"
	}
	return size(-offset) + " behind"
}

// size writes how large something is. Unlike a bound, it is not to be rounded up from
// 3600.1 s to 3610 s.
func size(seconds float64) string {
	if seconds < 1 {
		return clockerror.Format(seconds)
	}
	return fmt.Sprintf("%.6g s", seconds)
}

// largeOffset, in seconds, is a correction that a healthy chronyd does not leave
// to be slewed: nine hundred times the noise of a bad network.
const largeOffset = 0.1

// maxSlewRate is how fast chronyd corrects the clock at most, in ppm (maxslewrate in
// chrony.conf).
const maxSlewRate = 83333.333

// checkOffset tells of a large correction that is under way.
func checkOffset(s *sight) []Finding {
	if !s.Estimate.HasBound() || abs(s.Report.Tracking.SystemTime) < largeOffset {
		return nil
	}
	offset := -s.Report.Tracking.SystemTime // above zero, the clock is ahead
	f := Finding{
		Verdict: Wrong,
		Check:   "offset",
		Says:    fmt.Sprintf("the clock is %s; chronyd slews that away, which takes %s at least", side(offset), age(math.Ceil(abs(offset)/maxSlewRate*1e6))),
		Costs:   "programs see a wrong time meanwhile, and seconds that are longer or shorter by up to 8 %",
		Mend:    `step it now, if the programs on this node bear that; and have chronyd do so: "makestep 1.0 -1" in chrony.conf lets it step whatever is above 1 s at any time`,
		Run:     "chronyc makestep",
	}
	if p := s.node.chronyd(); p != nil && !p.apart && hasFlag(p.args, 'x') {
		f.Says = fmt.Sprintf("the clock is %s, and stays so: chronyd runs with -x, which leaves the clock alone", side(offset))
		f.Mend, f.Run = "start chronyd without -x", "systemctl cat chrony chronyd"
	}
	return []Finding{f}
}

// hasFlag reports whether a flag of one letter is among a program's arguments.
func hasFlag(args []string, flag rune) bool {
	for _, arg := range args[min(1, len(args)):] {
		if strings.HasPrefix(arg, "-") && !strings.HasPrefix(arg, "--") && strings.ContainsRune(arg, flag) {
			return true
		}
	}
	return false
}

// age writes a time that has passed, in the two largest units.
func age(seconds float64) string {
	if math.IsInf(seconds, 0) || math.IsNaN(seconds) {
		return "an unknown time"
	}
	units := []struct {
		name string
		size int64
	}{{"d", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}}
	left := int64(seconds)
	for i, u := range units {
		if left < u.size {
			continue
		}
		text := fmt.Sprintf("%d %s", left/u.size, u.name)
		if i+1 < len(units) && left%u.size >= units[i+1].size {
			text += fmt.Sprintf(" %d %s", left%u.size/units[i+1].size, units[i+1].name)
		}
		return text
	}
	return "0 s"
}
