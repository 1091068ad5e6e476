package exporter

import "github.com/chrony-tracker/chrony-tracker/chrony"

// activityMetrics are the fields of chronyd's activity report.
var activityMetrics = []metric{
	{
		name: "chrony_activity_sources", kind: gauge, from: chrony.WantActivity,
		help: "Number of NTP sources by polling status: online (polled, even if they do not answer), offline (not polled), " +
			"burst (in a burst of polls), unresolved (the name has no address). Absent if chronyd does not give the report.",
		labels: []string{"status"},
		values: func(v *view, f *family) {
			if a := v.report().Activity; a != nil {
				f.add(float64(a.Online), "online")
				f.add(float64(a.Offline), "offline")
				f.add(float64(a.BurstOnline)+float64(a.BurstOffline), "burst")
				f.add(float64(a.Unresolved), "unresolved")
			}
		},
	},
}
