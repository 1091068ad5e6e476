package tracker

import (
	"errors"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// logChange says what differs from the last snapshot, and nothing if all is as
// it was. The mutex is held.
func (t *Tracker) logChange(s *Snapshot) {
	last := t.last
	t.last = s
	if s.Err != nil {
		if last == nil || last.Err == nil || reason(last.Err) != reason(s.Err) {
			t.log.Warn("the clock is not vouched for", "state", s.Estimate.State, "error", s.Err, "hint", Hint(s.Err))
		}
		return
	}
	if last == nil || last.Err != nil || last.Report.Address != s.Report.Address {
		t.log.Info("chronyd answers", "address", s.Report.Address)
		for _, err := range s.Report.Refused {
			t.log.Warn("chronyd refuses a report", "error", err, "hint", Hint(err))
		}
	}
	if last == nil || last.Estimate.State != s.Estimate.State {
		level := t.log.Info
		if s.Estimate.State != clockerror.Synchronized {
			level = t.log.Warn
		}
		level("the clock's state has changed", "state", s.Estimate.State, "bound_seconds", s.Estimate.Bound, "reference", s.Report.Tracking.SourceName())
	}
}

// Hint returns what an error suggests to do, or an empty string.
func Hint(err error) string {
	var op *chrony.OpError
	if errors.As(err, &op) {
		return op.Hint()
	}
	return ""
}
