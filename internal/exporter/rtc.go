package exporter

import "github.com/chrony-tracker/chrony-tracker/chrony"

// rtcMetrics are the fields of chronyd's report RTCREPORT.
var rtcMetrics = []metric{
	rtc("reference_timestamp_seconds", seconds, "When the real-time clock was last measured, in seconds since 1970, by itself. Absent when it never was.",
		func(r *chrony.RTC) (float64, bool) { return timestamp(r.RefTime), !r.RefTime.IsZero() }),
	rtc("samples", "", "Number of samples in use.",
		func(r *chrony.RTC) (float64, bool) { return float64(r.Samples), true }),
	rtc("runs", "", "Number of runs of residuals of the same sign.",
		func(r *chrony.RTC) (float64, bool) { return float64(r.Runs), true }),
	rtc("span_seconds", seconds, "Time from the oldest sample to the newest.",
		func(r *chrony.RTC) (float64, bool) { return r.Span.Seconds(), true }),
	rtc("offset_seconds", seconds, "By how much the real-time clock is ahead. Absent without samples.",
		func(r *chrony.RTC) (float64, bool) { return r.Offset, r.Samples > 0 }),
	rtc("gain_ppm", ppm, "Rate by which the real-time clock gains. Absent without samples.",
		func(r *chrony.RTC) (float64, bool) { return r.Gain, r.Samples > 0 }),
}

// rtc makes a line of the table for one field.
func rtc(name string, u unit, help string, field func(*chrony.RTC) (float64, bool)) metric {
	return metric{
		name: "chrony_rtc_" + name, kind: gauge, unit: u, from: chrony.WantRTC, help: "Of the machine's real-time clock, where chrony.conf has an rtcfile. " + help,
		values: func(v *view, f *family) {
			if r := v.report().RTC; r != nil {
				if value, ok := field(r); ok {
					f.add(value)
				}
			}
		},
	}
}
