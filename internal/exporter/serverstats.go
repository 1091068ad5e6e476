package exporter

import (
	dto "github.com/prometheus/client_model/go"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// serverMetrics are the fields of chronyd's serverstats report, under the names of
// chrony_exporter. A field that this version of chronyd does not count is absent.
var serverMetrics = []metric{
	server("ntp_packets_received_total", counter, "", "", "NTP requests received.",
		func(s *chrony.ServerStats) chrony.Count { return s.NTPHits }),
	server("nts_ke_connections_accepted_total", counter, "", "4.0", "NTS key establishment connections accepted.",
		func(s *chrony.ServerStats) chrony.Count { return s.NKEHits }),
	server("command_packets_received_total", counter, "", "", "Monitoring and control requests received, this program's requests included.",
		func(s *chrony.ServerStats) chrony.Count { return s.CommandHits }),
	server("ntp_packets_dropped_total", counter, "", "", "NTP requests dropped by rate limiting.",
		func(s *chrony.ServerStats) chrony.Count { return s.NTPDrops }),
	server("nts_ke_connections_dropped_total", counter, "", "4.0", "NTS key establishment connections dropped by rate limiting.",
		func(s *chrony.ServerStats) chrony.Count { return s.NKEDrops }),
	server("command_packets_dropped_total", counter, "", "", "Monitoring and control requests dropped by rate limiting.",
		func(s *chrony.ServerStats) chrony.Count { return s.CommandDrops }),
	server("client_log_records_dropped_total", counter, "", "", "Client log records dropped to limit memory use.",
		func(s *chrony.ServerStats) chrony.Count { return s.LogDrops }),
	server("authenticated_ntp_packets_total", counter, "", "4.0", "NTP requests authenticated with a symmetric key or NTS.",
		func(s *chrony.ServerStats) chrony.Count { return s.NTPAuthHits }),
	server("interleaved_ntp_packets_total", counter, "", "4.2", "NTP requests received in interleaved mode.",
		func(s *chrony.ServerStats) chrony.Count { return s.NTPInterleavedHits }),
	server("ntp_timestamps_held", gauge, "", "4.2", "Timestamp pairs held for clients in interleaved mode.",
		func(s *chrony.ServerStats) chrony.Count { return s.NTPTimestamps }),
	server("ntp_timestamp_span_seconds", gauge, seconds, "4.2", "Time from the oldest to the newest timestamp held for interleaved mode, in seconds.",
		func(s *chrony.ServerStats) chrony.Count { return s.NTPTimestampSpan }),
	server("ntp_daemon_rx_timestamps_total", counter, "", "4.4", "NTP replies with a receive timestamp from the daemon.",
		func(s *chrony.ServerStats) chrony.Count { return s.DaemonRx }),
	server("ntp_daemon_tx_timestamps_total", counter, "", "4.4", "NTP replies with a transmit timestamp from the daemon.",
		func(s *chrony.ServerStats) chrony.Count { return s.DaemonTx }),
	server("ntp_kernel_rx_timestamps_total", counter, "", "4.4", "NTP replies with a receive timestamp from the kernel.",
		func(s *chrony.ServerStats) chrony.Count { return s.KernelRx }),
	server("ntp_kernel_tx_timestamps_total", counter, "", "4.4", "NTP replies in interleaved mode with a transmit timestamp from the kernel.",
		func(s *chrony.ServerStats) chrony.Count { return s.KernelTx }),
	server("ntp_hw_rx_timestamps_total", counter, "", "4.4", "NTP replies with a receive timestamp from the network card.",
		func(s *chrony.ServerStats) chrony.Count { return s.HardwareRx }),
	server("ntp_hw_tx_timestamps_total", counter, "", "4.4", "NTP replies in interleaved mode with a transmit timestamp from the network card.",
		func(s *chrony.ServerStats) chrony.Count { return s.HardwareTx }),
}

// server returns the metric for one field.
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

// known returns a count as a value, and whether chronyd reported it.
func known(c chrony.Count) (float64, bool) {
	n, ok := c.Value()
	return float64(n), ok
}
