package chrony

import "context"

// ServerStats counts what chronyd did as a server since it was started: the
// report of chronyc serverstats. What a version doesn't count has no value.
type ServerStats struct {
	NTPHits            Count // requests
	NKEHits            Count // key exchanges of NTS; from 4.0 on
	CommandHits        Count // requests such as this package's
	NTPDrops           Count // dropped to limit the rate
	NKEDrops           Count // likewise
	CommandDrops       Count // likewise
	LogDrops           Count // records of clients that were dropped to limit the memory
	NTPAuthHits        Count // authenticated requests; from 4.0 on
	NTPInterleavedHits Count // requests in interleaved mode; from 4.2 on
	NTPTimestamps      Count // pairs of time stamps held for interleaved mode; from 4.2 on
	NTPTimestampSpan   Count // seconds that those span; from 4.2 on

	// Replies by who made their time stamps; from 4.4 on.
	DaemonRx, DaemonTx, KernelRx, KernelTx, HardwareRx, HardwareTx Count
}

// The reply has grown with chronyd's versions.
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

// ServerStats asks chronyd what it did as a server.
func (c *Client) ServerStats(ctx context.Context) (ServerStats, error) {
	var s ServerStats
	err := c.ask(ctx, &cmdServerStats, s.decode)
	return s, err
}
