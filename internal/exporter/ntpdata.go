package exporter

import "github.com/chrony-tracker/chrony-tracker/chrony"

// ntpMetrics are fields of chronyd's report NTP_DATA, which reference clocks don't
// have. The peer's are named as in chrony_exporter.
var ntpMetrics = []metric{
	lastReply("peer_offset_seconds", seconds, "Offset by the last valid reply; above zero, the clock was behind: the opposite of chrony_sources_last_sample_offset_seconds.",
		func(d *chrony.NTPData) float64 { return d.Offset }),
	lastReply("peer_delay_seconds", seconds, "Time that the last valid reply was on its way, there and back.",
		func(d *chrony.NTPData) float64 { return d.PeerDelay }),
	lastReply("peer_dispersion_seconds", seconds, "Error of the last valid reply's time stamps.",
		func(d *chrony.NTPData) float64 { return d.PeerDispersion }),
	lastReply("peer_response_time_seconds", seconds, "Time that the source took to reply.",
		func(d *chrony.NTPData) float64 { return d.ResponseTime }),
	lastReply("peer_jitter_asymmetry_seconds", ratio, "Asymmetry of the network's jitter, from -0.5 to 0.5: a plain number, whatever the name says.",
		func(d *chrony.NTPData) float64 { return d.JitterAsymmetry }),
	packets("sent", "Packets sent to the source.",
		func(d *chrony.NTPData) uint32 { return d.TotalTx }),
	packets("received", "Packets that came from the source. Those sent and not received are lost, or not answered.",
		func(d *chrony.NTPData) uint32 { return d.TotalRx }),
	packets("valid", "Packets received that were valid replies. The others were dropped: repeated, bogus or not authentic.",
		func(d *chrony.NTPData) uint32 { return d.TotalValid }),
	lastReply("interleaved", "", "1 if the last valid reply was in interleaved mode, else 0.",
		func(d *chrony.NTPData) float64 { return boolean(d.Interleaved) }),
	lastReply("timestamping", "", "Who stamped the times at which the last request left and its reply came, the worse of the two: 0 nobody, 1 the daemon, 2 the kernel, 3 the network card.",
		func(d *chrony.NTPData) float64 {
			return min(timestamping[d.TxTimestamping], timestamping[d.RxTimestamping])
		}),
	{
		name: "chrony_sources_ntp_test_failed", kind: gauge, from: chrony.WantNTPData,
		help: "1 for each test that the last valid reply failed: unsynchronized (of itself, or its stratum is too high), root_distance, max_delay, delay_ratio, delay_deviation, sync_loop. " +
			"Absent while it passed all, so that a good source costs no series.",
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

// timestamping orders who can stamp the time of a packet, the best last.
var timestamping = map[chrony.Timestamping]float64{chrony.TimestampDaemon: 1, chrony.TimestampKernel: 2, chrony.TimestampHardware: 3}

// lastReply makes a line of the table for what the last valid reply said.
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

// packets makes a line of the table for a count, which begins at zero when chronyd
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
