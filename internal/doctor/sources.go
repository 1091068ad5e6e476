package doctor

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// checkSources tells what is the matter with each source, and whether there are
// enough of them.
func checkSources(s *sight) (findings []Finding) {
	if s.Report == nil || s.Report.Sources == nil {
		return nil
	}
	for _, c := range s.Report.Sources {
		findings = append(findings, s.source(c))
		if f, ok := authentication(c); ok {
			findings = append(findings, f)
		}
	}
	if f, ok := s.redundancy(); ok {
		findings = append(findings, f)
	}
	return append(findings, s.reference()...)
}

// source judges one source. A source that is lost is a note as long as the clock
// follows another.
func (s *sight) source(c chrony.Source) Finding {
	f := Finding{Verdict: Fine, Check: "source " + nameOf(c), Says: Standing(c)}
	lost := Note
	if !s.any(followed) || s.Estimate.State == clockerror.Holdover || c.State == chrony.StateSelected {
		lost = Wrong
	}
	switch {
	case falseticker(c) && !s.any(followed):
		f.Verdict = Note
		f.Says = "not used: no majority agrees with it: " + claim(c)
	case falseticker(c):
		f.Verdict = Wrong
		f.Says = "a falseticker: it disagrees with the majority of the sources: " + claim(c) + s.others(c)
		f.Costs = "chronyd does not use it; one more like it, and the clock may follow them or nothing"
		f.Mend = fmt.Sprintf("find out why it is off (a server that lies, a leap smear, a path that is slower one way); if it can't be mended, remove %s from chrony.conf", c.Name())
		f.Run = "chronyc -n ntpdata " + c.Name()
	case unresolved(c):
		f.Verdict = Wrong
		f.Says = "its name has no address"
		f.Costs = "it is never asked"
		f.Mend, f.Run = "mend the name in chrony.conf, or the node's name resolution", "getent hosts "+nameOf(c)
	case c.Mode == chrony.ModeReferenceClock && c.Reach == 0:
		f.Verdict = lost
		f.Says = "the reference clock gives no samples"
		f.Costs = "the clock can't follow it"
		f.Mend, f.Run = "see that its device exists and is the right one, and what chronyd's log says of it", "ls -l /dev/ptp*; "+runUnit
	case c.Reach == 0:
		f.Verdict = lost
		f.Says = "it has answered none of the last eight polls" + sampleAge(c)
		if more := replies(c); more != "" {
			f.Says += "; " + more
		}
		f.Costs = "the clock can't follow it"
		f.Mend, f.Run = "let UDP port 123 through to it (firewall, network security group), or remove it from chrony.conf", "chronyc -n ntpdata "+c.Name()
	case lostPolls(c.Reach) >= 2:
		f.Verdict = Note
		f.Says += fmt.Sprintf("; %d of its last %d polls were lost", lostPolls(c.Reach), bits.Len8(c.Reach))
		f.Costs = "fewer samples, so a larger bound"
		f.Mend, f.Run = "a server that is nearer or less busy", "chronyc -n ntpdata "+c.Name()
	}
	return f
}

// lostPolls counts the polls without an answer since the first one with an answer,
// of the last eight.
func lostPolls(reach uint8) int { return bits.Len8(reach) - bits.OnesCount8(reach) }

func sampleAge(c chrony.Source) string {
	if c.SampleAge == chrony.Never {
		return ", nor any before"
	}
	return ", the last good one " + age(c.SampleAge.Seconds()) + " ago"
}

// replies says what becomes of the packets to a source, where chronyd tells.
func replies(c chrony.Source) string {
	n := c.NTP
	switch {
	case n == nil:
		return ""
	case n.TotalTx == 0:
		return "nothing was sent to it"
	case n.TotalRx == 0:
		return fmt.Sprintf("of %d packets that were sent to it none came back", n.TotalTx)
	case n.TotalValid == 0:
		return fmt.Sprintf("none of the %d packets that came back is a valid reply: is it an NTP server, with the right key?", n.TotalRx)
	case n.Failed() != 0:
		return "its replies fail " + failedTests(n)
	default:
		return ""
	}
}

