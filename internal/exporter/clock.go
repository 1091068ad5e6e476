package exporter

import (
	"math"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// clockMetrics are the judgement of the clock.
var clockMetrics = []metric{
	{
		name: "chrony_up", kind: gauge,
		help:   "1 if chronyd answered and reported its tracking, else 0.",
		values: always(func(s *tracker.Snapshot) float64 { return boolean(s.Err == nil) }),
	},
	{
		name: "chrony_clock_error_ms", kind: gauge, unit: milliseconds,
		help: "Clock error in milliseconds, as Azure's chrony-tracker defines it: (|last offset| + root dispersion + root delay / 2) * 1000. " +
			"It is not a bound: while a large offset is slewed away it can show microseconds when the clock is a second off; chrony_clock_error_bound_seconds does not. " +
			"+Inf when nothing confirms the clock: chrony_clock_state says why.",
		values: always(func(s *tracker.Snapshot) float64 { return s.Estimate.Error * 1000 }),
	},
	{
		name: "chrony_clock_error_bound_seconds", kind: gauge, unit: seconds,
		help: "The largest error that the clock can have now, in seconds. It is the larger of two sums: chrony's own terms (|system time| + root dispersion + root delay / 2), " +
			"and the last sample, aged (|adjusted offset - system time| + offset error + drift since the sample). --clock.reference-error is added. It is more if other sources prove more. " +
			"If chronyd's last sample is unknown, it is an estimate. Relative to UTC if the reference is. +Inf when nothing confirms the clock: chrony_clock_state says why.",
		values: always(func(s *tracker.Snapshot) float64 { return s.Estimate.Bound }),
	},
	{
		name: "chrony_clock_error_bound_term_seconds", kind: gauge, unit: seconds,
		help: "The terms that sum up to chrony_clock_error_bound_seconds. offset: where the last sample found the clock, less what was slewed since (|adjusted offset - system time|). " +
			"delay and dispersion: that sample's own error, of which delay is up to root delay / 2. drift: what the clock may have drifted since the sample, at skew + --clock.max-wander; in holdover --clock.max-drift. " +
			"reference: --clock.reference-error. disagreement: what chrony's own terms or other sources demand beyond these. Absent when there is no bound.",
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
		help: "1 for the state that the clock is in, 0 for the others: synchronized; holdover (samples or updates have stopped, or no source is selected); " +
			"contradicted (measurements contradict what chronyd claims; the bound includes them); local (chronyd follows the clock itself); unsynchronized (it follows nothing); unreachable (chronyd does not answer). " +
			"Only the first three can have a bound. They have none if there never was a sample, and after a step of the clock whose relation to chronyd's last update is unknown.",
		labels: []string{"state"},
		values: func(v *view, f *family) {
			for _, state := range clockerror.States {
				f.add(boolean(state == v.Estimate.State), state.String())
			}
		},
	},
	{
		name: "chrony_clock_sample_age_seconds", kind: gauge, unit: seconds,
		help: "Age of the last sample of the source that the clock follows, in seconds. If that is unknown: age of chronyd's reference time. " +
			"Absent unless the state is synchronized, holdover or contradicted, and when there never was a sample.",
		values: func(v *view, f *family) {
			if v.Estimate.HasSampleAge() && !math.IsInf(v.Estimate.SampleAge, 1) {
				f.add(v.Estimate.SampleAge)
			}
		},
	},
	{
		name: "chrony_clock_holdover_age_seconds", kind: gauge, unit: seconds,
		help: "Holdover begins when chrony_clock_sample_age_seconds or the age of chrony_tracking_reference_timestamp_seconds is above this, in seconds: " +
			"4 * max(poll interval, min(update interval, 16 * poll interval)) + 2, at most 3600 or two poll intervals. Absent unless the state is synchronized, holdover or contradicted.",
		values: func(v *view, f *family) {
			if v.Estimate.HasSampleAge() {
				f.add(v.Estimate.HoldoverAge)
			}
		},
	},
}
