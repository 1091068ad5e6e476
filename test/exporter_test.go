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
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

// exporterSeries are chrony_exporter 0.13.3's metrics and their labels.
var exporterSeries = map[string]string{
	"chrony_up":                 "",
	"chrony_tracking_info":      "tracking_address,tracking_name,tracking_refid",
	"chrony_sources_state_info": "source_address,source_mode,source_name,source_state",
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
// address, and a reference clock that never gave a sample.
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

// TestLikeChronyExporter starts the program with chrony_exporter's flags. If
// CHRONY_EXPORTER is the path of that program, the test compares all values.
func TestLikeChronyExporter(t *testing.T) {
	d := observed(t)
	args := []string{"--chrony.address=unix://" + d.Socket, "--chrony.timeout=5s", "--collector.tracking", "--collector.sources", "--collector.sourcestats",
		"--collector.serverstats", "--collector.sources.with-ntpdata", "--collector.chmod-socket", "--no-collector.dns-lookups",
		"--web.telemetry-path=/metrics", "--log.level=info", "--log.format=logfmt"}
	ours := programtest.Start(t, args...)
	metrics := families(t, ours, "/metrics")
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
		compare(t, ours, programtest.StartOther(t, program, args...))
	} else {
		t.Log("CHRONY_EXPORTER is not set: no value is compared")
	}

	ours.Stop(t)
	if n := strings.Count(ours.Log.String(), "--collector.chmod-socket"); n != 1 {
		t.Errorf("that a flag has no effect is logged %d times", n)
	}
}

// compare checks that both have the same values, between two samples of chronyd.
func compare(t *testing.T, ours, theirs *programtest.Server) {
	t.Helper()
	var wrong []string
	for range 5 {
		wrong = nil
		got := values(t, ours, "/metrics")
		for series, want := range values(t, theirs, "/metrics") {
			if !strings.HasPrefix(series, "chrony_") || differs(series, want) {
				continue
			}
			value, found := got[series]
			if math.Abs(value-want) > 1e-6+1e-3*math.Abs(want) || !found {
				wrong = append(wrong, fmt.Sprintf("%s is %v, not %v", series, value, want))
			}
		}
		if wrong == nil {
			return
		}
	}
	t.Error(strings.Join(wrong, "\n"))
}

// differs reports the differences that docs/guides/from-chrony_exporter.md lists.
func differs(series string, value float64) bool {
	switch {
	case strings.HasPrefix(series, "chrony_serverstats_command_packets"):
		return true
	case strings.Contains(series, "ID#"):
		return true
	case !strings.Contains(series, `"GPS"`) && !strings.Contains(series, `"127.0.0.3"`):
		return false
	default: // without a sample
		return strings.Contains(series, "_last_sample_") || strings.Contains(series, "_peer_") || slices.Contains([]float64{0, 4, 2000}, value) && strings.HasPrefix(series, "chrony_sourcestats_")
	}
}

// families returns the metric families at a path, by name.
func families(t *testing.T, s *programtest.Server, path string) map[string]*dto.MetricFamily {
	t.Helper()
	response, err := http.Get(s.URL + path)
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

// values returns the values by series, as in chrony_clock_state{state="local"}, with
// sorted labels.
func values(t *testing.T, s *programtest.Server, path string) map[string]float64 {
	t.Helper()
	values := make(map[string]float64)
	for name, family := range families(t, s, path) {
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

// groups are the metrics of each collector, by its flag.
var groups = map[string][]string{
	"tracking":             {"chrony_tracking_info", "chrony_tracking_skew_ppms"},
	"activity":             {"chrony_activity_sources"},
	"sources":              {"chrony_sources_info", "chrony_sources_by_state", "chrony_sources_reach"},
	"sourcestats":          {"chrony_sourcestats_samples", "chrony_sourcestats_offset"},
	"sources.with-ntpdata": {"chrony_sources_peer_delay_seconds", "chrony_sources_packets_sent_total", "chrony_sources_interleaved"},
	"selectdata":           {"chrony_sources_selection"},
	"serverstats":          {"chrony_serverstats_ntp_packets_received_total"},
	"rtcdata":              {"chrony_rtc_samples"},
	"smoothing":            {"chrony_smoothing_active"},
}

// TestCollectors checks all metrics without a flag, then without each collector, and
// then at another path.
func TestCollectors(t *testing.T) {
	_, line := chronytest.NewServer(t)
	d := chronytest.New(t, chronytest.Config{Lines: []string{line + chronytest.Fast, "rtcfile " + t.TempDir() + "/rtc", "smoothtime 400 0.01", "port 0"}})
	if err := d.WaitSynchronized(t.Context()); err != nil {
		t.Fatal(err)
	}
	socket := "--chrony.address=unix://" + d.Socket
	all := families(t, programtest.Start(t, socket), "/metrics")
	for flag, names := range groups {
		without := families(t, programtest.Start(t, socket, "--no-collector."+flag), "/metrics")
		for _, name := range names {
			if flag != "rtcdata" && all[name] == nil { // a machine may have no such clock
				t.Errorf("without any flag there is no %s", name)
			}
			if without[name] != nil {
				t.Errorf("--no-collector.%s leaves %s", flag, name)
			}
		}
		for other, names := range groups {
			goes := other == flag || flag == "sources" && (other == "sources.with-ntpdata" || other == "selectdata")
			for _, name := range names {
				if !goes && all[name] != nil && without[name] == nil {
					t.Errorf("--no-collector.%s takes %s", flag, name)
				}
			}
		}
	}
	for flag, label := range map[string]string{"sourcename": "configured_name", "authdata": "authentication"} {
		for _, args := range [][]string{{socket}, {socket, "--no-collector." + flag}} {
			value := ""
			for _, pair := range families(t, programtest.Start(t, args...), "/metrics")["chrony_sources_info"].Metric[0].Label {
				if pair.GetName() == label {
					value = pair.GetValue()
				}
			}
			if (value == "") != (len(args) > 1) {
				t.Errorf("with %v %s is %q", args[1:], label, value)
			}
		}
	}

	s := programtest.Start(t, socket, "--no-collector.tracking", "--no-collector.sources", "--collector.sources.max=0", "--web.telemetry-path=/chrony/metrics", "--phc.device=/dev/ptp9")
	found := values(t, s, "/chrony/metrics")
	if found[`chrony_clock_state{state="synchronized"}`] != 1 {
		t.Error("the clock is not judged")
	}
	if found["chrony_sources_omitted{}"] != 1 {
		t.Error("the source is shown, or not counted")
	}
	if _, shown := found[`chrony_tracker_phc_info{clock_name="",device="ptp9"}`]; !shown {
		t.Error("a PTP clock that does not exist is not shown")
	}
	response, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if page, err := io.ReadAll(response.Body); err != nil || !bytes.Contains(page, []byte(`href="chrony/metrics"`)) {
		t.Errorf("the page does not lead to the metrics: %v", err)
	}
}
