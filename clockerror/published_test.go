package clockerror_test

import (
	"errors"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/chrony-tracker/chrony-tracker/boundedtime"
	. "github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/clockbound"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// TestTracesPublished publishes each moment of the traces, and reads the interval as an
// application does. It contains the true time, or there is none.
func TestTracesPublished(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shm0")
	publisher := clockbound.New(clockbound.Config{Path: path, Interval: time.Second, MaxDrift: DefaultMaxDrift, Logger: slog.New(slog.DiscardHandler)})
	done := make(chan struct{})
	go func() { defer close(done); publisher.Run(t.Context()) }()
	t.Cleanup(func() { <-done })
	for deadline := time.Now().Add(10 * time.Second); publisher.Publication().Status == ""; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", publisher.Publication())
		}
	}
	clock, err := boundedtime.Open(boundedtime.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer clock.Close()
	files, err := filepath.Glob(filepath.Join(tracesDir, "*.csv.gz"))
	if err != nil || len(files) == 0 {
		t.Fatal("no traces", err)
	}
	intervals := 0
	for _, file := range files {
		scenario, _, _ := strings.Cut(filepath.Base(file), ".")
		if _, breaks := outside[scenario]; breaks {
			continue
		}
		for _, m := range readTrace(t, file) {
			e := Of(m.Observation, Assumptions{})
			publisher.Publish(tracker.Published{Instant: tracker.Instant{Mono: monotonic(t)}, State: e.State, Bound: e.Bound, Growth: e.Growth})
			earliest, latest, _, err := clock.Now()
			usable := e.HasBound() && (e.State == Synchronized || e.State == Holdover)
			switch {
			case usable != (err == nil):
				t.Errorf("%s, %s: %v, but %v", scenario, m, e.State, err)
			case err != nil && !errors.Is(err, boundedtime.ErrUnknown):
				t.Errorf("%s, %s: %v", scenario, m, err)
			case err == nil && math.Abs(m.error)-rounding > latest.Sub(earliest).Seconds()/2:
				t.Errorf("%s, %s: the clock is %g s off, the interval is %v wide", scenario, m, m.error, latest.Sub(earliest))
			case err == nil:
				intervals++
			}
		}
	}
	if intervals == 0 {
		t.Error("no interval")
	}
}

func monotonic(t *testing.T) int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	return now.Nano()
}
