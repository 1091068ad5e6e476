package web_test

import (
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
	"github.com/chrony-tracker/chrony-tracker/internal/web"
)

func serve(t *testing.T, address string) *httptest.Server {
	t.Helper()
	client, err := chrony.NewClient(address)
	if err != nil {
		t.Fatal(err)
	}
	tr := tracker.New(tracker.Config{Client: client, Timeout: 300 * time.Millisecond})
	t.Cleanup(func() { tr.Close() })
	mux := http.NewServeMux()
	web.Register(mux, tr, web.Config{Version: "chrony-tracker 1.2.3", Metrics: "/metrics", Handler: http.NotFoundHandler()})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}

func TestChecks(t *testing.T) {
	d := chronytest.New(t, chronytest.Config{})
	server := serve(t, d.Address)
	for _, test := range []struct {
		path   string
		alive  bool
		status int
		text   string
	}{
		{"/-/healthy", true, 200, "healthy"},
		{"/-/ready", true, 200, "ready"},
		{"/", true, 200, "follows no source"},
		{"/elsewhere", true, 404, ""},
		{"/-/healthy", false, 200, "healthy"},
		{"/-/ready", false, 503, "connection refused"},
		{"/", false, 200, "is chronyd running"},
	} {
		if !test.alive {
			d.Kill()
		}
		response, text := get(t, server.URL+test.path)
		if response.StatusCode != test.status || !strings.Contains(text, test.text) {
			t.Errorf("%s, chronyd alive %v: %s: %s", test.path, test.alive, response.Status, text)
		}
	}
}

// TestPage follows a clock through its states.
func TestPage(t *testing.T) {
	d := chronytest.NewSynchronized(t, " offset 0.25")
	response, text := get(t, serve(t, d.Address).URL)
	for _, part := range []string{
		`<p class="verdict good" id="verdict">[^<]* 2[56]\d ms [^<]*</p>`, `127\.0\.0\.1`, d.Address, `chrony-tracker 1\.2\.3`, `href="metrics"`,
		`<rect class="offset" x="0\.000%" width="(9\d|100)\.\d+%"`, `<td class="number">(9\d|100) %</td>`, `<tr class="source selected">`, `\d of 8`,
	} {
		if !regexp.MustCompile(part).MatchString(text) {
			t.Errorf("the page lacks %s:\n%s", part, text)
		}
	}
	if policy := response.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
}

// TestReasons says of each source what chronyd thinks of it, as far as it is told.
func TestReasons(t *testing.T) {
	report := chrony.Report{Want: chrony.WantTracking, At: at, Tracking: &chrony.Tracking{}}
	var want []string
	add := func(s chrony.Source, reason string) {
		report.Sources, want = append(report.Sources, s), append(want, reason)
	}
	add(chrony.Source{State: chrony.StateFalseticker, Reach: 1}, "it disagrees with the majority")
	add(chrony.Source{State: chrony.StateSelectable, Reach: 1, Select: &chrony.SelectData{State: 'P'}}, "another one has the option prefer")
	add(chrony.Source{State: chrony.StateSelectable, Reach: 1, Select: &chrony.SelectData{State: '!'}}, "good enough, but another one is better") // of a later version
	add(chrony.Source{State: chrony.StateNonselectable, SampleAge: chrony.Never, Select: &chrony.SelectData{State: 'M'}},
		"it has too few samples; it has answered none of the last eight polls")
	add(chrony.Source{State: chrony.StateNonselectable, Address: chrony.Address{ID: 1}, SampleAge: chrony.Never}, "its name has no address")
	for _, state := range chrony.SelectStates {
		add(chrony.Source{Reach: 1, Select: &chrony.SelectData{State: state.SelectState}}, "")
	}
	for i, s := range web.NewStatus(snapshot(report, clockerror.Assumptions{})).Sources {
		if s.Reason != want[i] && (want[i] != "" || s.Reason == "") {
			t.Errorf("%+v: %q, want %q", report.Sources[i], s.Reason, want[i])
		}
		if never := report.Sources[i].SampleAge == chrony.Never; (s.Offset == nil) != never || (s.SampleAge == nil) != never {
			t.Errorf("%+v", s)
		}
	}
}

