package status

import (
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
	"github.com/chrony-tracker/chrony-tracker/internal/witness"
)

// witnessed is a snapshot of a clock whose own bound is 1 ms, with what witnesses say.
func witnessed(untraced bool, found witness.Findings) *tracker.Snapshot {
	s := judgedAs(clockerror.Estimate{Bound: 1e-3, OwnBound: 1e-3, Terms: clockerror.Terms{Offset: 1e-3}, Untraced: untraced})
	s.Estimate, s.Actionable = s.Estimate.With(found.Testimony()), s.Estimate.With(found.Authentic().Testimony())
	s.Witnesses = &tracker.Witnessed{Findings: &found}
	return s
}

// server is a UTC server that found the clock ahead by an offset, 12 s ago.
func server(name string, offset float64, result witness.Result) witness.Server {
	return witness.Server{
		Name: name, Measured: true, Offset: offset, Uncertainty: 14e-3, At: at.Add(-12 * time.Second),
		Contradicts: result == witness.Contradicts, Last: result, LastAt: at.Add(-12 * time.Second),
	}
}

func silent(name string, err error) witness.Server {
	return witness.Server{Name: name, Last: witness.NoAnswer, LastAt: at, Err: err}
}

func peers(verdict witness.Verdict, agree, contradict, unproven int) *witness.PeerFindings {
	p := &witness.PeerFindings{Verdict: verdict, Addresses: 40, Peers: map[witness.Verdict]int{
		witness.Consistent: agree, witness.Contradicted: contradict, witness.Unproven: unproven,
	}}
	if verdict == witness.Contradicted {
		p.Far = 28
	}
	return p
}

