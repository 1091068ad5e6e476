package exporter

import "github.com/chrony-tracker/chrony-tracker/chrony"

// ntpMetrics are fields of chronyd's ntpdata report. Reference clocks have none.
// chrony_exporter has the names with peer_.
var ntpMetrics = []metric{
	lastReply("peer_offset_seconds", seconds, "Offset by the last valid reply, in seconds. Positive if the clock was behind: the opposite sign of chrony_sources_last_sample_offset_seconds.",
		func(d *chrony.NTPData) float64 { return d.Offset }),
	lastReply("peer_delay_seconds", seconds, "Round-trip delay of the last valid reply, in seconds.",
		func(d *chrony.NTPData) float64 { return d.PeerDelay }),
	lastReply("peer_dispersion_seconds", seconds, "Dispersion of the last valid reply (the error of its timestamps), in seconds.",
		func(d *chrony.NTPData) float64 { return d.PeerDispersion }),
	lastReply("peer_response_time_seconds", seconds, "Time that the source took to reply, in seconds.",
		func(d *chrony.NTPData) float64 { return d.ResponseTime }),
	lastReply("peer_jitter_asymmetry_seconds", ratio, "Asymmetry of the network jitter, from -0.5 to 0.5. It is a ratio, despite the name.",
		func(d *chrony.NTPData) float64 { return d.JitterAsymmetry }),
	packets("sent", "Packets sent to the source.",
		func(d *chrony.NTPData) uint32 { return d.TotalTx }),
	packets("received", "Packets received from the source. The difference from packets sent is the number of lost or unanswered requests.",
		func(d *chrony.NTPData) uint32 { return d.TotalRx }),
	packets("valid", "Valid replies received from the source. chronyd drops the other packets: duplicate, bogus or not authentic.",
		func(d *chrony.NTPData) uint32 { return d.TotalValid }),
	lastReply("interleaved", "", "1 if the last valid reply was in interleaved mode, else 0.",
		func(d *chrony.NTPData) float64 { return boolean(d.Interleaved) }),
	lastReply("timestamping", "", "Source of the transmit and receive timestamps of the last request and reply, the worse of the two: 0 unknown, 1 daemon, 2 kernel, 3 network card.",
		func(d *chrony.NTPData) float64 {
			return min(timestamping[d.TxTimestamping], timestamping[d.RxTimestamping])
		}),
	{
		name: "chrony_sources_ntp_test_failed", kind: gauge, from: chrony.WantNTPData,
		help: "1 for each test that the last valid reply failed: unsynchronized (the source is not synchronized, or its stratum is too high), root_distance, max_delay, delay_ratio, delay_deviation, sync_loop. " +
			"Absent if it passed all tests.",
		labels: append(ofSource[:len(ofSource):len(ofSource)], "test"),
		values: func(v *view, f *family) {
			for _, s := range v.sources {
				if s.NTP == nil {
					continue
				}
				failed := s.NTP.Failed()
				for _, test := range chrony.Tests {
					if failed&test.Test != 0 {
						f.add(1, s.address, s.name, test.Name)
					}
				}
			}
		},
	},
}

// timestamping ranks the sources of timestamps. A higher number is better.
var timestamping = map[chrony.Timestamping]float64{chrony.TimestampDaemon: 1, chrony.TimestampKernel: 2, chrony.TimestampHardware: 3}

// lastReply returns the metric for one field of the last valid reply.
func lastReply(name string, u unit, help string, field func(*chrony.NTPData) float64) metric {
	m := perSource(name, u, help+" Absent before the first valid reply.", func(s *chrony.Source) (float64, bool) {
		if s.NTP == nil || s.NTP.TotalValid == 0 {
			return 0, false
		}
		return field(s.NTP), true
	})
	m.from = chrony.WantNTPData
	return m
}

// packets returns the metric for a packet counter. It starts at zero when chronyd
// starts or replaces the source.
func packets(name, help string, field func(*chrony.NTPData) uint32) metric {
	m := perSource("packets_"+name+"_total", "", help, func(s *chrony.Source) (float64, bool) {
		if s.NTP == nil {
			return 0, false
		}
		return float64(field(s.NTP)), true
	})
	m.kind, m.from = counter, chrony.WantNTPData
	return m
}
