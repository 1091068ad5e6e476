package tracker_test

import (
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/boundedtime"
	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/clockbound"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// Poll intervals. At one second, chronyd takes some seconds to believe a jump of its
// sources. That is long enough to see what it reports until then. At half a minute it
// takes no sample for as long as a test lasts, once the burst at the start is over. On
// a busy machine delays vary by so much that chronyd would drop samples.
const (
	everySecond     = " minpoll 0 maxpoll 0 maxdelaydevratio 1e6"
	everyHalfMinute = " minpoll 5 maxpoll 5 maxdelaydevratio 1e6"
)

// A situation is a real daemon that reports wrong or misleading values about a clock
// whose error is known. Nothing sets or slews the clock here. If the sources move, the
// clock is off by as much.
type situation struct {
	name   string
	truth  float64                                                  // seconds by which the clock is off after what happens
	states []clockerror.State                                       // one of them follows
	most   float64                                                  // the bound in the end, in seconds
	start  func(*testing.T) (d *chronytest.Chronyd, happens func()) // nothing happens if nil
}

// A single source or a majority that lies is not a situation here, because it cannot be
// detected. For this program, such sources are the truth.
var situations = []situation{
	{
		"a permanent offset", 0.25, some(clockerror.Synchronized), 0.3,
		func(t *testing.T) (*chronytest.Chronyd, func()) {
			return chronytest.NewSynchronized(t, " offset 0.25"), nil
		},
	},
	{
		"the sources are deleted", 0.25, some(clockerror.Holdover), 0.3,
		func(t *testing.T) (*chronytest.Chronyd, func()) {
			d := chronytest.NewSynchronized(t, " offset 0.25")
			return d, func() {
				if _, err := d.Chronyc("delete", "127.0.0.1"); err != nil {
					t.Error(err)
				}
			}
		},
	},
	{
		"one of three sources moves", 0, some(clockerror.Synchronized), 0.01,
		func(t *testing.T) (*chronytest.Chronyd, func()) {
			d, sources := three(t)
			return d, move(500*time.Millisecond, sources[2])
		},
	},
	{
		"the followed one of three sources moves", 0, some(clockerror.Synchronized), 0.01,
		func(t *testing.T) (*chronytest.Chronyd, func()) {
			d, sources := three(t)
			return d, move(500*time.Millisecond, sources[0])
		},
	},
	{
		"all sources move by an hour: chronyd finds each too variable", 3600, some(clockerror.Contradicted), 14400,
		func(t *testing.T) (*chronytest.Chronyd, func()) {
			d, sources := three(t)
			return d, move(time.Hour, sources[:]...)
		},
	},
	{
		"maxchange has chronyd ignore its source", 0.6, some(clockerror.Contradicted), 10,
		func(t *testing.T) (*chronytest.Chronyd, func()) {
			source := chronytest.NewTimeSource(t)
			// Few samples, so that their average moves by more than what is allowed, but enough
			// to know the frequency, so that chronyd is sure of itself.
			const few = " minpoll -3 maxpoll -3 maxsamples 12 maxdelaydevratio 1e6"
			d := chronytest.New(t, chronytest.Config{Lines: []string{source.Line + few, "maxchange 0.01 1 -1"}})
			if _, err := d.Wait(func(r *chrony.Report) bool { return r.Tracking.Skew > 0 && r.Tracking.Skew < 200 }); err != nil {
				t.Fatal(err)
			}
			return d, move(600*time.Millisecond, source)
		},
	},
	{
		"makestep fails at the first updates", 9, some(clockerror.Synchronized, clockerror.Contradicted), 36,
		func(t *testing.T) (*chronytest.Chronyd, func()) { return failingSteps(t, "makestep 1 3"), nil },
	},
	{
		"makestep fails at each update", 9, some(clockerror.Synchronized, clockerror.Contradicted), 36,
		func(t *testing.T) (*chronytest.Chronyd, func()) { return failingSteps(t, "makestep 1.0 -1"), nil },
	},
	{
		"two witnesses disagree with the followed source", 0.5, some(clockerror.Contradicted), 2,
		func(t *testing.T) (*chronytest.Chronyd, func()) { return outvoted(t, "", " noselect"), nil },
	},
	{
		"two falsetickers disagree with the trusted source", 0.5, some(clockerror.Contradicted), 2,
		func(t *testing.T) (*chronytest.Chronyd, func()) { return outvoted(t, " prefer trust", ""), nil },
	},
}

func some(states ...clockerror.State) []clockerror.State { return states }

// noise is the largest error of the sources' own measurements, in seconds.
const noise = 1e-3

// TestTruth checks that each bound is at least as large as the error, as soon as
// chronyd has measured it.
func TestTruth(t *testing.T) {
	for _, test := range situations {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d, happens := test.start(t)
			tr := start(t, d.Address, tracker.Config{})
			publisher, path := publish(t)
			if err := tr.Watch(tracker.WatchConfig{Interval: 100 * time.Millisecond, Publisher: publisher}); err != nil {
				t.Fatal(err)
			}
			from := 0
			if happens != nil {
				awaitSample(t, tr, 0, func(s tracker.Sample) bool { return s.State == clockerror.Synchronized })
				happens()
				from = awaitSample(t, tr, len(history(tr)), test.is)
			}
			const more = 30 // samples
			end := awaitSample(t, tr, awaitSample(t, tr, from, test.is)+more, func(s tracker.Sample) bool { return test.is(s) && s.Bound <= test.most })
			for _, s := range history(tr)[from : end+1] {
				if s.Bound < test.truth-noise {
					t.Errorf("below %v s: %+v", test.truth, s)
				}
			}
			clock, err := boundedtime.Open(boundedtime.Config{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			defer clock.Close()
			if earliest, latest, status, err := clock.Now(); err == nil && latest.Sub(earliest).Seconds()/2 < test.truth-noise {
				t.Errorf("%v wide, for applications: %v", latest.Sub(earliest), status)
			}
			if s := tr.Snapshot(t.Context()); s.Estimate.Bound < test.truth-noise {
				t.Errorf("%+v, in a snapshot", s.Estimate)
			}
		})
	}
}

// publish returns a publisher, and the file in which applications read the bound.
func publish(t *testing.T) (publisher *clockbound.Publisher, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "shm0")
	publisher = clockbound.New(clockbound.Config{Path: path, Interval: time.Second, MaxDrift: clockerror.DefaultMaxDrift, Logger: slog.New(slog.DiscardHandler)})
	done := make(chan struct{})
	go func() { defer close(done); publisher.Run(t.Context()) }()
	t.Cleanup(func() { <-done })
	return publisher, path
}

