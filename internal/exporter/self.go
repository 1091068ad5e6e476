package exporter

import "github.com/chrony-tracker/chrony-tracker/internal/tracker"

// selfMetrics describe this program's exchanges with chronyd.
var selfMetrics = []metric{
	{
		name: "chrony_tracker_exchange_duration_seconds", kind: gauge, unit: seconds,
		help: "Duration of the exchange with chronyd that this scrape shows, in seconds. Absent if the scrape timed out before its end.",
		values: func(v *view, f *family) {
			if v.Took > 0 {
				f.add(v.Took.Seconds())
			}
		},
	},
	{
		name: "chrony_tracker_exchanges_total", kind: counter,
		help:   "Exchanges with chronyd. Simultaneous scrapes share one.",
		values: always(func(s *tracker.Snapshot) float64 { return float64(s.Health.Exchanges) }),
	},
	{
		name: "chrony_tracker_exchange_failures_total", kind: counter,
		help: "Exchanges without a tracking report, by reason: no_answer (nothing listens), deadline (chronyd does not answer in time), permission (access denied), " +
			"unauthorized (chronyd refuses the tracking report), bad_reply, abandoned (the scraper's timeout is shorter than --chrony.timeout), other.",
		labels: []string{"reason"},
		values: func(v *view, f *family) {
			for _, reason := range tracker.Reasons() {
				f.add(float64(v.Health.Failures[reason]), reason)
			}
		},
	},
	{
		name: "chrony_tracker_dropped_packets_total", kind: counter,
		help: "Packets that were dropped because they are not a valid reply from chronyd, by reason: malformed, oversized, unexpected (matches no pending request: " +
			"late, duplicate or forged). The kernel drops packets from other addresses; they are not counted.",
		labels: []string{"reason"},
		values: func(v *view, f *family) {
			f.add(float64(v.Health.Malformed), "malformed")
			f.add(float64(v.Health.Oversized), "oversized")
			f.add(float64(v.Health.Unexpected), "unexpected")
		},
	},
	{
		name: "chrony_tracker_report_readable", kind: gauge,
		help: "1 if chronyd gave the report, 0 if it refused it over this connection. chronyd refuses most reports over UDP. " +
			"Its Unix socket gives all reports. With chronyd 4.7 or later, opencommands in chrony.conf opens them over UDP. Other causes: this chronyd is too old, or the feature is not configured (rtcdata, smoothing). The page at / shows the cause. " +
			"Absent if chronyd does not answer, and for per-source reports while there is no source to ask about.",
		labels: []string{"report"},
		values: func(v *view, f *family) {
			if v.Report == nil {
				return
			}
			for _, want := range v.Report.Want.Each() {
				given, refused := v.Report.Given&want != 0, v.Report.Refused[want] != nil
				if given || refused {
					f.add(boolean(!refused), want.String())
				}
			}
		},
	},
}
