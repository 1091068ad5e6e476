package exporter

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

// several starts a chronyd that follows one server under several addresses, from
// 127.0.0.1 on. It waits until at least heard of them have at least this reach, because
// chronyd first polls them one by one.
func several(t testing.TB, sources, heard int, reach uint8, more ...string) *chronytest.Chronyd {
	t.Helper()
	server, port, err := chronytest.Server()
	if err != nil {
		t.Fatal(err)
	}
	chronytest.New(t, chronytest.Config{Lines: server})
	lines := more
	for i := range sources {
		lines = append(lines, fmt.Sprintf("server 127.0.%d.%d port %d iburst minpoll 6 maxpoll 6", i/250, i%250+1, port))
	}
	d := chronytest.New(t, chronytest.Config{Lines: lines})
	if _, err := d.Wait(func(r *chrony.Report) bool {
		answered := 0
		for _, s := range r.Sources {
			if s.Reach >= reach && s.Address.IP.IsValid() {
				answered++
			}
		}
		return answered >= heard
	}); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestSourcesAgainstChronyc compares each field of the sources with chronyc's output.
// The daemon also has a reference clock without a sample, a source that never
// answers, and a name without an address.
func TestSourcesAgainstChronyc(t *testing.T) {
	silent, err := chronytest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	d := several(t, 3, 3, 0o7, fmt.Sprintf("server 127.0.9.9 port %d", silent), "server nowhere.invalid", "refclock SOCK "+t.TempDir()+"/gps refid GPS")
	for _, address := range d.Addresses() {
		server := serve(t, address, chronytest.Patience)
		var values map[string]float64
		said, err := d.Steady(func() { values = scrape(t, server.URL) })
		if err != nil {
			t.Fatal(err)
		}
		missing := 0
		check := func(name, source string, want string, tolerance float64) {
			t.Helper()
			series := fmt.Sprintf("%s{source_address=%q}{source_name=%q}", name, source, source)
			number, err := strconv.ParseFloat(want, 64)
			if err != nil {
				t.Fatal(err)
			}
			if got, found := values[series]; !found || math.Abs(got-number) > tolerance {
				t.Errorf("%s: %s is %v, chronyc says %s", address, series, got, want)
			}
		}
		for line := range strings.Lines(said["sources"]) {
			fields := strings.Split(strings.TrimSpace(line), ",")
			if strings.HasPrefix(fields[2], "ID#") {
				continue
			}
			poll, _ := strconv.Atoi(fields[4])
			reach, _ := strconv.ParseInt(fields[5], 8, 16)
			check("chrony_sources_stratum", fields[2], fields[3], 0)
			check("chrony_sources_polling_interval_seconds", fields[2], fmt.Sprint(1<<poll), 0)
			check("chrony_sources_reach", fields[2], fmt.Sprint(reach), 0)
			if reach == 0 {
				missing++
				continue
			}
			check("chrony_sources_last_sample_age_seconds", fields[2], fields[6], 2)
			check("chrony_sources_last_sample_offset_seconds", fields[2], fields[7], 1e-4) // it is slewed between the two readings
			check("chrony_sources_last_sample_error_margin_seconds", fields[2], fields[9], 1e-9)
			check("chrony_sources_reachability_success", fields[2], fmt.Sprint(reach&1), 0)
			sign := map[string]string{"*": "sync", "+": "candidate", "-": "outlier", "?": "unreach", "x": "falseticker", "~": "jittery"}
			info := fmt.Sprintf("chrony_sources_state_info{source_address=%q}{source_mode=%q}{source_name=%q}{source_state=%q}", fields[2], "client", fields[2], sign[fields[1]])
			if values[info] != 1 {
				t.Errorf("%s: no %s", address, info)
			}
		}
		for line := range strings.Lines(said["sourcestats"]) {
			fields := strings.Split(strings.TrimSpace(line), ",")
			if strings.HasPrefix(fields[0], "ID#") {
				continue
			}
			for i, name := range []string{"samples", "runs", "span_seconds", "frequency_ppms", "frequency_skew_ppms", "offset", "stddev"} {
				if samples, _ := strconv.Atoi(fields[1]); i < 3 || samples >= regression {
					check("chrony_sourcestats_"+name, fields[0], fields[i+1], []float64{0, 0, 0, 1e-3, 1e-3, 1e-4, 1e-9}[i])
				}
			}
		}
		if missing != 2 {
			t.Errorf("%s: %d sources without a sample in %s", address, missing, said["sources"])
		}
		for name := range values {
			if strings.Contains(name, `"127.0.9.9"`) || strings.Contains(name, `"GPS"`) {
				for _, part := range []string{"_last_sample_", "stddev", "_ppms", "offset", "peer_"} {
					if strings.Contains(name, part) {
						t.Errorf("%s: without a sample there is %s", address, name)
					}
				}
			}
		}
		// Before 4.0 chronyd lists no source without an address, and lacks some reports.
		_, old := values[`chrony_tracker_report_readable{report="sourcename"}`]
		old = old && values[`chrony_tracker_report_readable{report="sourcename"}`] == 0
		if n := values[`chrony_sources_unresolved{configured_name="nowhere.invalid"}`]; n != boolean(!old) {
			t.Errorf("%s: unresolved %v", address, n)
		}
		if n := values[`chrony_activity_sources{status="unresolved"}`]; n != 1 {
			t.Errorf("%s: unresolved %v", address, n)
		}
		if n := values[`chrony_sources_by_reach{reach="none"}`]; n != 2+boolean(!old) {
			t.Errorf("%s: %v sources without an answer", address, n)
		}
		socket := strings.HasPrefix(address, "unix:")
		for _, report := range []string{"ntpdata", "authdata", "selectdata", "serverstats"} {
			known := !old || report != "authdata" && report != "selectdata"
			if readable := values[fmt.Sprintf("chrony_tracker_report_readable{report=%q}", report)]; readable != boolean(socket && known) {
				t.Errorf("%s: %s readable: %v", address, report, readable)
			}
		}
		if up := values["chrony_up"]; up != 1 {
			t.Errorf("%s: up %v though a report was refused", address, up)
		}
		if _, found := values[`chrony_sources_selection{source_address="127.0.0.1"}{source_name="127.0.0.1"}`]; found != (socket && !old) {
			t.Errorf("%s: selection: %v", address, found)
		}
		if _, found := values["chrony_serverstats_command_packets_received_total"]; found != socket {
			t.Errorf("%s: serverstats: %v", address, found)
		}
	}
}

// TestDuplicates has three reference clocks with the same ID. chrony_exporter answers
// with status 500 in this case.
func TestDuplicates(t *testing.T) {
	s := demanding(0)
	for i := range 3 {
		withReferenceClock(s).Report.Sources[i].Reach = uint8(i)
	}
	values := series(t, show(t, s, 64))
	for i, name := range []string{"GPS", "GPS#2", "GPS#3"} {
		if got, found := values[fmt.Sprintf("chrony_sources_reach{source_address=%q}{source_name=%q}", name, name)]; !found || got != float64(i) {
			t.Errorf("%s: reach %v", name, got)
		}
	}
}

// TestMaxSources has 250 sources. The last one is selected.
func TestMaxSources(t *testing.T) {
	s := demanding(250)
	s.Report.Sources[0].State, s.Report.Sources[249].State = chrony.StateCombined, chrony.StateSelected
	values := series(t, show(t, s, 3))
	shown := 0
	for name := range values {
		if strings.HasPrefix(name, "chrony_sources_reach{") {
			shown++
		}
	}
	if omitted := values["chrony_sources_omitted"]; shown != 3 || omitted != 247 {
		t.Errorf("%d shown, %v omitted", shown, omitted)
	}
	if _, found := values[`chrony_sources_reach{source_address="192.0.2.250"}{source_name="192.0.2.250"}`]; !found {
		t.Error("the selected source is not shown")
	}
	if n := values[`chrony_sources_by_state{state="combined"}`]; n != 249 {
		t.Errorf("%v of all sources are combined", n)
	}
	if n := len(series(t, show(t, s, 0))); n != countSeries(t, demanding(0)) {
		t.Errorf("%d series without sources", n)
	}
}

// TestNamesStay checks that a reference clock's number does not depend on the limit.
func TestNamesStay(t *testing.T) {
	s := withReferenceClock(withReferenceClock(demanding(0)))
	s.Report.Sources[1].State, s.Report.Sources[0].State = chrony.StateSelected, chrony.StateCombined
	s.Report.Tracking.Address, s.Report.Tracking.RefID = chrony.Address{}, 0x47505300
	values := series(t, show(t, s, 1))
	if _, found := values[`chrony_sources_reach{source_address="GPS#2"}{source_name="GPS#2"}`]; !found {
		t.Errorf("the second clock has lost its name: %v", values)
	}
	if _, found := values[`chrony_tracking_info{tracking_address="GPS#2"}{tracking_name="GPS#2"}{tracking_refid="47505300"}`]; !found {
		t.Error("the followed clock has another name in tracking")
	}
	if _, found := values[`chrony_sources_omitted`]; !found {
		t.Error("the omitted clock is not counted")
	}
}

// TestManyNames has 100 names without an address.
func TestManyNames(t *testing.T) {
	s := demanding(0)
	for i := range 200 {
		s.Report.Sources = append(s.Report.Sources, chrony.Source{Address: chrony.Address{ID: uint32(i + 1)}, ConfiguredName: fmt.Sprintf("%d.invalid", i/2)})
	}
	values, names := series(t, show(t, s, 10)), 0
	for name, value := range values {
		if strings.HasPrefix(name, "chrony_sources_unresolved") {
			names++
			if value != 2 {
				t.Errorf("%s is %v", name, value)
			}
		}
	}
	if names != 10 || values["chrony_sources_omitted"] != 180 {
		t.Errorf("%d names, %v omitted", names, values["chrony_sources_omitted"])
	}
}

// TestFailedTests checks the labels of the tests that the last reply failed.
func TestFailedTests(t *testing.T) {
	s := demanding(2)
	s.Report.Sources[1].NTP.Passed &^= chrony.TestMaxDelay | chrony.TestSyncLoop
	values := series(t, show(t, s, 64))
	failed := 0
	for name := range values {
		if strings.HasPrefix(name, "chrony_sources_ntp_test_failed") {
			failed++
		}
	}
	for _, test := range []string{"max_delay", "sync_loop"} {
		if values[fmt.Sprintf(`chrony_sources_ntp_test_failed{source_address="192.0.2.2"}{source_name="192.0.2.2"}{test=%q}`, test)] != 1 || failed != 2 {
			t.Errorf("%s is missing, or there are others: %v", test, values)
		}
	}
}

// TestManySources scrapes a chronyd with 300 sources.
func TestManySources(t *testing.T) {
	d := several(t, 300, 8, 1)
	for _, address := range d.Addresses()[:2] {
		server := serve(t, address, chronytest.Patience)
		const asked = "chrony_serverstats_command_packets_received_total"
		before, fewest := 0.0, math.Inf(1)
		for range 10 {
			values := scrape(t, server.URL)
			if values["chrony_sources_omitted"] != 300-DefaultMaxSources || values["chrony_up"] != 1 {
				t.Errorf("%s: up %v, %v omitted", address, values["chrony_up"], values["chrony_sources_omitted"])
			}
			fewest, before = min(fewest, values[asked]-before), values[asked]
		}
		// Each of six reports of each source once, and a few more. Over UDP, chronyd
		// does not report the number, and fewest is 0.
		if most := 6*300 + 20.0; fewest > most {
			t.Errorf("%s: a scrape takes %v requests, more than %v", address, fewest, most)
		}
	}
}

// BenchmarkManySources is a scrape of a chronyd with 300 sources.
func BenchmarkManySources(b *testing.B) {
	server := serve(b, several(b, 300, 8, 1).Address, chronytest.Patience)
	for b.Loop() {
		scrape(b, server.URL)
	}
}

// TestChangingSources adds and deletes sources while it scrapes. Each server has its
// own poll interval, so the test sees a value under the wrong name.
func TestChangingSources(t *testing.T) {
	d := chronytest.New(t, chronytest.Config{})
	silent, err := chronytest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	var changes sync.WaitGroup
	stop := make(chan struct{})
	changes.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			i := n % 8
			if n/8%2 == 0 {
				d.Chronyc("add", "server", fmt.Sprintf("127.0.0.%d", i+1), "port", fmt.Sprint(silent), "minpoll", fmt.Sprint(i+3), "maxpoll", fmt.Sprint(i+3))
			} else {
				d.Chronyc("delete", fmt.Sprintf("127.0.0.%d", (5*i)%8+1))
			}
		}
	})
	defer changes.Wait()
	defer close(stop)
	server := serve(t, "unix://"+d.Socket, chronytest.Patience)
	seen := make(map[string]bool)
	scrapes := 0
	chronytest.Await(t, "all sources in thirty scrapes", func() bool {
		values := scrape(t, server.URL)
		if values["chrony_up"] != 1 {
			t.Fatal("down")
		}
		for name, value := range values {
			text, isPoll := strings.CutPrefix(name, "chrony_sources_polling_interval_seconds{source_address=")
			if !isPoll {
				continue
			}
			quoted, _, _ := strings.Cut(text, "}")
			source, _ := strconv.Unquote(quoted)
			seen[source] = true
			if want := math.Exp2(float64(netip.MustParseAddr(source).As4()[3]) + 2); value != want {
				t.Errorf("%s has the poll interval %v, not %v", source, value, want)
			}
		}
		scrapes++
		return scrapes >= 30 && len(seen) == 8
	}, func() any { return seen })
}