// TestWitnesses wants everything that a person is told of witnesses: in the verdict, in
// the rows, at the gate, and to programs.
func TestWitnesses(t *testing.T) {
	none := math.Inf(1)
	timeout := errors.New("i/o timeout")
	for _, test := range []struct {
		name     string
		untraced bool
		found    witness.Findings
		tone     Tone
		verdict  string // what it must say
		opens    bool   // the gate, at 10 ms
		rows     []string
	}{
		{
			"a server agrees", false,
			witness.Findings{UTC: &witness.ServerFindings{Bound: 14.2e-3, Servers: []witness.Server{server("time.example", 2e-4, witness.Agrees)}}},
			OK, "The clock is at most 1 ms off.", true,
			[]string{"traced to UTC|within 14.2 ms|by time.example", "UTC servers|consistent|agree", "server|time.example|+200 µs ± 14 ms, 12 s ago; agrees"},
		},
		{
			"a server agrees with an untraced clock", true,
			witness.Findings{UTC: &witness.ServerFindings{Bound: 14.2e-3, Servers: []witness.Server{
				server("far.example", 9e-3, witness.Agrees), server("time.example", 2e-4, witness.Agrees),
			}}},
			Warning, "It is within 14.2 ms of UTC, by time.example.", true,
			[]string{"traced to UTC|within 14.2 ms|by time.example"},
		},
		{
			"no server answers", true,
			witness.Findings{UTC: &witness.ServerFindings{Verdict: witness.Unproven, Bound: none, Servers: []witness.Server{silent("time.example", timeout), {Name: "new.example"}}}},
			Warning, "unknown.", true,
			[]string{"traced to UTC|no|", "UTC servers|unproven|nothing confirms", "server|time.example|does not answer: i/o timeout", "server|new.example|not asked"},
		},
		{
			"the only server contradicts", false,
			witness.Findings{UTC: &witness.ServerFindings{Verdict: witness.Disputed, Far: 0.314, Bound: 0.314, Servers: []witness.Server{server("time.example", -0.3, witness.Contradicts), silent("b.example", timeout)}}},
			Warning, "at most 314 ms off. The only UTC server that answers contradicts", false,
			[]string{"state|synchronized|", "UTC servers|disputed|time.example", "server|time.example|−300 ms ± 14 ms, 12 s ago; contradicts"},
		},
		{
			"servers contradict", false,
			witness.Findings{UTC: &witness.ServerFindings{Verdict: witness.Contradicted, Far: 0.314, Bound: 15e-3, Servers: []witness.Server{
				server("a.example", 0.3, witness.Contradicts), server("b.example", 0.3, witness.Contradicts), server("liar.example", 1e-3, witness.Agrees),
			}}},
			Bad, "at most 314 ms off. UTC servers contradict what chronyd claims.", false,
			[]string{"state|contradicted|UTC servers contradict", "UTC servers|contradicted|2 of 3 UTC servers contradict the bound: a.example, b.example"},
		},
		{
			"a minority of servers contradicts", false,
			witness.Findings{UTC: &witness.ServerFindings{Bound: 15e-3, Servers: []witness.Server{
				server("a.example", 0, witness.Agrees), server("b.example", 0, witness.Agrees), server("liar.example", 1, witness.Contradicts),
			}}},
			OK, "at most 1 ms off.", true,
			[]string{"UTC servers|consistent|minority of 1 contradicts it: liar.example"},
		},
		{
			"peers agree", true,
			witness.Findings{Peers: &witness.PeerFindings{Addresses: 40, Disagreement: 2.9e-4, Peers: map[witness.Verdict]int{witness.Consistent: 7, witness.Unproven: 1}}},
			Warning, "The reference's own error is unknown.", true,
			[]string{"traced to UTC|no|", "peers|consistent|7 of 8 peers answer", "disagreement|290 µs|", "asked|8 peers|40 known addresses"},
		},
		{
			"peers without a key contradict", false,
			witness.Findings{Peers: peers(witness.Contradicted, 2, 5, 1)},
			Bad, "at most 28 s off. Peers contradict what chronyd claims.", true,
			[]string{"state|contradicted|peers contradict", "peers|contradicted|5 of the 7 peers that answer contradict the bound. They do not prove", "gate|synchronized|--witness.trust-peers"},
		},
		{
			"servers and peers with a key contradict", false,
			witness.Findings{
				UTC:   &witness.ServerFindings{Verdict: witness.Contradicted, Far: 0.3, Servers: []witness.Server{server("a.example", 0.3, witness.Contradicts), server("b.example", 0.3, witness.Contradicts)}},
				Peers: func() *witness.PeerFindings { p := peers(witness.Contradicted, 0, 8, 0); p.Authentic = true; return p }(),
			},
			Bad, "UTC servers and peers contradict", false, []string{"state|contradicted|UTC servers and peers contradict"},
		},
		{
			"too few peers", false, witness.Findings{Peers: peers(witness.Unproven, 2, 0, 6)},
			OK, "at most 1 ms off.", true, []string{"peers|unproven|2 of 8 peers answer: too few"},
		},
		{
			"peers have yet to answer", false, witness.Findings{Peers: peers(witness.Unproven, 1, 3, 4)},
			OK, "at most 1 ms off.", true, []string{"peers|unproven|3 of 8 peers contradict the bound, but too few"},
		},
		{
			"no peer has an address", false, witness.Findings{Peers: &witness.PeerFindings{Verdict: witness.Unproven}},
			OK, "at most 1 ms off.", true, []string{"peers|unproven|no address"},
		},
		{
			"peers can't be looked up", false, witness.Findings{Peers: &witness.PeerFindings{Verdict: witness.Unproven, Lookup: errors.New("no such host")}},
			OK, "at most 1 ms off.", true, []string{"peers|unproven|no such host"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := witnessed(test.untraced, test.found)
			status := New(s)
			if got := status.Verdict(); !strings.Contains(got, test.verdict) {
				t.Errorf("the verdict is %q, want %q", got, test.verdict)
			}
			if got := status.Tone(); got != test.tone {
				t.Errorf("the tone is %s, want %s", got, test.tone)
			}
			if verdict, err := forPrograms(s).Within(10 * time.Millisecond); (err == nil) != test.opens {
				t.Errorf("the gate says %q, %v", verdict, err)
			}
			rows := append(status.Rows(), status.Witnesses.Rows()...)
			for _, want := range test.rows {
				if !hasRow(rows, want) {
					t.Errorf("no %q in\n%+v", want, rows)
				}
			}
			hearsTheSame(t, s, status)
			actsTheSame(t, s, status)
		})
	}
}