func snapshot(report chrony.Report, assume clockerror.Assumptions) *tracker.Snapshot {
	return &tracker.Snapshot{
		At:     report.At,
		Report: &report,
		Estimate: clockerror.Of(clockerror.Observation{
			Tracking: report.Tracking, Sources: report.Sources, At: report.At,
		}, assume),
	}
}

var at = time.Date(2026, 11, 2, 3, 4, 5, 600, time.UTC)

// TestJSON holds the documented shape: what doesn't exist is null.
func TestJSON(t *testing.T) {
	for _, test := range []struct {
		name     string
		snapshot *tracker.Snapshot
		want     string
	}{
		{
			"following",
			snapshot(chrony.Report{
				Want: chrony.WantTracking, Given: chrony.WantTracking, At: at, Address: "127.0.0.1:323",
				Tracking: &chrony.Tracking{
					RefID: 0xc0000201, Address: chrony.Address{IP: netip.MustParseAddr("192.0.2.1")}, Stratum: 2,
					RefTime: at, SystemTime: 0.5, RootDispersion: 0.25, RootDelay: 0.25, LastOffset: 0.125,
				},
				Sources: []chrony.Source{{
					Address: chrony.Address{IP: netip.MustParseAddr("192.0.2.1")}, ConfiguredName: "ntp.example", State: chrony.StateSelected,
					Stratum: 1, Poll: 6, Reach: 255, SampleAge: 7 * time.Second, AdjustedOffset: -0.25, OffsetError: 0.5,
					Select: &chrony.SelectData{State: '*'},
				}},
			}, clockerror.Assumptions{MaxWander: 1}),
			`{"time":"2026-11-02T03:04:05.0000006Z","state":"synchronized","bound_seconds":1.250008,` +
				`"bound_terms_seconds":{"offset":0.75,"delay":0.125,"dispersion":0.375,"drift":0.000008,"reference":0,"disagreement":0},` +
				`"bound_growth_ppm":1,"approximate":false,"error_seconds":0.5,` +
				`"sample_age_seconds":7,"update_age_seconds":0,"holdover_age_seconds":258,"untraced":false,"server_local":false,` +
				`"source":{"name":"192.0.2.1","refid":"C0000201","stratum":2},` +
				`"sources":[{"name":"192.0.2.1","configured_name":"ntp.example","mode":"server","state":"selected","verdict":"selected",` +
				`"reason":"the clock follows it","stratum":1,"poll_seconds":64,"reach":255,"sample_age_seconds":7,"offset_seconds":-0.25,"offset_error_seconds":0.5}],` +
				`"chronyd":{"address":"127.0.0.1:323","reads":["tracking"],"refused":[]},"problem":null}`,
		},
		{
			"a reference clock that never gave a sample",
			snapshot(chrony.Report{
				Want: chrony.WantTracking, Given: chrony.WantTracking, At: at, Address: "127.0.0.1:323", Tracking: &chrony.Tracking{RefID: 0x50484330, Stratum: 1},
			}, clockerror.Assumptions{}),
			`{"time":"2026-11-02T03:04:05.0000006Z","state":"holdover","bound_seconds":null,"bound_terms_seconds":null,` +
				`"bound_growth_ppm":null,"approximate":false,"error_seconds":null,` +
				`"sample_age_seconds":null,"update_age_seconds":null,"holdover_age_seconds":2,"untraced":true,"server_local":false,` +
				`"source":{"name":"PHC0","refid":"50484330","stratum":1},"sources":null,` +
				`"chronyd":{"address":"127.0.0.1:323","reads":["tracking"],"refused":[]},"problem":null}`,
		},
		{
			"nobody there",
			&tracker.Snapshot{At: at, Err: chrony.ErrNoAnswer, Estimate: clockerror.Of(clockerror.Observation{}, clockerror.Assumptions{})},
			`{"time":"2026-11-02T03:04:05.0000006Z","state":"unreachable","bound_seconds":null,"bound_terms_seconds":null,` +
				`"bound_growth_ppm":null,"approximate":false,"error_seconds":null,` +
				`"sample_age_seconds":null,"update_age_seconds":null,"holdover_age_seconds":null,"untraced":false,"server_local":false,` +
				`"source":null,"sources":null,"chronyd":null,"problem":{"error":"no answer","hint":""}}`,
		},
	} {
		got, err := json.Marshal(web.NewStatus(test.snapshot))
		if err != nil || string(got) != test.want {
			t.Errorf("%s: %v\n got %s\nwant %s", test.name, err, got, test.want)
		}
	}
}

