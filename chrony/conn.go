package chrony

import (
	"context"
	"net"
	"time"
)

// A conn is a connected datagram socket: the kernel lets through only what
// chronyd's own socket sent, and reports when that is gone. After any failure
// it is closed and another one made, so that late answers have nowhere to go.
type conn struct {
	net.Conn
	target  target
	counts  *counters
	unknown map[uint16]time.Time // commands that this chronyd does not know, until when

	answered bool // anything at all
	owed     bool // answers that nobody waits for any more

	queue   []query // of the exchange that is under way
	waiting []int   // those of them that were sent and not answered
	request [requestLen]byte
	packet  [maxReplyLen + 1]byte
}

// window is how many requests may be waiting for their answers. It hides the
// round trips, and keeps the replies well within a UDP socket's receive buffer. A
// Unix socket queues fewer (sysctl net.unix.max_dgram_qlen, 10 by default), but
// there chronyd's own queue holds the requests back just as well.
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
