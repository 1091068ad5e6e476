package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/screen"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
	"github.com/chrony-tracker/chrony-tracker/internal/web"
)

type statusFlags struct {
	json, watch bool
	interval    time.Duration
	url         *url.URL // of the tracker that is asked, too
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
	trackerURL(clause.Flag("url", "The tracker that is asked for what it has seen.").Default("http://127.0.0.1:9123"), &f.url)
	return command{clause: clause, run: func(ctx context.Context, out io.Writer) error { return status(ctx, shared, &f, out) }}
}

func status(ctx context.Context, shared *sharedFlags, f *statusFlags, out io.Writer) error {
	switch {
	case f.watch && f.json:
		return usageError{errors.New("--watch is for people, --json for scripts")}
	case f.watch && !isTerminal(out):
		return usageError{errors.New("--watch takes a terminal; with kubectl exec it is -it that gives one")}
	case f.interval < minInterval:
		return usageError{fmt.Errorf("--interval=%v: must be %v at least", f.interval, minInterval)}
	}
	t, err := shared.newTracker(tracker.Config{Want: chrony.WantNTPData | chrony.WantSelectData | chrony.WantSourceNames})
	if err != nil {
		return err
	}
	if f.watch {
		defer t.Close()
		return refresh(ctx, out, f.interval, func(w io.Writer) {
			columns, _ := size(out)
			screen.Write(w, t.Snapshot(ctx), screen.Style{Width: columns, Colour: hasColour(out)})
			before, _ := askTracker(ctx, f.url, shared.timeout)
			writeSeen(w, before, f.url)
		})
	}
	snapshot := t.Snapshot(ctx)
	t.Close()                                           // before anything is printed: whoever reads it may be gone, and that ends this process
	before, _ := askTracker(ctx, f.url, shared.timeout) // it need not run
	return printStatus(out, snapshot, before, f)
}

// minInterval keeps a typing error from keeping chronyd busy.
const minInterval = 100 * time.Millisecond

// A statusDocument is the status with what a tracker has seen: null without one.
type statusDocument struct {
	web.Status
	Tracker *string         `json:"tracker"`
	Watch   json.RawMessage `json:"watch"`
	Events  []seenEvent     `json:"events"`
}

func printStatus(out io.Writer, snapshot *tracker.Snapshot, before *seen, f *statusFlags) error {
	if f.json {
		document := statusDocument{Status: web.NewStatus(snapshot)}
		if before != nil {
			document.Tracker, document.Watch, document.Events = &before.URL, before.Watch, before.Events
		}
		// Scripts want the state in any case; the exit status tells the rest.
		if err := printJSON(out, document); err != nil {
			return err
		}
		return snapshot.Err
	}
	if snapshot.Err != nil && before == nil {
		return snapshot.Err // nothing is known, then or now
	}
	if err := screen.Write(out, snapshot, screen.Style{Colour: hasColour(out)}); err != nil {
		return err
	}
	writeSeen(out, before, f.url)
	return snapshot.Err
}
