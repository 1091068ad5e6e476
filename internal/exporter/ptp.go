package exporter

// ptpMetrics show the PTP clocks of the node, and the one in chrony.conf.
var ptpMetrics = []metric{
	{
		name: "chrony_tracker_ptp_clock_info", kind: gauge,
		help:   "Always 1. There is one series for each PTP clock of the node. The labels are the kernel's device, such as ptp0, and the driver's name for it, such as hyperv. Absent if the node has none.",
		labels: []string{"clock_name", "device"},
		values: func(v *view, f *family) {
			for _, clock := range v.PTP.Clocks {
				f.add(1, clock.Name, clock.Device)
			}
		},
	},
	{
		name: "chrony_tracker_phc_info", kind: gauge,
		help: "Always 1. The labels identify the PTP clock of --phc.device: its device and the driver's name for it. clock_name is empty if there is no such clock. " +
			"The kernel may number PTP clocks differently after each boot. On Azure, any clock_name other than hyperv is the wrong clock. Absent without --phc.device.",
		labels: []string{"clock_name", "device"},
		values: func(v *view, f *family) {
			if clock := v.PTP.Configured; clock != nil {
				f.add(1, clock.Name, clock.Device)
			}
		},
	},
}
