package main

import (
	"context"
	"errors"
	"io"
	"syscall"

	"github.com/alecthomas/kingpin/v2"

	"github.com/chrony-tracker/chrony-tracker/internal/doctor"
	"github.com/chrony-tracker/chrony-tracker/internal/terminal"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
	"github.com/chrony-tracker/chrony-tracker/internal/witness"
)

func doctorCommand(app *kingpin.Application, shared *sharedFlags) command {
	clause := app.Command("doctor", "Find what is wrong with the clock, with chronyd or with reading it, and print the fix.")
	clause.HelpLong(`Tries every way to reach chronyd, and every report. Inspects the sources, the PTP clocks, the kernel's clock, other time programs and its own permissions. If a tracker runs on this node, asks it about its witnesses. If it can't see something, for example in a pod, it prints the command to run on the node.

Exit status: 0 if nothing is wrong, 1 if something is, 2 for a mistake in the command line.

Examples:

  chrony-tracker doctor
  kubectl exec POD -- /chrony-tracker doctor
  chrony-tracker doctor --chrony.address=unix:///run/chrony/chronyd.sock
  chrony-tracker doctor --json | jq '.findings[] | select(.verdict == "wrong")'`)
	asJSON := clause.Flag("json", "Print JSON.").Bool()
	phc := phcFlag(clause)
	source := addTrackerFlags(clause, "The tracker to ask for its witnesses.", localTracker)
	keyFile := clause.Flag("witness.key-file", "The tracker's key file, to check that it can be read.").String()
	shm := shmFlag(clause).String()
	return command{clause: clause, run: func(ctx context.Context, out io.Writer) error {
		config, err := shared.config(tracker.Config{PHC: *phc})
		if err != nil {
			return err
		}
		before, err := source.ask(ctx, shared.timeout)
		if err != nil {
			return err
		}
		tracked := doctor.Tracked{Answers: before.watch != nil, Witnesses: before.witnesses, KeyFile: *keyFile}
		if !errors.Is(before.err, syscall.ECONNREFUSED) { // else there is none
			tracked.Err = before.err
		}
		if *keyFile != "" {
			_, tracked.KeyError = witness.ReadKeys(*keyFile)
		}
		examination := doctor.Examine(ctx, shared.address, *shm, config, tracked)
		if *asJSON {
			err = terminal.JSON(out, examination)
		} else {
			err = terminal.Examination(out, examination, terminal.StyleOf(out))
		}
		if err == nil && !examination.Healthy {
			err = exitStatus(1)
		}
		return err
	}}
}
