package web

import (
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// TestGateOfRareSamples has a sample that is too old for a bound, but not for whether
// chronyd answers.
func TestGateOfRareSamples(t *testing.T) {
	estimate := clockerror.Estimate{State: clockerror.Synchronized, Bound: 1e-3}
	for _, test := range []struct {
		now    tracker.Now
		limit  time.Duration
		state  string
		opened bool
	}{
		{tracker.Now{Current: true, Observed: true, Present: estimate}, time.Second, "synchronized", true},
		{tracker.Now{Current: true, Observed: true, Present: estimate}, time.Microsecond, "synchronized", false},
		{tracker.Now{Current: true, Present: estimate}, time.Second, "unobserved", false},
		{tracker.Now{Current: true, Present: estimate}, 0, "synchronized", true},
		{tracker.Now{Present: estimate}, 0, "unobserved", false},
	} {
		if state, verdict, err := judge(test.now, test.limit); state != test.state || (err == nil) != test.opened {
			t.Errorf("%+v, %v: %s, %s, %v", test.now, test.limit, state, verdict, err)
		}
	}
}
