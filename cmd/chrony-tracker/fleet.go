package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/chrony-tracker/chrony-tracker/internal/evidence"
	"github.com/chrony-tracker/chrony-tracker/internal/terminal"
)

type fleetFlags struct {
	*storeFlags
	most        int
	json, watch bool
	interval    time.Duration
}

func fleetCommand(app *kingpin.Application) command {
	clause := app.Command("fleet", "Show the worst clocks of all nodes now.")
	clause.HelpLong(`Asks a Prometheus-compatible store for the nodes with the largest bounds and their terms, how far apart the two worst clocks of a cluster can be, and which nodes are contradicted or have no tracker.

Exit status: 0 if the store answers, 1 if not, 2 for a mistake in the command line.

Examples:

  chrony-tracker fleet --prometheus.url=http://prometheus:9090
  chrony-tracker fleet --prometheus.url=http://prometheus:9090 --watch
  chrony-tracker fleet --prometheus.url=http://prometheus:9090 --json | jq .worst`)
	f := &fleetFlags{storeFlags: addStoreFlags(clause)}
	clause.Flag("top", "How many of the worst nodes to show.").NoEnvar().Default("10").IntVar(&f.most)
	clause.Flag("json", "Print it as JSON; what does not exist is null.").NoEnvar().BoolVar(&f.json)
	clause.Flag("watch", "Show it again and again, in the same place.").NoEnvar().Short('w').BoolVar(&f.watch)
	clause.Flag("interval", "How often it is shown anew, with --watch.").NoEnvar().Short('n').Default("15s").DurationVar(&f.interval)
	return command{clause: clause, run: func(ctx context.Context, out io.Writer) error { return fleet(ctx, f, out) }}
}

func fleet(ctx context.Context, f *fleetFlags, out io.Writer) error {
	switch {
	case f.watch && f.json:
		return usageError{errors.New("--watch is for people, --json for scripts")}
	case f.watch && !terminal.IsTerminal(out):
		return usageError{errors.New("--watch takes a terminal; with kubectl exec it is -it that gives one")}
	case f.interval < time.Second:
		return usageError{fmt.Errorf("--interval=%v: must be 1s at least", f.interval)}
	case f.most < 1:
		return usageError{fmt.Errorf("--top=%d: must be above zero", f.most)}
	}
	store, err := f.store()
	if err != nil {
		return err
	}
	request := evidence.Request{Cluster: f.cluster, Nodes: f.nodes, Expected: f.expected}
	if f.watch {
		return terminal.Refresh(ctx, os.Stdin, out, f.interval, func(ctx context.Context, w io.Writer, style terminal.Style) {
			now, err := store.Now(ctx, request, f.most)
			if err != nil {
				fmt.Fprintln(w, terminal.Line(err.Error()))
				return
			}
			terminal.Fleet(w, now, style)
		})
	}
	now, err := store.Now(ctx, request, f.most)
	if err != nil {
		return err
	}
	if f.json {
		return terminal.JSON(out, now)
	}
	return terminal.Fleet(out, now, terminal.StyleOf(out))
}
