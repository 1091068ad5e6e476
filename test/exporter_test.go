package test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

// exporterSeries are chrony_exporter 0.13.3's metrics and their labels.
var exporterSeries = map[string]string{
	"chrony_up":                  "",
	"chrony_exporter_build_info": "branch,goarch,goos,goversion,revision,tags,version",
	"chrony_tracking_info":       "tracking_address,tracking_name,tracking_refid",
	"chrony_sources_state_info":  "source_address,source_mode,source_name,source_state",
}

func init() {
	for _, name := range strings.Fields("last_offset_seconds reference_timestamp_seconds system_time_seconds remote_reference rms_offset_seconds root_delay_seconds " +
		"root_dispersion_seconds frequency_ppms residual_frequency_ppms skew_ppms update_interval_seconds stratum") {
		exporterSeries["chrony_tracking_"+name] = ""
	}
	for _, name := range strings.Fields("last_sample_age_seconds reachability_ratio reachability_success last_sample_offset_seconds last_sample_error_margin_seconds " +
		"polling_interval_seconds stratum peer_offset_seconds peer_delay_seconds peer_dispersion_seconds peer_response_time_seconds peer_jitter_asymmetry_seconds") {
		exporterSeries["chrony_sources_"+name] = "source_address,source_name"
	}
	for _, name := range strings.Fields("samples runs span_seconds stddev frequency_ppms frequency_skew_ppms offset") {
		exporterSeries["chrony_sourcestats_"+name] = "source_address,source_name"
	}
	for _, name := range strings.Fields("ntp_packets_received_total nts_ke_connections_accepted_total command_packets_received_total ntp_packets_dropped_total " +
		"nts_ke_connections_dropped_total command_packets_dropped_total client_log_records_dropped_total authenticated_ntp_packets_total interleaved_ntp_packets_total " +
		"ntp_timestamps_held ntp_timestamp_span_seconds") {
		exporterSeries["chrony_serverstats_"+name] = ""
	}
}

