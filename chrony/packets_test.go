package chrony_test

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

// A recording is what a real chronyd answered in several states, with what the
// same version's chronyc printed at that moment.
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

// TestRecordings replays what nine versions of chronyd sent and compares every
// field with what chronyc printed.
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
						return nil
					}
					binary.BigEndian.PutUint32(reply[16:], r.Sequence)
					return []chronytest.Packet{{Data: reply}}
				})
				report, err := dial(t, fake.Address).Report(within(t, 5*time.Second), chrony.WantTracking|chrony.WantActivity|chrony.WantSources)
				if err != nil || report.Refused != nil {
					t.Fatalf("%v, refused: %v", err, report.Refused)
				}
				c.compare(t, "tracking", trackingRow(*report.Tracking), state.Chronyc["tracking"])
				c.compare(t, "activity", activityRow(*report.Activity), state.Chronyc["activity"])
				var rows []string
				for _, s := range report.Sources {
					if s.Address.ID == 0 { // chronyc hides sources without an address
						rows = append(rows, sourceRow(s))
					}
				}
				c.compare(t, "sources", strings.Join(rows, "\n"), state.Chronyc["sources"])
			})
		}
	}
	for key, all := range c.all {
		goesOn := key == "tracking, column 4" || key == "tracking, column 11" // system time, root dispersion
		if c.same[key] < all/2 && !goesOn {
			t.Errorf("%s: only %d of %d are the same", key, c.same[key], all)
		}
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

// The rows print a report as chronyc -c does.

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

func fixed(v float64, digits int) string { return strconv.FormatFloat(v, 'f', digits, 64) }

// A comparison holds what we decoded against what chronyc printed. The two
// looked one after the other, and a new sample may have come in between: then
// floats differ by some microseconds. In most cases none has.
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
				"tracking, column 3":  10e6, // chronyd 3.5 says "now" for the reference time of a local reference
				"tracking, column 11": 1e6,  // root dispersion grows by as much as the skew allows
				"sources, column 6":   2,    // the age in seconds
			}[key]
			if slack == 0 && strings.Contains(w[column], ".") {
				slack = 10e3
			}
			if closeTo(g[column], w[column], min(slack, 1)) {
				c.same[key]++
			} else if !closeTo(g[column], w[column], slack) {
				t.Errorf("%s: got %s, want %s, in\n got %s\nwant %s", key, g[column], w[column], gotRows[i], wantRows[i])
			}
		}
	}
}

// closeTo reports whether two texts are equal, or numbers that differ by so many
// units of the last digit at the most.
func closeTo(got, want string, units float64) bool {
	if got == want {
		return true
	}
	g, err1 := strconv.ParseFloat(got, 64)
	w, err2 := strconv.ParseFloat(want, 64)
	_, decimals, _ := strings.Cut(want, ".")
	return err1 == nil && err2 == nil && math.Abs(g-w) < (units+0.01)*math.Pow10(-len(decimals))
}
