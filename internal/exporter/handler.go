package exporter

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// NewHandler returns the handler of /metrics. Each scrape reads the clock anew.
func NewHandler(t *tracker.Tracker, logger *slog.Logger) http.Handler {
	process := prometheus.NewRegistry()
	process.MustRegister(
		versioncollector.NewCollector("chrony_tracker"),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	options := promhttp.HandlerOpts{
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelError),
		EnableOpenMetrics: true,
		Registry:          process,
	}
	scrape := func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := scrapeContext(r)
		defer cancel()
		snapshot := t.Snapshot(ctx)
		clock := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return gather(snapshot), nil })
		promhttp.HandlerFor(prometheus.Gatherers{clock, process}, options).ServeHTTP(w, r)
	}
	return promhttp.InstrumentMetricHandler(process, http.HandlerFunc(scrape))
}

// scrapeContext ends shortly before the scraper gives up, so that it gets an
// answer, were it only that chronyd gives none.
func scrapeContext(r *http.Request) (context.Context, context.CancelFunc) {
	seconds, err := strconv.ParseFloat(r.Header.Get("X-Prometheus-Scrape-Timeout-Seconds"), 64)
	const longest = 1e6 // beyond it a Duration might not hold it, and nobody waits
	if err != nil || !(seconds > 0 && seconds < longest) {
		return r.Context(), func() {}
	}
	const reserve = 0.9 // the rest is for the way back
	return context.WithTimeout(r.Context(), time.Duration(seconds*reserve*float64(time.Second)))
}
