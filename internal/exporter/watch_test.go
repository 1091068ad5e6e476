package exporter

import (
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/objective"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// serveWatched is like serve, with a tracker that takes samples.
func serveWatched(t testing.TB, address string, interval time.Duration) (*httptest.Server, *tracker.Tracker) {
	t.Helper()
	client, err := chrony.NewClient(address)
	if err != nil {
		t.Fatal(err)
	}
	tr := tracker.New(tracker.Config{Client: client})
	t.Cleanup(func() { tr.Close() })
	if err := tr.Watch(tracker.WatchConfig{Interval: interval, Objectives: objective.Profiles}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(NewHandler(everything(tr)))
	t.Cleanup(server.Close)
	return server, tr
}

// awaitSamples waits until n samples had a bound. On a busy machine some have none.
func awaitSamples(t testing.TB, tr *tracker.Tracker, n uint64) {
	t.Helper()
	chronytest.Await(t, "samples with a bound", func() bool {
		bounds := uint64(0)
		for _, count := range tr.Watched().Distribution.Counts {
			bounds += count
		}
		return bounds >= n
	}, func() any { return tr.Watched() })
}

// TestWatched checks the metrics of the watch with a real chronyd.
func TestWatched(t *testing.T) {
	d := chronytest.NewSynchronized(t, " offset 0.25")
	server, tr := serveWatched(t, d.Address, 20*time.Millisecond)
	awaitSamples(t, tr, 20)
	values := scrape(t, server.URL)
	within := func(name string, low, high float64) {
		t.Helper()
		if got, found := values[name]; !found || got < low || got > high {
			t.Errorf("%s is %v, want %v to %v", name, got, low, high)
		}
	}
	state := func(name string) float64 { return values[`chrony_clock_state_seconds_total{state="`+name+`"}`] }
	without := state("unobserved") + state("unreachable") // on a busy machine
	for _, window := range []string{"1m", "5m"} {
		within(`chrony_clock_error_bound_max_seconds{window="`+window+`"}`, 0.25, 0.4)
		within(`chrony_clock_error_max_ms{window="`+window+`"}`, 0, 150)
		within(`chrony_clock_unbounded_seconds{window="`+window+`"}`, without-0.001, without+0.001)
	}
	total := 0.0
	for series, value := range values {
		if strings.HasPrefix(series, "chrony_clock_state_seconds_total") {
			total += value
		}
	}
	within(`chrony_objective_seconds_total{objective="finra-cat"}`, total-1e-9, total+1e-9)
	within(`chrony_objective_good_seconds_total{objective="finra-cat"}`, 0, 0)
	within(`chrony_objective_good_seconds_total{objective="kerberos"}`, state("synchronized")-1e-9, total)
	within(`chrony_objective_limit_seconds{objective="kerberos"}`, 300, 300)
	within(`chrony_clock_events_total{event="state_changed"}`, 0, 100) // more than 0 only on a busy machine
	within("chrony_clock_state_since_timestamp_seconds", float64(time.Now().Unix())-60, float64(time.Now().Unix())+1)
	within("chrony_tracker_samples_total", 20, math.Inf(1))
	within("chrony_tracker_sample_interval_seconds", 0.02, 0.02)
	within("chrony_clock_kernel_max_error_seconds", 0, 16)
	if _, found := values["chrony_clock_last_step_seconds"]; found != (values["chrony_clock_steps_total"] > 0) {
		t.Error("there is a step size without a step")
	}

	families := show(t, tr.Snapshot(t.Context()), 64)
	i := slices.IndexFunc(families, func(f *dto.MetricFamily) bool {
		return f.GetName() == "chrony_clock_error_bound_distribution_seconds"
	})
	h := families[i].Metric[0].GetHistogram()
	if n := h.GetSampleCount(); n < 20 || h.GetSampleSum() < 0.25*float64(n) || h.GetSampleSum() > 0.4*float64(n) {
		t.Errorf("%d samples, %v s in all", n, h.GetSampleSum())
	}
	for _, b := range h.Bucket {
		if limit := b.GetUpperBound(); limit <= 0.25 && b.GetCumulativeCount() != 0 || limit >= 0.5 && b.GetCumulativeCount() != h.GetSampleCount() {
			t.Errorf("%d of %d up to %v", b.GetCumulativeCount(), h.GetSampleCount(), limit)
		}
	}
}

// TestWatchedFormats checks the text with promtool, and the histogram in OpenMetrics.
func TestWatchedFormats(t *testing.T) {
	promtool, err := chronytest.Program("prometheus", "promtool")
	if err != nil {
		t.Fatal(err)
	}
	d := chronytest.NewSynchronized(t, "")
	server, tr := serveWatched(t, d.Address, time.Second)
	awaitSamples(t, tr, 1)
	for accept, want := range map[string]string{
		"text/plain": `chrony_clock_error_bound_distribution_seconds_bucket{le="+Inf"} `,
		"application/openmetrics-text; version=1.0.0": `chrony_clock_error_bound_distribution_seconds_bucket{le="1.0"} `,
	} {
		request, _ := http.NewRequest("GET", server.URL, nil)
		request.Header.Set("Accept", accept)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v, no %s in\n%s", accept, err, want, text)
		}
		if accept != "text/plain" {
			continue
		}
		check := exec.Command(promtool, "check", "metrics")
		check.Stdin = strings.NewReader(string(text))
		out, _ := check.CombinedOutput()
		for line := range strings.Lines(string(out)) {
			if name, _, _ := strings.Cut(line, " "); kept[name] == "" {
				t.Error(line)
			}
		}
	}
}

// TestManyWatched runs ten scrapers and a fast watch at once. Each scrape must show
// one consistent state.
func TestManyWatched(t *testing.T) {
	d := chronytest.NewSynchronized(t, "")
	server, tr := serveWatched(t, "unix://"+d.Socket, 5*time.Millisecond)
	end := time.Now().Add(time.Second)
	done := make(chan struct{})
	for range 10 {
		go func() {
			defer func() { done <- struct{}{} }()
			for time.Now().Before(end) {
				values := scrape(t, server.URL)
				states := 0.0
				for series, value := range values {
					if strings.HasPrefix(series, "chrony_clock_state_seconds_total") {
						states += value
					}
				}
				if total := values[`chrony_objective_seconds_total{objective="ceph"}`]; math.Abs(total-states) > 1e-6 {
					t.Errorf("inconsistent: %v s in all states, %v s in the objective", states, total)
				}
			}
		}()
	}
	for range 10 {
		<-done
	}
	chronytest.Await(t, "ten samples", func() bool { return tr.Watched().Samples >= 10 })
}

// BenchmarkScrapeWatched is BenchmarkScrape with a watch.
func BenchmarkScrapeWatched(b *testing.B) {
	d := chronytest.NewSynchronized(b, "")
	client, err := chrony.NewClient(d.Address)
	if err != nil {
		b.Fatal(err)
	}
	tr := tracker.New(tracker.Config{Client: client})
	defer tr.Close()
	if err := tr.Watch(tracker.WatchConfig{}); err != nil {
		b.Fatal(err)
	}
	handler := NewHandler(everything(tr))
	b.ReportAllocs()
	for b.Loop() {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics", nil))
	}
}
