package tracker_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/objective"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// BenchmarkWatch runs the watch a hundred times as fast as by default, with a real
// chronyd. The metrics are the CPU time of the whole process for one sample, and the
// share of one core at one sample per second.
func BenchmarkWatch(b *testing.B) {
	d := chronytest.NewSynchronized(b, "")
	tr := start(b, d.Address, tracker.Config{})
	const interval = 10 * time.Millisecond
	if err := tr.Watch(tracker.WatchConfig{Interval: interval, Objectives: objective.Profiles}); err != nil {
		b.Fatal(err)
	}
	samples, used := tr.Watched().Samples, cpuTime(b)
	for b.Loop() {
		time.Sleep(interval)
	}
	samples, used = tr.Watched().Samples-samples, cpuTime(b)-used
	each := float64(used) / float64(samples)
	b.ReportMetric(each, "cpu-ns/sample")
	b.ReportMetric(100*each/float64(time.Second), "%core")
	b.ReportMetric(0, "ns/op") // the time between two samples
}

// cpuTime returns the CPU time that this process has used so far.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