// judgedAs is a snapshot of a clock that follows a server, or PHC0 if it is untraced
// and no server is to blame.
func judgedAs(e clockerror.Estimate) *tracker.Snapshot {
	tracking := &chrony.Tracking{RefID: 0xc0000201, Address: chrony.Address{IP: netip.MustParseAddr("192.0.2.1")}, Stratum: 2}
	if e.Untraced && !e.ServerLocal {
		tracking.RefID, tracking.Address = 0x50484330, chrony.Address{}
	}
	return &tracker.Snapshot{At: at, Report: &chrony.Report{At: at, Tracking: tracking}, Estimate: e}
}

// TestVerdict wants each doubt of the bound to be in the verdict, the rows and the gate.
func TestVerdict(t *testing.T) {
	none := math.Inf(1)
	for _, test := range []struct {
		name     string
		estimate clockerror.Estimate
		verdict  string // a regular expression
		row      string // of a row's label and value
	}{
		{"synchronized", clockerror.Estimate{Bound: 1e-3}, `^[^.]* 1 ms off\.$`, `state synchronized`},
		{"a reference clock", clockerror.Estimate{Bound: 1e-3, Untraced: true}, ` 1 ms off its reference, PHC0\. .*unknown`, `traced to UTC no`},
		{"a server that follows itself", clockerror.Estimate{Bound: 1e-3, Untraced: true, ServerLocal: true}, ` 1 ms off its server, 192\.0\.2\.1\. .*its own clock`, `traced to UTC no`},
		{"contradicted", clockerror.Estimate{State: clockerror.Contradicted, Bound: 3600}, ` 3600 s off\. .*contradict`, `state contradicted`},
		{"approximate", clockerror.Estimate{Bound: 1e-3, Approximate: true}, ` 1 ms off\. .*estimate`, `estimate yes`},
		{"holdover", clockerror.Estimate{State: clockerror.Holdover, Bound: 1e-3, SampleAge: 4, UpdateAge: 300, HoldoverAge: 258}, ` 1 ms off\.$`, `last update 300 s ago`},
		{"a step of unknown effect", clockerror.Estimate{Bound: none}, `unknown: another program has set it`, `bound unknown`},
		{"never a sample", clockerror.Estimate{State: clockerror.Holdover, Bound: none, SampleAge: none, UpdateAge: none}, `unknown: .*no sample`, `last update never`},
		{"local", clockerror.Estimate{State: clockerror.Local, Bound: none}, `unknown: .*the clock itself`, `state local`},
	} {
		status := web.NewStatus(judgedAs(test.estimate))
		if got := status.Verdict(); !regexp.MustCompile(test.verdict).MatchString(got) {
			t.Errorf("%s: no %s in %q", test.name, test.verdict, got)
		}
		rows := ""
		for _, row := range status.Rows() {
			rows += row.Label + " " + row.Value + "\n"
		}
		if !strings.Contains(rows, test.row+"\n") {
			t.Errorf("%s: no %q in\n%s", test.name, test.row, rows)
		}
		verdict, err := web.Within(status, time.Second)
		if opens := test.estimate.Bound <= 1; (err == nil) != opens {
			t.Errorf("%s: the gate says %q, %v", test.name, verdict, err)
		}
		if err != nil {
			verdict = err.Error()
		}
		if test.estimate.State == clockerror.Contradicted && !strings.Contains(verdict, "contradict") {
			t.Errorf("%s: the gate says %q", test.name, verdict)
		}
	}
}

