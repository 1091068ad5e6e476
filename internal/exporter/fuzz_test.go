package exporter

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"testing"
	"time"
	"unicode/utf8"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/proto"
)

// FuzzScrapeTimeout takes any text for a scraper's timeout. It sets a deadline in the
// future, within that timeout, or none.
func FuzzScrapeTimeout(f *testing.F) {
	for _, text := range []string{"", "10", "0.5", "-1", "NaN", "Inf", "1e308", "1e-300", "0x1p3", "10s", " 10", "1_0", "999999", "\x00"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := (&http.Request{Header: http.Header{"X-Prometheus-Scrape-Timeout-Seconds": {text}}}).WithContext(t.Context())
		before := time.Now()
		ctx, cancel := scrapeContext(r)
		defer cancel()
		deadline, limited := ctx.Deadline()
		if !limited {
			return
		}
		if left := deadline.Sub(before); left < 0 || left > 1e6*time.Second {
			t.Errorf("%q: %v", text, left)
		}
	})
}

// FuzzDNSNames takes any answers of the DNS for names. What becomes a label's value is
// valid, is never empty, and comes back from the text of a scrape as it is.
func FuzzDNSNames(f *testing.F) {
	f.Add("a.example.", "b.example", false)
	f.Add("", ".", false)
	f.Add("a\xff\"\\\n.example", "\u202e", false)
	f.Add("a,b", "\x1b[2J", true)
	f.Fuzz(func(t *testing.T, first, second string, fails bool) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // its own goroutine ends: the test calls find
		names := newDNSNames(ctx, func(context.Context, string) ([]string, error) {
			if fails {
				return []string{first}, errors.New("no such host")
			}
			return []string{first, second, first, second, first, second}, nil
		})
		address := nameless(1)
		names.find(t.Context(), address.String())
		got := names.Of(address)
		if got == "" || !utf8.ValidString(got) || len(got) > 3*(2*maxNamesOfOne)+len(first)*maxNamesOfOne+len(second)*maxNamesOfOne && got != address.String() {
			t.Errorf("%q", got)
		}
		if fails && got != address.String() {
			t.Errorf("a name without an answer: %q", got)
		}
		family := &dto.MetricFamily{Name: proto.String("x"), Type: dto.MetricType_GAUGE.Enum(), Metric: []*dto.Metric{
			{Label: []*dto.LabelPair{{Name: proto.String("source"), Value: &got}}, Gauge: &dto.Gauge{Value: proto.Float64(1)}},
		}}
		var text bytes.Buffer
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			t.Fatal(err)
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(&text)
		if err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		if back := families["x"].GetMetric()[0].GetLabel()[0].GetValue(); back != got {
			t.Errorf("%q became %q", got, back)
		}
	})
}