// is reports whether a sample shows the event.
func (s *situation) is(sample tracker.Sample) bool {
	return slices.Contains(s.states, sample.State) && sample.Bound >= s.truth-noise
}

// three starts three time sources, and makes a chronyd follow the first of them.
func three(t *testing.T) (*chronytest.Chronyd, [3]*chronytest.TimeSource) {
	t.Helper()
	var sources [3]*chronytest.TimeSource
	var lines []string
	for i := range sources {
		sources[i] = chronytest.NewTimeSource(t)
		lines = append(lines, sources[i].Line+everySecond)
	}
	lines[0] += " prefer"
	d := chronytest.New(t, chronytest.Config{Lines: lines})
	// With a few samples of each, chronyd knows how far to trust them.
	if _, err := d.Wait(func(r *chrony.Report) bool {
		return len(r.Sources) == len(sources) && r.Sources[0].State == chrony.StateSelected &&
			!slices.ContainsFunc(r.Sources, func(s chrony.Source) bool { return s.Reach < 0o17 })
	}); err != nil {
		t.Fatal(err)
	}
	return d, sources
}

// move shifts the time of sources.
func move(by time.Duration, sources ...*chronytest.TimeSource) (happens func()) {
	return func() {
		for _, s := range sources {
			s.SetError(by)
		}
	}
}

// failingSteps starts a chronyd whose clock is nine seconds off and that cannot set it
// (-x). From 4.7 on, chronyd then slews the clock. Earlier versions believe that they
// set it.
func failingSteps(t *testing.T, makestep string) *chronytest.Chronyd {
	t.Helper()
	source := chronytest.NewTimeSource(t)
	source.SetError(9 * time.Second)
	return chronytest.New(t, chronytest.Config{Lines: []string{source.Line + everySecond, makestep}})
}

// outvoted starts a chronyd that follows one source, although two others disagree.
func outvoted(t *testing.T, followed, others string) *chronytest.Chronyd {
	t.Helper()
	lines := []string{chronytest.NewTimeSource(t).Line + everyHalfMinute + followed}
	for range 2 {
		other := chronytest.NewTimeSource(t)
		other.SetError(500 * time.Millisecond)
		lines = append(lines, other.Line+everySecond+others)
	}
	d := chronytest.New(t, chronytest.Config{Lines: lines})
	// Others have a vote once their samples are newer than the last update.
	if _, err := d.Wait(func(r *chrony.Report) bool {
		return len(r.Sources) == len(lines) && r.Sources[0].State == chrony.StateSelected && r.Sources[0].Reach >= 0o17 &&
			r.Sources[0].SampleAge >= 5*time.Second
	}); err != nil {
		t.Fatal(err)
	}
	return d
}

func history(tr *tracker.Tracker) []tracker.Sample {
	return slices.Collect(tr.History(time.Time{}, time.Now().Add(24*time.Hour)))
}

// awaitSample waits for a sample at or after a number that meets the condition, and
// returns its number.
func awaitSample(t *testing.T, tr *tracker.Tracker, from int, is func(tracker.Sample) bool) int {
	t.Helper()
	at := -1
	chronytest.Await(t, "a sample", func() bool {
		samples := history(tr)
		at = slices.IndexFunc(samples[min(from, len(samples)):], is)
		return at >= 0
	}, func() any {
		samples := history(tr)
		return samples[max(0, len(samples)-3):]
	}, func() any { return tr.Snapshot(t.Context()).Report })
	return from + at
}