func failedTests(n *chrony.NTPData) string {
	var failed []string
	for _, t := range chrony.Tests {
		if n.Failed()&t.Test != 0 {
			failed = append(failed, t.Name)
		}
	}
	return "the test " + strings.Join(failed, ", ") + " (chronyc ntpdata)"
}

// others says what the source that is followed claims in its stead.
func (s *sight) others(c chrony.Source) string {
	for _, o := range s.Report.Sources {
		if o.State == chrony.StateSelected {
			return fmt.Sprintf(", %s from what %s says", clockerror.Format(abs(c.AdjustedOffset-o.AdjustedOffset)), nameOf(o))
		}
	}
	return ""
}

// selectReasons are chronyd's verdicts on a source in words.
var selectReasons = map[string]string{
	"noselect":         "not used: it has the option noselect",
	"missing_samples":  "not used yet: too few samples",
	"unsynchronized":   "not used: it says itself that it is not synchronised",
	"bad_stratum":      "not used: its stratum is above the local one",
	"distant":          "not used: its root distance is above maxdistance",
	"jittery":          "not used: its jitter is above maxjitter",
	"waits_for_stats":  "not used yet: other sources have no statistics yet",
	"stale":            "not used: its samples are old",
	"orphan":           "not used: another one of its stratum is followed",
	"untrusted":        "not used: it disagrees with the trusted ones",
	"falseticker":      "not used: it disagrees with the majority",
	"waits_for_others": "not used: fewer sources agree than minsources demands",
	"nonpreferred":     "in reserve: another one has the option prefer",
	"waits_for_update": "in reserve until its next sample",
	"too_distant":      "in reserve: its distance is far above another's",
	"outlier":          "in reserve: its offset is far from the others'",
	"combined":         "combined with the one that is followed",
	"selected":         "followed",
}

// stateReasons are the same where chronyd does not tell its reasons.
var stateReasons = map[chrony.SourceState]string{
	chrony.StateSelected:      "followed",
	chrony.StateNonselectable: "not used: unreachable, or too few samples",
	chrony.StateFalseticker:   "not used: it disagrees with the majority",
	chrony.StateJittery:       "not used: too variable",
	chrony.StateCombined:      "combined with the one that is followed",
	chrony.StateSelectable:    "in reserve",
}

// Standing says what chronyd thinks of a source, and why.
func Standing(c chrony.Source) string {
	if c.Address.ID != 0 {
		return "its name has no address: " + c.ConfiguredName
	}
	if c.Select != nil {
		if reason := selectReasons[c.Select.State.String()]; reason != "" {
			return reason
		}
	}
	return stateReasons[c.State]
}

// authentication tells of a source that can't prove who it is.
func authentication(c chrony.Source) (f Finding, ok bool) {
	if c.Auth == nil || c.Auth.Mode != chrony.AuthNTS || c.Auth.Cookies > 0 {
		return f, false
	}
	return Finding{
		Verdict: Wrong,
		Check:   "NTS of " + nameOf(c),
		Says:    fmt.Sprintf("no keys could be established (%d attempts)", c.Auth.KEAttempts),
		Costs:   "the source is not used",
		Mend:    "let TCP port 4460 through to it, and see that its certificate is valid and trusted; a clock that is far off makes every certificate invalid (nocerttimecheck 1)",
		Run:     "chronyc -n authdata; journalctl -u chrony -u chronyd -n 20",
	}, true
}

// redundancy tells of too few sources: with one nobody contradicts it, with two
// nobody can tell who is right.
func (s *sight) redundancy() (f Finding, ok bool) {
	sources := s.having(func(c chrony.Source) bool { return !unresolved(c) })
	f = Finding{Verdict: Note, Check: "number of sources"}
	switch {
	case len(sources) == 1 && sources[0].Mode == chrony.ModeReferenceClock:
		f.Says = "one, a reference clock: that is how AKS sets its nodes up"
		f.Costs = "nothing on this node would tell if that clock is wrong; if it stops, the clock drifts"
		f.Mend = `add NTP servers to compare it with, such as "pool SERVER iburst noselect"`
	case len(sources) == 1:
		f.Says = "one"
		f.Costs = "nothing would tell if it is wrong; if it stops, the clock drifts"
		f.Mend = "name at least three in chrony.conf, better four"
	case len(sources) == 2:
		f.Says = "two"
		f.Costs = "when they disagree, chronyd can't tell which is right, and follows neither"
		f.Mend = "name at least three in chrony.conf, better four"
	default:
		return f, false
	}
	return f, true
}

