package doctor

import (
	"errors"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/status"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
	"github.com/chrony-tracker/chrony-tracker/internal/witness"
)

// told makes the tracker say what its witnesses have found.
func (s *facts) told(found witness.Findings) {
	s.Snapshot.Witnesses = &tracker.Witnessed{Findings: &found}
	s.Snapshot.Actionable = s.Estimate
	s.tracked = Tracked{Answers: true, Witnesses: status.New(s.Snapshot).Witnesses}
	s.hear()
}

// utc is a server that found the clock ahead by an offset.
func utc(name string, offset float64, result witness.Result) witness.Server {
	return witness.Server{Name: name, Measured: true, Offset: offset, Uncertainty: 14e-3, At: healthy().At, Contradicts: result == witness.Contradicts, Last: result, LastAt: healthy().At}
}

func lost(name string, result witness.Result) witness.Server {
	return witness.Server{Name: name, Last: result, LastAt: healthy().At, Err: errors.New("the cause")}
}

func servers(verdict witness.Verdict, far float64, all ...witness.Server) witness.Findings {
	return witness.Findings{UTC: &witness.ServerFindings{Verdict: verdict, Far: far, Bound: 0.0142, Servers: all}}
}

func peerFindings(verdict witness.Verdict, agree, contradict, silent int) *witness.PeerFindings {
	return &witness.PeerFindings{Verdict: verdict, Addresses: agree + contradict + silent, Peers: map[witness.Verdict]int{
		witness.Consistent: agree, witness.Contradicted: contradict, witness.Unproven: silent,
	}}
}

var threeServers = []witness.Server{utc("a.example", 0.3, witness.Contradicts), utc("b.example", 0.3, witness.Contradicts), utc("c.example", 0, witness.Agrees)}

func TestWitnessChecks(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*facts)
		want   string // findings, as "verdict check: summary | impact | fix | command"
	}{
		{"they agree", func(s *facts) {
			s.told(servers(witness.Consistent, 0, utc("a.example", 1e-4, witness.Agrees), utc("b.example", 0, witness.Agrees)))
		}, `ok UTC server a.example: agrees .*: \+100 µs ± 14 ms, 0 s ago`},
		{"one alone", func(s *facts) { s.told(servers(witness.Consistent, 0, utc("a.example", 0, witness.Agrees))) }, `note UTC servers: one \|.*\| use at least three`},
		{"one of two is silent", func(s *facts) {
			s.told(servers(witness.Consistent, 0, utc("a.example", 0, witness.Agrees), lost("b.example:1123", witness.NoAnswer)))
		}, `note UTC server b.example:1123: does not answer: the cause \| .* UDP port 123 .*NetworkPolicy.* \| chronyd -Q -t 5 'server b.example iburst'`},
		{"all are silent", func(s *facts) { s.told(servers(witness.Unproven, 0, lost("a.example", witness.NoAnswer))) }, `wrong UTC server a.example: does not answer`},
		{"none counts without a bound", func(s *facts) {
			s.Report.Tracking.Leap = chrony.LeapNotSynchronized
			s.estimate(s.assume)
			s.told(servers(witness.Unproven, 0, lost("a.example", witness.NoBound)))
		}, `note UTC server a.example: answers, but`},
		{"too many requests", func(s *facts) { s.told(servers(witness.Unproven, 0, lost("a.example", witness.RateLimited))) }, `wrong UTC server a.example: wants fewer .* --witness.interval`},
		{"a useless server", func(s *facts) { s.told(servers(witness.Unproven, 0, lost("a.example", witness.Distant))) }, `wrong UTC server a.example: .* another server`},
		{"disputed", func(s *facts) {
			s.told(servers(witness.Disputed, 0.314, utc("a.example", -0.3, witness.Contradicts)))
		}, `wrong UTC servers: the only .* \| either the clock or the server is wrong.* \| chronyc`},
		{"contradicted", func(s *facts) { s.told(servers(witness.Contradicted, 0.314, threeServers...)) },
			`wrong state: contradicted: chronyd claims that the clock is at most 2.43 ms off, but a.example measured 300 ms ahead \(± 14 ms\); b.example measured `},
		{"peers contradict an untraced clock", func(s *facts) {
			s.followPHC(hyperv)
			p := peerFindings(witness.Contradicted, 1, 6, 1)
			p.Far = 28
			s.told(witness.Findings{Peers: p})
		}, `wrong state: contradicted: .* 6 of the 7 peers .* up to 28 s off`},
		{"a traced clock on AKS", func(s *facts) {
			s.followPHC(hyperv)
			s.told(servers(witness.Consistent, 0, utc("a.example", 2e-4, witness.Agrees)))
		}, `ok traced to UTC: within 14.2 ms, by a.example. The bound itself is relative to PHC0`},
		{"a single source with servers", func(s *facts) {
			s.followPHC(hyperv)
			s.told(servers(witness.Consistent, 0, utc("a.example", 2e-4, witness.Agrees)))
		}, `note number of sources: one, a reference clock.* \| only the tracker's witnesses`},
		{"a single source with peers", func(s *facts) {
			s.followPHC(hyperv)
			s.told(witness.Findings{Peers: peerFindings(witness.Consistent, 8, 0, 0)})
		}, `note number of sources: .* \| if the fleet shares it`},
		{"a single source with a tracker", func(s *facts) { s.followPHC(hyperv); s.tracked.Answers = true }, `note number of sources: .*--witness.ntp=SERVER`},
		{"peers agree", func(s *facts) { s.told(witness.Findings{Peers: peerFindings(witness.Consistent, 8, 0, 0)}) }, `ok peers: 8 of 8`},
		{"no peer answers", func(s *facts) { s.told(witness.Findings{Peers: peerFindings(witness.Unproven, 0, 0, 8)}) }, `wrong peers: none of 8 peers .*NetworkPolicy does not bind`},
		{"few peers", func(s *facts) { s.told(witness.Findings{Peers: peerFindings(witness.Unproven, 2, 0, 6)}) }, `note peers: 2 of 8 peers`},
		{"the fleet's hosts differ", func(s *facts) {
			s.followPHC(hyperv)
			p := peerFindings(witness.Consistent, 8, 0, 0)
			p.Disagreement = 3e-4
			s.told(witness.Findings{Peers: p})
		}, `note disagreement: .* 300 µs .* \| the clocks of the nodes' hosts differ.* PHC0 .* \| set --clock.reference-error`},
		{"a tracker that wants a password", func(s *facts) { s.tracked.Err = errors.New("401 Unauthorized") }, `not checked tracker: asking it failed: 401 Unauthorized \| it is unknown whether it has witnesses`},
		{"a key file", func(s *facts) { s.tracked.KeyFile = "/keys" }, `ok witness keys: /keys can be read`},
		{"an unreadable key file", func(s *facts) { s.tracked.KeyFile, s.tracked.KeyError = "/keys", errors.New("permission denied") },
			`wrong witness keys: permission denied \| .*does not start \| let user id 65532 .* \| ls -ln /keys`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := healthy()
			test.change(s)
			text := ""
			for _, f := range s.judge().Findings {
				text += string(f.Verdict) + " " + f.Check + ": " + strings.Join([]string{f.Summary, f.Impact, f.Fix, f.Command}, " | ") + "\n"
			}
			if !regexp.MustCompile(`(?m)^` + test.want).MatchString(text) {
				t.Errorf("no %s in\n%s", test.want, text)
			}
		})
	}
	for _, f := range healthy().judge().Findings {
		if strings.Contains(strings.ToLower(f.Check+f.Summary+f.Fix), "witness") {
			t.Errorf("without witnesses: %+v", f)
		}
	}
}

