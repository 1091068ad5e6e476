package exporter

import "github.com/chrony-tracker/chrony-tracker/chrony"

// sourceStatsMetrics are the fields of chronyd's sourcestats report, under the names
// of chrony_exporter.
var sourceStatsMetrics = []metric{
	sourceStats("samples", "", "Number of samples in use.",
		func(s *chrony.SourceStats) (float64, bool) { return float64(s.Samples), true }),
	sourceStats("runs", "", "Number of runs of residuals with the same sign. A low number means that a straight line fits the samples badly.",
		func(s *chrony.SourceStats) (float64, bool) { return float64(s.Runs), true }),
	sourceStats("span_seconds", seconds, "Time from the oldest to the newest sample, in seconds.",
		func(s *chrony.SourceStats) (float64, bool) { return s.Span.Seconds(), true }),
	sourceStats("stddev", seconds, "Estimated standard deviation of the samples, in seconds. Absent with fewer than three samples, when chronyd reports only initial values.",
		func(s *chrony.SourceStats) (float64, bool) { return s.StandardDeviation, s.Samples >= regression }),
	sourceStats("frequency_ppms", ppm, "Estimated residual frequency of the clock against the source, in ppm. Absent with fewer than three samples, when chronyd reports only initial values.",
		func(s *chrony.SourceStats) (float64, bool) { return s.ResidualFrequency, s.Samples >= regression }),
	sourceStats("frequency_skew_ppms", ppm, "Error bound of that frequency, in ppm. Absent with fewer than three samples, when chronyd reports only initial values.",
		func(s *chrony.SourceStats) (float64, bool) { return s.Skew, s.Samples >= regression }),
	sourceStats("offset", seconds, "Estimated offset, in seconds. Positive if the clock is ahead of the source. Absent with fewer than three samples, when chronyd reports only initial values.",
		func(s *chrony.SourceStats) (float64, bool) { return s.Offset, s.Samples >= regression }),
	sourceStats("offset_error_seconds", seconds, "Error bound of that offset, in seconds. Absent with fewer than three samples, when chronyd reports only initial values.",
		func(s *chrony.SourceStats) (float64, bool) { return s.OffsetError, s.Samples >= regression }),
}

// regression is the number of samples that chronyd needs for an estimate.
const regression = 3

// sourceStats returns the metric for one field. The function reports whether the
// field has a value.
func sourceStats(name string, u unit, help string, field func(*chrony.SourceStats) (float64, bool)) metric {
	m := perSource(name, u, help, func(s *chrony.Source) (float64, bool) {
		if s.Stats == nil {
			return 0, false
		}
		return field(s.Stats)
	})
	m.name, m.from = "chrony_sourcestats_"+name, chrony.WantSourceStats
	return m
}
