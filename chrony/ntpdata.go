package chrony

import "time"

// A Test is one of the tests that an NTP reply must pass (RFC 5905, A.5.1.1, and
// chrony's own).
type Test uint16

// The tests, with their numbers in RFC 5905 or their letters in chrony.
const (
	TestSyncLoop       Test = 1 << iota // D: the source does not follow this clock
	TestDelayDeviation                  // C: the delay is not an outlier (maxdelaydevratio)
	TestDelayRatio                      // B: the delay is near the minimum (maxdelayratio)
	TestMaxDelay                        // A: the delay is below maxdelay
	TestRootDistance                    // 7: the root delay and dispersion are below 16 s
	TestSynchronized                    // 6: the source is synchronized, and its stratum is below 16
	TestAuthentication                  // 5: the reply is authentic
	TestValid                           // 3: the timestamps are valid
	TestBogus                           // 2: it answers the last request
	TestDuplicate                       // 1: it is not a duplicate
)

const allTests = 1<<10 - 1

// Tests lists all tests in chronyc's order, with the names of this package.
var Tests = []struct {
	Test
	Name string
}{
	{TestDuplicate, "duplicate"},
	{TestBogus, "bogus"},
	{TestValid, "invalid"},
	{TestAuthentication, "authentication"},
	{TestSynchronized, "unsynchronized"},
	{TestRootDistance, "root_distance"},
	{TestMaxDelay, "max_delay"},
	{TestDelayRatio, "delay_ratio"},
	{TestDelayDeviation, "delay_deviation"},
	{TestSyncLoop, "sync_loop"},
}

// A Timestamping is the source of a packet's transmit or receive timestamp.
type Timestamping byte

// The values of a Timestamping.
const (
	TimestampDaemon   Timestamping = 'D'
	TimestampKernel   Timestamping = 'K'
	TimestampHardware Timestamping = 'H'
)

// String returns its name, or "none" before the first packet.
func (t Timestamping) String() string {
	switch t {
	case TimestampDaemon:
		return "daemon"
	case TimestampKernel:
		return "kernel"
	case TimestampHardware:
		return "hardware"
	default:
		return "none"
	}
}

// NTPData is a section of chronyc ntpdata: the last valid NTP reply of one source, and
// packet counts. While TotalValid is 0, only addresses and counts have a meaning. If
// there are no more valid replies, the other values are old. The counts start at zero
// when chronyd starts or replaces the source.
type NTPData struct {
	Remote, Local Address
	Port          uint16 // of the source

	Leap      LeapStatus
	Version   uint8 // of NTP
	Mode      uint8 // of NTP
	Stratum   uint8
	Poll      int8 // log2 of the poll interval in seconds
	Precision int8 // log2 of the precision in seconds

	RootDelay      float64 // seconds, root delay of the source
	RootDispersion float64 // seconds, root dispersion of the source
	RefID          RefID
	RefTime        time.Time // of the source

	Offset          float64 // seconds, positive if the clock is behind: the opposite sign of Source and SourceStats
	PeerDelay       float64 // seconds, round trip
	PeerDispersion  float64 // seconds
	ResponseTime    float64 // seconds that the source took to answer
	JitterAsymmetry float64 // from -0.5 to 0.5

	Passed        Test // tests that the last valid reply passed, as bits
	Interleaved   bool
	Authenticated bool

	TxTimestamping, RxTimestamping Timestamping

	TotalTx    uint32 // packets sent to the source
	TotalRx    uint32 // packets received from it
	TotalValid uint32 // valid packets among them
	TotalGood  Count  // packets among them that became samples; from 4.3 on

	// Packets with kernel and hardware timestamps; from 4.6 on.
	TotalKernelTx, TotalKernelRx, TotalHardwareTx, TotalHardwareRx Count
}

// Failed returns the tests that the last valid reply did not pass, as bits. It is 0 if
// there was no valid reply. Invalid replies count in TotalRx and not in TotalValid.
func (d *NTPData) Failed() Test {
	if d.TotalValid == 0 {
		return 0
	}
	return allTests &^ d.Passed
}

const replyNTPData2 = 26

func (d *NTPData) decode(reply uint16, b []byte) {
	const interleaved, authenticated = 0x4000, 0x8000
	flags := wireUint16(b[92:])
	*d = NTPData{
		Remote:          wireAddress(b),
		Local:           wireAddress(b[20:]),
		Port:            wireUint16(b[40:]),
		Leap:            LeapStatus(b[42]),
		Version:         b[43],
		Mode:            b[44],
		Stratum:         b[45],
		Poll:            int8(b[46]),
		Precision:       int8(b[47]),
		RootDelay:       wireFloat(b[48:]),
		RootDispersion:  wireFloat(b[52:]),
		RefID:           RefID(wireUint32(b[56:])),
		RefTime:         wireTime(b[60:]),
		Offset:          wireFloat(b[72:]),
		PeerDelay:       wireFloat(b[76:]),
		PeerDispersion:  wireFloat(b[80:]),
		ResponseTime:    wireFloat(b[84:]),
		JitterAsymmetry: wireFloat(b[88:]),
		Passed:          Test(flags & allTests),
		Interleaved:     flags&interleaved != 0,
		Authenticated:   flags&authenticated != 0,
		TxTimestamping:  Timestamping(b[94]),
		RxTimestamping:  Timestamping(b[95]),
		TotalTx:         wireUint32(b[96:]),
		TotalRx:         wireUint32(b[100:]),
		TotalValid:      wireUint32(b[104:]),
		TotalGood:       wireCount32(b[108:]),
	}
	if reply == replyNTPData2 {
		d.TotalKernelTx = wireCount32(b[112:])
		d.TotalKernelRx = wireCount32(b[116:])
		d.TotalHardwareTx = wireCount32(b[120:])
		d.TotalHardwareRx = wireCount32(b[124:])
	}
}
