package exporter

import (
	"compress/gzip"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// DefaultMaxSources is how many sources have series of their own, unless
// configured otherwise.
const DefaultMaxSources = 64

// maxIdle is how many pages are kept for the next scrapes: one for each of two
// Prometheus servers that come at the same time. A sync.Pool would keep one for
// each processor.
const maxIdle = 2

// Config says what /metrics shows.
type Config struct {
	Tracker    *tracker.Tracker
	Collect    chrony.Want // the reports whose metrics are shown; the tracker reads them
	MaxSources int         // that have series of their own
	Names      *DNSNames   // of sources; their addresses if nil
	Logger     *slog.Logger
}

// NewHandler returns the handler of /metrics. Each scrape reads the clock anew.
func NewHandler(config Config) http.Handler {
	process := prometheus.NewRegistry()
	process.MustRegister(
		versioncollector.NewCollector("chrony_tracker"),
		versioncollector.NewCollector("chrony_exporter"), // for those who come from there
		collectors.NewGoCollector(collectors.WithGoCollectorMemStatsMetricsDisabled()),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	idle := make(chan *page, maxIdle)
	scrape := func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := scrapeContext(r)
		defer cancel()
		snapshot := config.Tracker.Scrape(ctx)
		var p *page
		select {
		case p = <-idle:
		default:
			p = newPage(config, process)
		}
		p.render(snapshot)
		p.serve(w, r)
		select {
		case idle <- p:
		default:
		}
	}
	return promhttp.InstrumentMetricHandler(process, http.HandlerFunc(scrape))
}

// A page is what one scrape shows. It serves one scrape at a time.
type page struct {
	metrics    http.Handler
	compressor *gzip.Writer
	view       view
	maxSources int
	families   []*family
	shown      []*dto.MetricFamily
}

func newPage(config Config, process *prometheus.Registry) *page {
	compressor, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	p := &page{
		compressor: compressor,
		view:       view{name: config.Names.Of},
		maxSources: config.MaxSources,
		families:   families(config.Collect),
	}
	// Of both, only what the process tells of itself is checked anew each time;
	// that the table makes proper families is for the tests.
	all := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		own, err := process.Gather()
		return slices.Concat(p.shown, own), err
	})
	p.metrics = promhttp.HandlerFor(all, promhttp.HandlerOpts{
		ErrorLog:           slog.NewLogLogger(config.Logger.Handler(), slog.LevelError),
		EnableOpenMetrics:  true,
		DisableCompression: true, // it is done around it
		Registry:           process,
	})
	return p
}

// render makes the metric families of a snapshot. A metric without a series is
// left out.
func (p *page) render(s *tracker.Snapshot) {
	p.view.Snapshot = s
	p.view.showSources(p.maxSources)
	p.shown = p.shown[:0]
	for _, f := range p.families {
		f.render(&p.view)
		if len(f.dto.Metric) > 0 {
			p.shown = append(p.shown, &f.dto)
		}
	}
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
