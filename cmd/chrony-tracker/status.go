package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/status"
	"github.com/chrony-tracker/chrony-tracker/internal/terminal"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

type statusFlags struct {
	json, watch bool
	interval    time.Duration
	tracker     *trackerFlags // that is asked, too
}

func statusCommand(app *kingpin.Application, shared *sharedFlags) command {
	clause := app.Command("status", "Print how far off the clock can be now, and why.")
	clause.HelpLong(`Reads chronyd and prints how far off the clock can be, the parts of that, what the clock follows, all sources, and which reports chronyd refuses. It asks the tracker that runs on this node, if there is one, for the past: since when, the largest bounds, the latest events.

The bound is made of one reading of chronyd. It knows nothing of a step or slew by another program since chronyd's last update. The tracker (serve) sees those.

Exit status: 0 if chronyd answers, 1 if not, 2 for a mistake in the command line.

Examples:

  chrony-tracker status
  chrony-tracker status --watch                       # until q or Ctrl-C
  kubectl exec -it POD -- /chrony-tracker status --watch
  chrony-tracker status --json | jq .bound_seconds`)
	var f statusFlags
	clause.Flag("json", "Print it as JSON; what does not exist is null.").BoolVar(&f.json)
	clause.Flag("watch", "Show it again and again, in the same place.").Short('w').BoolVar(&f.watch)
	clause.Flag("interval", "How often it is shown anew, with --watch.").Short('n').Default("1s").DurationVar(&f.interval)
	f.tracker = addTrackerFlags(clause, "The tracker that is asked for what it has seen.", "http://127.0.0.1:9123")
	return command{clause: clause, run: func(ctx context.Context, out io.Writer) error { return printStatus(ctx, shared, &f, out) }}
}

func printStatus(ctx context.Context, shared *sharedFlags, f *statusFlags, out io.Writer) error {
	switch {
	case f.watch && f.json:
		return usageError{errors.New("--watch is for people, --json for scripts")}
	case f.watch && !terminal.IsTerminal(out):
		return usageError{errors.New("--watch takes a terminal; with kubectl exec it is -it that gives one")}
	case f.interval < minInterval:
		return usageError{fmt.Errorf("--interval=%v: must be %v at least", f.interval, minInterval)}
	}
	client, err := f.tracker.client()
	if err != nil {
		return err
	}
	t, err := shared.newTracker(tracker.Config{Want: chrony.WantNTPData | chrony.WantSelectData | chrony.WantSourceNames})
	if err != nil {
		return err
	}
	if f.watch {
		defer t.Close()
		return terminal.Refresh(ctx, os.Stdin, out, f.interval, func(w io.Writer, style terminal.Style) {
			terminal.Status(w, status.New(t.Snapshot(ctx)), style)
			askTracker(ctx, client, f.tracker.url, shared.timeout).past(w, style)
		})
	}
	snapshot := t.Snapshot(ctx)
	t.Close()                                                        // before printing: a closed pipe ends this process
	before := askTracker(ctx, client, f.tracker.url, shared.timeout) // it may not be running
	style := terminal.StyleOf(out)
	switch {
	case f.json:
		// Scripts want the state in any case; the exit status tells the rest.
		err = terminal.JSON(out, before.document(status.New(snapshot)))
	case snapshot.Err != nil && before.watch == nil: // neither the present nor the past is known
	default:
		err = terminal.Status(out, status.New(snapshot), style)
		if err == nil {
			err = before.past(out, style)
		}
	}
	if err == nil {
		err = snapshot.Err
	}
	return err
}

// minInterval protects chronyd from a mistyped interval.
const minInterval = 100 * time.Millisecond