// reference tells that the bound ends at a clock whose error is unknown.
func (s *sight) reference() (findings []Finding) {
	if !s.Estimate.Untraced {
		return nil
	}
	if s.Report.Tracking.Stratum == 1 && s.phcSource() {
		findings = append(findings, Finding{
			Verdict: Note,
			Check:   "stratum",
			Says:    "1, as if this node had a time source of the best kind: the refclock line lacks \"stratum 2\"",
			Costs:   "nothing, unless the node serves time to others, who would then prefer it",
			Mend:    `add "stratum 2" to the refclock line of chrony.conf, as Azure advises`,
			Run:     runStart,
		})
	}
	f := Finding{
		Verdict: Note,
		Check:   "traced to UTC",
		Says:    fmt.Sprintf("no: the clock follows the reference clock %s, which chronyd takes for perfect", s.sourceName()),
		Costs:   "the bound is relative to that clock, whose own error is not in it; for the clock of an Azure host that can be more than all the rest",
		Mend:    "set --clock.reference-error to the largest error of that clock, and compare with NTP servers",
	}
	if s.Estimate.ServerLocal {
		f.Says = fmt.Sprintf("no: the server %s follows its own clock (reference ID 7F7F0101)", s.sourceName())
		f.Costs = "the bound is relative to that server, however far off the server is"
		f.Mend = "find out why the server follows no source of its own, or follow servers that follow UTC"
		f.Run = "chronyc -n ntpdata " + s.sourceName()
	}
	return append(findings, f)
}

const openReports = "opencommands activity authdata ntpdata rtcdata selectdata serverstats smoothing sourcename sources sourcestats tracking"

const openTracking = "opencommands in chrony.conf leaves it out; set it to: " + openReports

// checkReports tells which reports chronyd refuses. Some it has nothing to say in:
// that is no loss.
func checkReports(s *sight) []Finding {
	if s.Report == nil {
		return nil
	}
	var read, closed, unknown, idle []string // idle: nothing to tell
	for _, want := range s.Report.Want.Each() {
		switch err := s.Report.Refused[want]; {
		case err == nil && s.Report.Given&want != 0:
			read = append(read, want.String())
		case isErr(err, chrony.ErrUnauthorized):
			closed = append(closed, want.String())
		case isErr(err, chrony.ErrUnknownCommand):
			unknown = append(unknown, want.String())
		case err != nil:
			idle = append(idle, want.String())
		}
	}
	findings := []Finding{{Verdict: Fine, Check: "reports", Says: "read over " + s.Report.Address + ": " + strings.Join(read, ", ")}}
	if idle != nil {
		findings[0].Says += "; nothing to tell: " + strings.Join(idle, ", ")
	}
	if closed != nil {
		f := Finding{
			Verdict: Note,
			Check:   "reports",
			Says:    "refused over " + s.Report.Address + ": " + strings.Join(closed, ", "),
			Costs:   "their metrics are missing, and with selectdata the reason why a source is not used",
			Mend:    fmt.Sprintf("with chrony 4.7 or later, add %q to chrony.conf and restart chronyd; before that only the Unix socket gives them, which also gives control over the clock", openReports),
			Run:     "chronyd --version",
		}
		switch {
		case s.Report.Refused[chrony.WantTracking] != nil:
			f.Verdict, f.Costs = Wrong, "the clock's error is unknown: its state is unreachable and its bound +Inf"
			f.Mend = openTracking
		case s.Report.Refused[chrony.WantSources] != nil:
			f.Verdict, f.Costs = Wrong, "chronyd's last sample is unknown: the bound is an estimate, and holdover is judged by the reference time alone"
			f.Mend = openTracking
		}
		findings = append(findings, f)
	}
	if unknown != nil {
		findings = append(findings, Finding{
			Verdict: Note,
			Check:   "reports",
			Says:    "unknown to this chronyd: " + strings.Join(unknown, ", "),
			Costs:   "their metrics are missing",
			Mend:    "chrony 4.0 or later has them all",
		})
	}
	return findings
}
