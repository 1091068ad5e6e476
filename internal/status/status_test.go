package status

import (
	"encoding/json"
	"math"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// TestEventTexts checks the texts of events.
func TestEventTexts(t *testing.T) {
	for _, kind := range tracker.EventKinds {
		if eventTexts[kind] == "" {
			t.Errorf("%s has no text", kind)
		}
	}
	from, to, seconds, hour := "none", "PHC0", -2.5, 3725.0
	for _, test := range []struct {
		event Event
		ends  string
	}{
		{Event{Kind: "clock_stepped", Seconds: &seconds}, " by −2.5 s"},
		{Event{Kind: "suspended", Seconds: &hour}, " for 1 h 2 min"},
		{Event{Kind: "source_changed", From: &from, To: &to}, " from none to PHC0"},
		{Event{Kind: "chronyd_restarted", Text: "not these words"}, eventTexts[tracker.ChronydRestarted]},
		{Event{Kind: "of_another_version"}, `"of_another_version"`},
	} {
		if got := test.event.Row().Value; !strings.HasSuffix(got, test.ends) {
			t.Errorf("%q, want %q", got, test.ends)
		}
	}
}

func TestLength(t *testing.T) {
	for s, want := range map[float64]string{
		-1: "0 s", 0: "0 s", 0.0156: "15.6 ms", 1: "1 s", 59.9: "59 s", 60: "1 min", 61: "1 min 1 s", 3599: "59 min 59 s", 7260: "2 h 1 min", 86400 * 3: "3 d", 90061: "1 d 1 h", math.Inf(1): "an unknown time",
	} {
		if got := Duration(s); got != want {
			t.Errorf("%v s is %q, want %q", s, got, want)
		}
	}
}

// TestKept checks that the share is never rounded up.
func TestKept(t *testing.T) {
	for _, test := range []struct {
		good, total float64
		want        string
	}{
		{0, 0, "not yet known"}, {100, 100, "100 %"}, {0, 100, "0 %"}, {999_999.9, 1e6, "99.999 %"}, {1, 3, "33.333 %"},
	} {
		if got := (Objective{Good: test.good, Total: test.total}).Kept(); got != test.want {
			t.Errorf("%v of %v: %q, want %q", test.good, test.total, got, test.want)
		}
	}
}

// TestParts checks that the parts fill the bar for any bound.
func TestParts(t *testing.T) {
	for _, terms := range []clockerror.Terms{{}, {Offset: 1}, {Offset: 1e-6, Delay: 2e-6, Dispersion: 3e-6, Reference: 4e-3, Disagreement: 1}} {
		bound := terms.Sum()
		p := Status{Bound: &bound, Terms: &terms}
		end := 0.0
		for _, part := range p.Parts() {
			if part.Start != end {
				t.Errorf("%+v begins at %v", part, end)
			}
			end += part.Size
		}
		if bound > 0 && (end < 99.999 || end > 100.001) {
			t.Errorf("%+v: %v", terms, end)
		}
	}
	if parts := (Status{}).Parts(); parts != nil {
		t.Errorf("%+v", parts)
	}
}

// TestReasons checks the text for each state of a source, with and without selectdata.
func TestReasons(t *testing.T) {
	report := chrony.Report{Want: chrony.WantTracking, At: at, Tracking: &chrony.Tracking{}}
	var want []string
	add := func(s chrony.Source, reason string) {
		report.Sources, want = append(report.Sources, s), append(want, reason)
	}
	add(chrony.Source{State: chrony.StateFalseticker, Reach: 1}, "not used: it disagrees with the majority")
	add(chrony.Source{State: chrony.StateSelectable, Reach: 1, Select: &chrony.SelectData{State: 'P'}}, "in reserve: another source has the option prefer")
	add(chrony.Source{State: chrony.StateSelectable, Reach: 1, Select: &chrony.SelectData{State: '!'}}, "in reserve") // a state of a later version
	add(chrony.Source{State: chrony.StateNonselectable, SampleAge: chrony.Never, Select: &chrony.SelectData{State: 'M'}},
		"not used yet: too few samples; none of its last eight polls was answered")
	add(chrony.Source{State: chrony.StateNonselectable, Address: chrony.Address{ID: 1}, SampleAge: chrony.Never}, "not used: its name has no address")
	for _, state := range chrony.SelectStates {
		add(chrony.Source{Reach: 1, Select: &chrony.SelectData{State: state.State}}, "")
	}
	for i, s := range New(snapshot(report, clockerror.Assumptions{})).Sources {
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

// TestJSON checks the documented form: what doesn't exist is null.
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
			`{"time":"2026-11-02T03:04:05.0000006Z","node":"","state":"synchronized","bound_seconds":1.250008,` +
				`"bound_terms_seconds":{"offset":0.75,"delay":0.125,"dispersion":0.375,"drift":0.000008,"reference":0,"disagreement":0},` +
				`"bound_growth_ppm":1,"approximate":false,"error_seconds":0.5,` +
				`"sample_age_seconds":7,"update_age_seconds":0.5,"holdover_age_seconds":258,"untraced":false,"server_local":false,` +
				`"source":{"name":"192.0.2.1","refid":"C0000201","stratum":2},` +
				`"sources":[{"name":"192.0.2.1","configured_name":"ntp.example","mode":"server","state":"selected","verdict":"selected",` +
				`"reason":"followed","stratum":1,"poll_seconds":64,"reach":255,"sample_age_seconds":7,"offset_seconds":-0.25,"offset_error_seconds":0.5}],` +
				`"chronyd":{"address":"127.0.0.1:323","reads":["tracking"],"refused":[]},"problem":null,"witnesses":null}`,
		},
		{
			"a reference clock that never gave a sample",
			snapshot(chrony.Report{
				Want: chrony.WantTracking, Given: chrony.WantTracking, At: at, Address: "127.0.0.1:323", Tracking: &chrony.Tracking{RefID: 0x50484330, Stratum: 1},
			}, clockerror.Assumptions{}),
			`{"time":"2026-11-02T03:04:05.0000006Z","node":"","state":"holdover","bound_seconds":null,"bound_terms_seconds":null,` +
				`"bound_growth_ppm":null,"approximate":false,"error_seconds":null,` +
				`"sample_age_seconds":null,"update_age_seconds":null,"holdover_age_seconds":2,"untraced":true,"server_local":false,` +
				`"source":{"name":"PHC0","refid":"50484330","stratum":1},"sources":null,` +
				`"chronyd":{"address":"127.0.0.1:323","reads":["tracking"],"refused":[]},"problem":null,"witnesses":null}`,
		},
		{
			"no chronyd",
			&tracker.Snapshot{At: at, Err: chrony.ErrNoAnswer, Estimate: clockerror.Of(clockerror.Observation{}, clockerror.Assumptions{})},
			`{"time":"2026-11-02T03:04:05.0000006Z","node":"","state":"unreachable","bound_seconds":null,"bound_terms_seconds":null,` +
				`"bound_growth_ppm":null,"approximate":false,"error_seconds":null,` +
				`"sample_age_seconds":null,"update_age_seconds":null,"holdover_age_seconds":null,"untraced":false,"server_local":false,` +
				`"source":null,"sources":null,"chronyd":null,"problem":{"error":"no answer","hint":""},"witnesses":null}`,
		},
	} {
		got, err := json.Marshal(New(test.snapshot))
		if err != nil || string(got) != test.want {
			t.Errorf("%s: %v\n got %s\nwant %s", test.name, err, got, test.want)
		}
	}
}

