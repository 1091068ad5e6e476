package exporter

import (
	"fmt"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/objective"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// watchMetrics are the results of the samples between scrapes. All are absent
// without a watch. Counters start at zero when the program starts.
var watchMetrics = []metric{
	{
		name: "chrony_clock_error_bound_distribution_seconds", kind: histogram, unit: seconds,
		help: "Distribution of the bounds of all samples that have one, in seconds. A sample without a bound is in no bucket: " +
			"chrony_clock_unbounded_seconds shows how long there was none.",
		values: watched(func(w *tracker.Watched, f *family) { f.addDistribution(w.Distribution) }),
	},
	{
		name: "chrony_clock_error_bound_max_seconds", kind: gauge, unit: seconds,
		help: "The largest bound of the samples in the last 1m or 5m, in seconds. The window ends at the latest sample. " +
			"Absent if no sample in the window has a bound. chrony_clock_unbounded_seconds shows how long there was none.",
		labels: []string{"window"},
		values: windows(func(w tracker.Window, f *family) {
			if w.HasBound() {
				f.add(w.Bound, window(w))
			}
		}),
	},
	{
		name: "chrony_clock_error_max_ms", kind: gauge, unit: milliseconds,
		help: "The largest chrony_clock_error_ms of the samples in the last 1m or 5m, in milliseconds. The window ends at the latest sample. " +
			"Absent if no sample in the window has a bound.",
		labels: []string{"window"},
		values: windows(func(w tracker.Window, f *family) {
			if w.HasBound() {
				f.add(w.Error*1000, window(w))
			}
		}),
	},
	{
		name: "chrony_clock_unbounded_seconds", kind: gauge, unit: seconds,
		help: "Time without a bound in the last 1m or 5m, in seconds: no bound was known, or no sample was taken. " +
			"Time before the start of the program does not count.",
		labels: []string{"window"},
		values: windows(func(w tracker.Window, f *family) { f.add(w.Without, window(w)) }),
	},
	{
		name: "chrony_clock_state_seconds_total", kind: counter, unit: seconds,
		help: "Time that the clock spent in each state of chrony_clock_state, and unobserved, in seconds. unobserved: " +
			"no sample was taken because the machine was suspended or this program got no CPU time. The sum over all states is the time from the start of the program to the latest sample.",
		labels: []string{"state"},
		values: watched(func(w *tracker.Watched, f *family) {
			for _, state := range clockerror.States {
				f.add(w.StateSeconds[state], state.String())
			}
			f.add(w.Unobserved, "unobserved")
		}),
	},
	{
		name: "chrony_clock_state_since_timestamp_seconds", kind: gauge, unit: seconds,
		help: "When the current state was first seen, in seconds since 1970. Absent before the first sample.",
		values: watched(func(w *tracker.Watched, f *family) {
			if !w.StateSince.IsZero() {
				f.add(timestamp(w.StateSince))
			}
		}),
	},
	{
		name: "chrony_objective_good_seconds_total", kind: counter, unit: seconds,
		help:   "Time that the bound was within the limit of each --objective, in seconds. Time without a bound, or without samples, does not count.",
		labels: []string{"objective"},
		values: objectives(func(p objective.Progress) float64 { return p.Good }),
	},
	{
		name: "chrony_objective_seconds_total", kind: counter, unit: seconds,
		help:   "Time that each --objective was watched, in seconds. Divide chrony_objective_good_seconds_total by it to get the fraction of good time.",
		labels: []string{"objective"},
		values: objectives(func(p objective.Progress) float64 { return p.Total }),
	},
	{
		name: "chrony_objective_limit_seconds", kind: gauge, unit: seconds,
		help:   "The limit of each --objective, in seconds.",
		labels: []string{"objective"},
		values: objectives(func(p objective.Progress) float64 { return p.Limit }),
	},
	{
		name: "chrony_clock_events_total", kind: counter,
		help: "Events of the clock, by event: chronyd_restarted, source_changed, leap_status_changed, state_changed, clock_stepped, suspended, " +
			"foreign_discipline; with witnesses witness_contradicted, witness_disputed, witness_cleared. /api/v1/events has the last 100 with their times.",
		labels: []string{"event"},
		values: func(v *view, f *family) {
			if v.Watched == nil {
				return
			}
			for _, kind := range tracker.EventKinds {
				if v.Witnesses != nil || !kind.FromWitnesses() {
					f.add(float64(v.Watched.Events[kind]), string(kind))
				}
			}
		},
	},
	{
		name: "chrony_clock_steps_total", kind: counter,
		help:   "Times the clock was set, by any program. Setting it to its current time counts. Several steps in quick succession may count once. If the kernel does not report steps, those below 10 µs are not counted.",
		values: watched(func(w *tracker.Watched, f *family) { f.add(float64(w.Steps.Count)) }),
	},
	{
		name: "chrony_clock_stepped_seconds_total", kind: counter, unit: seconds,
		help:   "Sizes of all steps of the system clock added up, without their signs, in seconds. It includes the steps between two scrapes.",
		values: watched(func(w *tracker.Watched, f *family) { f.add(w.Steps.Sum) }),
	},
	{
		name: "chrony_clock_last_step_seconds", kind: gauge, unit: seconds,
		help: "Size of the last step of the system clock, in seconds. Positive if the clock was set forward. Absent if there was none since the start.",
		values: watched(func(w *tracker.Watched, f *family) {
			if w.Steps.Count > 0 {
				f.add(w.Steps.Last)
			}
		}),
	},
	{
		name: "chrony_clock_last_step_timestamp_seconds", kind: gauge, unit: seconds,
		help: "Time of the last step of the system clock, by the clock after the step, in seconds since 1970. Absent if there was none since the start.",
		values: watched(func(w *tracker.Watched, f *family) {
			if w.Steps.Count > 0 {
				f.add(timestamp(w.Steps.LastAt))
			}
		}),
	},
	{
		name: "chrony_clock_suspends_total", kind: counter,
		help:   "Number of times the machine was suspended.",
		values: watched(func(w *tracker.Watched, f *family) { f.add(float64(w.Sleeps.Count)) }),
	},
	{
		name: "chrony_clock_suspended_seconds_total", kind: counter, unit: seconds,
		help:   "Time that the machine was suspended, in seconds.",
		values: watched(func(w *tracker.Watched, f *family) { f.add(w.Sleeps.Total) }),
	},
	{
		name: "chrony_clock_steering_seconds", kind: gauge, unit: seconds,
		help: "Time added to the clock by steering since the start, in seconds: the change of CLOCK_MONOTONIC - CLOCK_MONOTONIC_RAW. " +
			"It includes frequency correction and slewing, but no steps. Positive if the clock was made to run faster.",
		values: watched(func(w *tracker.Watched, f *family) { f.add(w.Steering) }),
	},
	{
		name: "chrony_clock_foreign_discipline", kind: gauge,
		help: "1 if another program steers this clock, or if chronyd does not (its option -x), else 0. There are two tests. In 5 samples in a row, CLOCK_MONOTONIC moved against CLOCK_MONOTONIC_RAW by more than chronyd's frequency and slew explain. " +
			"Or in 60 samples in a row, the kernel's frequency differed by more than 1 ppm from the one that chronyd reports, while less than 100 µs were left to slew.",
		values: watched(func(w *tracker.Watched, f *family) { f.add(boolean(w.ForeignDiscipline)) }),
	},
	kernel("frequency_ratio", ratio, "Frequency correction that is set in the kernel, as a ratio: 0.000001 is 1 ppm. Positive if the clock runs faster.",
		func(k *tracker.Kernel) float64 { return k.Frequency * 1e-6 }),
	kernel("max_error_seconds", seconds, "Maximum error that is set in the kernel, in seconds. It grows by 500 ppm until it is set again, up to 16 s. chronyd sets it only with rtcsync.",
		func(k *tracker.Kernel) float64 { return k.MaxError }),
	kernel("estimated_error_seconds", seconds, "Estimated error that is set in the kernel, in seconds.",
		func(k *tracker.Kernel) float64 { return k.EstimatedError }),
	kernel("synchronized", "", "1 if the clock is marked as synchronized in the kernel, else 0. chronyd sets it only with rtcsync.",
		func(k *tracker.Kernel) float64 { return boolean(k.Synchronized) }),
	{
		name: "chrony_tracker_samples_total", kind: counter,
		help:   "Samples taken, including those without an answer from chronyd. A scrape is not a sample.",
		values: watched(func(w *tracker.Watched, f *family) { f.add(float64(w.Samples)) }),
	},
	{
		name: "chrony_tracker_sample_interval_seconds", kind: gauge, unit: seconds,
		help:   "Time between two samples (--sample.interval), in seconds.",
		values: watched(func(w *tracker.Watched, f *family) { f.add(w.Interval.Seconds()) }),
	},
}

// watched returns the values function of a metric that needs a watch.
func watched(values func(*tracker.Watched, *family)) func(*view, *family) {
	return func(v *view, f *family) {
		if v.Watched != nil {
			values(v.Watched, f)
		}
	}
}

func windows(values func(tracker.Window, *family)) func(*view, *family) {
	return watched(func(w *tracker.Watched, f *family) {
		for _, window := range w.Windows {
			values(window, f)
		}
	})
}

// window returns a window's label.
func window(w tracker.Window) string { return fmt.Sprintf("%dm", w.Length/time.Minute) }

func objectives(value func(objective.Progress) float64) func(*view, *family) {
	return watched(func(w *tracker.Watched, f *family) {
		for _, p := range w.Objectives {
			f.add(value(p), p.Name)
		}
	})
}

// kernel returns the metric for one field of adjtimex.
func kernel(name string, u unit, help string, value func(*tracker.Kernel) float64) metric {
	return metric{
		name: "chrony_clock_kernel_" + name, kind: gauge, unit: u,
		help: help + " From adjtimex. Absent if adjtimex is not permitted.",
		values: watched(func(w *tracker.Watched, f *family) {
			if w.Kernel != nil {
				f.add(value(w.Kernel))
			}
		}),
	}
}
