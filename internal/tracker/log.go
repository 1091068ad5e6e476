package tracker

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// logBacklog is how many lines may wait for a slow log.
const logBacklog = 64

// A logQueue writes log lines in the background. A blocked log, such as a pipe without
// a reader, must not delay a sample.
type logQueue struct {
	slog.Handler
	lines chan slog.Record
}

func newLogQueue(log *slog.Logger) logQueue {
	q := logQueue{slog.DiscardHandler, make(chan slog.Record, logBacklog)}
	if log != nil {
		q.Handler = log.Handler()
	}
	return q
}

// Handle queues a line. If the queue is full, it drops the oldest line.
func (q logQueue) Handle(_ context.Context, line slog.Record) error {
	for {
		select {
		case q.lines <- line.Clone():
			return nil
		default:
		}
		select {
		case <-q.lines:
		default:
		}
	}
}

// write writes lines until the context ends.
func (q logQueue) write(ctx context.Context) {
	for {
		select {
		case line := <-q.lines:
			q.Handler.Handle(ctx, line)
		case <-ctx.Done():
			return
		}
	}
}

// logRefusals logs which reports chronyd refuses over this connection, if that has
// changed. A refused report only loses its own metrics. Without the list of sources,
// the bound is less accurate. The mutex is held.
func (t *Tracker) logRefusals(report *chrony.Report) {
	refused := slices.Sorted(maps.Keys(report.Refused))
	if t.refusedBy == report.Address && slices.Equal(t.refused, refused) {
		return
	}
	t.refusedBy, t.refused = report.Address, refused
	var closed []string
	var hint string
	for _, want := range refused {
		switch err := report.Refused[want]; {
		case want == chrony.WantSources:
			t.log.Warn("chronyd refuses to list its sources", "error", err, "hint", Hint(err))
		case errors.Is(err, chrony.ErrUnauthorized):
			closed, hint = append(closed, want.String()), Hint(err)
		default:
			t.log.Debug("chronyd does not give a report", "error", err, "hint", Hint(err))
		}
	}
	if closed != nil {
		t.log.Info("chronyd refuses some reports over this connection", "reports", strings.Join(closed, " "), "hint", hint)
	}
}

// Hint returns the fix that an error suggests, or an empty string.
func Hint(err error) string {
	var op *chrony.OpError
	if errors.As(err, &op) {
		return op.Hint()
	}
	return ""
}
