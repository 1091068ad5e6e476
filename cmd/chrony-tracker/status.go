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
	tracker     *trackerFlags // that is also asked
}

func statusCommand(app *kingpin.Application, shared *sharedFlags) command {
	clause := app.Command("status", "Print how far off the clock can be now, and why.")
	clause.HelpLong(`Reads chronyd and prints how far off the clock can be, the terms of this bound, what the clock follows, all sources, and which reports chronyd refuses. If a tracker runs on this node, it also prints what the tracker has seen: how long the state has lasted, the largest bounds, and the latest events. It asks the tracker what its witnesses say, too. If they contradict the clock, the bound includes that.

The bound comes from one reading of chronyd. It does not include a step or slew by another program since chronyd's last update. The tracker (serve) sees both.

Exit status: 0 if chronyd answers, 1 if not, 2 for a mistake in the command line.

Examples:

  chrony-tracker status
  chrony-tracker status --watch                       # until q or Ctrl-C
  kubectl exec -it POD -- /chrony-tracker status --watch
  chrony-tracker status --json | jq .bound_seconds`)
	var f statusFlags
	clause.Flag("json", "Print JSON. A value that does not exist is null.").BoolVar(&f.json)
	clause.Flag("watch", "Refresh the output in place until q or Ctrl-C.").Short('w').BoolVar(&f.watch)
	clause.Flag("interval", "Time between two refreshes, with --watch.").Short('n').Default("1s").DurationVar(&f.interval)
	f.tracker = addTrackerFlags(clause, "The tracker to ask for what it has seen.", localTracker)
	return command{clause: clause, run: func(ctx context.Context, out io.Writer) error { return printStatus(ctx, shared, &f, out) }}
}

func printStatus(ctx context.Context, shared *sharedFlags, f *statusFlags, out io.Writer) error {
	switch {
	case f.watch && f.json:
		return usageError{errors.New("use --watch or --json, not both")}
	case f.watch && !terminal.IsTerminal(out):
		return usageError{errors.New("--watch needs a terminal. With kubectl exec, use -it")}
	case f.interval < minInterval:
		return usageError{fmt.Errorf("--interval=%v: must be at least %v", f.interval, minInterval)}
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
		return terminal.Refresh(ctx, os.Stdin, out, f.interval, func(ctx context.Context, w io.Writer, style terminal.Style) {
			snapshot := t.Snapshot(ctx)
			before := askTracker(ctx, client, f.tracker.url, shared.timeout)
			terminal.Status(w, status.Heard(snapshot, before.witnesses), style)
			before.past(w, style)
		})
	}
	snapshot := t.Snapshot(ctx)
	t.Close()                                                        // before printing: a closed pipe ends this process
	before := askTracker(ctx, client, f.tracker.url, shared.timeout) // it may not be running
	now, style := status.Heard(snapshot, before.witnesses), terminal.StyleOf(out)
	switch {
	case f.json:
		// Scripts need the state in any case. The exit status shows the rest.
		err = terminal.JSON(out, before.document(now))
	case snapshot.Err != nil && before.watch == nil: // there is nothing to show
	default:
		err = terminal.Status(out, now, style)
		if err == nil {
			err = before.past(out, style)
		}
	}
	if err == nil {
		err = snapshot.Err
	}
	return err
}

// minInterval protects chronyd from a mistyped interval, such as 1ms.
const minInterval = 100 * time.Millisecond
