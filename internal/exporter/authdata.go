package exporter

import "github.com/chrony-tracker/chrony-tracker/chrony"

// authMetrics are fields of chronyd's report AUTH_DATA that change, and that only
// sources with Network Time Security have. The others are labels of
// chrony_sources_info.
var authMetrics = []metric{
	nts("key_age_seconds", seconds, "Time since keys were established. Absent when they never were.",
		func(a *chrony.AuthData) (float64, bool) { return a.LastKE.Seconds(), a.LastKE != chrony.Never }),
	nts("failed_attempts", "", "Attempts to establish keys that failed since the last that did not.",
		func(a *chrony.AuthData) (float64, bool) { return float64(a.KEAttempts), true }),
	nts("cookies", "", "Cookies left; each request costs one, each reply brings one.",
		func(a *chrony.AuthData) (float64, bool) { return float64(a.Cookies), true }),
	nts("nak", "", "1 if the server refused the cookie of the last request, else 0.",
		func(a *chrony.AuthData) (float64, bool) { return boolean(a.NAK), true }),
}

// nts makes a line of the table for one field.
func nts(name string, u unit, help string, field func(*chrony.AuthData) (float64, bool)) metric {
	m := perSource("nts_"+name, u, "Network Time Security (RFC 8915), for sources that use it. "+help, func(s *chrony.Source) (float64, bool) {
		if s.Auth == nil || s.Auth.Mode != chrony.AuthNTS {
			return 0, false
		}
		return field(s.Auth)
	})
	m.from, m.since = chrony.WantAuthData, "4.0"
	return m
}
