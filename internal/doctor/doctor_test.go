package doctor

import (
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/clockbound"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// test/system/daemons/doctor_test.go examines real machines. This file has the cases
// that need simulated facts.

// healthy is a clock that follows three servers, as seen from the node.
func healthy() *facts {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	address := func(last byte) chrony.Address {
		return chrony.Address{IP: netip.AddrFrom4([4]byte{192, 0, 2, last})}
	}
	source := func(last byte, state chrony.SourceState) chrony.Source {
		return chrony.Source{Address: address(last), State: state, Stratum: 1, Poll: 6, Reach: 0xff, SampleAge: 20 * time.Second, OffsetError: 2.2e-3}
	}
	report := &chrony.Report{
		Want: chrony.WantAll, Given: chrony.WantAll, At: at, Address: "127.0.0.1:323", SameUpdate: true,
		Tracking: &chrony.Tracking{
			RefID: 0xc0000201, Address: address(1), Stratum: 2, RefTime: at.Add(-20 * time.Second),
			SystemTime: 1e-5, Skew: 0.1, RootDelay: 4e-3, RootDispersion: 3e-4, LastUpdateInterval: 64,
		},
		Sources: []chrony.Source{source(1, chrony.StateSelected), source(2, chrony.StateCombined), source(3, chrony.StateCombined)},
	}
	s := &facts{
		Snapshot:  &tracker.Snapshot{At: at, Report: report},
		endpoints: []endpoint{{address: "127.0.0.1:323", used: true}},
		node: node{
			uid: 65532, hostNetwork: true, hostPID: true,
			processes: []process{{id: 1, name: "systemd", state: 'S'}, {id: 7, name: "chronyd", state: 'S'}},
			kernel:    &tracker.Kernel{Synchronized: true, MaxError: 0.01},
			conf:      &conf{path: "/etc/chrony.conf", directives: []directive{{name: "makestep"}}},
		},
	}
	s.estimate(clockerror.Assumptions{})
	return s
}

func (s *facts) estimate(assume clockerror.Assumptions) {
	s.Estimate = clockerror.Of(clockerror.Observation{Tracking: s.Report.Tracking, Sources: s.Report.Sources, At: s.Report.At}, assume)
}

// pause makes the clock of a virtual machine that was paused for an hour. chronyd still
// makes its old claim, but all its sources have measured the hour.
func (s *facts) pause() {
	for i := range s.Report.Sources {
		c := &s.Report.Sources[i]
		c.State, c.AdjustedOffset, c.SampleAge = chrony.StateJittery, -3600, time.Second
	}
	s.estimate(clockerror.Assumptions{})
}

// followItself makes the server follow its own clock.
func (s *facts) followItself() {
	s.Report.Sources[0].NTP = &chrony.NTPData{RefID: chrony.RefIDLocal, TotalValid: 9}
	s.estimate(clockerror.Assumptions{})
}

// refuseSources makes chronyd refuse to list its sources.
func (s *facts) refuseSources() {
	s.Report.Sources = nil
	s.Report.Refused = map[chrony.Want]error{chrony.WantSources: chrony.ErrUnauthorized}
	s.estimate(clockerror.Assumptions{})
}

// followPHC makes the clock follow a PTP clock, as on AKS.
func (s *facts) followPHC(clocks ...tracker.PTPClock) {
	const refid = 0x50484330 // PHC0
	s.Report.Sources = []chrony.Source{{RefID: refid, Mode: chrony.ModeReferenceClock, State: chrony.StateSelected, Reach: 0xff, Poll: 3, OffsetError: 1e-6}}
	t := s.Report.Tracking
	t.RefID, t.Address, t.SystemTime, t.RootDelay, t.RootDispersion = refid, chrony.Address{}, 1e-7, 1e-9, 1e-6
	s.PTP.Clocks = clocks
	s.estimate(clockerror.Assumptions{})
}

var (
	hyperv = tracker.PTPClock{Device: "ptp0", Name: "hyperv"}
	mlx5   = tracker.PTPClock{Device: "ptp1", Name: "mlx5_ptp"}
)

func TestChecks(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*facts)
		want   string // a finding, as "verdict check: summary | impact | fix | command"
	}{
		{"all is well", func(*facts) {}, `ok state: synchronized: .* 2.43 ms .* 192.0.2.1`},
		{"a machine that was paused", (*facts).pause, `wrong state: contradicted: .* 2.31 ms off, but 192.0.2.1 measured 3600 s behind \(± 2.2 ms\), 3600 s more; 192.0.2.2 measured .*maxchange.*\| chronyc -n sources`},
		{"corrections that chronyd ignores", func(s *facts) {
			s.node.conf.directives = append(s.node.conf.directives, directive{"maxchange", []string{"0.1", "1", "-1"}, "/etc/chrony.conf:9"})
			s.pause()
		}, `wrong state: contradicted: .*"maxchange 0.1 1 -1" \(/etc/chrony.conf:9\)`},
		{"samples stop", func(s *facts) {
			s.Report.Sources[0].SampleAge = 1258 * time.Second
			s.estimate(clockerror.Assumptions{})
		}, `wrong state: holdover: the last sample of 192.0.2.1 is 20 min 58 s old, more than 258 s`},
		{"updates stop", func(s *facts) {
			s.Report.Tracking.RefTime = s.Report.At.Add(-1258 * time.Second)
			s.estimate(clockerror.Assumptions{})
		}, `wrong state: holdover: samples of 192.0.2.1 arrive, .*update .* 20 min 58 s old, more than 258 s .*maxchange`},
		{"no source is selected", func(s *facts) {
			s.Report.Sources[0].State = chrony.StateJittery
			s.estimate(clockerror.Assumptions{})
		}, `wrong state: holdover: .*\| chronyc -n sourcestats`},
		{"a server that follows itself", (*facts).followItself, `note traced to UTC: no: .*192.0.2.1.* its own clock.*\| chronyc -n ntpdata 192.0.2.1`},
		{"an estimate", (*facts).refuseSources, `note bound: an estimate: .*\| 0?.*opencommands`},
		{"a source without a sample", func(s *facts) {
			s.Report.Sources[0].SampleAge = chrony.Never
			s.estimate(clockerror.Assumptions{})
		}, `note bound: an estimate: .*192.0.2.1.* no sample`},
		{"the host's PTP clock", func(s *facts) { s.followPHC(hyperv) }, `ok PTP clocks: ptp0 hyperv`},
		{"which PTP clock?", func(s *facts) { s.followPHC(hyperv, mlx5) }, `not checked PTP clocks: there are several: ptp0 hyperv, ptp1 mlx5_ptp.*--phc.device.*\| grep -rhs \^refclock`},
		{"the wrong PTP clock", func(s *facts) { s.followPHC(hyperv, mlx5); s.PTP.Configured = &mlx5 }, `wrong PTP clocks: chrony.conf names ptp1, which is mlx5_ptp,.* ptp0 \|.*refclock PHC /dev/ptp_hyperv`},
		{"the right one of several", func(s *facts) { s.followPHC(hyperv, mlx5); s.PTP.Configured = &hyperv }, `ok PTP clocks: chrony.conf names ptp0, which is hyperv`},
		{"a PTP clock that is gone", func(s *facts) { s.PTP.Configured = &tracker.PTPClock{Device: "ptp3"} }, `wrong PTP clocks: ptp3 is not among them: there is none`},
		{"the host's clock unused", func(s *facts) { s.PTP.Clocks = []tracker.PTPClock{hyperv} }, `note PTP clocks: chronyd does not follow the host's clock, ptp0`},
		{"not traced to UTC", func(s *facts) { s.followPHC(hyperv) }, `note traced to UTC: no: .*PHC0.*--clock.reference-error`},
		{"a single reference clock", func(s *facts) { s.followPHC(hyperv) }, `note number of sources: one, a reference clock`},
		{"stratum 1", func(s *facts) { s.followPHC(hyperv); s.Report.Tracking.Stratum = 1 }, `note stratum: 1, .* lacks "stratum 2"`},
		{"a dead reference clock", func(s *facts) { s.followPHC(hyperv); s.Report.Sources[0].Reach = 0 }, `wrong source PHC0: .*\| ls -l /dev/ptp`},
		{"rtcsync is missing", func(s *facts) { s.node.kernel = &tracker.Kernel{MaxError: 16} }, `note kernel's clock: .* 16 s.*node_timex_sync_status.*add "rtcsync"`},
		{"another program steers", func(s *facts) {
			s.Report.Tracking.Leap = chrony.LeapNotSynchronized
			s.estimate(clockerror.Assumptions{})
		}, `note kernel's clock: synchronized, .* 10 ms .*\| ps -eo`},
		{"the bound is published", func(s *facts) {
			s.clockBound = &clockbound.Inspection{Path: "/run/cb/shm0", Held: true, Exists: true, Written: true, Status: "synchronized", Lasts: 5 * time.Second}
		}, `ok bounded time: /run/cb/shm0: synchronized`},
		{"Amazon's daemon writes, too", func(s *facts) {
			s.clockBound = &clockbound.Inspection{Path: "/run/cb/shm0", Held: true, Exists: true, Written: true, Lasts: 1000 * time.Second}
			s.node.processes = append(s.node.processes, process{id: 9, name: "clockbound"})
		}, `wrong bounded time: another program writes to /run/cb/shm0: process 9 \| .*\| .*--clockbound.shm.*\| ps -eo`},
		{"nobody has a lock, and somebody writes", func(s *facts) {
			s.clockBound = &clockbound.Inspection{Path: "/run/cb/shm0", Exists: true, Written: true, Lasts: 5 * time.Second}
		}, `wrong bounded time: another program writes`},
		{"Amazon's daemon is gone", func(s *facts) {
			s.clockBound = &clockbound.Inspection{Path: "/run/cb/shm0", Exists: true, Age: time.Hour, Lasts: 1000 * time.Second}
		}, `note bounded time: .*another program has left.* 1 h old`},
		{"the tracker is gone", func(s *facts) {
			s.clockBound = &clockbound.Inspection{Path: "/run/cb/shm0", Exists: true, Age: time.Hour, Lasts: 5 * time.Second}
		}, `wrong bounded time: .*no longer written.* 1 h old`},
		{"no segment yet", func(s *facts) { s.clockBound = &clockbound.Inspection{Path: "/run/cb/shm0"} }, `note bounded time: no tracker publishes`},
		{"no directory for the segment", func(s *facts) { s.clockBound = clockbound.Inspect("/none/shm0") }, `wrong bounded time: .*/none.*\| create /none .*\| echo 'd /none 0755 65532 65532 -'.*systemd-tmpfiles --create`},
		{"adjtimex is forbidden", func(s *facts) { s.node.kernel = nil }, `not checked kernel's clock: adjtimex is forbidden`},
		{"ntpd", func(s *facts) { s.node.processes = append(s.node.processes, process{id: 9, name: "ntpd"}) }, `wrong other time programs: process 9 is an NTP daemon.*systemctl disable --now ntp`},
		{"VMware", func(s *facts) { s.node.processes = append(s.node.processes, process{id: 9, name: "vmtoolsd"}) }, `note other time programs: process 9 is VMware's.*vmware-toolbox-cmd timesync disable`},
		{"two chronyds", func(s *facts) { s.node.processes = append(s.node.processes, process{id: 9, name: "chronyd"}) }, `wrong other time programs: several chronyds steer the clock: process 7, process 9`},
		{"one of them runs with -x", func(s *facts) {
			s.node.processes = append(s.node.processes, process{id: 9, name: "chronyd", args: []string{"chronyd", "-x"}})
		}, `ok other time programs: `},
		{"Hyper-V sets the clock", func(s *facts) { s.node.hyperv = "2dd1ce17" }, `note other time programs: Hyper-V's time service.*\| echo 2dd1ce17 >/sys/bus/vmbus/drivers/hv_utils/unbind`},
		{"hidden processes", func(s *facts) { s.node.processes = nil }, `not checked other time programs: .*\| ps -eo`},
		{"no makestep", func(s *facts) { s.node.conf.directives = nil }, `note makestep: not in /etc/chrony.conf.*makestep 1.0 -1`},
		{"local in waiting", func(s *facts) {
			s.node.conf.directives = append(s.node.conf.directives, directive{"local", []string{"stratum", "2"}, "/etc/chrony.conf:9"})
		}, `note local: "local stratum 2" in /etc/chrony.conf:9`},
		{"no chrony.conf", func(s *facts) { s.node.conf = nil }, `not checked chrony.conf: .*\| grep `},
		{"NTS without keys", func(s *facts) {
			s.Report.Sources[1].Auth = &chrony.AuthData{Mode: chrony.AuthNTS, KEAttempts: 4}
		}, `wrong NTS of 192.0.2.2: .*\b4\b.*TCP port 4460`},
		{"a source lost among others", func(s *facts) { s.Report.Sources[2].Reach = 0 }, `note source 192.0.2.3: .* 20 s old \|`},
		{"a firewall", func(s *facts) {
			s.Report.Sources[2].Reach, s.Report.Sources[2].NTP = 0, &chrony.NTPData{TotalTx: 12}
		}, `note source 192.0.2.3: .* 12 packets .*no answer`},
		{"not an NTP server", func(s *facts) {
			s.Report.Sources[2].Reach, s.Report.Sources[2].NTP = 0, &chrony.NTPData{TotalTx: 12, TotalRx: 12}
		}, `note source 192.0.2.3: .* 12 packets is a valid reply`},
		{"lost polls", func(s *facts) { s.Report.Sources[2].Reach = 0b1010_0111 }, `note source 192.0.2.3: .*; 3 of its last 8 polls were lost`},
		{"just begun", func(s *facts) { s.Report.Sources[2].Reach = 0b111 }, `ok source 192.0.2.3: combined`},
		{"chronyd's own reason", func(s *facts) {
			s.Report.Sources[2].Select = &chrony.SelectData{State: 'd'}
		}, `ok source 192.0.2.3: not used: its root distance is above maxdistance`},
		{"an unresolved name", func(s *facts) {
			s.Report.Sources[2] = chrony.Source{Address: chrony.Address{ID: 4}, ConfiguredName: "ntp.example", SampleAge: chrony.Never}
		}, `wrong source ntp.example: .*\| getent hosts ntp.example`},
		{"two sources", func(s *facts) { s.Report.Sources = s.Report.Sources[:2] }, `note number of sources: two`},
		{"sources refused", (*facts).refuseSources, `wrong reports: refused over 127.0.0.1:323: sources.*opencommands .* sources `},
		{"tracking refused", func(s *facts) {
			s.Report.Tracking, s.Err = nil, chrony.ErrUnauthorized
			s.Report.Refused = map[chrony.Want]error{chrony.WantTracking: chrony.ErrUnauthorized}
			s.Estimate = clockerror.Of(clockerror.Observation{}, clockerror.Assumptions{})
		}, `wrong reports: refused over 127.0.0.1:323: tracking \| .*unreachable and its bound \+Inf`},
		{"an old chronyd", func(s *facts) {
			s.Report.Refused = map[chrony.Want]error{chrony.WantSelectData: chrony.ErrUnknownCommand}
		}, `note reports: unknown to this chronyd: selectdata`},
		{"offline", func(s *facts) {
			s.Report.Tracking.Leap = chrony.LeapNotSynchronized
			s.Report.Activity = &chrony.Activity{Offline: 3}
			s.estimate(clockerror.Assumptions{})
		}, `wrong state: unsynchronized: .* its sources are offline .*\| chronyc online`},
		{"a slow slew", func(s *facts) { s.Report.Tracking.SystemTime = -3; s.estimate(clockerror.Assumptions{}) }, `wrong offset: the clock is 3 s ahead.* 3[67] s .*\| chronyc makestep`},
		{"more rights than needed", func(s *facts) { s.node.container, s.node.uid, s.node.capabilities = "a container", 0, 0b111 }, `note rights: user id 0, 3 capabilities.*runAsUser: 65532`},
		{"from a pod", func(s *facts) { s.node.container, s.node.hostPID = "a Kubernetes pod", false }, `ok this program: it runs in a Kubernetes pod, in the machine's network namespace, with a process namespace that is not the machine's`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := healthy()
			test.change(s)
			e := s.judge()
			var all []string
			for _, f := range e.Findings {
				if f.Verdict == Wrong && (f.Impact == "" || f.Fix == "") {
					t.Errorf("it only complains: %+v", f)
				}
				if f.Verdict == Unchecked && f.Command == "" {
					t.Errorf("how can it be checked? %+v", f)
				}
				all = append(all, strings.Join([]string{string(f.Verdict) + " " + f.Check + ": " + f.Summary, f.Impact, f.Fix, f.Command}, " | "))
			}
			text := strings.Join(all, "\n")
			if !regexp.MustCompile(`(?m)^` + test.want).MatchString(text) {
				t.Errorf("no %s in\n%s", test.want, text)
			}
			if e.Healthy == strings.Contains(text, "\nwrong ") && !strings.HasPrefix(text, "wrong ") {
				t.Errorf("healthy: %v\n%s", e.Healthy, text)
			}
		})
	}
}

