package exporter

import (
	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// trackingMetrics are the fields of chronyd's report TRACKING, under the names
// that chrony_exporter gave them. All are absent when chronyd gives no answer.
var trackingMetrics = []metric{
	{
		name: "chrony_tracking_info", kind: gauge,
		help:   "Always 1. The labels say which source chronyd follows: its address and name, or a reference clock's name for both, and the reference ID in hexadecimal digits.",
		labels: []string{"tracking_address", "tracking_name", "tracking_refid"},
		values: func(s *tracker.Snapshot, emit emit) {
			if s.Err == nil {
				t := s.Report.Tracking
				emit(1, t.SourceName(), t.SourceName(), t.RefID.String())
			}
		},
	},
	{
		name: "chrony_tracking_remote_reference", kind: gauge,
		help: "1 if chronyd follows a source, be it a server, a peer or a reference clock; 0 if it follows the clock itself (local) or nothing.",
		values: func(s *tracker.Snapshot, emit emit) {
			if s.Err == nil {
				emit(boolean(s.Estimate.State == clockerror.Synchronized || s.Estimate.State == clockerror.Holdover))
			}
		},
	},
	tracking("stratum", "Distance from a reference clock, in servers; 0 when not synchronised.",
		func(t *chrony.Tracking) float64 { return float64(t.Stratum) }),
	tracking("leap_status", "Leap status (RFC 5905): 0 normal, 1 the day's last minute has 61 seconds, 2 it has 59, 3 not synchronised.",
		func(t *chrony.Tracking) float64 { return float64(t.Leap) }),
	tracking("reference_timestamp_seconds", "When the last measurement of the reference was processed, in seconds since 1970, up to a second too early; 0 if there was none.",
		func(t *chrony.Tracking) float64 {
			if t.RefTime.IsZero() {
				return 0
			}
			return float64(t.RefTime.Unix()) + float64(t.RefTime.Nanosecond())*1e-9
		}),
	tracking("system_time_seconds", "What is still to be corrected by slewing, in seconds; above zero, the system clock is behind.",
		func(t *chrony.Tracking) float64 { return t.SystemTime }),
	tracking("last_offset_seconds", "Offset estimated at the last clock update, in seconds; above zero, the clock was ahead.",
		func(t *chrony.Tracking) float64 { return t.LastOffset }),
	tracking("rms_offset_seconds", "Long-term average of the offset, in seconds.",
		func(t *chrony.Tracking) float64 { return t.RMSOffset }),
	tracking("frequency_ppms", "Rate by which the clock would gain if chronyd did not correct it, in ppm.",
		func(t *chrony.Tracking) float64 { return t.Frequency }),
	tracking("residual_frequency_ppms", "Difference between the frequency that the reference suggests and the one in use, in ppm.",
		func(t *chrony.Tracking) float64 { return t.ResidualFrequency }),
	tracking("skew_ppms", "Estimated error bound of the frequency, in ppm.",
		func(t *chrony.Tracking) float64 { return t.Skew }),
	tracking("root_delay_seconds", "Network delay to the reference clock and back, in seconds; 1 when not synchronised, 0 when local.",
		func(t *chrony.Tracking) float64 { return t.RootDelay }),
	tracking("root_dispersion_seconds", "All errors accumulated on the way from the reference clock, in seconds; 1 when not synchronised, 0 when local.",
		func(t *chrony.Tracking) float64 { return t.RootDispersion }),
	tracking("update_interval_seconds", "Time between the last two clock updates, in seconds.",
		func(t *chrony.Tracking) float64 { return t.LastUpdateInterval }),
}

// tracking makes a line of the table for one field.
func tracking(name, help string, field func(*chrony.Tracking) float64) metric {
	return metric{
		name: "chrony_tracking_" + name, kind: gauge, help: help,
		values: func(s *tracker.Snapshot, emit emit) {
			if s.Err == nil {
				emit(field(s.Report.Tracking))
			}
		},
	}
}
