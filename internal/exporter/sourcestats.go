package exporter

import "github.com/chrony-tracker/chrony-tracker/chrony"

// sourceStatsMetrics are the fields of chronyd's report SOURCESTATS, under the
// names that chrony_exporter gave them.
var sourceStatsMetrics = []metric{
	sourceStats("samples", "", "Number of samples in use.",
		func(s *chrony.SourceStats) (float64, bool) { return float64(s.Samples), true }),
	sourceStats("runs", "", "Number of runs of residuals of the same sign; few of them mean that a straight line fits the samples badly.",
		func(s *chrony.SourceStats) (float64, bool) { return float64(s.Runs), true }),
	sourceStats("span_seconds", seconds, "Time from the oldest sample to the newest.",
		func(s *chrony.SourceStats) (float64, bool) { return s.Span.Seconds(), true }),
	sourceStats("stddev", seconds, "Estimated standard deviation of the samples. Absent with fewer than three samples: chronyd then says what it began with.",
		func(s *chrony.SourceStats) (float64, bool) { return s.StandardDeviation, s.Samples >= regression }),
	sourceStats("frequency_ppms", ppm, "Estimated residual frequency between the source and the clock. Absent with fewer than three samples: chronyd then says what it began with.",
		func(s *chrony.SourceStats) (float64, bool) { return s.ResidualFrequency, s.Samples >= regression }),
	sourceStats("frequency_skew_ppms", ppm, "Error bound of that frequency. Absent with fewer than three samples: chronyd then says what it began with.",
		func(s *chrony.SourceStats) (float64, bool) { return s.Skew, s.Samples >= regression }),
	sourceStats("offset", seconds, "Estimated offset; above zero, the clock is ahead of the source. Absent with fewer than three samples: chronyd then says what it began with.",
		func(s *chrony.SourceStats) (float64, bool) { return s.Offset, s.Samples >= regression }),
	sourceStats("offset_error_seconds", seconds, "Error bound of that offset. Absent with fewer than three samples: chronyd then says what it began with.",
		func(s *chrony.SourceStats) (float64, bool) { return s.OffsetError, s.Samples >= regression }),
}

// regression is how many samples chronyd needs to work something out of them.
const regression = 3

// sourceStats makes a line of the table for one field, which has no value while
// the function says so.
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