func TestWorstFirst(t *testing.T) {
	s := healthy()
	s.Report.Sources[2].Reach = 0
	s.node.processes = append(s.node.processes, process{id: 9, name: "ntpd"})
	e := s.judge()
	if first := e.Findings[0]; first.Verdict != Wrong || e.Healthy || !strings.HasPrefix(e.Summary(), "Something is wrong: 1 wrong, 1 note, ") {
		t.Errorf("%+v %s", first, e.Summary())
	}
	var got struct {
		Healthy  bool
		State    string
		Bound    float64 `json:"bound_seconds"`
		Findings []Finding
	}
	text, err := json.Marshal(e)
	if err = errors.Join(err, json.Unmarshal(text, &got)); err != nil || got.Healthy || got.State != "synchronized" || got.Bound < 0.002 || len(got.Findings) != len(e.Findings) {
		t.Errorf("%v %s", err, text)
	}
}

func TestExplain(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*facts)
		want   string // a part, as "term seconds: cause | gain", or the summary, or the hint
	}{
		{"mostly delay", func(*facts) {}, `^The clock is at most 2.43 ms off. .* delay: 83 %`},
		{"delay", func(*facts) {}, `delay 0.002: half of the 4 ms .* 192.0.2.1, of stratum 1 \| .* about 623 µs`},
		{"until the next sample", func(*facts) {}, `Until the next sample, in about 44 s, the bound grows by 445 µs to 2.87 ms`},
		{"the server's own delay", func(s *facts) {
			s.Report.Sources[0].NTP = &chrony.NTPData{RootDelay: 3.5e-3, RootDispersion: 2e-4, PeerDelay: 6e-4, TotalValid: 9}
		}, `delay 0.002: .*: 500 µs to 192.0.2.1, and 3.5 ms from there on \| with a server that is nearer`},
		{"the server's own dispersion", func(s *facts) {
			s.Report.Tracking.RootDispersion, s.Report.Sources[0].OffsetError = 7e-3, 9e-3
			s.Report.Sources[0].NTP = &chrony.NTPData{RootDispersion: 6e-3, TotalValid: 9}
		}, `dispersion 0.007: 6 ms that 192.0.2.1 reports of itself; 1 ms for the noise of the sample \| .* about 3.23 ms`},
		{"the sample's own error is small", func(s *facts) { s.Report.Sources[0].OffsetError = 1e-3 }, `delay 0.001: .*below half of the 4 ms`},
		{"offset", func(s *facts) { s.Report.Sources[0].AdjustedOffset = 5e-3 }, `offset 0.00499: .* 192.0.2.1 `},
		{"a large correction", func(s *facts) { s.Report.Tracking.SystemTime = 2 }, `offset 2: .* 2 s \| .*makestep.* 2[45] s`},
		{"drift", func(*facts) {}, `drift 0.000212: .* 21 s .* 10.1 ppm: 0.1 ppm .*skew, and 10 ppm are --clock.max-wander \| `},
		{"long polls", func(s *facts) {
			s.Report.Sources[0].Poll, s.Report.Sources[0].SampleAge, s.Report.Tracking.Skew = 10, 400*time.Second, 9
		}, `drift 0.007619: .* 19 ppm: .* \| the bound grows by 19.5 ms between two samples, 17 min 4 s apart; maxpoll 6 would make it 1.22 ms; --clock.max-wander=1 would make it 10.3 ms: .*docs/background/bound.md`},
		{"a fast drift was found", func(s *facts) {
			s.Report.Sources[0].MeasuredOffset, s.Report.Sources[0].OffsetError = 8.4e-3, 2e-3
		}, `drift 0.002968: .* 141 ppm: 0.1 ppm .* 10 ppm are --clock.max-wander, and 131 ppm .* \| the bound grows by 9.05 ms .* 1 min 4 s .*; maxpoll 4 .* 2.27 ms$`},
		{"holdover", func(s *facts) {
			s.Report.Sources[0].SampleAge, s.Report.Sources[0].Reach = 1258*time.Second, 0
		}, `drift 0.063076: .* 20 min 59 s .* 50.1 ppm: .* and 50 ppm are --clock.max-drift \| `},
		{"chronyd's own estimate is larger", func(s *facts) { s.Report.Tracking.RootDispersion = 5e-3 }, `disagreement 0.004588: .* 4.59 ms more .* 5 ms, half the root delay 2 ms \| `},
		{"other sources are larger", func(s *facts) {
			s.Report.Tracking.RefTime = s.Report.At.Add(-30 * time.Second)
			for i := range s.Report.Sources[1:] {
				c := &s.Report.Sources[1+i]
				c.AdjustedOffset, c.SampleAge = 8e-3, time.Second
			}
		}, `disagreement 0.0077\d+: .*192.0.2.2 measured 7.99 ms ahead .*; 192.0.2.3 measured 7.99 ms ahead .* \| compare`},
		{"contradicted", (*facts).pause, `^The clock is at most 3610 s off. .*contradict.* 2.31 ms off, but 192.0.2.1 measured 3600 s behind`},
		{"a reference clock", func(s *facts) { s.followPHC(hyperv) }, `^The clock is at most .* off its reference, PHC0.(?s:.*)reference 0: .*PHC0.* unknown.* \| .*--clock.reference-error`},
		{"a reference clock that is polled each eight seconds", func(s *facts) { s.followPHC(hyperv) }, `\| the bound grows by 80.8 µs between two samples, 8 s apart; poll 0 would make it 10.1 µs`},
		{"a server that follows itself", (*facts).followItself, `^The clock is at most 2.43 ms off its server, 192.0.2.1\.(?s:.*)reference 0: the server, 192.0.2.1, follows its own clock`},
		{"an estimate", (*facts).refuseSources, `^The clock is at most .* off\. .* an estimate: `},
		{"local", func(s *facts) {
			s.Report.Tracking.RefID, s.Report.Tracking.Address = chrony.RefIDLocal, chrony.Address{}
			s.Report.Sources = []chrony.Source{}
		}, `unknown: .*the clock itself.* no source(?s:.*)refclock PHC`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := healthy()
			test.change(s)
			s.estimate(s.assume)
			e := Explain(s.Snapshot, s.assume, s.tracked.Witnesses)
			text, sum := e.Summary, 0.0
			for i, p := range e.Parts {
				text += "\n" + p.Term + " " + strings.TrimSuffix(jsonNumber(t, p.Seconds), ".0") + ": " + p.Cause + " | " + p.Gain
				sum += p.Seconds
				if i > 0 && p.Seconds > e.Parts[i-1].Seconds {
					t.Errorf("%s is larger than %s", p.Term, e.Parts[i-1].Term)
				}
			}
			text += "\n" + e.Hint
			if !regexp.MustCompile(`(?m)` + test.want).MatchString(text) {
				t.Errorf("no %s in\n%s", test.want, text)
			}
			if e.Bound != nil && math.Abs(sum-*e.Bound) > 1e-12 {
				t.Errorf("the parts are %v, the bound is %v", sum, *e.Bound)
			}
		})
	}
}

