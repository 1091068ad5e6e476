package exporter

import "github.com/chrony-tracker/chrony-tracker/internal/tracker"

// selfMetrics tell how this program's exchanges with chronyd go.
var selfMetrics = []metric{
	{
		name: "chrony_tracker_exchange_duration_seconds", kind: gauge, unit: seconds,
		help: "How long the exchange with chronyd took that this scrape's values come from, in seconds. Absent when the scrape did not wait for its end.",
		values: func(v *view, f *family) {
			if v.Took > 0 {
				f.add(v.Took.Seconds())
			}
		},
	},
	{
		name: "chrony_tracker_exchanges_total", kind: counter,
		help:   "Exchanges with chronyd. Scrapes at the same time share one.",
		values: always(func(s *tracker.Snapshot) float64 { return float64(s.Health.Exchanges) }),
	},
	{
		name: "chrony_tracker_exchange_failures_total", kind: counter,
		help: "Failures to judge the clock, by reason: no_answer (nobody is there), deadline (chronyd hangs), permission, unauthorized " +
			"(it refuses its tracking), bad_reply, abandoned (the scraper could not wait for as long as chronyd may take), other.",
		labels: []string{"reason"},
		values: func(v *view, f *family) {
			for _, reason := range tracker.Reasons() {
				f.add(float64(v.Health.Failures[reason]), reason)
			}
		},
	},
	{
		name: "chrony_tracker_dropped_packets_total", kind: counter,
		help: "Packets dropped instead of being taken for chronyd's answer, by reason: malformed, oversized, unexpected (fits no request that " +
			"is waiting: late, repeated or forged). Those that other sockets than chronyd's have sent are dropped by the kernel and not counted.",
		labels: []string{"reason"},
		values: func(v *view, f *family) {
			f.add(float64(v.Health.Malformed), "malformed")
			f.add(float64(v.Health.Oversized), "oversized")
			f.add(float64(v.Health.Unexpected), "unexpected")
		},
	},
	{
		name: "chrony_tracker_report_readable", kind: gauge,
		help: "For each report that is read, 0 if chronyd refused it over this connection, else 1. Most often it refuses for being asked by UDP " +
			"(its Unix socket gives all, and so does opencommands in chrony.conf from chronyd 4.7 on); else it is too old, or has nothing to tell of (rtcdata and smoothing, if not configured). The page at / says which. " +
			"Absent when chronyd gives no answer, and for what is asked of each source while there is none to ask about.",
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