func TestExplainWitnesses(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*facts)
		want   string
	}{
		{"traced", func(s *facts) {
			s.followPHC(hyperv)
			s.told(servers(witness.Consistent, 0, utc("time.example", 2e-4, witness.Agrees)))
		}, `It is within 14.2 ms of UTC, by time.example.(?s:.*)^Traced to UTC: within 14.2 ms, by time.example. `},
		{"contradicted", func(s *facts) { s.told(servers(witness.Contradicted, 0.314, threeServers...)) },
			`at most 314 ms off. UTC servers contradict .* disagreement: > 99 %. chronyd claims .* 2.43 ms off, but a.example measured 300 ms ahead(?s:.*)^disagreement: 312 ms more than chronyd claims come from witnesses: a.example measured`},
		{"chronyd's own measurements, too", func(s *facts) { s.pause(); s.told(servers(witness.Contradicted, 3610, threeServers...)) },
			`measurements of chronyd and of UTC servers contradict.* 192.0.2.1 measured 3600 s behind`},
		{"peers", func(s *facts) { s.told(witness.Findings{Peers: peerFindings(witness.Consistent, 8, 0, 0)}) }, `^Peers: consistent: 8 of 8`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := healthy()
			test.change(s)
			e := Explain(s.Snapshot, s.assume, s.tracked.Witnesses)
			text, sum := e.Summary+"\n"+e.Witnesses+"\n", 0.0
			for _, p := range e.Parts {
				text += p.Term + ": " + p.Cause + "\n"
				sum += p.Seconds
			}
			if !regexp.MustCompile(`(?mi)` + test.want).MatchString(text) {
				t.Errorf("no %s in\n%s", test.want, text)
			}
			if math.Abs(sum-*e.Bound) > 1e-9 {
				t.Errorf("the parts are %v, the bound is %v", sum, *e.Bound)
			}
		})
	}
	s := healthy()
	if e := Explain(s.Snapshot, s.assume, nil); e.Witnesses != "" {
		t.Errorf("without witnesses: %q", e.Witnesses)
	}
}
