package exporter

import (
	"fmt"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/objective"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// watchMetrics are what the watch has found between the scrapes. All are absent
// when nobody watches, and counters begin at zero with the program.
var watchMetrics = []metric{
	{
		name: "chrony_clock_error_bound_distribution_seconds", kind: histogram, unit: seconds,
		help: "Distribution of the bounds of all samples that have one, in seconds. A sample without a bound is in no bucket: " +
			"chrony_clock_state_seconds_total tells how long there was none.",
		values: watched(func(w *tracker.Watched, f *family) { f.addDistribution(w.Distribution) }),
	},
	{
		name: "chrony_clock_error_bound_max_seconds", kind: gauge, unit: seconds,
		help: "The largest bound among the samples of the last 1m or 5m, in seconds, up to the latest sample. " +
			"Absent when no sample in the window has a bound; chrony_clock_without_bound_seconds tells how long there was none.",
		labels: []string{"window"},
		values: windows(func(w tracker.Window, f *family) {
			if w.HasBound() {
				f.add(w.Bound, window(w))
			}
		}),
	},
	{
		name: "chrony_clock_error_max_ms", kind: gauge, unit: milliseconds,
		help: "The largest chrony_clock_error_ms among the samples of the last 1m or 5m, in milliseconds, up to the latest sample. " +
			"Absent when no sample in the window has a bound.",
		labels: []string{"window"},
		values: windows(func(w tracker.Window, f *family) {
			if w.HasBound() {
				f.add(w.Error*1000, window(w))
			}
		}),
	},
	{
		name: "chrony_clock_without_bound_seconds", kind: gauge, unit: seconds,
		help: "For how long in the last 1m or 5m there was no bound, in seconds: nothing confirmed the clock, or no sample was taken. " +
			"What lies before the start of the program does not count.",
		labels: []string{"window"},
		values: windows(func(w tracker.Window, f *family) { f.add(w.Without, window(w)) }),
	},
	{
		name: "chrony_clock_state_seconds_total", kind: counter, unit: seconds,
		help: "For how long the clock was in each state, in seconds: those of chrony_clock_state, and unobserved, " +
			"when no sample was taken because this program or the machine was asleep or starved. Together they are all time since the start, up to the latest sample.",
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
		help: "When the state of the latest sample was first seen, in seconds since 1970. Absent before the first sample.",
		values: watched(func(w *tracker.Watched, f *family) {
			if !w.StateSince.IsZero() {
				f.add(timestamp(w.StateSince))
			}
		}),
	},
	{
		name: "chrony_objective_good_seconds_total", kind: counter, unit: seconds,
		help:   "For how long the clock had a bound within the limit of each --objective, in seconds. Without a bound, and when nobody looked, it had not.",
		labels: []string{"objective"},
		values: objectives(func(p objective.Progress) float64 { return p.Good }),
	},
	{
		name: "chrony_objective_seconds_total", kind: counter, unit: seconds,
		help:   "For how long each --objective was watched, in seconds: what the good seconds are to be divided by.",
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
		help: "What happened to the clock, by event: chronyd_restarted, source_changed, leap_status_changed, state_changed, clock_stepped, suspended, " +
			"foreign_discipline. /api/v1/events has the last 100 with their times.",
		labels: []string{"event"},
		values: watched(func(w *tracker.Watched, f *family) {
			for _, kind := range tracker.EventKinds {
				f.add(float64(w.Events[kind]), string(kind))
			}
		}),
	},
	{
		name: "chrony_clock_steps_total", kind: counter,
		help:   "Times the clock was set, by any program. Setting it to its current time counts. Several steps in quick succession may count once. Where the kernel does not report steps, those below 10 µs go unnoticed.",
		values: watched(func(w *tracker.Watched, f *family) { f.add(float64(w.Steps.Count)) }),
	},
	{
		name: "chrony_clock_last_step_seconds", kind: gauge, unit: seconds,
		help: "Size of the last step of the system clock, in seconds: above zero, it was set forward. Absent if there was none since the start.",
		values: watched(func(w *tracker.Watched, f *family) {
			if w.Steps.Count > 0 {
				f.add(w.Steps.Last)
			}
		}),
	},
	{
		name: "chrony_clock_last_step_timestamp_seconds", kind: gauge, unit: seconds,
		help: "When the system clock was last stepped, by the time after the step, in seconds since 1970. Absent if it was not since the start.",
		values: watched(func(w *tracker.Watched, f *family) {
			if w.Steps.Count > 0 {
				f.add(timestamp(w.Steps.LastAt))
			}
		}),
	},
	{
		name: "chrony_clock_suspends_total", kind: counter,
		help:   "How often the machine was suspended.",
		values: watched(func(w *tracker.Watched, f *family) { f.add(float64(w.Sleeps.Count)) }),
	},
	{
		name: "chrony_clock_suspended_seconds_total", kind: counter, unit: seconds,
		help:   "For how long the machine was suspended, in seconds.",
		values: watched(func(w *tracker.Watched, f *family) { f.add(w.Sleeps.Total) }),
	},
	{
		name: "chrony_clock_steering_seconds", kind: gauge, unit: seconds,
		help: "By how much the clock was steered since the start, in seconds, the correction of its frequency included and steps not: " +
			"CLOCK_MONOTONIC - CLOCK_MONOTONIC_RAW. Above zero, it was made to run faster.",
		values: watched(func(w *tracker.Watched, f *family) { f.add(w.Steering) }),
	},
	{
		name: "chrony_clock_foreign_discipline", kind: gauge,
		help: "1 if another program steers this clock, or chronyd does not (its option -x); else 0. Either CLOCK_MONOTONIC moved against CLOCK_MONOTONIC_RAW by more than chronyd's frequency and slew explain, for 5 samples in a row; " +
			"or the kernel's frequency differed by more than 1 ppm from the one that chronyd claims to have set, for 60 samples in a row, while less than 100 µs were to be slewed.",
		values: watched(func(w *tracker.Watched, f *family) { f.add(boolean(w.ForeignDiscipline)) }),
	},
	kernel("frequency_ratio", ratio, "By which fraction the kernel is told to let the clock run faster: 0.000001 is 1 ppm.",
		func(k *tracker.Kernel) float64 { return k.Frequency * 1e-6 }),
	kernel("max_error_seconds", seconds, "The largest error of the clock by what the kernel is told, in seconds; it grows by 500 ppm until it is told anew, and ends at 16. chronyd tells it with rtcsync only.",
		func(k *tracker.Kernel) float64 { return k.MaxError }),
	kernel("estimated_error_seconds", seconds, "The estimated error of the clock by what the kernel is told, in seconds.",
		func(k *tracker.Kernel) float64 { return k.EstimatedError }),
	kernel("synchronized", "", "1 if the kernel is told that the clock is synchronised, else 0. chronyd tells it with rtcsync only.",
		func(k *tracker.Kernel) float64 { return boolean(k.Synchronized) }),
	{
		name: "chrony_tracker_samples_total", kind: counter,
		help:   "Samples of the clock that were taken, those without an answer of chronyd included. A scrape is none.",
		values: watched(func(w *tracker.Watched, f *family) { f.add(float64(w.Samples)) }),
	},
	{
		name: "chrony_tracker_sample_interval_seconds", kind: gauge, unit: seconds,
		help:   "Time between two samples, in seconds: --sample.interval.",
		values: watched(func(w *tracker.Watched, f *family) { f.add(w.Interval.Seconds()) }),
	},
}

// watched is for values that there are while somebody watches.
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

// window is a window's label.
func window(w tracker.Window) string { return fmt.Sprintf("%dm", w.Length/time.Minute) }

func objectives(value func(objective.Progress) float64) func(*view, *family) {
	return watched(func(w *tracker.Watched, f *family) {
		for _, p := range w.Objectives {
			f.add(value(p), p.Name)
		}
	})
}

// kernel makes a line of the table for what the kernel says.
func kernel(name string, u unit, help string, value func(*tracker.Kernel) float64) metric {
	return metric{
		name: "chrony_clock_kernel_" + name, kind: gauge, unit: u,
		help: help + " Read by adjtimex; absent where that is not allowed.",
		values: watched(func(w *tracker.Watched, f *family) {
			if w.Kernel != nil {
				f.add(value(w.Kernel))
			}
		}),
	}
}
