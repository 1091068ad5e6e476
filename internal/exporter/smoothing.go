package exporter

import "github.com/chrony-tracker/chrony-tracker/chrony"

// smoothingMetrics are the fields of chronyd's smoothing report.
var smoothingMetrics = []metric{
	smoothing("active", "", "1 while the served time intentionally differs from the clock, else 0.",
		func(s *chrony.Smoothing) float64 { return boolean(s.Active) }),
	smoothing("leap_only", "", "1 if chronyd smooths only leap seconds, else 0.",
		func(s *chrony.Smoothing) float64 { return boolean(s.LeapOnly) }),
	smoothing("offset_seconds", seconds, "Difference between the served time and the clock, in seconds.",
		func(s *chrony.Smoothing) float64 { return s.Offset }),
	smoothing("frequency_ppm", ppm, "Difference between the served frequency and the clock's, in ppm.",
		func(s *chrony.Smoothing) float64 { return s.Frequency }),
	smoothing("wander_ppm", ppm, "Rate of change of that frequency, in ppm per second.",
		func(s *chrony.Smoothing) float64 { return s.Wander }),
	smoothing("update_age_seconds", seconds, "Time since the last update, in seconds.",
		func(s *chrony.Smoothing) float64 { return s.UpdateAge }),
	smoothing("remaining_seconds", seconds, "Time until the offset is zero, in seconds.",
		func(s *chrony.Smoothing) float64 { return s.Remaining }),
}

// smoothing returns the metric for one field.
func smoothing(name string, u unit, help string, field func(*chrony.Smoothing) float64) metric {
	return metric{
		name: "chrony_smoothing_" + name, kind: gauge, unit: u, from: chrony.WantSmoothing, help: "Smoothing of the time that chronyd serves: " + help + " Only if chrony.conf has smoothtime.",
		values: func(v *view, f *family) {
			if s := v.report().Smoothing; s != nil {
				f.add(field(s))
			}
		},
	}
}
