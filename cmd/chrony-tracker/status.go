package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/alecthomas/kingpin/v2"

	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
	"github.com/chrony-tracker/chrony-tracker/internal/web"
)

func statusCommand(app *kingpin.Application, shared *sharedFlags) command {
	clause := app.Command("status", "Print what a scrape would show now.")
	clause.HelpLong(`Reads chronyd once and prints how wrong the clock can be, the parts of that, what the clock follows, and what chronyd refuses to tell.

Exit status: 0 if chronyd answers, 1 if not, 2 for a mistake in the command line.

Examples:

  chrony-tracker status
  kubectl exec POD -- /chrony-tracker status
  chrony-tracker status --json | jq .bound_seconds`)
	asJSON := clause.Flag("json", "Print it as JSON; what does not exist is null.").Bool()
	return command{clause: clause, run: func(ctx context.Context, out io.Writer) error { return status(ctx, shared, *asJSON, out) }}
}

func status(ctx context.Context, shared *sharedFlags, asJSON bool, out io.Writer) error {
	config, err := shared.config(tracker.Config{})
	if err != nil {
		return err
	}
	t := tracker.New(config)
	snapshot := t.Snapshot(ctx)
	t.Close() // before anything is printed: whoever reads it may be gone, and that ends this process
	s := web.NewStatus(snapshot)
	if asJSON {
		// Scripts want the state in any case; the exit status tells the rest.
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(s); err != nil {
			return err
		}
		return snapshot.Err
	}
	if snapshot.Err != nil {
		return snapshot.Err
	}
	return printStatus(out, s)
}

func printStatus(out io.Writer, s web.Status) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "%s\n\n", s.Verdict())
	for _, row := range s.Rows() {
		indent := ""
		if row.Term {
			indent = "  "
		}
		fmt.Fprintf(table, "%s%s\t%s\t%s\n", indent, row.Label, row.Value, row.Note)
	}
	return table.Flush()
}
