// Chrony-tracker shows how far off this node's clock can be.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/promslog"
	promslogflag "github.com/prometheus/common/promslog/flag"
	"github.com/prometheus/common/version"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/terminal"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

const name = "chrony-tracker"

const about = `How far off can this node's clock be right now? Reads chronyd over its own monitoring protocol and publishes the answer to Prometheus.

Almost every flag is also an environment variable: --chrony.address is CHRONY_TRACKER_CHRONY_ADDRESS. The help of a command, such as chrony-tracker check --help, has examples.`

func init() {
	if info, ok := debug.ReadBuildInfo(); ok && version.Version == "" {
		version.Version = info.Main.Version // set by go install; make sets it itself
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// A command is one command of the program.
type command struct {
	clause *kingpin.CmdClause
	run    func(ctx context.Context, out io.Writer) error
	failed func(out io.Writer, err error) exitStatus // reports an error in the caller's format too; or nil
}

// run executes the command in the arguments and returns the exit status.
func run(ctx context.Context, args []string, out, problems io.Writer) int {
	app := kingpin.New(name, about).UsageWriter(out).ErrorWriter(problems).DefaultEnvars()
	app.Version(version.Print(name))
	app.HelpFlag.Short('h').NoEnvar().Help("Show the help of the program, or of the command before it.")
	app.VersionFlag.NoEnvar()
	addHelp(app)
	addCompletion()
	shared := addSharedFlags(app, problems)
	commands := []command{
		serveCommand(app, shared),
		statusCommand(app, shared),
		doctorCommand(app, shared),
		explainCommand(app, shared),
		checkCommand(app, shared),
		waitsyncCommand(app, shared),
		prepareCommand(app, shared),
		reportCommand(app),
		fleetCommand(app),
	}

	chosen, err := app.Parse(args)
	if err != nil {
		chosen, err = chosenDespite(app, args), usageError{err}
	}
	for _, c := range commands {
		if c.clause.FullCommand() != chosen {
			continue
		}
		if err == nil {
			err = c.run(ctx, out)
		}
		if err != nil && c.failed != nil && !errors.As(err, new(exitStatus)) {
			fail(problems, err)
			err = c.failed(out, err)
		}
	}
	if err != nil {
		return fail(problems, err)
	}
	return 0
}

// chosenDespite returns the intended command if the arguments contain a mistake, as far
// as it can be recognized.
func chosenDespite(app *kingpin.Application, args []string) string {
	if parsed, _ := app.ParseContext(args); parsed != nil && parsed.SelectedCommand != nil {
		return parsed.SelectedCommand.FullCommand()
	}
	return ""
}

// A usageError is a mistake in the program's arguments.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }
func (usageError) Hint() string    { return "see " + name + " --help" }

// A hintedError adds a hint to an error that has none.
type hintedError struct {
	error
	hint string
}

func (e hintedError) Unwrap() error { return e.error }
func (e hintedError) Hint() string  { return e.hint }

// An exitStatus other than 0 is a result and not an error. All output is already
// printed.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func fail(problems io.Writer, err error) (status int) {
	if answer := exitStatus(0); errors.As(err, &answer) {
		return int(answer)
	}
	fmt.Fprintf(problems, "%s: error: %s\n", name, terminal.Line(err.Error()))
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) && hinted.Hint() != "" {
		fmt.Fprintf(problems, "%s: hint: %s\n", name, terminal.Line(hinted.Hint()))
	}
	if errors.As(err, new(usageError)) {
		return 2
	}
	return 1
}

// sharedFlags are the flags that every command has.
type sharedFlags struct {
	address             string
	timeout             time.Duration
	maxWander, maxDrift float64 // ppm
	referenceError      time.Duration
	log                 *promslog.Config
}

func addSharedFlags(app *kingpin.Application, problems io.Writer) *sharedFlags {
	f := &sharedFlags{log: &promslog.Config{Writer: problems}}
	app.Flag("chrony.address", "Where chronyd answers: host:port, or unix:///path of its socket. The default is UDP to 127.0.0.1:323, then [::1]:323.").
		StringVar(&f.address)
	app.Flag("chrony.timeout", "How long one exchange with chronyd may take.").
		Default(tracker.DefaultTimeout.String()).DurationVar(&f.timeout)
	app.Flag("clock.max-wander", "How much the clock's frequency may change between two samples, in ppm. A smaller value needs a measured history of this clock as evidence.").
		Default(fmt.Sprint(clockerror.DefaultMaxWander)).Float64Var(&f.maxWander)
	app.Flag("clock.max-drift", "How fast the clock may drift in holdover, in ppm.").
		Default(fmt.Sprint(clockerror.DefaultMaxDrift)).Float64Var(&f.maxDrift)
	app.Flag("clock.reference-error", "The largest error of the reference itself, such as 100us. It is added to the bound. 0 means that it is unknown. On AKS, the reference is the clock of the virtual machine's host.").
		Default("0s").DurationVar(&f.referenceError)
	promslogflag.AddFlags(app, f.log)
	return f
}

// nodeName is the name of this node. In a pod only the manifest knows it.
func nodeName() string {
	if name := os.Getenv("NODE_NAME"); name != "" {
		return name
	}
	name, _ := os.Hostname()
	return name
}

// newTracker returns the tracker that all commands use. The flags set what the
// configuration leaves unset.
func (f *sharedFlags) newTracker(config tracker.Config) (*tracker.Tracker, error) {
	config, err := f.config(config)
	if err != nil {
		return nil, err
	}
	return tracker.New(config), nil
}

// config sets what the configuration leaves unset. The caller must close its client.
func (f *sharedFlags) config(config tracker.Config) (tracker.Config, error) {
	switch {
	case f.timeout <= 0:
		return config, usageError{fmt.Errorf("--chrony.timeout=%v: must be above zero", f.timeout)}
	case !(f.maxDrift > 0) || math.IsInf(f.maxDrift, 0):
		return config, usageError{fmt.Errorf("--clock.max-drift=%v: must be above zero: every clock drifts", f.maxDrift)}
	case !(f.maxWander > 0) || math.IsInf(f.maxWander, 0):
		return config, usageError{fmt.Errorf("--clock.max-wander=%v: must be above zero: every clock's frequency changes", f.maxWander)}
	case f.referenceError < 0:
		return config, usageError{fmt.Errorf("--clock.reference-error=%v: must not be below zero", f.referenceError)}
	}
	client, err := chrony.NewClient(f.address)
	if err != nil {
		return config, hintedError{usageError{fmt.Errorf("--chrony.address: %w", err)}, tracker.Hint(err)}
	}
	config.Client, config.Timeout, config.Node = client, f.timeout, nodeName()
	config.Assume = clockerror.Assumptions{MaxWander: f.maxWander, MaxDrift: f.maxDrift, ReferenceError: f.referenceError.Seconds()}
	return config, nil
}
