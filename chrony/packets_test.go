package chrony_test

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

// A recording holds the packets of a real chronyd in several states, and the output of
// chronyc of the same version at the same time.
type recording struct {
	Chronyd string
	States  []struct {
		State, Transport string
		Exchanges        []struct{ Report, Request, Reply string }
		Chronyc          map[string]string `json:"chronyc_csv"`
	}
}

func recordings(t testing.TB) []recording {
	t.Helper()
	files, err := filepath.Glob("testdata/chronyd-*.json")
	if err != nil || len(files) != 9 {
		t.Fatalf("recordings: %v, %v", files, err)
	}
	all := make([]recording, len(files))
	for i, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &all[i]); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	return all
}

// TestRecordings replays packets of nine versions of chronyd, and compares every field
// with chronyc's output.
func TestRecordings(t *testing.T) {
	c := comparison{make(map[string]int), make(map[string]int)}
	for _, r := range recordings(t) {
		for _, state := range r.States {
			t.Run(r.Chronyd+"/"+state.State+"/"+state.Transport, func(t *testing.T) {
				replies := make(map[[2]uint32][]byte) // by command and argument
				for _, e := range state.Exchanges {
					request, reply := unhex(t, e.Request), unhex(t, e.Reply)
					replies[replayKey(request)] = reply
				}
				fake := chronytest.NewFake(t, func(r chronytest.Request) []chronytest.Packet {
					reply := append([]byte(nil), replies[[2]uint32{uint32(r.Command), r.Argument}]...)
					if len(reply) == 0 {
						return []chronytest.Packet{{Data: chronytest.Status(r, 3)}}
					}
					binary.BigEndian.PutUint32(reply[16:], r.Sequence)
					return []chronytest.Packet{{Data: reply}}
				})
				client := dial(t, fake.Address)
				report, err := client.Report(within(t, chronytest.Patience), chrony.WantAll)
				if err != nil {
					t.Fatal(err)
				}
				wantRefused(t, r.Chronyd, state.Transport, report)
				wantSame(t, client.Tracking, report.Tracking)
				wantSame(t, client.Activity, report.Activity)
				wantSame(t, client.ServerStats, report.ServerStats)
				wantSame(t, client.RTC, report.RTC)
				wantSame(t, client.Smoothing, report.Smoothing)
				c.compare(t, "tracking", trackingRow(*report.Tracking), state.Chronyc["tracking"])
				c.compare(t, "activity", activityRow(*report.Activity), state.Chronyc["activity"])
				var rows []string
				for _, s := range report.Sources {
					if s.Address.ID == 0 { // chronyc hides sources without an address
						rows = append(rows, sourceRow(s))
					}
				}
				c.compare(t, "sources", strings.Join(rows, "\n"), state.Chronyc["sources"])
				for name, row := range detailRows {
					var rows []string
					for _, s := range report.Sources {
						if text := row(s); text != "" && s.Address.ID == 0 {
							rows = append(rows, text)
						}
					}
					if said := state.Chronyc[name]; !strings.HasPrefix(said, "50") { // not a refusal
						c.compare(t, name, strings.Join(rows, "\n"), said)
					}
				}
				if said := state.Chronyc["serverstats"]; !strings.HasPrefix(said, "50") {
					c.compare(t, "serverstats", serverStatsRow(report.ServerStats), said)
				}
			})
		}
	}
	for key, all := range c.all {
		if goesOn := slices.Contains([]string{
			"tracking, column 4", "tracking, column 11", // system time, root dispersion
			"serverstats, column 1", "serverstats, column 2", // chronyc's own requests
		}, key); c.same[key] < all/3 && !goesOn {
			t.Errorf("%s: only %d of %d are the same", key, c.same[key], all)
		}
	}
}

