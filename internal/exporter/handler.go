package exporter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// DefaultMaxSources is the default number of sources that have series of their own.
const DefaultMaxSources = 64

// maxIdle is the number of pages kept for later scrapes. Two are enough for two
// Prometheus servers that scrape at the same time. A sync.Pool would keep one for
// each processor.
const maxIdle = 2

// Config configures /metrics.
type Config struct {
	Tracker    *tracker.Tracker
	Collect    chrony.Want // the reports whose metrics are shown; the tracker reads them
	MaxSources int         // that have series of their own
	Names      *DNSNames   // of sources; their addresses if nil
	Logger     *slog.Logger
}

// NewHandler returns the handler of /metrics. Each scrape reads chronyd. The server
// compresses the response.
func NewHandler(config Config) http.Handler {
	process := prometheus.NewRegistry()
	process.MustRegister(
		versioncollector.NewCollector("chrony_tracker"),
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
		p.metrics.ServeHTTP(w, r)
		select {
		case idle <- p:
		default:
		}
	}
	return promhttp.InstrumentMetricHandler(process, http.HandlerFunc(scrape))
}

// A page renders and serves one scrape at a time.
type page struct {
	metrics    http.Handler
	view       view
	maxSources int
	families   []*family
	shown      []*dto.MetricFamily
}

func newPage(config Config, process *prometheus.Registry) *page {
	p := &page{
		view:       view{name: config.Names.Of},
		maxSources: config.MaxSources,
		families:   families(config.Collect),
	}
	// Only the process metrics are checked on each scrape. Tests check that the
	// table makes valid families.
	all := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		own, err := process.Gather()
		return slices.Concat(p.shown, own), err
	})
	p.metrics = promhttp.HandlerFor(all, promhttp.HandlerOpts{
		ErrorLog:           errorLog{config.Logger},
		EnableOpenMetrics:  true,
		DisableCompression: true, // the server does it
		Registry:           process,
	})
	return p
}

// An errorLog logs why a scrape was not answered. A client that has gone is no error of
// this program, and clients must not be able to fill the log.
type errorLog struct{ logger *slog.Logger }

func (l errorLog) Println(values ...any) {
	level := slog.LevelError
	for _, value := range values {
		if err, ok := value.(error); ok && errors.As(err, new(*net.OpError)) {
			level = slog.LevelDebug
		}
	}
	l.logger.Log(context.Background(), level, strings.TrimSpace(fmt.Sprintln(values...)))
}

// render sets the page to the metric families of a snapshot. It omits metrics
// without a series.
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

// scrapeContext returns a context that ends shortly before the scraper's timeout.
// So the scraper gets a response even if chronyd does not answer.
func scrapeContext(r *http.Request) (context.Context, context.CancelFunc) {
	seconds, err := strconv.ParseFloat(r.Header.Get("X-Prometheus-Scrape-Timeout-Seconds"), 64)
	const longest = 1e6 // seconds; larger values could overflow a Duration
	if err != nil || !(seconds > 0 && seconds < longest) {
		return r.Context(), func() {}
	}
	const reserve = 0.9 // the rest is for sending the response
	return context.WithTimeout(r.Context(), time.Duration(seconds*reserve*float64(time.Second)))
}
