package exporter

import (
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/objective"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
	"github.com/chrony-tracker/chrony-tracker/internal/witness"
)

// kept are the names that break Prometheus' conventions, with the program that uses
// them too.
var kept = map[string]string{
	"chrony_clock_error_ms":                        "Azure's chrony-tracker",
	"chrony_clock_error_max_ms":                    "Azure's chrony-tracker: it is the maximum of chrony_clock_error_ms",
	"chrony_tracking_frequency_ppms":               "chrony_exporter",
	"chrony_tracking_residual_frequency_ppms":      "chrony_exporter",
	"chrony_tracking_skew_ppms":                    "chrony_exporter",
	"chrony_sourcestats_frequency_ppms":            "chrony_exporter",
	"chrony_sourcestats_frequency_skew_ppms":       "chrony_exporter",
	"chrony_sourcestats_stddev":                    "chrony_exporter. The unit is seconds",
	"chrony_sourcestats_offset":                    "chrony_exporter. The unit is seconds",
	"chrony_sources_peer_jitter_asymmetry_seconds": "chrony_exporter. It is a ratio",
}

// demanding returns the snapshot of a chronyd with this many authenticated NTP
// sources. It has every report that needs no configuration of its own.
func demanding(sources int) *tracker.Snapshot {
	r := &chrony.Report{
		Want:        chrony.WantAll,
		Given:       chrony.WantAll,
		At:          time.Now(),
		Address:     "unix:///run/chrony/chronyd.sock",
		Tracking:    &chrony.Tracking{RefID: 0xc0000201, Address: address(1), Stratum: 2, RefTime: time.Now(), LastUpdateInterval: 64},
		Activity:    &chrony.Activity{Online: uint32(sources)},
		ServerStats: serverStats(),
		Sources:     []chrony.Source{},
	}
	for i := range sources {
		r.Sources = append(r.Sources, chrony.Source{
			Address: address(i + 1), Mode: chrony.ModeServer, State: chrony.StateCombined,
			Stratum: 1, Poll: 6, Reach: 0o377, SampleAge: 30 * time.Second,
			Stats:          &chrony.SourceStats{Address: address(i + 1), Samples: 8, Runs: 4, Span: 400 * time.Second},
			NTP:            &chrony.NTPData{TotalTx: 9, TotalRx: 9, TotalValid: 9, Passed: 0x3ff},
			Auth:           &chrony.AuthData{Mode: chrony.AuthSymmetric},
			Select:         &chrony.SelectData{Address: address(i + 1), State: '+'},
			ConfiguredName: fmt.Sprintf("time%d.example", i),
		})
	}
	if sources > 0 {
		r.Sources[0].State, r.Sources[0].Select.State = chrony.StateSelected, '*'
	}
	return judged(r)
}

func serverStats() *chrony.ServerStats {
	n := chrony.CountOf(7)
	return &chrony.ServerStats{
		NTPHits: n, NKEHits: n, CommandHits: n, NTPDrops: n, NKEDrops: n, CommandDrops: n, LogDrops: n, NTPAuthHits: n,
		NTPInterleavedHits: n, NTPTimestamps: n, NTPTimestampSpan: n,
		DaemonRx: n, DaemonTx: n, KernelRx: n, KernelTx: n, HardwareRx: n, HardwareTx: n,
	}
}

func address(i int) chrony.Address {
	return chrony.Address{IP: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}
}

func judged(r *chrony.Report) *tracker.Snapshot {
	return &tracker.Snapshot{
		At: time.Now(), Took: time.Millisecond, Report: r,
		Estimate: clockerror.Of(clockerror.Observation{Tracking: r.Tracking, Sources: r.Sources, At: r.At}, clockerror.Assumptions{}),
	}
}

func withReferenceClock(s *tracker.Snapshot) *tracker.Snapshot {
	s.Report.Sources = append(s.Report.Sources, chrony.Source{
		Mode: chrony.ModeReferenceClock, RefID: 0x47505300, Reach: 0o377, SampleAge: time.Second,
		Stats: &chrony.SourceStats{RefID: 0x47505300, Samples: 8}, Select: &chrony.SelectData{RefID: 0x47505300, State: '*'},
	})
	return s
}

