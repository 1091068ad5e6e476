package main

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/status"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// TestContradicted checks a clock that measurements contradict. The bound decides, but
// the result is never plain OK.
func TestContradicted(t *testing.T) {
	f := &checkFlags{warning: 10 * time.Millisecond, critical: 50 * time.Millisecond}
	none := math.Inf(1)
	for _, test := range []struct {
		state       clockerror.State
		bound       float64
		status, npd exitStatus
	}{
		{clockerror.Synchronized, 1e-3, 0, npdOK},
		{clockerror.Contradicted, 1e-3, 1, npdOK},
		{clockerror.Contradicted, 20e-3, 1, npdOK},
		{clockerror.Contradicted, 60e-3, 2, npdNotOK},
		{clockerror.Synchronized, none, 2, npdNotOK},
		{clockerror.Contradicted, none, 2, npdNotOK},
	} {
		s := &tracker.Snapshot{
			Report:   &chrony.Report{Tracking: &chrony.Tracking{}},
			Estimate: clockerror.Estimate{State: test.state, Bound: test.bound, Terms: clockerror.Terms{Offset: test.bound}},
		}
		severity := f.judge(status.New(s), nil)
		var plugin, npd bytes.Buffer
		answer := exitStatus(-1)
		if err := f.printPlugin(&plugin, severity, status.New(s)); !errors.As(err, &answer) || answer != test.status {
			t.Errorf("%v, %v: status %d, want %d: %s", test.state, test.bound, answer, test.status, &plugin)
		}
		if err := f.printNPD(&npd, severity, status.New(s)); !errors.As(err, &answer) || answer != test.npd {
			t.Errorf("%v, %v: node-problem-detector: status %d, want %d: %s", test.state, test.bound, answer, test.npd, &npd)
		}
		for _, line := range []string{plugin.String(), npd.String()} {
			if !strings.Contains(line, test.state.String()) {
				t.Errorf("no %v in %s", test.state, line)
			}
		}
		for term := range (clockerror.Terms{}).All() {
			if got := strings.Contains(plugin.String(), " "+term+"="); got != s.Estimate.HasBound() {
				t.Errorf("%v, %v: %s in the performance data: %v", test.state, test.bound, term, got)
			}
		}
	}
}
