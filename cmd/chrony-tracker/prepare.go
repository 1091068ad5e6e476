package main

import (
	"context"
	"fmt"
	"io"

	"github.com/alecthomas/kingpin/v2"

	"github.com/chrony-tracker/chrony-tracker/internal/clockbound"
)

func prepareCommand(app *kingpin.Application, _ *sharedFlags) command {
	clause := app.Command("prepare", "Make the directory for --clockbound.shm, as root in an init container.")
	clause.HelpLong(`Makes the directory of --clockbound.shm if it is missing, and gives it to the user that serve runs as. Other users can read it. It takes the directory from root only, and only if it contains no other files: another owner may be another program that publishes the bound.

serve needs no root. A node that has the directory, such as by systemd-tmpfiles, does not need this command.

Exit status: 0 if the directory is ready, 1 if not, 2 for a mistake in the command line.

Example:

  chrony-tracker prepare --clockbound.shm=/var/run/clockbound/shm0 --owner=65532`)
	var path string
	var owner int
	shmFlag(clause).Required().StringVar(&path)
	clause.Flag("owner", "User id that serve runs as.").Required().IntVar(&owner)
	return command{clause: clause, run: func(_ context.Context, out io.Writer) error {
		dir, err := clockbound.Prepare(path, owner)
		if err == nil {
			_, err = fmt.Fprintf(out, "%s belongs to user id %d\n", dir, owner)
		}
		return err
	}}
}