// wantSame compares a report that is read alone with the same one read with others.
func wantSame[R comparable](t *testing.T, read func(context.Context) (R, error), together *R) {
	t.Helper()
	alone, err := read(within(t, chronytest.Patience))
	if (err == nil) != (together != nil) || err == nil && alone != *together {
		t.Errorf("alone %+v, %v; with others %+v", alone, err, together)
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func replayKey(request []byte) [2]uint32 {
	argument := uint32(0)
	if len(request) >= 24 {
		argument = binary.BigEndian.Uint32(request[20:])
	}
	return [2]uint32{uint32(binary.BigEndian.Uint16(request[4:])), argument}
}

func dial(t testing.TB, address string) *chrony.Client {
	t.Helper()
	client, err := chrony.NewClient(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// The rows functions print a report as chronyc -c does.

func trackingRow(t chrony.Tracking) string {
	refTime := "0.000000000"
	if !t.RefTime.IsZero() {
		refTime = strconv.FormatInt(t.RefTime.Unix(), 10) + t.RefTime.Format(".000000000")
	}
	return strings.Join([]string{
		t.RefID.String(), t.SourceName(), strconv.Itoa(int(t.Stratum)), refTime,
		fixed(t.SystemTime, 9), fixed(t.LastOffset, 9), fixed(t.RMSOffset, 9),
		fixed(t.Frequency, 3), fixed(t.ResidualFrequency, 3), fixed(t.Skew, 3),
		fixed(t.RootDelay, 9), fixed(t.RootDispersion, 9), fixed(t.LastUpdateInterval, 1),
		t.Leap.String(),
	}, ",")
}

func activityRow(a chrony.Activity) string {
	var row []string
	for _, n := range []uint32{a.Online, a.Offline, a.BurstOnline, a.BurstOffline, a.Unresolved} {
		row = append(row, strconv.Itoa(int(n)))
	}
	return strings.Join(row, ",")
}

func sourceRow(s chrony.Source) string {
	age := uint64(math.MaxUint32)
	if s.SampleAge != chrony.Never {
		age = uint64(s.SampleAge / time.Second)
	}
	return strings.Join([]string{
		string("^=#"[s.Mode]), string("*?x~+-"[s.State]), s.Name(),
		strconv.Itoa(int(s.Stratum)), strconv.Itoa(int(s.Poll)), strconv.FormatUint(uint64(s.Reach), 8),
		strconv.FormatUint(age, 10),
		fixed(s.AdjustedOffset, 9), fixed(s.MeasuredOffset, 9), fixed(s.OffsetError, 9),
	}, ",")
}

// wantRefused returns the reports that this version refuses over this transport.
func wantRefused(t *testing.T, version, transport string, report *chrony.Report) {
	t.Helper()
	want := map[chrony.Want]error{chrony.WantRTC: nil, chrony.WantSmoothing: nil} // never configured
	old := strings.HasPrefix(version, "3.")
	if old && len(report.Sources) > 0 {
		want[chrony.WantSourceNames] = chrony.ErrUnknownCommand
		want[chrony.WantAuthData] = chrony.ErrUnknownCommand
		want[chrony.WantSelectData] = chrony.ErrUnknownCommand
	}
	if transport == "udp" {
		want[chrony.WantServerStats] = chrony.ErrUnauthorized
		for _, w := range []chrony.Want{chrony.WantNTPData, chrony.WantAuthData, chrony.WantSelectData} {
			if _, known := want[w]; !known && len(report.Sources) > 0 {
				want[w] = chrony.ErrUnauthorized
			}
		}
	}
	for w, err := range report.Refused {
		is, expected := want[w]
		if !expected || is != nil && !errors.Is(err, is) {
			t.Errorf("refused %v: %v", w, err)
		}
		delete(want, w)
	}
	if len(want) > 0 {
		t.Errorf("not refused: %v", want)
	}
}

// detailRows prints the per-source reports as chronyc -c does.
var detailRows = map[string]func(chrony.Source) string{
	"sourcestats": func(s chrony.Source) string {
		d := s.Stats
		return strings.Join([]string{
			s.Name(), number(d.Samples), number(d.Runs), number(uint32(d.Span / time.Second)),
			fixed(d.ResidualFrequency, 3), fixed(d.Skew, 3), fixed(d.Offset, 9), fixed(d.StandardDeviation, 9),
		}, ",")
	},
	"ntpdata": func(s chrony.Source) string {
		d := s.NTP
		if d == nil {
			return ""
		}
		refTime := "0.000000000"
		if !d.RefTime.IsZero() {
			refTime = number(uint32(d.RefTime.Unix())) + d.RefTime.Format(".000000000")
		}
		tests := ""
		for i, test := range chrony.Tests {
			if i == 3 || i == 6 {
				tests += ","
			}
			tests += map[bool]string{true: "1", false: "0"}[d.Passed&test.Test != 0]
		}
		row := []string{
			ip(d.Remote), ipID(d.Remote), number(uint32(d.Port)), ip(d.Local), ipID(d.Local),
			d.Leap.String(), number(uint32(d.Version)), map[uint8]string{4: "Server", 0: "Invalid"}[d.Mode],
			number(uint32(d.Stratum)), strconv.Itoa(int(d.Poll)), fixed(math.Floor(math.Ldexp(1, int(d.Poll))), 0),
			strconv.Itoa(int(d.Precision)), fixed(math.Ldexp(1, int(d.Precision)), 9),
			fixed(d.RootDelay, 6), fixed(d.RootDispersion, 6), d.RefID.String(), "", refTime,
			fixed(d.Offset, 9), fixed(d.PeerDelay, 9), fixed(d.PeerDispersion, 9), fixed(d.ResponseTime, 9), fixed(d.JitterAsymmetry, 2),
			tests, yes(d.Interleaved), yes(d.Authenticated), stamps[d.TxTimestamping.String()], stamps[d.RxTimestamping.String()],
			number(d.TotalTx), number(d.TotalRx), number(d.TotalValid),
		}
		for _, count := range []chrony.Count{d.TotalGood, d.TotalKernelTx, d.TotalKernelRx, d.TotalHardwareTx, d.TotalHardwareRx} {
			if n, known := count.Value(); known {
				row = append(row, strconv.FormatUint(n, 10))
			}
		}
		return strings.Join(row, ",")
	},
	"authdata": func(s chrony.Source) string {
		d := s.Auth
		if d == nil {
			return ""
		}
		return strings.Join([]string{
			s.Name(), [...]string{"-", "SK", "NTS"}[d.Mode], number(d.KeyID), number(uint32(d.KeyType)), number(uint32(d.KeyBits)),
			age(d.LastKE), number(uint32(d.KEAttempts)), map[bool]string{false: "0", true: "1"}[d.NAK], number(uint32(d.Cookies)), number(uint32(d.CookieLength)),
		}, ",")
	},
	"selectdata": func(s chrony.Source) string {
		d := s.Select
		if d == nil {
			return ""
		}
		last := age(d.SampleAge)
		if d.SampleAge == chrony.Never {
			last = "0" // chronyd reports it so, and chronyc prints it
		}
		row := []string{string(rune(d.State)), s.Name(), yes(d.Authenticated)[:1]}
		for _, options := range []chrony.SelectOptions{d.Configured, d.Effective} {
			for i, letter := range []string{"N", "P", "T", "R"} {
				if options&(1<<i) == 0 {
					letter = "-"
				}
				row = append(row, letter)
			}
			row = append(row, "-")
		}
		return strings.Join(append(row, last, fixed(d.Score, 1), fixed(d.Low, 9), fixed(d.High, 9), d.Leap.String()), ",")
	},
}

var stamps = map[string]string{"kernel": "Kernel", "daemon": "Daemon", "hardware": "Hardware", "none": "Invalid"}

func serverStatsRow(s *chrony.ServerStats) string {
	var row []string
	if _, known := s.NKEHits.Value(); !known { // chronyc 3.5 had another order
		s.NTPDrops, s.CommandHits = s.CommandHits, s.NTPDrops
	}
	for _, count := range []chrony.Count{
		s.NTPHits, s.NKEHits, s.CommandHits, s.NTPDrops, s.NKEDrops, s.CommandDrops, s.LogDrops, s.NTPAuthHits,
		s.NTPInterleavedHits, s.NTPTimestamps, s.NTPTimestampSpan,
		s.DaemonRx, s.DaemonTx, s.KernelRx, s.KernelTx, s.HardwareRx, s.HardwareTx,
	} {
		if n, known := count.Value(); known {
			row = append(row, strconv.FormatUint(n, 10))
		}
	}
	return strings.Join(row, ",")
}

func number(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func yes(b bool) string { return map[bool]string{true: "Yes", false: "No"}[b] }

func age(d time.Duration) string {
	if d == chrony.Never {
		return number(math.MaxUint32)
	}
	return number(uint32(d / time.Second))
}

func ip(a chrony.Address) string {
	if a.IsUnspecified() {
		return "[UNSPEC]"
	}
	return a.String()
}

// ipID returns the reference ID of an IPv4 address.
func ipID(a chrony.Address) string {
	if a.IsUnspecified() {
		return "00000000"
	}
	b := a.IP.As4()
	return chrony.RefID(binary.BigEndian.Uint32(b[:])).String()
}

func fixed(v float64, digits int) string { return strconv.FormatFloat(v, 'f', digits, 64) }

// A comparison compares decoded values with chronyc's output. A new sample between the
// two readings is possible, but rare. Then floats differ by some microseconds.
type comparison struct {
	same, all map[string]int // by report and column
}

func (c *comparison) compare(t testing.TB, report, got, want string) {
	t.Helper()
	gotRows, wantRows := strings.Split(got, "\n"), strings.Split(want, "\n")
	if len(gotRows) != len(wantRows) {
		t.Errorf("%s:\n got %s\nwant %s", report, got, want)
		return
	}
	for i := range gotRows {
		g, w := strings.Split(gotRows[i], ","), strings.Split(wantRows[i], ",")
		if len(g) != len(w) {
			t.Errorf("%s:\n got %s\nwant %s", report, gotRows[i], wantRows[i])
			continue
		}
		for column := range g {
			key := fmt.Sprintf("%s, column %d", report, column)
			c.all[key]++
			slack := map[string]float64{
				"tracking, column 3":    10e6, // chronyd 3.5 says "now" for the reference time of a local reference
				"tracking, column 11":   1e6,  // root dispersion grows by as much as the skew allows
				"sources, column 6":     2,    // the age in seconds
				"sourcestats, column 1": 64,   // samples and runs come and go
				"sourcestats, column 2": 64,
				"sourcestats, column 3": 5,    // seconds
				"serverstats, column 1": 1000, // requests, chronyc's own among them
				"serverstats, column 2": 1000,
			}[key]
			if report == "ntpdata" && column >= 28 {
				slack = 5 // counts
			}
			if slack == 0 && strings.Contains(w[column], ".") {
				slack = 50e3
			}
			if closeTo(g[column], w[column], min(slack, 1)) {
				c.same[key]++
			} else if key == "selectdata, column 0" {
				// A state can change with each sample. Most do not.
			} else if !closeTo(g[column], w[column], slack) {
				t.Errorf("%s: got %s, want %s, in\n got %s\nwant %s", key, g[column], w[column], gotRows[i], wantRows[i])
			}
		}
	}
}

// closeTo reports whether two texts are equal, or are numbers that differ by at most this
// many units of the last digit.
func closeTo(got, want string, units float64) bool {
	if got == want {
		return true
	}
	g, err1 := strconv.ParseFloat(got, 64)
	w, err2 := strconv.ParseFloat(want, 64)
	_, decimals, _ := strings.Cut(want, ".")
	return err1 == nil && err2 == nil && math.Abs(g-w) < (units+0.01)*math.Pow10(-len(decimals))
}
