package exporter

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// serve serves /metrics of a tracker for the chronyd at the address.
func serve(t testing.TB, address string, timeout time.Duration) *httptest.Server {
	t.Helper()
	client, err := chrony.NewClient(address)
	if err != nil {
		t.Fatal(err)
	}
	tr := tracker.New(tracker.Config{Client: client, Timeout: timeout, Want: chrony.WantAll, Assume: clockerror.Assumptions{ReferenceError: 1e-6}})
	t.Cleanup(func() { tr.Close() })
	server := httptest.NewServer(NewHandler(everything(tr)))
	t.Cleanup(server.Close)
	return server
}

// everything returns a configuration that shows all metrics of a tracker.
func everything(tr *tracker.Tracker) Config {
	return Config{Tracker: tr, Collect: chrony.WantAll, MaxSources: DefaultMaxSources, Logger: slog.New(slog.DiscardHandler)}
}

// scrape returns the values by series, as in chrony_clock_state{state="local"}.
func scrape(t testing.TB, url string, header ...string) map[string]float64 {
	t.Helper()
	request, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		t.Fatalf("%s: %s", response.Status, text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for name, family := range families {
		for _, m := range family.Metric {
			series := name
			for _, label := range m.Label {
				series += "{" + label.GetName() + "=" + strconv.Quote(label.GetValue()) + "}"
			}
			if _, twice := values[series]; twice {
				t.Errorf("%s is there twice", series)
			}
			values[series] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

// wantState checks that the state is the only one, and that error and bound fit it.
func wantState(t testing.TB, values map[string]float64, state clockerror.State) {
	t.Helper()
	for _, s := range clockerror.States {
		if got := values["chrony_clock_state{state="+strconv.Quote(s.String())+"}"]; got != boolean(s == state) {
			t.Errorf("%v is %v, want only %v", s, got, state)
		}
	}
	up, bound, figure := values["chrony_up"], values["chrony_clock_error_bound_seconds"], values["chrony_clock_error_ms"]
	if up != boolean(state != clockerror.Unreachable) {
		t.Errorf("%v, up %v", state, up)
	}
	if hasBound := state.CanHaveBound(); math.IsInf(bound, 1) == hasBound || math.IsInf(figure, 1) == hasBound {
		t.Errorf("%v, bound %v, error %v", state, bound, figure)
	}
}

// TestAgainstChronyc compares each field of tracking with chronyc's output for the
// same daemon, over UDP and the Unix socket.
func TestAgainstChronyc(t *testing.T) {
	_, line := chronytest.NewServer(t)
	d := chronytest.New(t, chronytest.Config{Lines: []string{line}}) // polled once a minute after the first seconds
	if _, err := d.Wait(func(r *chrony.Report) bool {
		return len(r.Sources) == 1 && r.Sources[0].State == chrony.StateSelected && r.Sources[0].Reach >= 0o17
	}); err != nil {
		t.Fatal(err)
	}
	columns := map[string]int{
		"chrony_tracking_stratum":                     2,
		"chrony_tracking_reference_timestamp_seconds": 3,
		"chrony_tracking_system_time_seconds":         4,
		"chrony_tracking_last_offset_seconds":         5,
		"chrony_tracking_rms_offset_seconds":          6,
		"chrony_tracking_frequency_ppms":              7,
		"chrony_tracking_residual_frequency_ppms":     8,
		"chrony_tracking_skew_ppms":                   9,
		"chrony_tracking_root_delay_seconds":          10,
		"chrony_tracking_root_dispersion_seconds":     11,
		"chrony_tracking_update_interval_seconds":     12,
	}
	for _, address := range d.Addresses() {
		server := serve(t, address, chronytest.Patience)
		var values map[string]float64
		said, err := d.Steady(func() { values = scrape(t, server.URL) })
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Split(said["tracking"], ",")
		wantState(t, values, clockerror.Synchronized)
		for name, column := range columns {
			want, err := strconv.ParseFloat(fields[column], 64)
			if err != nil {
				t.Fatal(err)
			}
			got, found := values[name]
			_, decimals, _ := strings.Cut(fields[column], ".")
			tolerance := math.Pow10(-len(decimals))
			if column == 4 || column == 11 {
				tolerance = 1e-4 // these change between the readings
			}
			if !found || math.Abs(got-want) > tolerance {
				t.Errorf("%s: %s is %v, chronyc says %v", address, name, got, want)
			}
		}
		if got := values[`chrony_tracking_info{tracking_address="127.0.0.1"}{tracking_name="127.0.0.1"}{tracking_refid="`+fields[0]+`"}`]; got != 1 {
			t.Errorf("%s: no chrony_tracking_info for %s", address, said["tracking"])
		}
		if got := values["chrony_tracking_leap_status"]; got != 0 {
			t.Errorf("%s: leap status %v", address, got)
		}
		sum := 0.0
		for term := range (clockerror.Terms{}).All() {
			sum += values["chrony_clock_error_bound_term_seconds{term="+strconv.Quote(term)+"}"]
		}
		if bound := values["chrony_clock_error_bound_seconds"]; math.Abs(sum-bound) > 1e-12 {
			t.Errorf("%s: the bound is %v, the sum of its terms %v", address, bound, sum)
		}
		figure := 1000 * (math.Abs(values["chrony_tracking_last_offset_seconds"]) + values["chrony_tracking_root_dispersion_seconds"] + values["chrony_tracking_root_delay_seconds"]/2)
		if got := values["chrony_clock_error_ms"]; math.Abs(got-figure) > 1e-9 {
			t.Errorf("%s: the error is %v ms, by its formula %v ms", address, got, figure)
		}
	}
}

// TestChronydDies checks that the next scrape after chronyd's death shows it.
func TestChronydDies(t *testing.T) {
	d := chronytest.NewSynchronized(t, "")
	server := serve(t, d.Address, chronytest.Patience)
	wantState(t, scrape(t, server.URL), clockerror.Synchronized)
	d.Kill()
	values := scrape(t, server.URL)
	wantState(t, values, clockerror.Unreachable)
	for name := range values {
		if strings.HasPrefix(name, "chrony_tracking_") || strings.HasPrefix(name, "chrony_clock_error_bound_term") || strings.HasPrefix(name, "chrony_clock_sample") {
			t.Errorf("%s is a value of a dead chronyd", name)
		}
	}
	if values[`chrony_tracker_exchange_failures_total{reason="no_answer"}`] != 1 {
		t.Errorf("the failure is not counted: %v", values)
	}
	if err := d.Restart(); err != nil {
		t.Fatal(err)
	}
	wantState(t, scrape(t, server.URL), clockerror.Unsynchronized)
}

// TestNoReference reads daemons without a source. chrony_exporter reports both as
// "remote".
func TestNoReference(t *testing.T) {
	for state, lines := range map[clockerror.State][]string{
		clockerror.Unsynchronized: nil,
		clockerror.Local:          {"local stratum 10"},
	} {
		values := scrape(t, serve(t, chronytest.New(t, chronytest.Config{Lines: lines}).Address, chronytest.Patience).URL)
		wantState(t, values, state)
		if remote, found := values["chrony_tracking_remote_reference"]; remote != 0 || !found {
			t.Errorf("%v: remote reference %v", state, remote)
		}
		if _, found := values["chrony_clock_untraced"]; found {
			t.Errorf("%v: says whether the clock is traced to UTC", state)
		}
		if _, found := values["chrony_clock_sample_age_seconds"]; found {
			t.Errorf("%v: a sample's age", state)
		}
	}
}

// TestSelf checks the counters of packets and exchanges.
func TestSelf(t *testing.T) {
	known := chrony.Report{
		Tracking: &chrony.Tracking{Stratum: 2, RefID: 0x50484330, RefTime: time.Now()},
		Sources:  []chrony.Source{{State: chrony.StateSelected, Mode: chrony.ModeReferenceClock, RefID: 0x50484330, Poll: 3, SampleAge: 5 * time.Second}},
	}
	fake := chronytest.NewFake(t, func(r chronytest.Request) []chronytest.Packet {
		if r.Command == 33 && r.Attempt == 0 { // TRACKING, requested twice
			return []chronytest.Packet{{Data: []byte("?")}, {Data: make([]byte, 1000)}}
		}
		other := r
		other.Sequence++
		return []chronytest.Packet{{Data: chronytest.Reply(other, known)}, {Data: chronytest.Reply(r, known)}}
	})
	values := scrape(t, serve(t, fake.Address, chronytest.Patience).URL)
	wantState(t, values, clockerror.Synchronized)
	for name, want := range map[string]float64{
		"chrony_clock_sample_age_seconds":                            5,
		"chrony_clock_holdover_age_seconds":                          34,
		"chrony_tracking_remote_reference":                           1,
		"chrony_tracker_exchanges_total":                             1,
		`chrony_tracker_exchange_failures_total{reason="no_answer"}`: 0,
	} {
		if got, found := values[name]; got != want || !found {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	for reason, least := range map[string]float64{"malformed": 2, "oversized": 2, "unexpected": 4} { // a busy machine sends more requests again
		if got := values[fmt.Sprintf("chrony_tracker_dropped_packets_total{reason=%q}", reason)]; got < least {
			t.Errorf("%v packets were dropped as %s, want at least %v", got, reason, least)
		}
	}
	if took := values["chrony_tracker_exchange_duration_seconds"]; took < 0.1 {
		t.Errorf("with a repetition after 0.1 s the exchange took %v", took)
	}
}

// TestReportsFailAlone checks that a missing report removes no other report's series.
func TestReportsFailAlone(t *testing.T) {
	known := chrony.Report{
		Tracking: &chrony.Tracking{Stratum: 2, RefID: 0x50484330, RefTime: time.Now()},
		Sources:  []chrony.Source{{State: chrony.StateSelected, Mode: chrony.ModeReferenceClock, RefID: 0x50484330, Poll: 3, SampleAge: 5 * time.Second}},
		Activity: &chrony.Activity{},
	}
	t.Run("tracking refused", func(t *testing.T) {
		known := known
		known.Tracking = nil
		values := scrape(t, serve(t, chronytest.NewFake(t, chronytest.Truthful(known)).Address, chronytest.Patience).URL)
		wantState(t, values, clockerror.Unreachable)
		for _, name := range []string{`chrony_activity_sources{status="online"}`, `chrony_sources_reach{source_address="PHC0"}{source_name="PHC0"}`} {
			if _, found := values[name]; !found {
				t.Errorf("%s is missing too", name)
			}
		}
		if readable, found := values[`chrony_tracker_report_readable{report="tracking"}`]; readable != 0 || !found {
			t.Error("the refusal of tracking is not reported")
		}
	})
	t.Run("selectdata lost", func(t *testing.T) {
		fake := chronytest.NewFake(t, func(r chronytest.Request) []chronytest.Packet {
			if r.Command == 69 {
				return nil
			}
			return chronytest.Truthful(known)(r)
		})
		values := scrape(t, serve(t, fake.Address, 1500*time.Millisecond).URL)
		wantState(t, values, clockerror.Synchronized)
		if readable, found := values[`chrony_tracker_report_readable{report="selectdata"}`]; readable != 0 || !found {
			t.Error("the missing selectdata is not reported")
		}
	})
	t.Run("no NTP source", func(t *testing.T) {
		values := scrape(t, serve(t, chronytest.NewFake(t, chronytest.Truthful(known)).Address, chronytest.Patience).URL)
		for _, report := range []string{"ntpdata", "authdata", "sourcename"} { // reference clocks don't have these
			if readable, found := values[fmt.Sprintf("chrony_tracker_report_readable{report=%q}", report)]; found {
				t.Errorf("%s was not requested, and is reported as %v", report, readable)
			}
		}
	})
}

// TestScrapersDeadline scrapes with a timeout that is shorter than chronyd's.
func TestScrapersDeadline(t *testing.T) {
	fake := chronytest.NewFake(t, func(chronytest.Request) []chronytest.Packet { return nil })
	server := serve(t, fake.Address, time.Hour)
	chronytest.Limit(t, chronytest.Patience)
	wantState(t, scrape(t, server.URL, "X-Prometheus-Scrape-Timeout-Seconds", "0.3"), clockerror.Unreachable)
	for _, header := range []string{"", "never", "-1", "0", "NaN", "Inf", "1e300"} {
		request := httptest.NewRequest("GET", "/metrics", nil)
		request.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", header)
		ctx, cancel := scrapeContext(request)
		if _, limited := ctx.Deadline(); limited {
			t.Errorf("%q limits a scrape", header)
		}
		cancel()
	}
}

// TestManyScrapes scrapes fifty times at once.
func TestManyScrapes(t *testing.T) {
	d := chronytest.NewSynchronized(t, "")
	server := serve(t, "unix://"+d.Socket, chronytest.Patience)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { wantState(t, scrape(t, server.URL), clockerror.Synchronized) })
	}
	wg.Wait()
}

// TestFormats negotiates OpenMetrics.
func TestFormats(t *testing.T) {
	d := chronytest.New(t, chronytest.Config{})
	request, _ := http.NewRequest("GET", serve(t, d.Address, chronytest.Patience).URL, nil)
	request.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got := response.Header.Get("Content-Type"); !strings.HasPrefix(got, "application/openmetrics-text") {
		t.Errorf("content type %q", got)
	}
	text, err := io.ReadAll(response.Body)
	if err != nil || !strings.HasSuffix(string(text), "# EOF\n") {
		t.Errorf("%v, %d bytes", err, len(text))
	}
}

// TestPromtool checks a real /metrics with Prometheus' own checker.
func TestPromtool(t *testing.T) {
	promtool, err := chronytest.Program("prometheus", "promtool")
	if err != nil {
		t.Fatal(err)
	}
	d := chronytest.NewSynchronized(t, "")
	response, err := http.Get(serve(t, d.Address, chronytest.Patience).URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = response.Body
	out, err := check.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if name, _, _ := strings.Cut(line, " "); kept[name] == "" {
			t.Error(line)
		}
	}
	if exit := new(exec.ExitError); err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 3) {
		t.Errorf("%v: %s", err, out) // 3 means lint warnings, checked above
	}
}

// BenchmarkScrape measures a whole scrape without the network.
func BenchmarkScrape(b *testing.B) {
	d := chronytest.NewSynchronized(b, "")
	client, err := chrony.NewClient(d.Address)
	if err != nil {
		b.Fatal(err)
	}
	tr := tracker.New(tracker.Config{Client: client})
	defer tr.Close()
	handler := NewHandler(everything(tr))
	b.ReportAllocs()
	for b.Loop() {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics", nil))
	}
}