// show renders a snapshot and checks it with Prometheus' library.
func show(t testing.TB, s *tracker.Snapshot, maxSources int) []*dto.MetricFamily {
	t.Helper()
	p := newPage(Config{Collect: chrony.WantAll, MaxSources: maxSources, Logger: slog.New(slog.DiscardHandler)}, prometheus.NewRegistry())
	p.render(s)
	families, err := prometheus.Gatherers{prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return p.shown, nil })}.Gather() // checks labels and duplicates
	if err != nil {
		t.Error(err)
	}
	return families
}

// series returns the values by series, as in chrony_clock_state{state="local"}.
func series(t testing.TB, families []*dto.MetricFamily) map[string]float64 {
	t.Helper()
	values := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.Metric {
			name := family.GetName()
			for _, label := range m.Label {
				name += fmt.Sprintf("{%s=%q}", label.GetName(), label.GetValue())
			}
			if _, twice := values[name]; twice {
				t.Errorf("%s is there twice", name)
			}
			values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

func countSeries(t testing.TB, s *tracker.Snapshot) int {
	t.Helper()
	p := newPage(Config{Collect: chrony.WantAll, MaxSources: DefaultMaxSources, Logger: slog.New(slog.DiscardHandler)}, prometheus.NewRegistry())
	p.render(s)
	return len(series(t, p.shown))
}

// TestSeries limits the number of series of a node.
func TestSeries(t *testing.T) {
	const buildInfo = 1 // not in the table
	if n := countSeries(t, demanding(4)) + buildInfo; n > 202 {
		t.Errorf("%d series with 4 sources, over the socket", n)
	}
	udp := demanding(4)
	udp.Report.ServerStats, udp.Watched = nil, found(t)
	for i := range udp.Report.Sources {
		s := &udp.Report.Sources[i]
		s.NTP, s.Auth, s.Select = nil, nil, nil
	}
	if n := countSeries(t, udp) + len(udp.Watched.Distribution.Counts) + 1 + buildInfo; n > 200 {
		t.Errorf("%d series with 4 sources and the watch, over UDP", n)
	}
}

// TestNoChurn checks that a change of the selected source adds no series.
func TestNoChurn(t *testing.T) {
	before := demanding(4)
	after := demanding(4)
	after.Report.Tracking.Address = address(2)
	for i, state := range []chrony.SourceState{chrony.StateNonselectable, chrony.StateSelected, chrony.StateFalseticker, chrony.StateJittery} {
		s := &after.Report.Sources[i]
		s.NTP.Interleaved, s.NTP.TxTimestamping, s.NTP.RxTimestamping = true, chrony.TimestampKernel, chrony.TimestampHardware
		s.Auth.KeyType, s.Auth.KeyBits = 15, 256
		s.State, s.Reach, s.Stats.Samples = state, uint8(i), 4
		s.Select.State = chrony.SelectState("M*x~"[i])
	}
	was, is := series(t, show(t, before, 64)), series(t, show(t, after, 64))
	for name := range is {
		if _, found := was[name]; !found && !strings.HasPrefix(name, "chrony_tracking_info") && !strings.HasPrefix(name, "chrony_sources_state_info") {
			t.Errorf("a new series: %s", name)
		}
	}
	if len(was) != len(is) {
		t.Errorf("%d series became %d", len(was), len(is))
	}
}

// TestPageIsReused renders several snapshots on one page. Each must give the same
// result as on a new page.
func TestPageIsReused(t *testing.T) {
	all := snapshots()
	fewer := demanding(2)
	fewer.Report.Refused = map[chrony.Want]error{chrony.WantActivity: chrony.ErrUnauthorized}
	fewer.Report.Activity = nil
	p := newPage(Config{Collect: chrony.WantAll, MaxSources: 64, Logger: slog.New(slog.DiscardHandler)}, prometheus.NewRegistry())
	for i, s := range []*tracker.Snapshot{all["rich"], all["unreachable"], fewer, all["strange"], all["rich"], all["no sources"], fewer, all["rich"]} {
		p.render(s)
		if got, want := series(t, p.shown), series(t, show(t, s, 64)); !maps.Equal(got, want) {
			t.Errorf("snapshot %d: %d series, on a new page %d", i, len(got), len(want))
		}
	}
}

// TestGolden checks that every value has the right series. All values of the snapshot
// are different.
func TestGolden(t *testing.T) {
	const file = "testdata/distinct.txt"
	var text strings.Builder
	values := series(t, show(t, distinct(), 64))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&text, "%s %v\n", name, values[name])
	}
	if *update {
		if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := slices.Collect(strings.Lines(text.String()))
	for i, line := range slices.Collect(strings.Lines(string(want))) {
		if i >= len(got) || got[i] != line {
			t.Fatalf("line %d is not %s", i+1, line)
		}
	}
}

// distinct returns a snapshot in which no two fields have the same value.
func distinct() *tracker.Snapshot {
	var n float64
	next := func() float64 { n++; return 1000 + n }
	count := func() chrony.Count { return chrony.CountOf(uint64(next())) }
	r := &chrony.Report{
		Want: chrony.WantAll, At: time.Unix(1_700_000_064, 0), Given: chrony.WantAll &^ chrony.WantSmoothing, Refused: map[chrony.Want]error{chrony.WantSmoothing: chrony.ErrUnauthorized},
		Tracking: &chrony.Tracking{
			RefID: 0x47505300, Stratum: 3, Leap: chrony.LeapInsertSecond, RefTime: time.Unix(1_700_000_000, 500_000_000),
			SystemTime: next(), LastOffset: next(), RMSOffset: next(), Frequency: next(), ResidualFrequency: next(), Skew: next(),
			RootDelay: next(), RootDispersion: next(), LastUpdateInterval: next(),
		},
		Activity: &chrony.Activity{Online: uint32(next()), Offline: uint32(next()), BurstOnline: uint32(next()), BurstOffline: uint32(next()), Unresolved: uint32(next())},
		ServerStats: &chrony.ServerStats{
			NTPHits: count(), NKEHits: count(), CommandHits: count(), NTPDrops: count(), NKEDrops: count(), CommandDrops: count(), LogDrops: count(), NTPAuthHits: count(),
			NTPInterleavedHits: count(), NTPTimestamps: count(), NTPTimestampSpan: count(),
			DaemonRx: count(), DaemonTx: count(), KernelRx: count(), KernelTx: count(), HardwareRx: count(), HardwareTx: count(),
		},
		RTC:       &chrony.RTC{RefTime: time.Unix(1_600_000_000, 0), Samples: uint16(next()), Runs: uint16(next()), Span: time.Duration(next()) * time.Second, Offset: next(), Gain: next()},
		Smoothing: &chrony.Smoothing{Active: true, Offset: next(), Frequency: next(), Wander: next(), UpdateAge: next(), Remaining: next()},
	}
	for i, mode := range []chrony.AuthMode{chrony.AuthNTS, chrony.AuthSymmetric} {
		r.Sources = append(r.Sources, chrony.Source{
			Address: address(i + 1), Mode: chrony.SourceMode(i), State: chrony.SourceState(4 + i), Stratum: uint16(next()), Poll: int16(7 + i), Reach: uint8(0o17 << i),
			SampleAge: time.Duration(next()) * time.Second, MeasuredOffset: next(), AdjustedOffset: next(), OffsetError: next(),
			ConfiguredName: fmt.Sprintf("time%d.example", i),
			Stats: &chrony.SourceStats{
				Samples: uint32(next()), Runs: uint32(next()), Span: time.Duration(next()) * time.Second,
				StandardDeviation: next(), ResidualFrequency: next(), Skew: next(), Offset: next(), OffsetError: next(),
			},
			NTP: &chrony.NTPData{
				Offset: next(), PeerDelay: next(), PeerDispersion: next(), ResponseTime: next(), JitterAsymmetry: next(),
				Passed: 0x3ff &^ chrony.TestDelayRatio, Interleaved: i == 0, TxTimestamping: chrony.TimestampHardware, RxTimestamping: chrony.TimestampKernel,
				TotalTx: uint32(next()), TotalRx: uint32(next()), TotalValid: uint32(next()),
			},
			Auth:   &chrony.AuthData{Mode: mode, KeyID: uint32(next()), KEAttempts: uint16(next()), LastKE: time.Duration(next()) * time.Second, Cookies: uint16(next()), NAK: true},
			Select: &chrony.SelectData{State: chrony.SelectState("Px"[i]), Configured: chrony.OptionPrefer | chrony.OptionTrust, Effective: chrony.OptionRequire},
		})
	}
	// Without a sample there is no value, whatever chronyd sends.
	r.Sources = append(r.Sources,
		chrony.Source{Address: address(9), State: chrony.StateNonselectable, SampleAge: chrony.Never, AdjustedOffset: next(), OffsetError: next(),
			Stats: &chrony.SourceStats{Samples: 2, Offset: next()}, NTP: &chrony.NTPData{Offset: next()},
			Auth: &chrony.AuthData{Mode: chrony.AuthNTS, LastKE: chrony.Never}, Select: &chrony.SelectData{State: '!'}},
		chrony.Source{Address: chrony.Address{ID: 4}, State: chrony.StateNonselectable, ConfiguredName: "nowhere.invalid", SampleAge: chrony.Never},
		chrony.Source{Mode: chrony.ModeReferenceClock, RefID: 0x47505300, State: chrony.StateSelected, Poll: 3, SampleAge: time.Duration(next()) * time.Second, OffsetError: next()})
	s := judged(r)
	s.Took = 12 * time.Millisecond
	s.PTP = tracker.PTP{Clocks: []tracker.PTPClock{{Device: "ptp0", Name: "mlx5"}}, Configured: &tracker.PTPClock{Device: "ptp1", Name: "hyperv"}}
	s.Health = tracker.Health{Stats: chrony.Stats{Malformed: uint64(next()), Oversized: uint64(next()), Unexpected: uint64(next())}, Exchanges: uint64(next()), Failures: map[string]uint64{"deadline": uint64(next())}}
	s.Watched = &tracker.Watched{
		Interval: 2 * time.Second, Samples: uint64(next()), StateSeconds: []float64{next(), next(), next(), next(), next(), next()}, Unobserved: next(), StateSince: time.Unix(1_500_000_000, 0),
		Distribution: tracker.Distribution{Limits: []float64{1}, Counts: []uint64{uint64(next()), uint64(next())}, Sum: next()},
		Windows:      []tracker.Window{{Length: time.Minute, Bound: next(), Error: next(), Without: next()}},
		Objectives:   []objective.Progress{{Objective: objective.Objective{Name: "db", Limit: next()}, Good: next(), Total: next(), Classes: [4]float64{next(), next(), next(), next()}}},
		Steps:        tracker.Jumps{Count: uint64(next()), Total: next(), Last: next(), LastAt: time.Unix(1_400_000_000, 0)},
		Sleeps:       tracker.Jumps{Count: uint64(next()), Total: next(), Last: next()},
		Steering:     next(), Kernel: &tracker.Kernel{Frequency: next(), MaxError: next(), EstimatedError: next(), Synchronized: true},
	}
	s.Watched.Publication = &tracker.Publication{
		Status: "free_running", Age: time.Duration(next()) * time.Second, Generation: uint16(next()), Errors: map[string]uint64{"another_writer": uint64(next())},
	}
	seconds := func() []float64 { return []float64{next(), next(), next(), next()} }
	s.Witnesses = &tracker.Witnessed{
		Findings: &witness.Findings{
			UTC: &witness.ServerFindings{
				Verdict: witness.Disputed, Bound: next(),
				Servers: []witness.Server{{Name: "time.example", Measured: true, Offset: next(), Uncertainty: next()}, {Name: "silent.example", Offset: next()}},
				Probes:  map[witness.Result]uint64{witness.Agrees: uint64(next()), witness.RateLimited: uint64(next())},
			},
			Peers: &witness.PeerFindings{
				Verdict: witness.Contradicted, Disagreement: next(),
				Peers:  map[witness.Verdict]int{witness.Consistent: int(next()), witness.Unproven: int(next()), witness.Contradicted: int(next())},
				Probes: map[witness.Result]uint64{witness.Contradicts: uint64(next())},
			},
			Requests: map[witness.RequestResult]uint64{witness.Answered: uint64(next()), witness.Limited: uint64(next()), witness.Dropped: uint64(next())},
		},
		Seconds: map[witness.Kind][]float64{witness.UTC: seconds(), witness.Peer: seconds()},
	}
	return s
}

// witnesses returns what so many UTC witnesses and some peers say.
func witnesses(servers int) *tracker.Witnessed {
	w := &tracker.Witnessed{
		Findings: &witness.Findings{
			UTC:      &witness.ServerFindings{Probes: make(map[witness.Result]uint64)},
			Peers:    &witness.PeerFindings{Peers: make(map[witness.Verdict]int), Probes: make(map[witness.Result]uint64)},
			Requests: make(map[witness.RequestResult]uint64),
		},
		Seconds: map[witness.Kind][]float64{witness.UTC: make([]float64, 4), witness.Peer: make([]float64, 4)},
	}
	for i := range servers {
		w.UTC.Servers = append(w.UTC.Servers, witness.Server{Name: fmt.Sprintf("time%d.example", i), Measured: true})
	}
	return w
}

// snapshots returns unusual snapshots for the tests of the table.
func snapshots() map[string]*tracker.Snapshot {
	strange := chrony.Tracking{RefID: 0xff22220a, Stratum: 3, RootDelay: 1e18, RefTime: time.Unix(253402300799, 0)}
	rich := withReferenceClock(withReferenceClock(demanding(4)))
	rich.Report.RTC, rich.Report.Smoothing = &chrony.RTC{Samples: 1, RefTime: time.Now()}, &chrony.Smoothing{}
	rich.PTP = tracker.PTP{Clocks: []tracker.PTPClock{{Device: "ptp0", Name: "hyperv"}}, Configured: &tracker.PTPClock{Device: "ptp0", Name: "hyperv"}}
	rich.Report.Sources[1].Auth = &chrony.AuthData{Mode: chrony.AuthNTS, KeyID: 2, Cookies: 8}
	rich.Report.Sources[2].NTP.Passed = chrony.TestAuthentication
	rich.Report.Sources[3].Address, rich.Report.Sources[3].Select = chrony.Address{ID: 7}, nil
	rich.Watched = &tracker.Watched{
		StateSeconds: make([]float64, len(clockerror.States)),
		StateSince:   time.Unix(1, 0),
		Windows:      []tracker.Window{{Length: time.Minute, Bound: 1, Error: 1}, {Length: 5 * time.Minute, Bound: math.Inf(-1)}},
		Objectives:   []objective.Progress{{Objective: objective.Profiles[0]}},
		Steps:        tracker.Jumps{Count: 1},
		Kernel:       &tracker.Kernel{},
		Distribution: tracker.Distribution{Limits: []float64{1}, Counts: []uint64{1, 2}},
		Publication:  &tracker.Publication{},
	}
	rich.Witnesses = witnesses(2)
	return map[string]*tracker.Snapshot{
		"unreachable": {Err: chrony.ErrNoAnswer, Estimate: clockerror.Of(clockerror.Observation{}, clockerror.Assumptions{})},
		"strange":     judged(&chrony.Report{Tracking: &strange, Sources: []chrony.Source{{State: 77, Mode: 99, Select: &chrony.SelectData{State: '!'}, Stats: &chrony.SourceStats{}}}}),
		"no sources":  judged(&chrony.Report{Tracking: &strange}),
		"rich":        rich,
	}
}

// TestTable checks that the table's declarations match its series, and that the names
// follow Prometheus' conventions.
func TestTable(t *testing.T) {
	names := make(map[string]bool)
	units := map[unit]string{seconds: "_seconds", milliseconds: "_ms", ppm: "_ppm", ratio: "_ratio"}
	for i := range table {
		m := &table[i]
		if names[m.name] {
			t.Errorf("%s is twice in the table", m.name)
		}
		names[m.name] = true
		if !slices.IsSorted(m.labels) {
			t.Errorf("%s: labels are not sorted: %v", m.name, m.labels)
		}
		if m.help == "" || m.values == nil {
			t.Errorf("%s has no help, or no values", m.name)
		}
		if base := strings.TrimSuffix(m.name, "_total"); kept[m.name] == "" {
			for u, suffix := range units {
				if strings.HasSuffix(base, suffix) != (u == m.unit) {
					t.Errorf("%s is in %q", m.name, m.unit)
				}
			}
		}
	}
	shown := make(map[string]bool)
	for name, s := range snapshots() {
		families := show(t, s, 64)
		problems, err := promlint.NewWithMetricFamilies(families).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			if kept[p.Metric] == "" {
				t.Errorf("%s: %s: %s", name, p.Metric, p.Text)
			}
		}
		for _, family := range families {
			shown[family.GetName()] = true
		}
	}
	for name := range names {
		if !shown[name] {
			t.Errorf("no test shows %s", name)
		}
	}
	for name := range kept {
		if !names[name] {
			t.Errorf("%s is kept and not in the table", name)
		}
	}
}
