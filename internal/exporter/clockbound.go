package exporter

import (
	"github.com/chrony-tracker/chrony-tracker/internal/clockbound"
	"github.com/chrony-tracker/chrony-tracker/internal/segment"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// clockBoundMetrics describe what is published in ClockBound's shared memory. All are
// absent without --clockbound.shm.
var clockBoundMetrics = []metric{
	{
		name: "chrony_clockbound_age_seconds", kind: gauge, unit: seconds,
		help: "Time since the last write to ClockBound's shared memory, in seconds. Absent without --clockbound.shm, and before the first write.",
		values: publication(func(p *tracker.Publication, f *family) {
			if p.Age >= 0 {
				f.add(p.Age.Seconds())
			}
		}),
	},
	{
		name: "chrony_clockbound_generation", kind: gauge,
		help:   "Number of the last write to ClockBound's shared memory. It grows by 2 and wraps from 65534 to 2. If another program writes, it is that program's. Absent without --clockbound.shm.",
		values: publication(func(p *tracker.Publication, f *family) { f.add(float64(p.Generation)) }),
	},
	{
		name: "chrony_clockbound_status", kind: gauge,
		help: "1 for the status that programs read from ClockBound's shared memory, 0 for the others: synchronized, free_running (holdover), unknown " +
			"(nothing confirms the clock, or measurements contradict it), disrupted (a step or a suspension, and no good sample since). All are 0 while nothing is published. Absent without --clockbound.shm.",
		labels: []string{"status"},
		values: publication(func(p *tracker.Publication, f *family) {
			for _, status := range segment.Statuses {
				f.add(boolean(p.Status == status.String()), status.String())
			}
		}),
	},
	{
		name: "chrony_clockbound_write_errors_total", kind: counter,
		help: "Samples that were not written to ClockBound's shared memory, by reason: directory_missing, permission, read_only, foreign_file (made by another program), " +
			"another_writer (Amazon's daemon or another tracker writes to it), other. Absent without --clockbound.shm.",
		labels: []string{"reason"},
		values: publication(func(p *tracker.Publication, f *family) {
			for _, reason := range clockbound.Reasons {
				f.add(float64(p.Errors[reason]), reason)
			}
		}),
	},
}

func publication(values func(*tracker.Publication, *family)) func(*view, *family) {
	return watched(func(w *tracker.Watched, f *family) {
		if w.Publication != nil {
			values(w.Publication, f)
		}
	})
}
