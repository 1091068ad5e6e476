package tracker

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strconv"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// logChange says what differs from what was logged last, and nothing if all is as
// it was. Where the log can't be written, as into a pipe that nobody reads, only
// one goroutine waits; the next to come after that says what has changed since.
func (t *Tracker) logChange(s *Snapshot) {
	if !t.logging.TryLock() {
		return
	}
	defer t.logging.Unlock()
	last := t.logged
	t.logged = s
	if s.Err != nil {
		if last == nil || last.Err == nil || reason(last.Err) != reason(s.Err) {
			t.log.Warn("nothing is known of the clock", "state", s.Estimate.State, "error", s.Err, "hint", Hint(s.Err))
		}
		return
	}
	if last == nil || last.Err != nil || last.Report.Address != s.Report.Address {
		t.log.Info("chronyd answers", "address", s.Report.Address)
		for _, want := range slices.Sorted(maps.Keys(s.Report.Refused)) {
			err := s.Report.Refused[want]
			t.log.Warn("chronyd refuses a report", "error", err, "hint", Hint(err))
		}
	}
	if last == nil || last.Estimate.State != s.Estimate.State {
		t.logState(s)
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