// hasRow reports whether there is a row with this label and value, and this in its note.
func hasRow(rows []Row, want string) bool {
	parts := strings.Split(want, "|")
	for _, r := range rows {
		if r.Label == parts[0] && r.Value == parts[1] && strings.Contains(r.Note, parts[2]) {
			return true
		}
	}
	return false
}

// hearsTheSame wants a command that has only read chronyd, and has asked the tracker, to
// say what the tracker says.
func hearsTheSame(t *testing.T, s *tracker.Snapshot, want Status) {
	t.Helper()
	text, err := json.Marshal(want.Witnesses)
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`"text":"[^"]*"`).ReplaceAll(text, []byte(`"text":"not these words"`))
	var heard Witnesses
	if err := json.Unmarshal(text, &heard); err != nil {
		t.Fatal(err)
	}
	alone := judgedAs(clockerror.Estimate{Bound: 1e-3, OwnBound: 1e-3, Terms: clockerror.Terms{Offset: 1e-3}, Untraced: s.Estimate.Untraced})
	got := Heard(alone, &heard)
	if again, err := json.Marshal(got.Witnesses); err != nil || strings.Contains(string(again), "not these words") {
		t.Errorf("it trusts another program's words: %v %s", err, again)
	}
	if got.Verdict() != want.Verdict() || got.State != want.State || *got.Bound != *want.Bound {
		t.Errorf("%q, want %q", got.Verdict(), want.Verdict())
	}
}

// actsTheSame wants a command that has asked the tracker to act as the gate does.
func actsTheSame(t *testing.T, s *tracker.Snapshot, reported Status) {
	t.Helper()
	text, err := json.Marshal(reported)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Status
		State string `json:"state"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatal(err)
	}
	got, want := answer.Acting(), forPrograms(s)
	if answer.Witnesses.Actionable.State != want.State.String() || *got.Bound != *want.Bound || math.Abs(got.Terms.Sum()-*want.Bound) > 1e-12 {
		t.Errorf("%+v, %v of %v; want %v, %v", answer.Witnesses.Actionable, got.Terms, *got.Bound, want.State, *want.Bound)
	}
}

// forPrograms is what the gate acts on.
func forPrograms(s *tracker.Snapshot) Status {
	return Present(tracker.Now{At: s.At, Present: s.Actionable, Witnesses: s.Witnesses.Findings.Authentic()})
}

// TestWitnessResults wants words and a color for every way in which a probe can end.
func TestWitnessResults(t *testing.T) {
	for _, result := range witness.Results {
		name := string(result)
		s := WitnessServer{Result: &name}
		if known := results[result]; known.text == "" || known.tone == "" || s.words() != known.text || s.Tone() != known.tone {
			t.Errorf("%s: %q, %s", result, s.words(), s.Tone())
		}
	}
	other := "eclipsed"
	if s := (WitnessServer{Result: &other, Text: "not these words"}); !strings.Contains(s.words(), `"eclipsed"`) || s.Tone() != Unknown {
		t.Errorf("%q", s.words())
	}
}

// TestWitnessEvents names the witnesses.
func TestWitnessEvents(t *testing.T) {
	event := func(kind tracker.EventKind, from, to string) Event {
		return Event{Kind: string(kind), From: &from, To: &to}
	}
	for _, test := range []struct {
		event        Event
		begins, ends string
	}{
		{event(tracker.WitnessContradicted, "utc unproven", "utc contradicted"), "UTC servers contradict the clock", ""},
		{event(tracker.WitnessContradicted, "peer consistent", "peer contradicted"), "peers contradict the clock", ""},
		{event(tracker.WitnessDisputed, "utc consistent", "utc disputed"), "UTC servers contradict the clock", ""},
		{event(tracker.WitnessCleared, "peer contradicted", "peer unproven"), "peers no longer contradict the clock", ": unproven"},
		{Event{Kind: string(tracker.WitnessContradicted)}, "witnesses contradict the clock", ""}, // of another version
	} {
		if got := test.event.words(); !strings.HasPrefix(got, test.begins) || !strings.HasSuffix(got, test.ends) {
			t.Errorf("%q, want %q … %q", got, test.begins, test.ends)
		}
	}
}
