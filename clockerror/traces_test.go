package clockerror_test

import (
	"compress/gzip"
	"encoding/csv"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	. "github.com/chrony-tracker/chrony-tracker/clockerror"
)

// tracesDir has one file for each scenario: what chronyd reported about a
// simulated clock, and the clock's true error at the same instant. Its README
// describes the scenarios.
const tracesDir = "testdata/traces"

// outside are the scenarios that break an assumption of the bound, with the
// largest ratio of true error to bound. docs/background/bound.md has the same
// figures, but measures the error relative to UTC everywhere.
var outside = map[string]float64{
	"d_dead_heat10":           1.306, // the clock drifts by 20 ppm before holdover begins
	"m_moved_poll6":           6.599, // the frequency steps by 100 ppm
	"m_moved_poll10":          7.102,
	"o_stepped_poll6":         2905, // another program steps the clock by 0.5 s, unseen
	"o_stepped_poll10":        708.3,
	"h_server_steps":          1191, // the server steps by 0.5 s
	"h_server_steps_makestep": 1146,
	"u_leap_ignore":           1673,  // chronyd is told to ignore leap seconds
	"u_chain_heat":            5.554, // the server reports less than its true error

	// The frequency changes by 20 ppm since the sample before the last, in two jumps.
	"u_stairs_poll3": 1.012,
	"u_stairs_poll6": 1.169,
	"u_phc_stairs":   1.054,
}

// relative are the scenarios in which a server is off and does not report it. The bound
// is relative to the followed server there, and so is the error in the trace.
var relative = map[string]bool{
	"h_server_steps":          true,
	"h_server_steps_makestep": true,
	"i_false8ms_near":         true,
	"n_server_free":           true,
	"n_server_free_heat":      true,
	"n_server_local":          true,
}

// TestTraces compares the bound with the truth.
func TestTraces(t *testing.T) {
	if *record != "" {
		recordTraces(t, *record)
	}
	files, err := filepath.Glob(filepath.Join(tracesDir, "*.csv.gz"))
	if err != nil || len(files) == 0 {
		t.Fatal("no traces", err)
	}
	for scenario := range outside {
		if !slices.Contains(files, filepath.Join(tracesDir, scenario+".csv.gz")) {
			t.Errorf("%s: no such trace", scenario)
		}
	}
	for _, file := range files {
		scenario, _, _ := strings.Cut(filepath.Base(file), ".")
		t.Run(scenario, func(t *testing.T) {
			t.Parallel()
			worst, at := 0.0, moment{}
			for _, m := range readTrace(t, file) {
				e := Of(m.Observation, Assumptions{})
				if e.HasBound() != e.State.CanHaveBound() {
					t.Errorf("%s: %v, bound %g", m, e.State, e.Bound)
				}
				if e.State == Contradicted && math.Abs(m.error) <= threeTerms(m.Tracking) {
					t.Errorf("%s: contradicted, but the error is within what chronyd claims", m)
				}
				if ratio := (math.Abs(m.error) - rounding) / e.Bound; ratio > worst {
					worst, at = ratio, m
				}
			}
			expected, breaks := outside[scenario]
			switch {
			case breaks && math.Abs(worst/expected-1) > 0.02:
				t.Errorf("%s: the error is %.4g times the bound, expected %.4g", at, worst, expected)
			case !breaks && worst > 1:
				t.Errorf("%s: the error is %.4g times the bound", at, worst)
			}
		})
	}
}

// rounding is the rounding of the simulator and of chronyd's protocol, in seconds.
const rounding = 2e-9

// threeTerms returns chrony's own formula, in seconds.
func threeTerms(t *chrony.Tracking) float64 {
	return math.Abs(t.SystemTime) + t.RootDispersion + t.RootDelay/2
}

// A moment is a line of a trace.
type moment struct {
	run   string  // the version of chronyd and the seed of the simulation
	error float64 // the clock's true error, in seconds
	Observation
}

func (m moment) String() string { return m.run + " at " + m.At.Sub(traceStart).String() }

// traceStart is when the traces start. Their times are seconds since then.
var traceStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// A line of a trace begins with these columns. Then each source follows.
const traceColumns = "run,at,error,refid,address,stratum,leap,reference time,system time,last offset,rms offset," +
	"frequency,residual frequency,skew,root delay,root dispersion,update interval"

const sourceColumns = "address,refid,mode,state,stratum,poll,reach,sample age,measured offset,adjusted offset,offset error"

func readTrace(t *testing.T, file string) []moment {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	r := csv.NewReader(z)
	r.FieldsPerRecord = -1
	lines, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var moments []moment
	for _, line := range lines[1:] {
		moments = append(moments, parseMoment(t, line))
	}
	return moments
}

// A fields reads one field after another.
type fields struct {
	t    *testing.T
	rest []string
}

func (f *fields) text() string {
	first := f.rest[0]
	f.rest = f.rest[1:]
	return first
}

func (f *fields) number() float64 {
	v, err := strconv.ParseFloat(f.text(), 64)
	if err != nil {
		f.t.Fatal(err)
	}
	return v
}

func (f *fields) refID() chrony.RefID {
	v, err := strconv.ParseUint(f.text(), 16, 32)
	if err != nil {
		f.t.Fatal(err)
	}
	return chrony.RefID(v)
}

func (f *fields) address() (a chrony.Address) {
	if text := f.text(); text != "" {
		a.IP = netip.MustParseAddr(text)
	}
	return a
}

// time keeps nanoseconds. A float64 is precise enough for that, because traces end
// after hours.
func (f *fields) time() time.Time {
	if f.rest[0] == "" {
		f.text()
		return time.Time{}
	}
	return traceStart.Add(time.Duration(math.Round(f.number() * 1e9)))
}

// age is empty without a sample.
func (f *fields) age() time.Duration {
	if f.rest[0] == "" {
		f.text()
		return chrony.Never
	}
	return time.Duration(f.number()) * time.Second
}

func parseMoment(t *testing.T, line []string) moment {
	f := &fields{t, line}
	m := moment{run: f.text()}
	m.At = f.time()
	m.error = f.number()
	m.Tracking = &chrony.Tracking{
		RefID: f.refID(), Address: f.address(), Stratum: uint16(f.number()), Leap: chrony.LeapStatus(f.number()),
		RefTime: f.time(), SystemTime: f.number(), LastOffset: f.number(), RMSOffset: f.number(),
		Frequency: f.number(), ResidualFrequency: f.number(), Skew: f.number(),
		RootDelay: f.number(), RootDispersion: f.number(), LastUpdateInterval: f.number(),
	}
	for len(f.rest) > 0 {
		m.Sources = append(m.Sources, chrony.Source{
			Address: f.address(), RefID: f.refID(), Mode: chrony.SourceMode(f.number()), State: chrony.SourceState(f.number()),
			Stratum: uint16(f.number()), Poll: int16(f.number()), Reach: uint8(f.number()), SampleAge: f.age(),
			MeasuredOffset: f.number(), AdjustedOffset: f.number(), OffsetError: f.number(),
		})
	}
	return m
}
