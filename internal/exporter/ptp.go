package exporter

// ptpMetrics tell which PTP clocks the node has, and which one chronyd follows.
var ptpMetrics = []metric{
	{
		name: "chrony_tracker_ptp_clock_info", kind: gauge,
		help:   "Always 1, for every PTP clock of the node: the kernel's device and its driver's name for it, such as ptp0 and hyperv. Absent where there is none.",
		labels: []string{"clock_name", "device"},
		values: func(v *view, f *family) {
			for _, clock := range v.PTP.Clocks {
				f.add(1, clock.Name, clock.Device)
			}
		},
	},
	{
		name: "chrony_tracker_phc_info", kind: gauge,
		help: "Always 1, for the PTP clock that chrony.conf names, if --phc.device tells which: what it really is. The kernel may number the clocks anew at each boot, " +
			"so on Azure any clock_name but hyperv is the wrong one; empty if there is no such clock.",
		labels: []string{"clock_name", "device"},
		values: func(v *view, f *family) {
			if clock := v.PTP.Configured; clock != nil {
				f.add(1, clock.Name, clock.Device)
			}
		},
	},
}
