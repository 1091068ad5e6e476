package terminal

import (
	"errors"
	"io"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/doctor"
	"github.com/chrony-tracker/chrony-tracker/internal/status"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

var at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func snapshot() *tracker.Snapshot {
	address := func(last byte) chrony.Address {
		return chrony.Address{IP: netip.AddrFrom4([4]byte{192, 0, 2, last})}
	}
	report := &chrony.Report{
		Want: chrony.WantTracking | chrony.WantSources, Given: chrony.WantTracking | chrony.WantSources, At: at, Address: "127.0.0.1:323",
		Tracking: &chrony.Tracking{RefID: 0xc0000201, Address: address(1), Stratum: 2, RefTime: at, SystemTime: 1e-3, RootDelay: 4e-3, RootDispersion: 1e-3},
		Sources: []chrony.Source{
			{Address: address(1), State: chrony.StateSelected, Stratum: 1, Poll: 6, Reach: 0xff, SampleAge: 20 * time.Second, AdjustedOffset: -12e-6, OffsetError: 3e-3},
			{Address: address(2), State: chrony.StateFalseticker, Stratum: 2, Poll: 10, Reach: 0x7f, SampleAge: 17 * time.Minute, AdjustedOffset: 0.5, OffsetError: 1e-3},
			{Address: address(3), State: chrony.StateNonselectable, Poll: 6, SampleAge: chrony.Never},
			// A reference clock's name may be any four characters.
			{RefID: 0x47505300, Mode: chrony.ModeReferenceClock, State: chrony.StateSelectable, Poll: 4, Reach: 0xff, Select: &chrony.SelectData{State: 'P'}},
		},
	}
	s := &tracker.Snapshot{At: at, Report: report}
	s.Estimate = clockerror.Of(clockerror.Observation{Tracking: report.Tracking, Sources: report.Sources, At: at}, clockerror.Assumptions{})
	return s
}

func text(v string) *string         { return &v }
func number(v float64) *float64     { return &v }
func moment(t time.Time) *time.Time { return &t }

// past is the watch of a tracker of another version.
func past() (*status.Watch, []status.Event) {
	watch := &status.Watch{
		Since: at.Add(-time.Hour), State: "synchronized", StateSince: moment(at.Add(-time.Minute)),
		Windows: []status.Window{{Length: 60, Bound: number(1e-3)}, {Length: 300, Without: 42}},
	}
	return watch, []status.Event{
		{Time: at, Kind: "clock_stepped", Text: "\x1b[2Jnot these words", Seconds: number(-3)},
		{Time: at, Kind: "state_changed", From: text("holdover"), To: text("synchronized")},
		{Time: at, Kind: "eclipsed\x1b]0;title\x07"},
	}
}

var examination = &doctor.Examination{Findings: []doctor.Finding{
	{Verdict: doctor.Wrong, Check: "127.0.0.1:323, [::1]:323", Summary: "no program listens there, and no chronyd has a socket in this network namespace", Impact: "the clock's error is unknown", Fix: "start it", Command: "systemctl enable --now chrony || systemctl enable --now chronyd"},
	{Verdict: doctor.Unchecked, Check: "時計", Summary: "it can't be read from here", Command: "grep -r 時計 /etc"},
	{Verdict: doctor.Fine, Check: "reports", Summary: "tracking"},
}}

// witnesses are those of a tracker; one is named like a terminal's command.
var witnesses = &status.Witnesses{
	UTC: &status.UTCWitnesses{Verdict: "contradicted", Text: "2 of 3 UTC servers contradict the bound", Far: number(0.314), Servers: []status.WitnessServer{
		{Name: "time-server.example.com:1123", Result: text("contradicting"), Text: "contradicts the bound", Contradicts: true, Offset: number(0.3), Uncertainty: number(14e-3), Age: number(12)},
		{Name: "\x1b[2Jevil", Result: text("no_answer"), Text: "does not answer: \x1b]0;title\x07"},
	}},
	Peers: &status.PeerWitnesses{Verdict: "consistent", Text: "8 of 8 peers answer", Counts: map[string]int{"consistent": 8}, Addresses: 40, Disagreement: 3e-4},
}

// printers are all functions that print.
var printers = map[string]func(io.Writer, Style) error{
	"status":    func(w io.Writer, style Style) error { return Status(w, status.New(snapshot()), style) },
	"witnesses": func(w io.Writer, style Style) error { return Status(w, status.Heard(snapshot(), witnesses), style) },
	"unreachable": func(w io.Writer, style Style) error {
		return Status(w, status.New(&tracker.Snapshot{At: at, Err: chrony.ErrNoAnswer, Estimate: clockerror.Of(clockerror.Observation{}, clockerror.Assumptions{})}), style)
	},
	"past": func(w io.Writer, style Style) error {
		watch, events := past()
		return Past(w, "http://127.0.0.1:9123", watch, events, style)
	},
	"no past": func(w io.Writer, style Style) error {
		return NoPast(w, "http://127.0.0.1:9123", errors.New("connect: connection refused"), style)
	},
	"examination": func(w io.Writer, style Style) error { return Examination(w, examination, style) },
	"explanation": func(w io.Writer, style Style) error {
		return Explanation(w, doctor.Explain(snapshot(), clockerror.Assumptions{}, nil), style)
	},
}

func printed(t *testing.T, name string, style Style) string {
	t.Helper()
	var b strings.Builder
	if err := printers[name](&b, style); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestStatus(t *testing.T) {
	text := printed(t, "status", Style{})
	for _, want := range []string{
		" 4.23 ms off.\n\nstate",
		"\nbound           4.23 ms        ████████████▒",
		"\n█ offset        1.02 ms ",
		"\n▒ delay         2 ms ",
		"\n▓ dispersion    1 ms ",
		"\n░ drift         210 µs ",
		"\n▚ reference     0 s ",
		"\n▞ disagreement  0 s ",
		"\n*  192.0.2.1  1        1 min 4 s   377    20 s ago    −12 µs ± 3 ms\n",
		"\nx  192.0.2.2  2        17 min 4 s  177    17 min ago  +500 ms ± 1 ms\n   not used: ",
		"\n?  192.0.2.3  0        1 min 4 s   000    never       unknown\n   not used: ",
		"\n-  GPS        0        16 s        377    0 s ago     +0 s ± 0 s\n   in reserve: ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// TestWitnesses wants what the tracker's witnesses say, also in the verdict.
func TestWitnesses(t *testing.T) {
	text := printed(t, "witnesses", Style{})
	for _, want := range []string{
		"The clock is at most 314 ms off. UTC servers contradict what chronyd claims.\n", "\nstate           contradicted ", "\n▞ disagreement  310 ms ",
		"\nwitnesses\nUTC servers     contradicted  2 of 3 ", "+300 ms ± 14 ms, 12 s ago; contradicts", "\npeers           consistent ", "\ndisagreement    300 µs ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if text := printed(t, "status", Style{}); strings.Contains(text, "itness") {
		t.Errorf("without witnesses:\n%s", text)
	}
}

// TestPast checks that unknown codes of another version are shown as unknown.
func TestPast(t *testing.T) {
	text := printed(t, "past", Style{})
	for _, want := range []string{
		"state         synchronized  since 2026-03-01 11:59:00 UTC\n",
		"last 1 min    1 ms ",
		"last 5 min    unknown ", "42 s\n",
		"2026-03-01 12:00:00 UTC  ", "−3 s\n", `unknown event "eclipsed`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "not these words") {
		t.Errorf("it trusts another program's words:\n%s", text)
	}
}

var colors = regexp.MustCompile("\x1b\\[[0-9;]*m")

// TestWidths prints everything at each width.
func TestWidths(t *testing.T) {
	for name := range printers {
		for width := 1; width <= 500; width++ {
			text := printed(t, name, Style{Width: width})
			if strings.Contains(text, "\x1b") {
				t.Errorf("%s: colors", name)
			}
			colored := printed(t, name, Style{Width: width, Color: true})
			if colors.ReplaceAllString(colored, "") != text {
				t.Fatalf("%s at %d columns: colors change the text:\n%s%s", name, width, text, colored)
			}
			for line := range strings.Lines(text) {
				n, words := columns(line), len(strings.Fields(line))
				isCommand := strings.Contains(line, "systemctl") || strings.Contains(line, "grep")
				if n > width && words > 1 && !isCommand {
					t.Errorf("%s: %d columns of %d: %s", name, n, width, line)
				}
			}
			if t.Failed() {
				t.Fatalf("%s at %d columns:\n%s", name, width, text)
			}
		}
	}
}

func TestColors(t *testing.T) {
	style := Style{Color: true}
	for name, want := range map[string]string{"status": "\x1b[1m\x1b[32mThe clock", "unreachable": "\x1b[1m\x1b[31mThe clock", "examination": "\x1b[1;31mwrong"} {
		if text := printed(t, name, style); !strings.Contains(text, want) {
			t.Errorf("no %q in %q", want, text)
		}
	}
}

// TestClean checks texts that try to control the terminal.
func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"ntp.example":               "ntp.example",
		"µs ± 時計 e\u0301 👩‍🚀":       "µs ± 時計 e\u0301 👩‍🚀",
		"\x1b[31mred\x1b[0m":        "red",
		"\x1b]0;title\x07x":         "x",
		"\x1b]8;;evil\x1b\\link":    "link",
		"\x1bPq#0\x1b\\x":           "x",
		"\x1bcx\x1b(Bx":             "xx",
		"\u009b2Jx\u009d0;y\u009cz": "xz",
		"\x9b2Jx":                   "�2Jx", // a single byte, which is not UTF-8
		"a\r\nb\tc":                 "a b c",
		"a\x00\x08\x7fb":            "ab",
		"a\u202eb\u2066c":           "abc",
		"x\x1b":                     "x",
		"x\x1b[":                    "x",
	} {
		if got := Line(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestHostile prints control sequences from chronyd, another tracker and a process.
func TestHostile(t *testing.T) {
	const evil = "\x1b[2J\x1b]0;title\x07\u009b31m\x00\r\nevil"
	s := status.New(snapshot())
	s.Source.Name, s.Sources[1].Name, s.Sources[1].Reason, s.Sources[1].State, s.Chronyd.Address = evil, evil, evil, evil, evil
	s.Problem = &status.Problem{Error: evil, Hint: evil}
	watch, _ := past()
	watch.State = evil
	events := []status.Event{{Kind: evil}, {Kind: "source_changed", From: text(evil), To: text(evil)}}
	finding := doctor.Finding{Verdict: doctor.Verdict(evil), Check: evil, Summary: evil, Impact: evil, Fix: evil, Command: evil}
	for _, style := range []Style{{}, {Width: 20}} {
		var b strings.Builder
		Status(&b, s, style)
		Past(&b, evil, watch, events, style)
		Examination(&b, &doctor.Examination{Findings: []doctor.Finding{finding}}, style)
		Explanation(&b, &doctor.Explanation{Summary: evil, Hint: evil, Parts: []doctor.Part{{Term: evil, Cause: evil, Gain: evil}}}, style)
		if n := strings.Count(b.String(), "evil"); n < 15 {
			t.Errorf("only %d", n)
		}
		if i := strings.IndexFunc(b.String(), func(r rune) bool { return r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 }); i >= 0 {
			t.Errorf("a control is left: %q", b.String()[i:])
		}
	}
}

// TestShades checks that each term looks different, even without colors.
func TestShades(t *testing.T) {
	seen := make(map[string]string)
	for term := range (clockerror.Terms{}).All() {
		letter := shades[term].text
		if letter == "" || seen[letter] != "" {
			t.Errorf("%s is drawn as %q, as is %q", term, letter, seen[letter])
		}
		seen[letter] = term
	}
}

func TestColumns(t *testing.T) {
	for text, want := range map[string]int{"µs ±": 4, "時計": 4, "é": 1, "e\u0301": 1, "": 0} {
		if got := columns(text); got != want {
			t.Errorf("%q: %d columns, want %d", text, got, want)
		}
		if got := columns(pad(text, 9)); got != 9 {
			t.Errorf("%q: padded to %d", text, got)
		}
	}
	for _, test := range []struct {
		text string
		n    int
		want string
	}{{"clock", 3, "clo"}, {"時計", 3, "時"}, {"\x1b[31mred\x1b[0m", 1, "\x1b[31mr\x1b[0m"}, {"short", 9, "short"}} {
		if got := cut(test.text, test.n); got != test.want {
			t.Errorf("%q cut to %d: %q", test.text, test.n, got)
		}
	}
}

// TestFrame checks that a frame never exceeds the terminal.
func TestFrame(t *testing.T) {
	if got, want := frame("clock\n時計\nmore\n", 3, 2), "\x1b[Hclo\x1b[K\r\n時\x1b[K\x1b[J"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for width := 1; width <= 500; width++ {
		for line := range strings.SplitSeq(frame(printed(t, "status", Style{Width: width, Color: true}), width, 50), "\r\n") {
			line = strings.NewReplacer(home, "", clearLine, "", clearBelow, "").Replace(line)
			if n := columns(colors.ReplaceAllString(line, "")); n > width {
				t.Fatalf("%d columns of %d: %q", n, width, line)
			}
		}
	}
}
