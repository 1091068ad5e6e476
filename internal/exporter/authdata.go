package exporter

import "github.com/chrony-tracker/chrony-tracker/chrony"

// authMetrics are the fields of chronyd's authdata report that change over time.
// Only sources with Network Time Security have them. The authentication mode is a
// label of chrony_sources_info.
var authMetrics = []metric{
	nts("key_age_seconds", seconds, "Time since the last key establishment, in seconds. Absent if there was none.",
		func(a *chrony.AuthData) (float64, bool) { return a.LastKE.Seconds(), a.LastKE != chrony.Never }),
	nts("failed_attempts", "", "Failed key establishment attempts since the last successful one.",
		func(a *chrony.AuthData) (float64, bool) { return float64(a.KEAttempts), true }),
	nts("cookies", "", "Cookies left. Each request uses one, each reply brings one.",
		func(a *chrony.AuthData) (float64, bool) { return float64(a.Cookies), true }),
	nts("nak", "", "1 if the server rejected the cookie of the last request (NTS NAK), else 0.",
		func(a *chrony.AuthData) (float64, bool) { return boolean(a.NAK), true }),
}

// nts returns the metric for one field.
func nts(name string, u unit, help string, field func(*chrony.AuthData) (float64, bool)) metric {
	m := perSource("nts_"+name, u, help+" Only for sources with Network Time Security (RFC 8915).", func(s *chrony.Source) (float64, bool) {
		if s.Auth == nil || s.Auth.Mode != chrony.AuthNTS {
			return 0, false
		}
		return field(s.Auth)
	})
	m.from, m.since = chrony.WantAuthData, "4.0"
	return m
}
