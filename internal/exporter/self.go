package exporter

import "github.com/chrony-tracker/chrony-tracker/internal/tracker"

// selfMetrics tell how this program's exchanges with chronyd go.
var selfMetrics = []metric{
	{
		name: "chrony_tracker_exchange_duration_seconds", kind: gauge,
		help: "How long the exchange with chronyd took that this scrape's values come from, in seconds. Absent when the scrape did not wait for its end.",
		values: func(s *tracker.Snapshot, emit emit) {
			if s.Took > 0 {
				emit(s.Took.Seconds())
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
			"(it refuses its tracking), unknown_command, bad_reply, abandoned (the scraper could not wait for as long as chronyd may take), other.",
		labels: []string{"reason"},
		values: func(s *tracker.Snapshot, emit emit) {
			for _, reason := range tracker.Reasons() {
				emit(float64(s.Health.Failures[reason]), reason)
			}
		},
	},
	{
		name: "chrony_tracker_requests_total", kind: counter,
		help:   "Requests sent to chronyd, without retries.",
		values: always(func(s *tracker.Snapshot) float64 { return float64(s.Health.Requests) }),
	},
	{
		name: "chrony_tracker_retries_total", kind: counter,
		help:   "Requests sent to chronyd again, for want of an answer.",
		values: always(func(s *tracker.Snapshot) float64 { return float64(s.Health.Retries) }),
	},
	{
		name: "chrony_tracker_dropped_packets_total", kind: counter,
		help: "Packets dropped instead of being taken for chronyd's answer, by reason: malformed, oversized, unexpected (fits no request that " +
			"is waiting: late, repeated or forged). Those that other sockets than chronyd's have sent are dropped by the kernel and not counted.",
		labels: []string{"reason"},
		values: func(s *tracker.Snapshot, emit emit) {
			emit(float64(s.Health.Malformed), "malformed")
			emit(float64(s.Health.Oversized), "oversized")
			emit(float64(s.Health.Unexpected), "unexpected")
		},
	},
}
