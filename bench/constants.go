package main

import (
	"flag"
	"net/http"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// constants are series that never change. They show the cost of promhttp alone.
type constants struct {
	families []*dto.MetricFamily
	descs    []*prometheus.Desc
}

// serveConstants runs in a separate process. It reads series and serves the chrony ones
// with promhttp.
func serveConstants() error {
	flags := flag.NewFlagSet("constants", flag.ContinueOnError)
	address := flags.String("web.listen-address", "", "")
	if err := flags.Parse(os.Args[2:]); err != nil {
		return err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(os.Stdin)
	if err != nil {
		return err
	}
	var c constants
	for name, family := range families {
		if !strings.HasPrefix(name, "chrony_") {
			continue // client_golang adds the process metrics itself
		}
		var labels []string
		for _, l := range family.Metric[0].Label {
			labels = append(labels, l.GetName())
		}
		c.families = append(c.families, family)
		c.descs = append(c.descs, prometheus.NewDesc(name, family.GetHelp(), labels, nil))
	}
	prometheus.MustRegister(&c)
	http.Handle("/metrics", promhttp.Handler())
	return http.ListenAndServe(*address, nil)
}

// Describe describes nothing, as in chrony_exporter. So client_golang skips its checks.
func (*constants) Describe(chan<- *prometheus.Desc) {}

func (c *constants) Collect(metrics chan<- prometheus.Metric) {
	for i, family := range c.families {
		for _, m := range family.Metric {
			kind, value := prometheus.GaugeValue, m.GetGauge().GetValue()
			if family.GetType() == dto.MetricType_COUNTER {
				kind, value = prometheus.CounterValue, m.GetCounter().GetValue()
			}
			labels := make([]string, len(m.Label))
			for j, l := range m.Label {
				labels[j] = l.GetValue()
			}
			metrics <- prometheus.MustNewConstMetric(c.descs[i], kind, value, labels...)
		}
	}
}
