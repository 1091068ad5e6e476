package exporter

import (
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// trackingMetrics are the fields of chronyd's tracking report, under the names of
// chrony_exporter. All are absent if chronyd does not answer.
var trackingMetrics = []metric{
	{
		name: "chrony_tracking_info", kind: gauge, from: chrony.WantTracking,
		help:   "Always 1. The labels identify the source that chronyd follows: address, name, and reference ID in hexadecimal. A reference clock has its name in place of an address.",
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
		help: "1 if chronyd follows a server, a peer or a reference clock. 0 if it follows the clock itself (local) or nothing.",
		values: func(v *view, f *family) {
			if v.Err == nil {
				f.add(boolean(v.Estimate.State.CanHaveBound()))
			}
		},
	},
	tracking("stratum", "", "Stratum: number of servers between this clock and its reference clock, plus one. 0 if not synchronized.",
		func(t *chrony.Tracking) float64 { return float64(t.Stratum) }),
	tracking("leap_status", "", "Leap status (RFC 5905): 0 normal, 1 the last minute of the day has 61 seconds, 2 it has 59 seconds, 3 not synchronized.",
		func(t *chrony.Tracking) float64 { return float64(t.Leap) }),
	tracking("reference_timestamp_seconds", seconds, "Time of the last measurement of the reference that chronyd processed, in seconds since 1970. It can be up to one second early. 0 if there was none.",
		func(t *chrony.Tracking) float64 {
			if t.RefTime.IsZero() {
				return 0
			}
			return timestamp(t.RefTime)
		}),
	tracking("system_time_seconds", seconds, "Offset that chronyd still has to slew, in seconds. Positive if the system clock is behind.",
		func(t *chrony.Tracking) float64 { return t.SystemTime }),
	tracking("last_offset_seconds", seconds, "Estimated offset at the last clock update, in seconds. Positive if the clock was ahead.",
		func(t *chrony.Tracking) float64 { return t.LastOffset }),
	tracking("rms_offset_seconds", seconds, "Long-term average of the offset, in seconds.",
		func(t *chrony.Tracking) float64 { return t.RMSOffset }),
	tracking("frequency_ppms", ppm, "Rate at which the clock would gain time without chronyd's correction, in ppm.",
		func(t *chrony.Tracking) float64 { return t.Frequency }),
	tracking("residual_frequency_ppms", ppm, "Difference between the frequency measured against the reference and the one in use, in ppm.",
		func(t *chrony.Tracking) float64 { return t.ResidualFrequency }),
	tracking("skew_ppms", ppm, "Estimated error bound of the frequency, in ppm.",
		func(t *chrony.Tracking) float64 { return t.Skew }),
	tracking("root_delay_seconds", seconds, "Total round-trip network delay to the reference clock, in seconds. 1 if not synchronized, 0 if local.",
		func(t *chrony.Tracking) float64 { return t.RootDelay }),
	tracking("root_dispersion_seconds", seconds, "Total dispersion (accumulated error) up to the reference clock, in seconds. 1 if not synchronized, 0 if local.",
		func(t *chrony.Tracking) float64 { return t.RootDispersion }),
	tracking("update_interval_seconds", seconds, "Time between the last two clock updates, in seconds.",
		func(t *chrony.Tracking) float64 { return t.LastUpdateInterval }),
}

// tracking returns the metric for one field.
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

// timestamp returns a time in seconds since 1970.
func timestamp(t time.Time) float64 {
	return float64(t.Unix()) + float64(t.Nanosecond())*1e-9
}

// following returns the address and the name of the source that chronyd follows, the
// same as in that source's labels.
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
