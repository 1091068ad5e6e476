package screen

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

func snapshot() *tracker.Snapshot {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
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
			// A reference clock's name may be any four letters.
			{RefID: 0x47505300, Mode: chrony.ModeReferenceClock, State: chrony.StateSelectable, Poll: 4, Reach: 0xff, Select: &chrony.SelectData{State: 'P'}},
		},
	}
	s := &tracker.Snapshot{At: at, Report: report}
	s.Estimate = clockerror.Of(clockerror.Observation{Tracking: report.Tracking, Sources: report.Sources, At: at}, clockerror.Assumptions{})
	return s
}

func TestWrite(t *testing.T) {
	var b strings.Builder
	if err := Write(&b, snapshot(), Style{}); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{
		" 4.23 ms off.\n\nstate",
		"\nbound           4.23 ms        ████████████▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▓▓▓▓▓▓▓▓▓▓▓▓░░\n",
		"\n█ offset        1.02 ms ",
		"\n▒ delay         2 ms ",
		"\n▓ dispersion    1 ms ",
		"\n░ drift         210 µs         possible drift since the sample, at 10 ppm\n",
		"\n▚ reference     0 s ",
		"\n▞ disagreement  0 s ",
		`
   source     stratum  poll    reach  sample      offset, ± its bound
*  192.0.2.1  1        64 s    377    20 s ago    -12 µs ± 3 ms
x  192.0.2.2  2        17 min  177    17 min ago  +500 ms ± 1 ms
   not used: it disagrees with the majority
?  192.0.2.3  0        64 s    000    never
   not used: unreachable, or too few samples
-  GPS        0        16 s    377    0 s ago     0 s ± 0 s
   in reserve: another one has the option prefer
`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Error("colours")
	}
	for _, length := range []int{40, 60, 80, 200} {
		b.Reset()
		Write(&b, snapshot(), Style{Width: length, Colour: true})
		if !strings.Contains(b.String(), "\x1b[1m\x1b[32mThe clock") {
			t.Error("no colours")
		}
		if length < 80 {
			continue // the table of sources needs that
		}
		for line := range strings.Lines(b.String()) {
			if n := columns(line); n > length {
				t.Errorf("%d columns of %d: %s", n, length, line)
			}
		}
	}
}

// TestShades wants each term to look different, without colors as well.
func TestShades(t *testing.T) {
	seen := make(map[string]string)
	for term := range (clockerror.Terms{}).All() {
		letter := shades[term].letter
		if letter == "" || seen[letter] != "" {
			t.Errorf("%s is drawn as %q, as is %q", term, letter, seen[letter])
		}
		seen[letter] = term
	}
}

func TestWidths(t *testing.T) {
	for text, want := range map[string]int{"µs ±": 4, "時計": 4, "é": 1, "e\u0301": 1, "\x1b[31mred\x1b[0m": 3, "": 0} {
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
		if got := Cut(test.text, test.n); got != test.want {
			t.Errorf("%q cut to %d: %q", test.text, test.n, got)
		}
	}
}