// judgedAs returns a snapshot of a clock that follows a server. If the clock is
// untraced and the server is not the cause, it follows PHC0.
func judgedAs(e clockerror.Estimate) *tracker.Snapshot {
	tracking := &chrony.Tracking{RefID: 0xc0000201, Address: chrony.Address{IP: netip.MustParseAddr("192.0.2.1")}, Stratum: 2}
	if e.Untraced && !e.ServerLocal {
		tracking.RefID, tracking.Address = 0x50484330, chrony.Address{}
	}
	return &tracker.Snapshot{At: at, Report: &chrony.Report{At: at, Tracking: tracking}, Estimate: e}
}

// TestVerdict checks that the verdict, the rows and the gate mention each doubt about
// the bound.
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
		status := New(judgedAs(test.estimate))
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
		verdict, err := status.Within(time.Second)
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

// TestWords checks texts for people.
func TestWords(t *testing.T) {
	phc := func() chrony.Report {
		return chrony.Report{At: at, Tracking: &chrony.Tracking{RefID: 0x50484330, Stratum: 1, RefTime: at}}
	}
	for bound, want := range map[float64]string{
		0: "0 s", 4.2e-10: "0.42 ns", 1e-9: "1 ns", 9.99e-7: "999 ns", 9.9901e-7: "1 µs", 0.000251: "251 µs", 0.0123456: "12.4 ms",
		0.2504: "251 ms", 0.0003: "300 µs", 0.0007: "700 µs", 0.999: "999 ms", 0.9991: "1 s", 1.0049: "1.01 s", 7495: "7500 s",
		math.Ldexp(1, 62): "4620000000000000000 s",
	} {
		status := New(judgedAs(clockerror.Estimate{Bound: bound}))
		if !strings.Contains(status.Verdict(), " "+want+" off") {
			t.Errorf("%v: %q, want %q", bound, status.Verdict(), want)
		}
	}
	var labels []string
	for _, row := range New(snapshot(phc(), clockerror.Assumptions{})).Rows() {
		labels = append(labels, row.Label)
	}
	refused := phc()
	unauthorized := &chrony.StatusError{Status: 2}
	refused.Want = chrony.WantTracking | chrony.WantNTPData | chrony.WantSelectData | chrony.WantRTC | chrony.WantAuthData // wanted reports without a request
	refused.Given = chrony.WantTracking | chrony.WantRTC
	refused.Refused = map[chrony.Want]error{chrony.WantNTPData: unauthorized, chrony.WantSelectData: unauthorized}
	rows := New(snapshot(refused, clockerror.Assumptions{})).Rows()
	if got := rows[len(rows)-2:]; got[0].Value != "tracking, rtcdata" || got[1].Label != "refused" || got[1].Value != "ntpdata, selectdata" {
		t.Errorf("what is read and refused: %+v", got)
	}
	if !strings.Contains(strings.Join(labels, ","), "traced to UTC") {
		t.Errorf("a reference clock of unknown error is not reported: %v", labels)
	}
}

// TestWindows wants no time without a bound where rounding leaves nanoseconds.
func TestWindows(t *testing.T) {
	for without, want := range map[float64]string{30.6e-9: "the largest bound", 2: "the largest known bound; it was unknown for 2 s"} {
		watch := NewFull(&tracker.Snapshot{
			Report:  &chrony.Report{Tracking: &chrony.Tracking{}},
			Watched: &tracker.Watched{Interval: time.Second, StateSeconds: make([]float64, len(clockerror.States)), Windows: []tracker.Window{{Length: time.Minute, Bound: 1e-3, Without: without}}},
		}).Watch
		if got := watch.Rows()[0].Note; got != want || (watch.Windows[0].Without == 0) != (without < 1) {
			t.Errorf("%v s: %q, %+v", without, got, watch.Windows)
		}
	}
}
