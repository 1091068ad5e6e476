package doctor

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strings"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/status"
)

// checkSources reports what is wrong with each source, and whether there are enough
// sources.
func checkSources(s *facts) (findings []Finding) {
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

// source judges one source. A lost source is only a note while the clock follows
// another one.
func (s *facts) source(c chrony.Source) Finding {
	const notFollowed = "the clock can't follow it"
	f := Finding{Verdict: Fine, Check: "source " + nameOf(c), Summary: status.Standing(c)}
	lost := Note
	if !s.any(followed) || s.Estimate.State == clockerror.Holdover || c.State == chrony.StateSelected {
		lost = Wrong
	}
	switch {
	case falseticker(c) && !s.any(followed):
		f.Verdict = Note
		f.Summary = "not used: no majority agrees with it: " + claim(c)
	case falseticker(c):
		f.Verdict = Wrong
		f.Summary += ": " + claim(c) + s.others(c)
		f.Impact = "chronyd does not use it. With one more such source, the clock may follow them or nothing"
		f.Fix = fmt.Sprintf("find out why it is off: a wrong server, a leap smear, or a path that is slower in one direction. If that can't be fixed, remove %s from chrony.conf", c.Name())
		f.Command = "chronyc -n ntpdata " + c.Name()
	case status.IsUnresolved(c):
		f.Verdict = Wrong
		f.Impact = "chronyd never asks it"
		f.Fix, f.Command = "fix the name in chrony.conf, or the node's name resolution", "getent hosts "+nameOf(c)
	case c.Mode == chrony.ModeReferenceClock && c.Reach == 0:
		f.Verdict = lost
		f.Summary += lastSample(c)
		f.Impact = notFollowed
		f.Fix, f.Command = "check that its device exists and is the right one. chronyd's log says more", "ls -l /dev/ptp*; "+runUnit
	case c.Reach == 0:
		f.Verdict = lost
		f.Summary += lastSample(c)
		if more := replies(c); more != "" {
			f.Summary += "; " + more
		}
		f.Impact = notFollowed
		f.Fix, f.Command = "let UDP port 123 through to it (firewall, network security group), or remove it from chrony.conf", "chronyc -n ntpdata "+c.Name()
	case lostPolls(c.Reach) >= 2:
		f.Verdict = Note
		f.Summary += fmt.Sprintf("; %d of its last %d polls were lost", lostPolls(c.Reach), bits.Len8(c.Reach))
		f.Impact = "fewer samples, so a larger bound"
		f.Fix, f.Command = "use a server that is nearer or less busy", "chronyc -n ntpdata "+c.Name()
	}
	return f
}

// lostPolls counts the unanswered polls among the last eight, since the first answered
// one.
func lostPolls(reach uint8) int { return bits.Len8(reach) - bits.OnesCount8(reach) }

func lastSample(c chrony.Source) string {
	if c.SampleAge == chrony.Never {
		return "; it never gave a good sample"
	}
	return "; its last good sample is " + status.Duration(c.SampleAge.Seconds()) + " old"
}

// replies describes what happens to the packets to a source, if chronyd reports that.
func replies(c chrony.Source) string {
	n := c.NTP
	switch {
	case n == nil:
		return ""
	case n.TotalTx == 0:
		return "chronyd has sent nothing to it"
	case n.TotalRx == 0:
		return fmt.Sprintf("chronyd sent %d packets to it and got no answer", n.TotalTx)
	case n.TotalValid == 0:
		return fmt.Sprintf("none of its %d packets is a valid reply: is it an NTP server, with the right key?", n.TotalRx)
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

// others describes what the followed source claims instead.
func (s *facts) others(c chrony.Source) string {
	for _, o := range s.Report.Sources {
		if o.State == chrony.StateSelected {
			return fmt.Sprintf(", %s from the time of %s", status.Seconds(math.Abs(c.AdjustedOffset-o.AdjustedOffset)), nameOf(o))
		}
	}
	return ""
}

// authentication finds a source whose authentication fails.
func authentication(c chrony.Source) (f Finding, ok bool) {
	if c.Auth == nil || c.Auth.Mode != chrony.AuthNTS || c.Auth.Cookies > 0 {
		return f, false
	}
	return Finding{
		Verdict: Wrong, Check: "NTS of " + nameOf(c), Summary: fmt.Sprintf("no keys could be established (attempts: %d)", c.Auth.KEAttempts),
		Impact:  "chronyd does not use the source",
		Fix:     "let TCP port 4460 through to it, and check that its certificate is valid and trusted. A clock that is far off makes every certificate invalid (nocerttimecheck 1)",
		Command: "chronyc -n authdata; journalctl -u chrony -u chronyd -n 20",
	}, true
}

const moreSources = "use at least three sources in chrony.conf. Four are better"

// redundancy finds too few sources. A single source is never contradicted. If two
// disagree, it is unknown which is accurate.
func (s *facts) redundancy() (f Finding, ok bool) {
	sources := s.having(func(c chrony.Source) bool { return !status.IsUnresolved(c) })
	f = Finding{Verdict: Note, Check: "number of sources"}
	switch {
	case len(sources) == 1 && sources[0].Mode == chrony.ModeReferenceClock:
		f.Summary = "one, a reference clock, as on AKS nodes"
		f.Impact = "nothing on this node would detect an error of that clock. If it stops, the node's clock drifts"
		f.Fix = `add NTP servers to compare it with, such as "pool SERVER iburst noselect"`
	case len(sources) == 1:
		f.Summary = "one"
		f.Impact = "nothing would detect an error of that source. If it stops, the clock drifts"
		f.Fix = moreSources
	case len(sources) == 2:
		f.Summary = "two"
		f.Impact = "if they disagree, chronyd cannot decide between them and follows neither"
		f.Fix = moreSources
	default:
		return f, false
	}
	if len(sources) == 1 {
		s.adviseWitnesses(&f)
	}
	return f, true
}

// reference finds a bound that ends at a clock whose error is unknown.
func (s *facts) reference() (findings []Finding) {
	if !s.Estimate.Untraced {
		return nil
	}
	if s.Report.Tracking.Stratum == 1 && s.phcSource() {
		findings = append(findings, Finding{
			Verdict: Note, Check: "stratum", Summary: "1, as if this node had an accurate time source: the refclock line lacks \"stratum 2\"",
			Impact:  "nothing, unless this node serves time: its clients would prefer it",
			Fix:     `add "stratum 2" to the refclock line of chrony.conf, as Azure advises`,
			Command: runStart,
		})
	}
	if within, by := s.tracked.Witnesses.Proof(); within != "" {
		return append(findings, Finding{Verdict: Fine, Check: "traced to UTC", Summary: within + ", by " + by + ". The bound itself is relative to " + s.sourceName()})
	}
	f := Finding{
		Verdict: Note, Check: "traced to UTC", Summary: "no: " + s.status().UntracedNote(),
		Impact: "the bound is relative to that clock and does not include its error. The error of an Azure host's clock can be larger than the bound",
		Fix:    "set --clock.reference-error to the largest error of that clock, and compare it with NTP servers",
	}
	if s.Estimate.ServerLocal {
		f.Impact = "the bound does not include the error of that server"
		f.Fix = "find out why the server follows no source of its own, or follow servers that follow UTC"
		f.Command = "chronyc -n ntpdata " + s.sourceName()
	}
	return append(findings, f)
}

const openReports = "opencommands activity authdata ntpdata rtcdata selectdata serverstats smoothing sourcename sources sourcestats tracking"

const openTracking = "opencommands in chrony.conf does not allow it. Set it to: " + openReports

// checkReports lists the reports that chronyd refuses. It is fine if chronyd has
// nothing to report.
func checkReports(s *facts) []Finding {
	if s.Report == nil {
		return nil
	}
	var read, closed, unknown, idle []string // idle: nothing to report
	for _, want := range s.Report.Want.Each() {
		switch err := s.Report.Refused[want]; {
		case err == nil && s.Report.Given&want != 0:
			read = append(read, want.String())
		case errors.Is(err, chrony.ErrUnauthorized):
			closed = append(closed, want.String())
		case errors.Is(err, chrony.ErrUnknownCommand):
			unknown = append(unknown, want.String())
		case err != nil:
			idle = append(idle, want.String())
		}
	}
	findings := []Finding{{Verdict: Fine, Check: "reports", Summary: "read over " + s.Report.Address + ": " + strings.Join(read, ", ")}}
	if idle != nil {
		findings[0].Summary += "; nothing to report: " + strings.Join(idle, ", ")
	}
	if closed != nil {
		f := Finding{
			Verdict: Note, Check: "reports", Summary: "refused over " + s.Report.Address + ": " + strings.Join(closed, ", "),
			Impact:  "their metrics are missing. Without selectdata, the reason why a source is not used is missing too",
			Fix:     fmt.Sprintf("with chrony 4.7 or later, add %q to chrony.conf and restart chronyd. Older versions give them only on the Unix socket, which also gives control over the clock", openReports),
			Command: "chronyd --version",
		}
		switch {
		case s.Report.Refused[chrony.WantTracking] != nil:
			f.Verdict, f.Impact = Wrong, noAnswer
			f.Fix = openTracking
		case s.Report.Refused[chrony.WantSources] != nil:
			f.Verdict, f.Impact = Wrong, "chronyd's last sample is unknown. The bound is an estimate, and only the reference time shows holdover"
			f.Fix = openTracking
		}
		findings = append(findings, f)
	}
	if unknown != nil {
		findings = append(findings, Finding{
			Verdict: Note, Check: "reports", Summary: "unknown to this chronyd: " + strings.Join(unknown, ", "),
			Impact: "their metrics are missing",
			Fix:    "chrony 4.0 or later has all of them",
		})
	}
	return findings
}
