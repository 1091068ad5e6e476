package exporter

import "github.com/chrony-tracker/chrony-tracker/chrony"

// smoothingMetrics are the fields of chronyd's report SMOOTHING.
var smoothingMetrics = []metric{
	smoothing("active", "", "1 while the served time differs from the clock on purpose, else 0.",
		func(s *chrony.Smoothing) float64 { return boolean(s.Active) }),
	smoothing("leap_only", "", "1 if only leap seconds are smoothed, else 0.",
		func(s *chrony.Smoothing) float64 { return boolean(s.LeapOnly) }),
	smoothing("offset_seconds", seconds, "Difference between the served time and the clock.",
		func(s *chrony.Smoothing) float64 { return s.Offset }),
	smoothing("frequency_ppm", ppm, "Difference between the served frequency and the clock's.",
		func(s *chrony.Smoothing) float64 { return s.Frequency }),
	smoothing("wander_ppm", ppm, "Change of that frequency, per second.",
		func(s *chrony.Smoothing) float64 { return s.Wander }),
	smoothing("update_age_seconds", seconds, "Time since the last update.",
		func(s *chrony.Smoothing) float64 { return s.UpdateAge }),
	smoothing("remaining_seconds", seconds, "Time until the offset is gone.",
		func(s *chrony.Smoothing) float64 { return s.Remaining }),
}

// smoothing makes a line of the table for one field.
func smoothing(name string, u unit, help string, field func(*chrony.Smoothing) float64) metric {
	return metric{
		name: "chrony_smoothing_" + name, kind: gauge, unit: u, from: chrony.WantSmoothing, help: "Of the time that chronyd serves, where chrony.conf has smoothtime. " + help,
		values: func(v *view, f *family) {
			if s := v.report().Smoothing; s != nil {
				f.add(field(s))
			}
		},
	}
}
