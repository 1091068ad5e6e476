package main

import (
	"context"
	"io"

	"github.com/alecthomas/kingpin/v2"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/doctor"
	"github.com/chrony-tracker/chrony-tracker/internal/terminal"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

func explainCommand(app *kingpin.Application, shared *sharedFlags) command {
	clause := app.Command("explain", "Explain why the bound is as large as it is, and what would make it smaller.")
	clause.HelpLong(`Shows the terms of the bound, the largest first. For each, it shows what makes it that large, such as a setting or the network, and what would make it smaller. If a tracker runs on this node, it also shows what the witnesses add.

Exit status: 0 if there is a bound, 1 if there is none, 2 for a mistake in the command line.

Examples:

  chrony-tracker explain
  chrony-tracker explain --chrony.address=unix:///run/chrony/chronyd.sock   # with all reports it explains more
  chrony-tracker explain --json | jq '.parts[0]'`)
	asJSON := clause.Flag("json", "Print JSON.").Bool()
	source := addTrackerFlags(clause, "The tracker to ask for its witnesses.", localTracker)
	return command{clause: clause, run: func(ctx context.Context, out io.Writer) error {
		config, err := shared.config(tracker.Config{Want: chrony.WantAll})
		if err != nil {
			return err
		}
		t := tracker.New(config)
		snapshot := t.Snapshot(ctx)
		t.Close()
		before, err := source.ask(ctx, shared.timeout)
		if err != nil {
			return err
		}
		explanation := doctor.Explain(snapshot, config.Assume, before.witnesses)
		if *asJSON {
			err = terminal.JSON(out, explanation)
		} else {
			err = terminal.Explanation(out, explanation, terminal.StyleOf(out))
		}
		if err == nil && explanation.Bound == nil {
			err = exitStatus(1)
		}
		return err
	}}
}
