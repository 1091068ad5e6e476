package chrony

import (
	"context"
	"net"
	"time"
)

// A conn is a connected datagram socket. The kernel passes only packets from chronyd's
// own socket, and reports when that socket is closed. After a failure the conn is
// closed and replaced, so that late answers are lost.
type conn struct {
	net.Conn
	target  target
	counts  *counters
	unknown map[uint16]time.Time // commands that this chronyd does not know, and when to try them again

	answered bool // whether there was any answer
	owed     bool // pending answers that are not needed any more

	queue   []query // queries of the current exchange
	waiting []int   // indexes of the queries that were sent and not answered
	request [requestLen]byte
	packet  [maxReplyLen + 1]byte
}

// window is the maximum number of pending requests. It hides round trips, and keeps the
// replies well within a UDP socket's receive buffer. A Unix socket queues fewer packets
// (sysctl net.unix.max_dgram_qlen, 10 by default), but there chronyd's own queue limits
// the requests.
const window = 16

func (c *Client) connect(ctx context.Context, t target) (*conn, error) {
	var socket net.Conn
	var err error
	if t.path != "" {
		socket, err = dialUnix(ctx, t.path)
	} else {
		socket, err = new(net.Dialer).DialContext(ctx, "udp", t.String())
	}
	if err != nil {
		return nil, err
	}
	return &conn{Conn: socket, target: t, counts: &c.counts}, nil
}
