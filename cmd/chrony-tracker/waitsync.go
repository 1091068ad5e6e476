package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/chrony-tracker/chrony-tracker/internal/status"
	"github.com/chrony-tracker/chrony-tracker/internal/terminal"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// waitsyncFlags set what to wait for, and for how long.
type waitsyncFlags struct {
	maxError, timeout, interval time.Duration
	tracker                     *trackerFlags
	client                      *http.Client
}

func waitsyncCommand(app *kingpin.Application, shared *sharedFlags) command {
	clause := app.Command("waitsync", "Wait until the clock's bound is within a limit, such as in an init container.")
	clause.HelpLong(`Prints lines while it waits, and a line with the clock's bound at the end.

It asks chronyd. chronyd does not know a step or slew by another program since its last update, and it has no witnesses. With --url it asks a tracker, which sees all of these. Peers without a key do not count, unless the tracker has --witness.trust-peers.

Exit status: 0 if the bound is within the limit, 1 if the time is up or waiting cannot help, 2 for a mistake in the command line.

Examples:

  chrony-tracker waitsync --max-error=10ms
  chrony-tracker waitsync --max-error=10ms --timeout=5m --url=http://10.0.0.4:9123`)
	f := new(waitsyncFlags)
	clause.Flag("max-error", "Wait until the bound is at most this, such as 10ms.").Required().DurationVar(&f.maxError)
	clause.Flag("timeout", "How long to wait. 0 waits forever.").Default("0s").DurationVar(&f.timeout)
	clause.Flag("interval", "Time between two checks.").Default("1s").DurationVar(&f.interval)
	f.tracker = addTrackerFlags(clause, "Ask the tracker at this address instead of chronyd, such as http://10.0.0.4:9123. Use this in pods that are not on the host's network.")
	return command{clause: clause, run: func(ctx context.Context, out io.Writer) error { return waitsync(ctx, shared, f, out) }}
}

// progressInterval is how often a line is printed if nothing changes.
const progressInterval = 10 * time.Second

func waitsync(ctx context.Context, shared *sharedFlags, f *waitsyncFlags, out io.Writer) error {
	look, end, err := f.looker(shared)
	if err != nil {
		return err
	}
	defer end()
	if f.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.timeout)
		defer cancel()
	}
	begin := time.Now()
	ticker := time.NewTicker(f.interval)
	defer ticker.Stop()
	var said time.Time // when the last line was printed
	last, lastCode := errors.New("no check was possible in this time"), ""
	for {
		verdict, code, err := look(ctx)
		waited := time.Since(begin).Round(time.Second)
		switch {
		case err == nil:
			fmt.Fprintf(out, "waited %v: %s\n", waited, terminal.Line(verdict))
			return nil
		case errors.As(err, new(permanentError)):
			return err
		case ctx.Err() == nil: // otherwise the time is up, and the error only means that the look was interrupted
			if code != lastCode || time.Since(said) >= progressInterval {
				fmt.Fprintf(out, "waiting, %v: %s\n", waited, terminal.Line(err.Error()))
				said = time.Now()
			}
			last, lastCode = err, code
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("timed out after %v: %w", f.timeout, last)
			}
			return fmt.Errorf("interrupted: %w", last)
		case <-ticker.C:
		}
	}
}

// A look asks once. It returns how far off the clock can be, or why the clock is not
// reliable. It also returns a code that stays the same while only numbers change.
type look func(ctx context.Context) (verdict, code string, err error)

// A permanentError does not go away if one waits.
type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

// looker returns the look to use, and a function that ends it.
func (f *waitsyncFlags) looker(shared *sharedFlags) (look, func() error, error) {
	switch {
	case f.maxError <= 0:
		return nil, nil, usageError{fmt.Errorf("--max-error=%v: must be above zero", f.maxError)}
	case f.timeout < 0:
		return nil, nil, usageError{fmt.Errorf("--timeout=%v: must not be below zero", f.timeout)}
	case f.interval <= 0:
		return nil, nil, usageError{fmt.Errorf("--interval=%v: must be above zero", f.interval)}
	case f.tracker.url == nil:
		return f.lookAtChronyd(shared)
	case f.tracker.url.Scheme != "http" && f.tracker.url.Scheme != "https" || f.tracker.url.Host == "":
		return nil, nil, usageError{fmt.Errorf("--url=%s: must begin with http:// or https:// and a host", f.tracker.url.Redacted())}
	}
	var err error
	f.client, err = f.tracker.client()
	return f.lookAtTracker, func() error { return nil }, err
}

func (f *waitsyncFlags) lookAtChronyd(shared *sharedFlags) (look, func() error, error) {
	config, err := shared.config(tracker.Config{})
	if err != nil {
		return nil, nil, err
	}
	t := tracker.New(config)
	return func(ctx context.Context) (verdict, code string, err error) {
		snapshot := t.Judge(ctx)
		if err = snapshot.Err; err != nil {
			return "", tracker.Reason(err), err
		}
		verdict, err = status.New(snapshot).Within(f.maxError)
		return verdict, snapshot.Estimate.State.String(), err
	}, t.Close, nil
}

// lookAtTracker asks a tracker's gate. The answer is a line, and possibly a hint.
func (f *waitsyncFlags) lookAtTracker(ctx context.Context) (verdict, code string, err error) {
	gate := f.tracker.url.JoinPath("-/ready")
	gate.RawQuery = url.Values{"max_error": {f.maxError.String()}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, gate.String(), nil)
	if err != nil {
		return "", "", err
	}
	response, err := f.client.Do(request)
	if err != nil {
		return "", "no tracker", asking(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<12))
	if err != nil {
		return "", "", err
	}
	line, hint, _ := strings.Cut(string(text), "\n")
	switch response.StatusCode {
	case http.StatusOK:
		_, verdict, gated := strings.Cut(line, "ready: ")
		if !gated { // a tracker without max_error, or another program
			return "", "", permanentError{fmt.Errorf("%s is not a tracker's gate: it answers %q", gate.Redacted(), line)}
		}
		return verdict, "", nil
	case http.StatusServiceUnavailable:
		return "", response.Header.Get(status.Header), hintedError{errors.New(strings.TrimPrefix(line, "not ready: ")), hint}
	default:
		answer := answerError{response.Status, response.StatusCode, line}
		return "", "", permanentError{hintedError{fmt.Errorf("%s: %w", gate.Redacted(), answer), askingHint(answer)}}
	}
}
