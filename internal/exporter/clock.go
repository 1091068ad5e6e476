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
			"It is not a bound: while a large offset is slewed away it can show microseconds when the clock is a second wrong; chrony_clock_error_bound_seconds does not. " +
			"+Inf when nothing vouches for the clock: chrony_clock_state says why.",
		values: always(func(s *tracker.Snapshot) float64 { return s.Estimate.Error * 1000 }),
	},
	{
		name: "chrony_clock_error_bound_seconds", kind: gauge, unit: seconds,
		help: "The largest error that the clock can have now, in seconds: the larger of chrony's own terms (|system time| + root dispersion + root delay / 2) and its last sample, aged " +
			"(|adjusted offset - system time| + offset error + drift since the sample), each with --clock.reference-error added, or more if other sources prove more. " +
			"Relative to UTC if the reference is. +Inf when nothing confirms the clock: chrony_clock_state says why.",
		values: always(func(s *tracker.Snapshot) float64 { return s.Estimate.Bound }),
	},
	{
		name: "chrony_clock_error_bound_term_seconds", kind: gauge, unit: seconds,
		help: "The terms that sum up to chrony_clock_error_bound_seconds: offset (|adjusted offset - system time| of the last sample), delay (up to root delay / 2) and dispersion of that sample's own error, " +
			"drift (since the sample: its skew and --clock.max-wander, or --clock.max-drift in holdover), reference (--clock.reference-error), disagreement (what chrony's own terms or other sources demand beyond these). Absent when there is no bound.",
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
			"contradicted (measurements exclude what chronyd claims; the bound includes them); local (chronyd follows the clock itself); unsynchronized (it follows nothing); unreachable (chronyd does not answer). " +
			"Only the first three have a bound, and holdover has none if there never was a sample.",
		labels: []string{"state"},
		values: func(v *view, f *family) {
			for _, state := range clockerror.States {
				f.add(boolean(state == v.Estimate.State), state.String())
			}
		},
	},
	{
		name: "chrony_clock_sample_age_seconds", kind: gauge, unit: seconds,
		help: "Age of the last sample that the clock was steered by, in seconds: the selected source's or, without one, that of chronyd's reference time. " +
			"Absent unless the state is synchronized or holdover, and when there never was a sample.",
		values: func(v *view, f *family) {
			if v.Estimate.HasSampleAge() && !math.IsInf(v.Estimate.SampleAge, 1) {
				f.add(v.Estimate.SampleAge)
			}
		},
	},
	{
		name: "chrony_clock_holdover_age_seconds", kind: gauge, unit: seconds,
		help: "The chrony_clock_sample_age_seconds above which the state is holdover: 4 * max(poll interval, min(update interval, 16 * poll interval)) + 2. " +
			"Absent unless the state is synchronized or holdover.",
		values: func(v *view, f *family) {
			if v.Estimate.HasSampleAge() {
				f.add(v.Estimate.HoldoverAge)
			}
		},
	},
}
