package exporter

import (
	dto "github.com/prometheus/client_model/go"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// serverMetrics are the fields of chronyd's report SERVER_STATS, under the names
// that chrony_exporter gave them. What a version doesn't count is absent.
var serverMetrics = []metric{
	server("ntp_packets_received_total", counter, "", "", "NTP requests received.",
		func(s *chrony.ServerStats) chrony.Count { return s.NTPHits }),
	server("nts_ke_connections_accepted_total", counter, "", "4.0", "Connections accepted to establish keys for NTS.",
		func(s *chrony.ServerStats) chrony.Count { return s.NKEHits }),
	server("command_packets_received_total", counter, "", "", "Requests for monitoring and control received, such as this program's.",
		func(s *chrony.ServerStats) chrony.Count { return s.CommandHits }),
	server("ntp_packets_dropped_total", counter, "", "", "NTP requests dropped to limit their rate.",
		func(s *chrony.ServerStats) chrony.Count { return s.NTPDrops }),
	server("nts_ke_connections_dropped_total", counter, "", "4.0", "Connections to establish keys for NTS that were dropped to limit their rate.",
		func(s *chrony.ServerStats) chrony.Count { return s.NKEDrops }),
	server("command_packets_dropped_total", counter, "", "", "Requests for monitoring and control dropped to limit their rate.",
		func(s *chrony.ServerStats) chrony.Count { return s.CommandDrops }),
	server("client_log_records_dropped_total", counter, "", "", "Records of clients dropped to limit the memory.",
		func(s *chrony.ServerStats) chrony.Count { return s.LogDrops }),
	server("authenticated_ntp_packets_total", counter, "", "4.0", "NTP requests that were authenticated, with a symmetric key or NTS.",
		func(s *chrony.ServerStats) chrony.Count { return s.NTPAuthHits }),
	server("interleaved_ntp_packets_total", counter, "", "4.2", "NTP requests in interleaved mode.",
		func(s *chrony.ServerStats) chrony.Count { return s.NTPInterleavedHits }),
	server("ntp_timestamps_held", gauge, "", "4.2", "Pairs of time stamps held for clients in interleaved mode.",
		func(s *chrony.ServerStats) chrony.Count { return s.NTPTimestamps }),
	server("ntp_timestamp_span_seconds", gauge, seconds, "4.2", "Time from the oldest of those to the newest.",
		func(s *chrony.ServerStats) chrony.Count { return s.NTPTimestampSpan }),
	server("ntp_daemon_rx_timestamps_total", counter, "", "4.4", "NTP replies whose receive time was stamped by the daemon.",
		func(s *chrony.ServerStats) chrony.Count { return s.DaemonRx }),
	server("ntp_daemon_tx_timestamps_total", counter, "", "4.4", "NTP replies whose transmit time was stamped by the daemon.",
		func(s *chrony.ServerStats) chrony.Count { return s.DaemonTx }),
	server("ntp_kernel_rx_timestamps_total", counter, "", "4.4", "NTP replies whose receive time was stamped by the kernel.",
		func(s *chrony.ServerStats) chrony.Count { return s.KernelRx }),
	server("ntp_kernel_tx_timestamps_total", counter, "", "4.4", "NTP replies, in interleaved mode, whose transmit time was stamped by the kernel.",
		func(s *chrony.ServerStats) chrony.Count { return s.KernelTx }),
	server("ntp_hw_rx_timestamps_total", counter, "", "4.4", "NTP replies whose receive time was stamped by the network card.",
		func(s *chrony.ServerStats) chrony.Count { return s.HardwareRx }),
	server("ntp_hw_tx_timestamps_total", counter, "", "4.4", "NTP replies, in interleaved mode, whose transmit time was stamped by the network card.",
		func(s *chrony.ServerStats) chrony.Count { return s.HardwareTx }),
}

// server makes a line of the table for one field.
func server(name string, kind dto.MetricType, u unit, since, help string, field func(*chrony.ServerStats) chrony.Count) metric {
	return metric{
		name: "chrony_serverstats_" + name, kind: kind, unit: u, from: chrony.WantServerStats, since: since, help: help,
		values: func(v *view, f *family) {
			if s := v.report().ServerStats; s != nil {
				if value, ok := known(field(s)); ok {
					f.add(value)
				}
			}
		},
	}
}

// known is a count as a value, if chronyd told it.
func known(c chrony.Count) (float64, bool) {
	n, ok := c.Value()
	return float64(n), ok
}
