package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/status"
	"github.com/chrony-tracker/chrony-tracker/internal/terminal"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// A severity is the result for a monitoring system. Its value is the exit status.
type severity int

const (
	severityOK severity = iota
	severityWarning
	severityCritical
	severityUnknown
)

func (s severity) String() string {
	return [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[s]
}

type checkFlags struct {
	warning, critical time.Duration
	warningGiven      bool
	format            string
	tracker           *trackerFlags
}

func checkCommand(app *kingpin.Application, shared *sharedFlags) command {
	clause := app.Command("check", "Compare the bound with limits, for a monitoring system.")
	clause.HelpLong(`Prints one line with performance data for Nagios, Icinga and others. With --format=npd, it prints one short line for Kubernetes' node-problem-detector. A clock without a bound is critical, because its error is unknown. This includes a chronyd that does not answer. A clock that measurements contradict is at least a warning, even if its bound is small.

It asks chronyd. chronyd does not know a step or slew by another program since its last update, and it has no witnesses. With --url it asks a tracker, which sees all of these. Peers without a key do not count, unless the tracker has --witness.trust-peers.

Exit status: 0 OK, 1 warning, 2 critical, 3 unknown (a mistake in the command line, no permission to ask chronyd, or no answer from the tracker).
With --format=npd: 0 OK, 1 not OK (critical), 2 unknown.

Examples:

  chrony-tracker check --warning=10ms --critical=50ms
  chrony-tracker check -w 100us -c 1ms --clock.reference-error=50us
  chrony-tracker check --critical=50ms --format=npd
  chrony-tracker check --url=http://127.0.0.1:9123`)
	var f checkFlags
	clause.Flag("warning", "The check is a warning if the bound is above this.").Short('w').Default("10ms").IsSetByUser(&f.warningGiven).DurationVar(&f.warning)
	clause.Flag("critical", "The check is critical if the bound is above this.").Short('c').Default("50ms").DurationVar(&f.critical)
	clause.Flag("format", "plugin for Nagios and Icinga, npd for Kubernetes' node-problem-detector.").Default("plugin").EnumVar(&f.format, "plugin", "npd")
	f.tracker = addTrackerFlags(clause, "Ask the tracker at this address instead of chronyd, such as http://127.0.0.1:9123.")
	return command{
		clause: clause,
		run:    func(ctx context.Context, out io.Writer) error { return check(ctx, shared, &f, out) },
		failed: f.failed,
	}
}

// failed reports to the monitoring system that the check could not run.
func (f *checkFlags) failed(out io.Writer, err error) exitStatus {
	if f.format == "npd" {
		fmt.Fprintln(out, shorten(terminal.Line("clock unknown: "+err.Error()), longestMessage))
		return npdUnknown
	}
	fmt.Fprintln(out, pluginText(severityUnknown, err.Error()))
	return exitStatus(severityUnknown)
}

// pluginText is what a plugin prints before the bar. It must not contain a bar itself.
func pluginText(severity severity, text string) string {
	return fmt.Sprintf("CLOCK %s - %s", severity, terminal.Line(strings.ReplaceAll(text, "|", "/")))
}

func check(ctx context.Context, shared *sharedFlags, f *checkFlags, out io.Writer) error {
	if !f.warningGiven {
		f.warning = min(f.warning, f.critical)
	}
	if f.warning < 0 || f.critical < f.warning {
		return usageError{fmt.Errorf("--warning=%v --critical=%v: both must be at least zero, and the second at least the first", f.warning, f.critical)}
	}
	now, problem, err := f.ask(ctx, shared)
	if err != nil {
		return err
	}
	if f.format == "npd" {
		return f.printNPD(out, f.judge(now, problem), now)
	}
	return f.printPlugin(out, f.judge(now, problem), now)
}

// ask asks chronyd or a tracker. The problem is why chronyd gave no answer.
func (f *checkFlags) ask(ctx context.Context, shared *sharedFlags) (now status.Status, problem, err error) {
	if f.tracker.url != nil {
		client, err := f.tracker.client()
		if err != nil {
			return now, nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, shared.timeout+seenPatience)
		defer cancel()
		answer, err := askNow(ctx, client, f.tracker.url)
		if err != nil {
			return now, nil, asking(err)
		}
		now, err = answer.forPrograms()
		return now, nil, err
	}
	t, err := shared.newTracker(tracker.Config{Want: chrony.WantNTPData})
	if err != nil {
		return now, nil, err
	}
	snapshot := t.Snapshot(ctx)
	t.Close()
	return status.New(snapshot), snapshot.Err, nil
}

// judge compares the bound with the limits. A clock that nothing confirms is critical.
// A clock that measurements contradict is at least a warning.
func (f *checkFlags) judge(now status.Status, problem error) severity {
	switch bound := now.Bound; {
	case errors.Is(problem, chrony.ErrPermission), errors.Is(problem, chrony.ErrUnauthorized):
		return severityUnknown // this program lacks a permission
	case bound == nil || !(*bound <= f.critical.Seconds()):
		return severityCritical
	case *bound > f.warning.Seconds(), now.State == clockerror.Contradicted:
		return severityWarning
	default:
		return severityOK
	}
}

// printPlugin follows the guidelines of the Monitoring Plugins: text, a bar, and
// values with their limits. U is a value that does not exist.
func (f *checkFlags) printPlugin(out io.Writer, severity severity, s status.Status) error {
	text, value := s.Short(), "U"
	if s.Source != nil {
		text += ", follows " + s.Source.Name
	}
	line := pluginText(severity, text)
	if s.Bound != nil {
		value = decimal(*s.Bound) + "s"
	}
	line += fmt.Sprintf(" | bound=%s;%s;%s;0", value, decimal(f.warning.Seconds()), decimal(f.critical.Seconds()))
	if s.Terms != nil {
		for term, seconds := range s.Terms.All() {
			line += fmt.Sprintf(" %s=%ss;;;0", term, decimal(seconds))
		}
	}
	if _, err := fmt.Fprintln(out, line); err != nil {
		return err
	}
	return exitStatus(severity)
}

// decimal formats a number rounded up to nanoseconds. It uses no exponent, because the
// guidelines don't allow one.
func decimal(v float64) string {
	const nanosecond, digits = 1e-9, 1e-3
	return strconv.FormatFloat(max(0, math.Ceil(v/nanosecond-digits))*nanosecond, 'f', 9, 64)
}

// longestMessage is the longest plugin output that the node-problem-detector accepts by
// default (max_output_length), in bytes.
const longestMessage = 80

// The exit statuses of the node-problem-detector. It has no warning, so a contradicted
// clock within the limit is OK. The line mentions it.
const (
	npdOK exitStatus = iota
	npdNotOK
	npdUnknown
)

func (f *checkFlags) printNPD(out io.Writer, severity severity, s status.Status) error {
	line, answer := s.Short(), npdOK
	switch severity {
	case severityCritical:
		answer = npdNotOK
		if s.Bound != nil {
			line += fmt.Sprintf(" (limit %s)", status.Seconds(f.critical.Seconds()))
		}
	case severityUnknown:
		answer = npdUnknown
	}
	if _, err := fmt.Fprintln(out, shorten(terminal.Line("clock "+line), longestMessage)); err != nil {
		return err
	}
	return answer
}

// shorten cuts a text to a maximum number of bytes, between two characters.
func shorten(s string, bytes int) string {
	if len(s) <= bytes {
		return s
	}
	end := 0
	for i := range s {
		if i > bytes {
			break
		}
		end = i
	}
	return s[:end]
}
