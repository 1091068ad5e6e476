package chrony

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unicode/utf8"
)

func TestWireFloat(t *testing.T) {
	for x, want := range map[uint32]float64{
		0x00000000: 0,
		0x04800000: 1, // exponent 2, coefficient 2^23
		0x05800000: -1,
		0x7effffff: math.Ldexp(1<<24-1, 63-25),    // the largest
		0x7f000000: math.Ldexp(-(1 << 24), 63-25), // the smallest
		0x80000001: math.Ldexp(1, -64-25),         // the one nearest to zero
	} {
		got := wireFloat(binary.BigEndian.AppendUint32(nil, x))
		if got != want {
			t.Errorf("%#08x: got %g, want %g", x, got, want)
		}
	}
}

func TestWireTime(t *testing.T) {
	encode := func(high, low, nsec uint32) []byte {
		b := binary.BigEndian.AppendUint32(nil, high)
		b = binary.BigEndian.AppendUint32(b, low)
		return binary.BigEndian.AppendUint32(b, nsec)
	}
	for _, test := range []struct {
		high, low, nsec uint32
		want            time.Time
	}{
		{0, 0, 0, time.Time{}},
		{0, 1795393079, 121477677, time.Unix(1795393079, 121477677)},
		{0x7fffffff, 1795393079, 0, time.Unix(1795393079, 0)},
		{1, 0, 0, time.Unix(1<<32, 0)},
		{0, 1, math.MaxUint32, time.Unix(1, 999999999)},
		{0xffffffff, 0xffffffff, 0, time.Time{}},
		{0x7ffffffe, 0, 0, time.Time{}},
	} {
		got := wireTime(encode(test.high, test.low, test.nsec))
		if !got.Equal(test.want) {
			t.Errorf("%x %x %x: got %v, want %v", test.high, test.low, test.nsec, got, test.want)
		}
		if _, err := json.Marshal(got); err != nil {
			t.Error(err)
		}
	}
}

func TestAddressString(t *testing.T) {
	b := make([]byte, 20)
	for _, test := range []struct {
		family uint16
		first  []byte
		want   string
	}{
		{0, []byte{1, 2, 3, 4}, ""},
		{1, []byte{192, 0, 2, 7}, "192.0.2.7"},
		{2, []byte{0x20, 1, 0xd, 0xb8}, "2001:db8::"},
		{3, []byte{0, 0, 0, 12}, "ID#0000000012"},
		{3, []byte{0xff, 0xff, 0xff, 0xff}, "ID#4294967295"},
		{9, []byte{1, 2, 3, 4}, ""},
	} {
		clear(b)
		copy(b, test.first)
		binary.BigEndian.PutUint16(b[16:], test.family)
		if got := wireAddress(b).String(); got != test.want {
			t.Errorf("%v: got %q, want %q", test, got, test.want)
		}
	}
}

func TestRefID(t *testing.T) {
	for id, want := range map[RefID][2]string{
		0x47505300: {"47505300", "GPS"},
		0x50484330: {"50484330", "PHC0"},
		0x7f7f0101: {"7F7F0101", ""},
		0:          {"00000000", ""},
		0xff410a22: {"FF410A22", `A"`},
	} {
		if got := [2]string{id.String(), id.Name()}; got != want {
			t.Errorf("%x: got %q, want %q", uint32(id), got, want)
		}
	}
}

// TestSelectStateCodes pins the codes that dashboards and alerts use.
func TestSelectStateCodes(t *testing.T) {
	const letters = "NMsrd~wSOTxWPUDL+*"
	for want, letter := range letters {
		if got := SelectState(letter).Code(); got != want {
			t.Errorf("%c has the code %d, want %d", letter, got, want)
		}
	}
	if got := SelectState('!').Code(); got != -1 || len(SelectStates) != len(letters) {
		t.Errorf("! has the code %d; there are %d states", got, len(SelectStates))
	}
}