// observed is a daemon with two good sources, a silent one, one whose name has no
// address and a reference clock that never gave a sample.
func observed(t *testing.T) *chronytest.Chronyd {
	t.Helper()
	lines, port, err := chronytest.Server()
	if err != nil {
		t.Fatal(err)
	}
	chronytest.New(t, chronytest.Config{Lines: lines})
	silent, err := chronytest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	d := chronytest.New(t, chronytest.Config{Lines: []string{
		fmt.Sprintf("server 127.0.0.1 port %d iburst minpoll 6 maxpoll 6", port),
		fmt.Sprintf("server 127.0.0.2 port %d iburst minpoll 6 maxpoll 6", port),
		fmt.Sprintf("server 127.0.0.3 port %d", silent),
		"server nowhere.invalid",
		"refclock SOCK " + t.TempDir() + "/gps refid GPS",
	}})
	if _, err := d.Wait(func(r *chrony.Report) bool {
		good := slices.DeleteFunc(slices.Clone(r.Sources), func(s chrony.Source) bool { return s.Reach < 0o17 })
		return len(good) == 2 && slices.ContainsFunc(good, func(s chrony.Source) bool { return s.State == chrony.StateSelected })
	}); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestLikeChronyExporter is started as chrony_exporter was. With CHRONY_EXPORTER
// set to that program, all its values are compared.
func TestLikeChronyExporter(t *testing.T) {
	d := observed(t)
	args := []string{"--chrony.address=unix://" + d.Socket, "--chrony.timeout=5s", "--collector.tracking", "--collector.sources", "--collector.sourcestats",
		"--collector.serverstats", "--collector.sources.with-ntpdata", "--collector.chmod-socket", "--no-collector.dns-lookups",
		"--web.telemetry-path=/metrics", "--log.level=info", "--log.format=logfmt"}
	ours := start(t, args...)
	metrics := ours.families(t, "/metrics")
	for name, labels := range exporterSeries {
		family := metrics[name]
		if family == nil {
			t.Errorf("%s is missing", name)
			continue
		}
		var names []string
		for _, label := range family.Metric[0].Label {
			names = append(names, label.GetName())
		}
		slices.Sort(names)
		if got := strings.Join(names, ","); got != labels {
			t.Errorf("%s has the labels %s, not %s", name, got, labels)
		}
	}
	if program := os.Getenv("CHRONY_EXPORTER"); program != "" {
		compare(t, ours, startProgram(t, program, args...))
	} else {
		t.Log("CHRONY_EXPORTER is not set: no value is compared")
	}

	ours.stop(t)
	if n := strings.Count(ours.log.String(), "--collector.chmod-socket"); n != 1 {
		t.Errorf("that a flag has no effect is logged %d times", n)
	}
}

func compare(t *testing.T, ours, theirs *server) {
	t.Helper()
	values := ours.values(t, "/metrics")
	for series, want := range theirs.values(t, "/metrics") {
		if !strings.HasPrefix(series, "chrony_") || differs(series, want) {
			continue
		}
		got, found := values[series]
		if math.Abs(got-want) > 1e-6+1e-3*math.Abs(want) || !found {
			t.Errorf("%s is %v, not %v", series, got, want)
		}
	}
}

// differs tells the differences that docs/from-chrony_exporter.md lists.
func differs(series string, value float64) bool {
	switch {
	case strings.HasPrefix(series, "chrony_exporter_build_info"), strings.HasPrefix(series, "chrony_serverstats_command_packets"):
		return true
	case strings.Contains(series, "ID#"):
		return true
	case !strings.Contains(series, `"GPS"`) && !strings.Contains(series, `"127.0.0.3"`):
		return false
	default: // without a sample
		return strings.Contains(series, "_last_sample_") || strings.Contains(series, "_peer_") || slices.Contains([]float64{0, 4, 2000}, value) && strings.HasPrefix(series, "chrony_sourcestats_")
	}
}

// families are what a path shows, by name.
func (s *server) families(t *testing.T, path string) map[string]*dto.MetricFamily {
	t.Helper()
	response, err := http.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// values are those by series, as in chrony_clock_state{state="local"}, with their
// labels in order.
func (s *server) values(t *testing.T, path string) map[string]float64 {
	t.Helper()
	values := make(map[string]float64)
	for name, family := range s.families(t, path) {
		for _, m := range family.Metric {
			var labels []string
			for _, label := range m.Label {
				labels = append(labels, label.GetName()+"="+strconv.Quote(label.GetValue()))
			}
			slices.Sort(labels)
			values[name+"{"+strings.Join(labels, ",")+"}"] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

// TestCollectors leaves reports out, and moves the metrics.
func TestCollectors(t *testing.T) {
	d := chronytest.NewSynchronized(t, "")
	s := start(t, "--chrony.address=unix://"+d.Socket, "--web.telemetry-path=/chrony/metrics",
		"--no-collector.tracking", "--no-collector.sources", "--no-collector.sourcestats", "--no-collector.serverstats", "--no-collector.sources.with-ntpdata",
		"--no-collector.activity", "--no-collector.authdata", "--no-collector.selectdata", "--no-collector.sourcename", "--no-collector.rtcdata", "--no-collector.smoothing")
	for name := range s.families(t, "/chrony/metrics") {
		for _, group := range []string{"tracking", "sources", "sourcestats", "serverstats", "activity", "rtc", "smoothing"} {
			if strings.HasPrefix(name, "chrony_"+group+"_") {
				t.Errorf("%s is there", name)
			}
		}
	}
	if state := s.values(t, "/chrony/metrics")[`chrony_clock_state{state="synchronized"}`]; state != 1 {
		t.Error("the clock is not judged")
	}
	response, err := http.Get(s.url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if page, err := io.ReadAll(response.Body); err != nil || !bytes.Contains(page, []byte(`href="chrony/metrics"`)) {
		t.Errorf("the page does not lead to the metrics: %v", err)
	}
}
