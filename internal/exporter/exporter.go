// Package exporter renders a tracker's snapshots as Prometheus metrics. It makes
// no decision about the clock.
package exporter

import (
	"math"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// A metric is one row of the table of all metrics: its name, its meaning and the
// origin of its values.
type metric struct {
	name   string
	kind   dto.MetricType
	unit   unit
	from   chrony.Want // chronyd's report that has the values; 0 if this program finds them itself
	since  string      // the first version of chronyd that reports it; empty for all versions
	help   string      // meaning, unit, formula, and when the series is absent
	labels []string    // label names, sorted
	values func(*view, *family)
}

// A unit is the unit of a value. It is empty for a plain number.
type unit string

const (
	seconds      unit = "seconds"
	milliseconds unit = "milliseconds"
	ppm          unit = "ppm" // parts per million, chrony's unit for frequencies
	ratio        unit = "ratio"
)

const (
	gauge     = dto.MetricType_GAUGE
	counter   = dto.MetricType_COUNTER
	histogram = dto.MetricType_HISTOGRAM
)

// table lists all metrics of this program, except for the metrics of the Go runtime,
// the process, the build and promhttp. /metrics, docs/reference/metrics.md and the
// check of the names are made from it.
var table = slices.Concat(clockMetrics, trackingMetrics, activityMetrics, sourceMetrics, sourceStatsMetrics,
	ntpMetrics, authMetrics, selectMetrics, serverMetrics, rtcMetrics, smoothingMetrics, ptpMetrics, watchMetrics, witnessMetrics, clockBoundMetrics, selfMetrics)

// A view is a snapshot in the form that the table's rows read.
type view struct {
	*tracker.Snapshot
	name    func(chrony.Address) string
	sources []source // with series of their own
	names   []unresolved
	omitted int // number of sources beyond the limit
}

// report returns chronyd's report. It is empty if chronyd did not answer.
func (v *view) report() *chrony.Report {
	if v.Report == nil {
		return &chrony.Report{}
	}
	return v.Report
}

// A family is the series of one metric. It is reused by later scrapes: most series
// only change their value, and creating them again would cost more than reading
// them from chronyd.
type family struct {
	*metric
	dto  dto.MetricFamily
	kept []*dto.Metric // dto.Metric is a prefix of it
}

func newFamily(m *metric) *family {
	return &family{metric: m, dto: dto.MetricFamily{Name: &m.name, Help: &m.help, Type: &m.kind}}
}

// render sets the series from the view.
func (f *family) render(v *view) {
	f.dto.Metric = f.kept[:0]
	f.values(v, f)
}

// add adds a series. It takes one label value for each label of the metric.
func (f *family) add(value float64, labels ...string) {
	series := f.next(value)
	if len(series.Label) != len(labels) {
		series.Label = newLabels(f.labels)
	}
	for i, label := range labels {
		*series.Label[i].Value = label
	}
}

// addOf adds a series with the labels of a source and no others.
func (f *family) addOf(s *source, value float64) { f.next(value).Label = s.labels }

// next returns the next series. It sets the value and keeps the old labels.
func (f *family) next(value float64) *dto.Metric {
	n := len(f.dto.Metric)
	if n == len(f.kept) {
		f.kept = append(f.kept, newSeries(f.kind))
	}
	f.dto.Metric = f.kept[:n+1]
	series := f.kept[n]
	switch f.kind {
	case counter:
		*series.Counter.Value = value
	case gauge:
		*series.Gauge.Value = value
	}
	return series
}

// addDistribution adds a histogram without labels. Its buckets are cumulative.
func (f *family) addDistribution(d tracker.Distribution) {
	h := f.next(0).Histogram
	for len(h.Bucket) < len(d.Counts) {
		limit := math.Inf(1)
		if i := len(h.Bucket); i < len(d.Limits) {
			limit = d.Limits[i]
		}
		h.Bucket = append(h.Bucket, &dto.Bucket{UpperBound: &limit, CumulativeCount: proto.Uint64(0)})
	}
	var count uint64
	for i, n := range d.Counts {
		count += n
		*h.Bucket[i].CumulativeCount = count
	}
	*h.SampleCount, *h.SampleSum = count, d.Sum
}

func newSeries(kind dto.MetricType) *dto.Metric {
	switch kind {
	case counter:
		return &dto.Metric{Counter: &dto.Counter{Value: proto.Float64(0)}}
	case gauge:
		return &dto.Metric{Gauge: &dto.Gauge{Value: proto.Float64(0)}}
	default:
		return &dto.Metric{Histogram: &dto.Histogram{SampleCount: proto.Uint64(0), SampleSum: proto.Float64(0)}}
	}
}

// newLabels returns labels with these names and empty values.
func newLabels(names []string) []*dto.LabelPair {
	labels := make([]*dto.LabelPair, len(names))
	for i := range names {
		labels[i] = &dto.LabelPair{Name: &names[i], Value: proto.String("")}
	}
	return labels
}

// families returns the table's families whose report is collected, sorted by name.
func families(collect chrony.Want) []*family {
	var all []*family
	for i := range table {
		if m := &table[i]; m.from == 0 || m.from&collect != 0 {
			all = append(all, newFamily(m))
		}
	}
	slices.SortFunc(all, func(a, b *family) int { return strings.Compare(a.name, b.name) })
	return all
}

// always returns the values function of a metric that every snapshot has.
func always(value func(*tracker.Snapshot) float64) func(*view, *family) {
	return func(v *view, f *family) { f.add(value(v.Snapshot)) }
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