// TestWords reads what a person reads.
func TestWords(t *testing.T) {
	phc := func() chrony.Report {
		return chrony.Report{At: at, Tracking: &chrony.Tracking{RefID: 0x50484330, Stratum: 1, RefTime: at}}
	}
	for bound, want := range map[float64]string{
		0: "0 s", 4.2e-10: "0.42 ns", 1e-9: "1 ns", 9.99e-7: "999 ns", 9.9901e-7: "1 µs", 0.000251: "251 µs", 0.0123456: "12.4 ms",
		0.2504: "251 ms", 0.0003: "300 µs", 0.0007: "700 µs", 0.999: "999 ms", 0.9991: "1 s", 1.0049: "1.01 s", 7495: "7500 s",
		math.Ldexp(1, 62): "4620000000000000000 s",
	} {
		status := web.NewStatus(judgedAs(clockerror.Estimate{Bound: bound}))
		if !strings.Contains(status.Verdict(), " "+want+" off") {
			t.Errorf("%v: %q, want %q", bound, status.Verdict(), want)
		}
	}
	var labels []string
	for _, row := range web.NewStatus(snapshot(phc(), clockerror.Assumptions{})).Rows() {
		labels = append(labels, row.Label)
	}
	refused := phc()
	unauthorized := &chrony.StatusError{Status: 2}
	refused.Want = chrony.WantTracking | chrony.WantNTPData | chrony.WantSelectData | chrony.WantRTC | chrony.WantAuthData // of which nobody asked
	refused.Given = chrony.WantTracking | chrony.WantRTC
	refused.Refused = map[chrony.Want]error{chrony.WantNTPData: unauthorized, chrony.WantSelectData: unauthorized}
	rows := web.NewStatus(snapshot(refused, clockerror.Assumptions{})).Rows()
	if got := rows[len(rows)-2:]; got[0].Value != "tracking, rtcdata" || got[1].Label != "refused" || got[1].Value != "ntpdata, selectdata" {
		t.Errorf("what is read and refused: %+v", got)
	}
	if !strings.Contains(strings.Join(labels, ","), "traced to UTC") {
		t.Errorf("a reference clock of unknown error is not told: %v", labels)
	}
}

// TestGate opens for a clock whose bound is within the limit, and for no other.
func TestGate(t *testing.T) {
	d := chronytest.NewSynchronized(t, " offset 0.25")
	right := serve(t, d.Address)
	wrong := serve(t, chronytest.New(t, chronytest.Config{}).Address)
	local := serve(t, chronytest.New(t, chronytest.Config{Lines: []string{"local stratum 10"}}).Address)
	gone := chronytest.New(t, chronytest.Config{})
	gone.Kill()
	nobody := serve(t, gone.Address)
	for _, test := range []struct {
		server *httptest.Server
		query  string
		status int
		text   string
	}{
		{right, "?max_error=1s", 200, `^ready: .* 2\d\d ms .*\n$`},
		{right, "?max_error=10ms", 503, `^not ready: .* 2\d\d ms .*more than 10 ms\n$`},
		{right, "", 200, `^ready\n$`},
		{wrong, "", 200, `^ready\n$`},
		{wrong, "?max_error=1000000h", 503, `^not ready: .*follows no source\n$`},
		{local, "?max_error=1000000h", 503, `^not ready: .*follows the clock itself\n$`},
		{nobody, "?max_error=1000000h", 503, `^not ready: .*no answer: connection refused\n.*is chronyd running`},
		{right, "?max_error=10", 400, `^max_error=10:`},
		{right, "?max_error=0s", 400, `^max_error=`},
		{right, "?max_error=-1s", 400, `^max_error=`},
		{right, "?max_error=", 400, `^max_error=`},
		{right, "?max_error=1s&max_error=1ms", 400, `^max_error=`},
		{right, "?maxerror=10ms", 400, `"maxerror"`},
	} {
		response, text := get(t, test.server.URL+"/-/ready"+test.query)
		if response.StatusCode != test.status || !regexp.MustCompile(test.text).MatchString(text) {
			t.Errorf("%s: %s: %s, want %d %s", test.query, response.Status, text, test.status, test.text)
		}
	}
}
