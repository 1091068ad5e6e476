package exporter

import "github.com/chrony-tracker/chrony-tracker/chrony"

// rtcMetrics are the fields of chronyd's rtcdata report.
var rtcMetrics = []metric{
	rtc("reference_timestamp_seconds", seconds, "Time of the last measurement of the real-time clock, by its own time, in seconds since 1970. Absent if there was none.",
		func(r *chrony.RTC) (float64, bool) { return timestamp(r.RefTime), !r.RefTime.IsZero() }),
	rtc("samples", "", "Number of samples in use.",
		func(r *chrony.RTC) (float64, bool) { return float64(r.Samples), true }),
	rtc("runs", "", "Number of runs of residuals of the same sign.",
		func(r *chrony.RTC) (float64, bool) { return float64(r.Runs), true }),
	rtc("span_seconds", seconds, "Time from the oldest to the newest sample, in seconds.",
		func(r *chrony.RTC) (float64, bool) { return r.Span.Seconds(), true }),
	rtc("offset_seconds", seconds, "Offset of the real-time clock, in seconds. Positive if it is ahead. Absent without samples.",
		func(r *chrony.RTC) (float64, bool) { return r.Offset, r.Samples > 0 }),
	rtc("gain_ppm", ppm, "Rate at which the real-time clock gains time, in ppm. Absent without samples.",
		func(r *chrony.RTC) (float64, bool) { return r.Gain, r.Samples > 0 }),
}

// rtc returns the metric for one field.
func rtc(name string, u unit, help string, field func(*chrony.RTC) (float64, bool)) metric {
	return metric{
		name: "chrony_rtc_" + name, kind: gauge, unit: u, from: chrony.WantRTC, help: "Real-time clock: " + help + " Only if chrony.conf has rtcfile.",
		values: func(v *view, f *family) {
			if r := v.report().RTC; r != nil {
				if value, ok := field(r); ok {
					f.add(value)
				}
			}
		},
	}
}
