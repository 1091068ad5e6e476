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
	packets("sent", "", "Packets sent to the source.",
		func(d *chrony.NTPData) (float64, bool) { return float64(d.TotalTx), true }),
	packets("received", "", "Packets that came from the source. Those sent and not received are lost, or not answered.",
		func(d *chrony.NTPData) (float64, bool) { return float64(d.TotalRx), true }),
	packets("valid", "", "Packets received that were valid replies. The others were dropped: repeated, bogus or not authentic.",
		func(d *chrony.NTPData) (float64, bool) { return float64(d.TotalValid), true }),
	packets("good", "4.3", "Valid replies that passed all tests and so became samples. chrony_sources_ntp_test_failed says what the last one that did not failed for.",
		func(d *chrony.NTPData) (float64, bool) { return known(d.TotalGood) }),
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
func packets(name, since, help string, field func(*chrony.NTPData) (float64, bool)) metric {
	m := perSource("packets_"+name+"_total", "", help, func(s *chrony.Source) (float64, bool) {
		if s.NTP == nil {
			return 0, false
		}
		return field(s.NTP)
	})
	m.kind, m.since, m.from = counter, since, chrony.WantNTPData
	return m
}

// known is a count as a value, if chronyd told it.
func known(c chrony.Count) (float64, bool) {
	n, ok := c.Value()
	return float64(n), ok
}