func jsonNumber(t *testing.T, v float64) string {
	t.Helper()
	text, err := json.Marshal(math.Round(v*1e6) / 1e6)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestLook reads the facts of a machine from files.
func TestLook(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	link := func(to string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink | 0o777}
	}
	root := fstest.MapFS{
		"proc/sys/net/core/netdev_budget": file("300"),
		"proc/self/ns/pid":                link("pid:[4026531836]"),
		"proc/self/ns/net":                link("net:[1]"),
		"proc/self/status":                file("Name:\tx\nCapEff:\t0000000000000003\n"),
		"proc/self/mountinfo": file("22 1 0:1 / / rw - ext4 /dev/vda rw\n" +
			"63 43 0:2 /chrony//deleted /run/chrony rw,relatime - tmpfs none rw\n" +
			`64 43 0:2 / /a\040b ro,relatime - tmpfs none rw` + "\n"),
		"proc/net/udp": file("   sl  local_address rem_address   st tx_queue rx_queue\n" +
			"  10: 0100007F:0143 00000000:0000 07 00000000:00000300 00:00000000\n"),
		"proc/net/udp6": file("  11: 00000000000000000000000001000000:0143 00000000000000000000000000000000:0000 07 00000000:00000000\n"),
		"proc/net/unix": file("Num       RefCount Protocol Flags    Type St Inode Path\n" +
			"0000000000000000: 00000002 00000000 00000000 0002 01 12 /run/chrony/chronyd.sock\n" +
			"0000000000000000: 00000003 00000000 00000000 0001 03 13\n"),
		"proc/1/stat":           file("1 (systemd) S 0"),
		"proc/1/cmdline":        file("/sbin/init\x00"),
		"proc/8/stat":           file("8 (chronyd) S 1"),
		"proc/8/ns/net":         link("net:[2]"),
		"proc/9/stat":           file("9 (chronyd) T 1"),
		"proc/9/cmdline":        file("/usr/sbin/chronyd\x00-f\x00/etc/my.conf\x00"),
		"proc/10/stat":          file("10 (a (b) c) Z 1"),
		"etc/my.conf":           file("# no\n! nor this\nPool ntp.example iburst\ninclude /etc/my.d/*.conf\nrefclock PHC /dev/ptp_hyperv:nocrossts poll 3\n"),
		"etc/my.d/1.conf":       file("sourcedir /etc/sources\nCMDPORT 0\n"),
		"etc/sources/a.sources": file("server 192.0.2.1\n"),
		"etc/sources/b.conf":    file("server 192.0.2.2\n"),
		"sys/bus/vmbus/drivers/hv_utils/2dd1ce17/class_id": file("{9527e630-d0ae-497b-adce-e80ab0175caf}\n"),
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	t.Setenv("container", "")
	n := readNode(root, "unix:///run/my/chronyd.sock")
	n.udp = readUDP(root)
	if !n.hostNetwork || !n.hostPID || !n.seesAll() || n.capabilities != 3 || n.container != "" || n.hyperv != "2dd1ce17" {
		t.Errorf("%+v", n)
	}
	if p := n.chronyd(); p == nil || p.id != 9 || p.state != 'T' || len(n.chronyds()) != 1 {
		t.Errorf("chronyd %+v", p)
	}
	if n.chronydSocket() != "/run/chrony/chronyd.sock" {
		t.Errorf("sockets %v", n.sockets)
	}
	at := n.listens(323)
	if len(at) != 2 || at[0].String() != "127.0.0.1:323" || at[0].unread != 0x300 || at[1].String() != "[::1]:323" {
		t.Errorf("listens %v", at)
	}
	if m := n.mountOf("/run/chrony"); !m.deleted || m.readOnly {
		t.Errorf("%+v", m)
	}
	if m := n.mountOf("/a b/c"); !m.readOnly || m.point != "/a b" {
		t.Errorf("%+v", m)
	}
	if n.conf == nil || len(n.conf.sources()) != 3 || n.conf.phc() != "/dev/ptp_hyperv" {
		t.Fatalf("%+v", n.conf)
	}
	if d := n.conf.last("cmdport"); d == nil || d.String() != "cmdport 0" || d.where != "/etc/my.d/1.conf:2" {
		t.Errorf("%+v", d)
	}

	t.Setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
	if n := readNode(root, ""); n.container != "a Kubernetes pod" || n.conf != nil {
		t.Errorf("%+v", n)
	}
}

// TestOptions reads chronyd's arguments as chronyd does: a value may be attached to its
// option, and several options may be in one argument.
func TestOptions(t *testing.T) {
	for _, test := range []struct {
		args     string
		controls bool
		file     string
	}{
		{"chronyd", true, ""},
		{"chronyd -x", false, ""},
		{"chronyd -dxu root", false, ""},
		{"chronyd -f/etc/x.conf", true, "/etc/x.conf"},
		{"chronyd -f /etc/x.conf -F 1", true, "/etc/x.conf"},
		{"chronyd -dxf /etc/my.conf", false, "/etc/my.conf"},
		{"chronyd -u x -l xyz", true, ""},
		{"chronyd -t 5 pool x.example -x", false, ""},
		{"chronyd -- -x", true, ""},
		{"chronyd --x -", true, ""},
		{"chronyd -f", true, ""},
	} {
		p := process{id: 7, name: "chronyd", state: 'S', args: strings.Fields(test.args)}
		n := node{processes: []process{p}}
		if p.controlsClock() != test.controls || n.confPath(fstest.MapFS{}) != test.file {
			t.Errorf("%s: controls %v, file %q", test.args, p.controlsClock(), n.confPath(fstest.MapFS{}))
		}
	}
}

// TestNetworks tells apart what is known of the network namespace. In a container that is
// a node, the node's namespace is not the machine's first.
func TestNetworks(t *testing.T) {
	own, err := net.InterfaceAddrs()
	if err != nil || len(own) == 0 {
		t.Fatal(own, err)
	}
	address, _, _ := strings.Cut(own[0].String(), "/")
	for _, test := range []struct {
		hostIP, refused, place string
	}{
		{"", "either a Kubernetes pod has its own network.*or the node itself is a container", "in its own network namespace, or in that of a node"},
		{"192.0.2.1", "either a Kubernetes pod has its own network", "in its own network namespace, or in that of a node"},
		{address, "chronyd is not running", "in the node's network namespace"},
	} {
		t.Setenv("HOST_IP", test.hostIP)
		t.Setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
		s := healthy()
		s.Report, s.Err = nil, syscall.ECONNREFUSED
		s.Estimate = clockerror.Of(clockerror.Observation{}, clockerror.Assumptions{})
		s.node = readNode(fstest.MapFS{}, "")
		s.endpoints = []endpoint{{address: "127.0.0.1:323", used: true, err: syscall.ECONNREFUSED}}
		var all string
		for _, f := range s.judge().Findings {
			all += f.Summary + " | " + f.Fix + "\n"
		}
		for _, want := range []string{test.refused, test.place} {
			if !regexp.MustCompile(want).MatchString(all) {
				t.Errorf("HOST_IP %q: no %s in\n%s", test.hostIP, want, all)
			}
		}
	}
}
