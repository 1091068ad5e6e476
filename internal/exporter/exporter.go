// Package exporter renders a tracker's snapshots as Prometheus metrics. It
// decides nothing about the clock.
package exporter

import (
	"cmp"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"

	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// A metric is one line of the table of all metrics: what it is called, what it
// means, and where its values come from.
type metric struct {
	name   string
	kind   dto.MetricType
	help   string   // with the unit, the formula, and when the series is absent
	labels []string // their names
	values func(*tracker.Snapshot, emit)

	histogram func(*tracker.Snapshot) *dto.Histogram // instead of values; nil without a series
}

// emit adds a series; there are as many label values as the metric has labels.
type emit func(value float64, labels ...string)

const (
	gauge     = dto.MetricType_GAUGE
	counter   = dto.MetricType_COUNTER
	histogram = dto.MetricType_HISTOGRAM
)

// table lists all metrics of this program, but for those of the Go runtime, the
// process, the build and promhttp. Everything else comes from it: /metrics,
// docs/metrics.md, and the check of the names.
var table = slices.Concat(clockMetrics, trackingMetrics, watchMetrics, selfMetrics)

// gather makes the metric families of a snapshot. A metric without a series is
// left out.
func gather(s *tracker.Snapshot) []*dto.MetricFamily {
	families := make([]*dto.MetricFamily, 0, len(table))
	for i := range table {
		m := &table[i]
		family := &dto.MetricFamily{Name: &m.name, Help: &m.help, Type: &m.kind}
		if m.kind == histogram {
			if h := m.histogram(s); h != nil {
				family.Metric = append(family.Metric, &dto.Metric{Histogram: h})
			}
		} else {
			m.values(s, func(value float64, labels ...string) {
				family.Metric = append(family.Metric, m.series(value, labels))
			})
		}
		if len(family.Metric) > 0 {
			families = append(families, family)
		}
	}
	slices.SortFunc(families, func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return families
}

func (m *metric) series(value float64, labels []string) *dto.Metric {
	s := new(dto.Metric)
	for i, label := range labels {
		s.Label = append(s.Label, &dto.LabelPair{Name: &m.labels[i], Value: proto.String(label)})
	}
	if m.kind == counter {
		s.Counter = &dto.Counter{Value: &value}
	} else {
		s.Gauge = &dto.Gauge{Value: &value}
	}
	return s
}

// always is for a value that every snapshot has.
func always(value func(*tracker.Snapshot) float64) func(*tracker.Snapshot, emit) {
	return func(s *tracker.Snapshot, emit emit) { emit(value(s)) }
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
