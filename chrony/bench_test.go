package chrony_test

import (
	"context"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

// BenchmarkTracking compares an exchange of one TRACKING with a real chronyd with its
// minimal cost: the same number of bytes sent and received, without decoding. The two
// take turns, so that other load on the machine affects both. It compares medians.
func BenchmarkTracking(b *testing.B) {
	d := chronytest.NewSynchronized(b, "")
	conn, err := net.Dial("udp", d.Address)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	request, reply := make([]byte, 520), make([]byte, 1024)
	request[0], request[1], request[5] = 6, 1, 33

	client := dial(b, d.Address)
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()

	var bare, ours []time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := conn.Write(request); err != nil {
			b.Fatal(err)
		}
		if _, err := conn.Read(reply); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		if _, err := client.Tracking(ctx); err != nil {
			b.Fatal(err)
		}
		bare, ours = append(bare, middle.Sub(start)), append(ours, time.Since(middle))
	}
	b.ReportMetric(float64(median(bare)), "bare-ns")
	b.ReportMetric(float64(median(ours)), "client-ns")
	b.ReportMetric(float64(median(ours))/float64(median(bare)), "client/bare")
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// BenchmarkReport reads tracking and sources, as every scrape does.
func BenchmarkReport(b *testing.B) {
	d := chronytest.NewSynchronized(b, "")
	for _, address := range []string{d.Address, "unix://" + d.Socket} {
		b.Run(address[:4], func(b *testing.B) {
			client := dial(b, address)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.Report(b.Context(), chrony.WantTracking|chrony.WantSources); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
