package exporter

import (
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// trackingMetrics are the fields of chronyd's report TRACKING, under the names
// that chrony_exporter gave them. All are absent when chronyd gives no answer.
var trackingMetrics = []metric{
	{
		name: "chrony_tracking_info", kind: gauge, from: chrony.WantTracking,
		help:   "Always 1. The labels say which source chronyd follows: its address and name, or a reference clock's name for both, and the reference ID in hexadecimal digits.",
		labels: []string{"tracking_address", "tracking_name", "tracking_refid"},
		values: func(v *view, f *family) {
			if t := v.report().Tracking; t != nil {
				address, name := v.following(t)
				f.add(1, address, name, t.RefID.String())
			}
		},
	},
	{
		name: "chrony_tracking_remote_reference", kind: gauge, from: chrony.WantTracking,
		help: "1 if chronyd follows a source, be it a server, a peer or a reference clock; 0 if it follows the clock itself (local) or nothing.",
		values: func(v *view, f *family) {
			if v.Err == nil {
				f.add(boolean(v.Estimate.State == clockerror.Synchronized || v.Estimate.State == clockerror.Holdover))
			}
		},
	},
	tracking("stratum", "", "Distance from a reference clock, in servers; 0 when not synchronised.",
		func(t *chrony.Tracking) float64 { return float64(t.Stratum) }),
	tracking("leap_status", "", "Leap status (RFC 5905): 0 normal, 1 the day's last minute has 61 seconds, 2 it has 59, 3 not synchronised.",
		func(t *chrony.Tracking) float64 { return float64(t.Leap) }),
	tracking("reference_timestamp_seconds", seconds, "When the last measurement of the reference was processed, in seconds since 1970, up to a second too early; 0 if there was none.",
		func(t *chrony.Tracking) float64 {
			if t.RefTime.IsZero() {
				return 0
			}
			return timestamp(t.RefTime)
		}),
	tracking("system_time_seconds", seconds, "What is still to be corrected by slewing, in seconds; above zero, the system clock is behind.",
		func(t *chrony.Tracking) float64 { return t.SystemTime }),
	tracking("last_offset_seconds", seconds, "Offset estimated at the last clock update, in seconds; above zero, the clock was ahead.",
		func(t *chrony.Tracking) float64 { return t.LastOffset }),
	tracking("rms_offset_seconds", seconds, "Long-term average of the offset, in seconds.",
		func(t *chrony.Tracking) float64 { return t.RMSOffset }),
	tracking("frequency_ppms", ppm, "Rate by which the clock would gain if chronyd did not correct it, in ppm.",
		func(t *chrony.Tracking) float64 { return t.Frequency }),
	tracking("residual_frequency_ppms", ppm, "Difference between the frequency that the reference suggests and the one in use, in ppm.",
		func(t *chrony.Tracking) float64 { return t.ResidualFrequency }),
	tracking("skew_ppms", ppm, "Estimated error bound of the frequency, in ppm.",
		func(t *chrony.Tracking) float64 { return t.Skew }),
	tracking("root_delay_seconds", seconds, "Network delay to the reference clock and back, in seconds; 1 when not synchronised, 0 when local.",
		func(t *chrony.Tracking) float64 { return t.RootDelay }),
	tracking("root_dispersion_seconds", seconds, "All errors accumulated on the way from the reference clock, in seconds; 1 when not synchronised, 0 when local.",
		func(t *chrony.Tracking) float64 { return t.RootDispersion }),
	tracking("update_interval_seconds", seconds, "Time between the last two clock updates, in seconds.",
		func(t *chrony.Tracking) float64 { return t.LastUpdateInterval }),
}

// tracking makes a line of the table for one field.
func tracking(name string, u unit, help string, field func(*chrony.Tracking) float64) metric {
	return metric{
		name: "chrony_tracking_" + name, kind: gauge, unit: u, from: chrony.WantTracking, help: help,
		values: func(v *view, f *family) {
			if t := v.report().Tracking; t != nil {
				f.add(field(t))
			}
		},
	}
}

// timestamp is a time in seconds since 1970.
func timestamp(t time.Time) float64 {
	return float64(t.Unix()) + float64(t.Nanosecond())*1e-9
}

// following returns the address and the name of what chronyd follows, as its source
// has them.
func (v *view) following(t *chrony.Tracking) (address, name string) {
	for _, s := range v.sources {
		if s.State == chrony.StateSelected && s.Name() == t.SourceName() {
			return s.address, s.name
		}
	}
	if t.Address.IP.IsValid() {
		return t.SourceName(), v.name(t.Address)
	}
	return t.SourceName(), t.SourceName()
}
