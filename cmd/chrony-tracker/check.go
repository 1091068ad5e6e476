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
}

func checkCommand(app *kingpin.Application, shared *sharedFlags) command {
	clause := app.Command("check", "Compare the bound with limits, for a monitoring system.")
	clause.HelpLong(`Prints one line with performance data for Nagios, Icinga and others. With --format=npd, it prints one short line for Kubernetes' node-problem-detector. A clock without a bound is critical, because its error is unknown. This includes a chronyd that does not answer. A clock that measurements contradict is at least a warning, even if its bound is small.

A check does not include a step or slew by another program since chronyd's last update. The tracker (serve) sees both.

Exit status: 0 OK, 1 warning, 2 critical, 3 unknown (a mistake in the command line, or no permission to ask chronyd).
With --format=npd: 0 OK, 1 not OK (critical), 2 unknown.

Examples:

  chrony-tracker check --warning=10ms --critical=50ms
  chrony-tracker check -w 100us -c 1ms --clock.reference-error=50us
  chrony-tracker check --critical=50ms --format=npd`)
	var f checkFlags
	clause.Flag("warning", "The check is a warning if the bound is above this.").Short('w').Default("10ms").IsSetByUser(&f.warningGiven).DurationVar(&f.warning)
	clause.Flag("critical", "The check is critical if the bound is above this.").Short('c').Default("50ms").DurationVar(&f.critical)
	clause.Flag("format", "plugin for Nagios and Icinga, npd for Kubernetes' node-problem-detector.").Default("plugin").EnumVar(&f.format, "plugin", "npd")
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
	t, err := shared.newTracker(tracker.Config{Want: chrony.WantNTPData})
	if err != nil {
		return err
	}
	snapshot := t.Snapshot(ctx)
	t.Close()
	if f.format == "npd" {
		return f.printNPD(out, f.judge(snapshot), status.New(snapshot))
	}
	return f.printPlugin(out, f.judge(snapshot), status.New(snapshot))
}

// judge compares the bound with the limits. A clock that nothing confirms is critical.
// A clock that measurements contradict is at least a warning.
func (f *checkFlags) judge(s *tracker.Snapshot) severity {
	switch bound := s.Estimate.Bound; {
	case errors.Is(s.Err, chrony.ErrPermission), errors.Is(s.Err, chrony.ErrUnauthorized):
		return severityUnknown // this program lacks a permission
	case !(bound <= f.critical.Seconds()):
		return severityCritical
	case bound > f.warning.Seconds(), s.Estimate.State == clockerror.Contradicted:
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
