package chrony

import "context"

// ServerStats is the report of chronyc serverstats: counts of chronyd as a server since
// its start. A field that this version of chronyd does not count has no value.
type ServerStats struct {
	NTPHits            Count // NTP requests received
	NKEHits            Count // NTS key establishment connections accepted; from 4.0 on
	CommandHits        Count // monitoring and control requests received
	NTPDrops           Count // NTP requests dropped by rate limiting
	NKEDrops           Count // NTS key establishment connections dropped by rate limiting; from 4.0 on
	CommandDrops       Count // monitoring and control requests dropped by rate limiting
	LogDrops           Count // client log records dropped to limit memory use
	NTPAuthHits        Count // authenticated NTP requests; from 4.0 on
	NTPInterleavedHits Count // NTP requests in interleaved mode; from 4.2 on
	NTPTimestamps      Count // timestamp pairs held for interleaved mode; from 4.2 on
	NTPTimestampSpan   Count // seconds from the oldest to the newest of them; from 4.2 on

	// NTP replies by the source of their timestamps; from 4.4 on.
	DaemonRx, DaemonTx, KernelRx, KernelTx, HardwareRx, HardwareTx Count
}

// Types of the reply. Later versions of chronyd have more fields.
const (
	replyServerStats1 = 14 // up to 3.5
	replyServerStats2 = 22 // 4.0, 4.1
	replyServerStats3 = 24 // 4.2, 4.3
	replyServerStats4 = 25 // from 4.4 on
)

func (s *ServerStats) decode(reply uint16, b []byte) {
	*s = ServerStats{}
	if reply == replyServerStats1 {
		for i, count := range []*Count{&s.NTPHits, &s.CommandHits, &s.NTPDrops, &s.CommandDrops, &s.LogDrops} {
			*count = wireCount32(b[4*i:])
		}
		return
	}
	all := []*Count{
		&s.NTPHits, &s.NKEHits, &s.CommandHits, &s.NTPDrops, &s.NKEDrops, &s.CommandDrops, &s.LogDrops, &s.NTPAuthHits,
		&s.NTPInterleavedHits, &s.NTPTimestamps, &s.NTPTimestampSpan,
		&s.DaemonRx, &s.DaemonTx, &s.KernelRx, &s.KernelTx, &s.HardwareRx, &s.HardwareTx,
	}
	switch reply {
	case replyServerStats2:
		all = all[:8]
	case replyServerStats3:
		all = all[:11]
	}
	for i, count := range all {
		if reply == replyServerStats4 {
			*count = wireCount64(b[8*i:])
		} else {
			*count = wireCount32(b[4*i:])
		}
	}
}

// ServerStats reads the serverstats report.
func (c *Client) ServerStats(ctx context.Context) (s ServerStats, err error) {
	err = c.ask(ctx, &cmdServerStats, s.decode)
	return s, err
}
