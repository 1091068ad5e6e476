package tracker

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// logBacklog is how many snapshots may wait for a slow log.
const logBacklog = 16

// queueLog leaves a snapshot to be logged. If nobody reads the log, the oldest that
// wait give way: what has changed since is told in the end. The mutex is held.
func (t *Tracker) queueLog(s *Snapshot) {
	for {
		select {
		case t.toLog <- s:
			return
		default:
		}
		select {
		case <-t.toLog:
		default:
		}
	}
}

// logChanges logs what changes from one snapshot to the next. It does so beside
// the readings, so that a log that can't be written, such as a pipe that nobody
// reads, delays none of them.
func (t *Tracker) logChanges() {
	var last *Snapshot
	for {
		select {
		case s := <-t.toLog:
			t.logChange(last, s)
			last = s
		case <-t.ctx.Done():
			return
		}
	}
}

func (t *Tracker) logChange(last, s *Snapshot) {
	if s.Err != nil {
		if last == nil || last.Err == nil || reason(last.Err) != reason(s.Err) {
			t.log.Warn("nothing is known of the clock", "state", s.Estimate.State, "error", s.Err, "hint", Hint(s.Err))
		}
		return
	}
	if last == nil || last.Err != nil || last.Report.Address != s.Report.Address {
		t.logReports(s)
	}
	if last == nil || last.Estimate.State != s.Estimate.State {
		t.logState(s)
	}
}

// logReports says what can be read over this connection. What chronyd refuses
// costs its own metrics and no others; only without the list of sources is the
// clock judged less well.
func (t *Tracker) logReports(s *Snapshot) {
	t.log.Info("chronyd answers", "address", s.Report.Address)
	var closed []string
	var hint string
	for _, want := range slices.Sorted(maps.Keys(s.Report.Refused)) {
		switch err := s.Report.Refused[want]; {
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

func (t *Tracker) logState(s *Snapshot) {
	bound := "none" // JSON has no infinity
	if s.Estimate.HasBound() {
		bound = strconv.FormatFloat(s.Estimate.Bound, 'g', 6, 64)
	}
	level := slog.LevelInfo
	if s.Estimate.State != clockerror.Synchronized {
		level = slog.LevelWarn
	}
	t.log.Log(t.ctx, level, "the clock's state has changed",
		"state", s.Estimate.State, "bound_seconds", bound, "reference", s.Report.Tracking.SourceName())
}

// Hint returns what an error suggests to do, or an empty string.
func Hint(err error) string {
	var op *chrony.OpError
	if errors.As(err, &op) {
		return op.Hint()
	}
	return ""
}