// TestDecodingAllocates limits the allocations for each report to one: the value that
// the report points to.
func TestDecodingAllocates(t *testing.T) {
	var r Report
	var s Source
	for name, decode := range map[string]func(uint16, []byte){
		"tracking":    into(&r.Tracking),
		"activity":    into(&r.Activity),
		"source":      s.decode,
		"sourcestats": into(&s.Stats),
		"ntpdata":     into(&s.NTP),
		"authdata":    into(&s.Auth),
		"selectdata":  into(&s.Select),
		"serverstats": into(&r.ServerStats),
		"rtcdata":     into(&r.RTC),
		"smoothing":   into(&r.Smoothing),
	} {
		for _, reply := range []uint16{0, replyNTPData2, replyServerStats1, replyServerStats4} {
			body := make([]byte, 1024)
			if n := testing.AllocsPerRun(100, func() { decode(reply, body) }); n > 1 {
				t.Errorf("%s, reply %d: %v allocations", name, reply, n)
			}
		}
	}
}

// FuzzReply passes any packet to every kind of query. Nothing may panic, and every
// decoded value must be printable.
func FuzzReply(f *testing.F) {
	files, _ := filepath.Glob("testdata/chronyd-*.json")
	for _, file := range files {
		var recording struct {
			States []struct {
				Exchanges []struct{ Reply string }
			}
		}
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if err := json.Unmarshal(text, &recording); err != nil {
			f.Fatal(err)
		}
		for _, e := range recording.States[0].Exchanges {
			reply, err := hex.DecodeString(e.Reply)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(reply)
		}
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		header, _, _ := parseReply(packet)
		var (
			tracking  Tracking
			activity  Activity
			source    Source
			stats     SourceStats
			ntp       NTPData
			auth      AuthData
			selection SelectData
			server    ServerStats
			rtc       RTC
			smoothing Smoothing
			named     sourceReading
		)
		for _, q := range []query{
			{command: &cmdTracking, decode: tracking.decode},
			{command: &cmdActivity, decode: activity.decode},
			{command: &cmdSourceData, decode: source.decode},
			{command: &cmdSourceStats, decode: stats.decode},
			{command: &cmdNTPData, decode: ntp.decode},
			{command: &cmdAuthData, decode: auth.decode},
			{command: &cmdSelectData, decode: selection.decode},
			{command: &cmdServerStats, decode: server.decode},
			{command: &cmdRTC, decode: rtc.decode},
			{command: &cmdSmoothing, decode: smoothing.decode},
			{command: &cmdSourceName, decode: named.decodeName},
			{command: &cmdNumSources, decode: func(_ uint16, b []byte) { wireUint32(b) }},
		} {
			q.sequence = header.sequence
			q.refuse = func(err error) {
				if err.Error() == "" {
					t.Error("an error without words")
				}
			}
			c := conn{counts: new(counters), queue: []query{q}, waiting: []int{0}}
			answered, _ := c.accept(packet)
			dropped := c.counts.malformed.Load() + c.counts.oversized.Load() + c.counts.unexpected.Load()
			if answered == (dropped == 1) || answered == (len(c.waiting) == 1) {
				t.Errorf("answered %v, dropped %d, waiting %d", answered, dropped, len(c.waiting))
			}
		}
		for _, v := range []float64{
			tracking.SystemTime, tracking.LastOffset, tracking.RootDelay, tracking.RootDispersion,
			source.AdjustedOffset, source.OffsetError, stats.Skew, ntp.Offset, selection.Score, rtc.Gain, smoothing.Wander,
		} {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("%v", v)
			}
		}
		if source.SampleAge < 0 {
			t.Errorf("age %v", source.SampleAge)
		}
		for _, s := range []string{
			tracking.RefID.Name(), tracking.Address.String(), tracking.Leap.String(),
			source.Name(), named.ConfiguredName, source.Mode.String(), source.State.String(), ntp.TxTimestamping.String(), auth.Mode.String(), selection.State.String(),
		} {
			if !utf8.ValidString(s) {
				t.Errorf("%q", s)
			}
		}
		if _, err := json.Marshal(tracking.RefTime); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkDecodeTracking(b *testing.B) {
	packet := make([]byte, replyHeaderLen+cmdTracking.replies[0].bodyLen)
	packet[0], packet[1] = protocolVersion, typeReply
	var tracking Tracking
	b.ReportAllocs()
	for b.Loop() {
		_, body, _ := parseReply(packet)
		tracking.decode(5, body)
	}
}
