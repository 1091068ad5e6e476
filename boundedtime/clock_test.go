package boundedtime_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/chrony-tracker/chrony-tracker/boundedtime"
	"github.com/chrony-tracker/chrony-tracker/internal/segment"
)

func monotonic() time.Duration {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC_COARSE, &t)
	return time.Duration(t.Nano())
}

// BenchmarkNow compares Now with time.Now, in one run.
func BenchmarkNow(b *testing.B) {
	path := filepath.Join(b.TempDir(), "shm0")
	as := monotonic()
	os.WriteFile(path, segment.Encode(segment.Record{AsOf: as, VoidAfter: as + time.Hour, Bound: 1000, MaxDrift: 50000, Status: segment.Synchronized}), 0o644)
	c, err := boundedtime.Open(boundedtime.Config{Path: path})
	if err != nil {
		b.Fatal(err)
	}
	const batch = 1000
	var plain, bounded []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		begin := time.Now()
		for range batch {
			_ = time.Now()
		}
		middle := time.Now()
		for range batch {
			if _, _, _, err := c.Now(); err != nil {
				b.Fatal(err)
			}
		}
		plain, bounded = append(plain, middle.Sub(begin)), append(bounded, time.Since(middle))
	}
	slices.Sort(plain)
	slices.Sort(bounded)
	each := func(batches []time.Duration) float64 { return float64(batches[len(batches)/2]) / batch }
	b.ReportMetric(each(plain), "time.Now-ns")
	b.ReportMetric(each(bounded), "Now-ns")
	b.ReportMetric(each(bounded)/each(plain), "times")
}
