package exporter

import (
	"math"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// clockMetrics describe the state and the error of the clock.
var clockMetrics = []metric{
	{
		name: "chrony_up", kind: gauge,
		help:   "1 if chronyd answered with its tracking report, else 0.",
		values: always(func(s *tracker.Snapshot) float64 { return boolean(s.Err == nil) }),
	},
	{
		name: "chrony_clock_error_ms", kind: gauge, unit: milliseconds,
		help: "Clock error in milliseconds, as Azure's chrony-tracker defines it: (|last offset| + root dispersion + root delay / 2) * 1000. " +
			"This is not a bound: while chronyd slews a large offset, it can show microseconds when the clock is a second off. Use chrony_clock_error_bound_seconds for the bound. " +
			"+Inf if no bound is known: chrony_clock_state shows why.",
		values: always(func(s *tracker.Snapshot) float64 { return s.Estimate.Error * 1000 }),
	},
	{
		name: "chrony_clock_error_bound_seconds", kind: gauge, unit: seconds,
		help: "The largest error that the clock can have now, in seconds. It is the larger of two sums, plus --clock.reference-error: " +
			"chrony's own terms (|system time| + root dispersion + root delay / 2), and the last sample with its age (|adjusted offset - system time| + offset error + drift since the sample). " +
			"It is larger if other sources or witnesses prove a larger error. It is an estimate if chronyd's last sample is unknown. It is relative to UTC if the reference is. " +
			"+Inf if no bound is known: chrony_clock_state shows why.",
		values: always(func(s *tracker.Snapshot) float64 { return s.Estimate.Bound }),
	},
	{
		name: "chrony_clock_error_bound_term_seconds", kind: gauge, unit: seconds,
		help: "The terms of chrony_clock_error_bound_seconds, in seconds. Their sum is the bound. offset: the offset of the last sample, minus what was slewed since (|adjusted offset - system time|). " +
			"delay: the smaller of root delay / 2 and the sample's offset error. dispersion: the rest of that offset error. " +
			"drift: possible drift since the sample, at skew + --clock.max-wander. In holdover, the rate is at least --clock.max-drift. " +
			"reference: --clock.reference-error. disagreement: what chrony's own terms, other sources or witnesses add to these. Absent if there is no bound.",
		labels: []string{"term"},
		values: func(v *view, f *family) {
			if !v.Estimate.HasBound() {
				return
			}
			for term, seconds := range v.Estimate.Terms.All() {
				f.add(seconds, term)
			}
		},
	},
	{
		name: "chrony_clock_state", kind: gauge,
		help: "1 for the current state of the clock, 0 for the others. synchronized: chronyd follows a source. holdover: samples or updates have stopped, or no source is selected. " +
			"contradicted: measurements of its sources or of witnesses contradict chronyd's claim; the bound includes them. local: chronyd follows the clock itself. unsynchronized: chronyd follows nothing. unreachable: chronyd does not answer. " +
			"Only the first three states can have a bound. Even synchronized can have none: before the first sample, and after another program stepped the clock, if it is unknown whether chronyd's last update came before or after the step.",
		labels: []string{"state"},
		values: func(v *view, f *family) {
			for _, state := range clockerror.States {
				f.add(boolean(state == v.Estimate.State), state.String())
			}
		},
	},
	{
		name: "chrony_clock_untraced", kind: gauge,
		help: "1 if the bound is not relative to UTC, else 0. It is 1 if chronyd follows a reference clock and --clock.reference-error is 0, and behind a server that follows its own clock. " +
			"Absent in the states local, unsynchronized and unreachable.",
		values: func(v *view, f *family) {
			if v.Estimate.State.CanHaveBound() {
				f.add(boolean(v.Estimate.Untraced))
			}
		},
	},
	{
		name: "chrony_clock_sample_age_seconds", kind: gauge, unit: seconds,
		help: "Age of the last sample of the source that chronyd follows, in seconds. If that is unknown, age of chronyd's reference time. " +
			"Absent in the states local, unsynchronized and unreachable, and before the first sample.",
		values: func(v *view, f *family) {
			if v.Estimate.HasSampleAge() && !math.IsInf(v.Estimate.SampleAge, 1) {
				f.add(v.Estimate.SampleAge)
			}
		},
	},
	{
		name: "chrony_clock_holdover_age_seconds", kind: gauge, unit: seconds,
		help: "Age limit for holdover, in seconds. Holdover begins when chrony_clock_sample_age_seconds or the age of chrony_tracking_reference_timestamp_seconds exceeds it. " +
			"4 * max(poll interval, min(update interval, 16 * poll interval, shortest of the last three sample intervals)) + 2, at most the larger of 3600 and two poll intervals + 2. Absent in the states local, unsynchronized and unreachable.",
		values: func(v *view, f *family) {
			if v.Estimate.HasSampleAge() {
				f.add(v.Estimate.HoldoverAge)
			}
		},
	},
}
