package chrony

import (
	"context"
	"net"
)

// A conn is a connected datagram socket: the kernel lets through only what
// chronyd's own socket sent, and reports when that is gone. After any failure
// it is closed and another one made, so that late answers have nowhere to go.
type conn struct {
	net.Conn
	target  target
	window  int // requests that may be waiting for their answers
	counts  *counters
	request [requestLen]byte
	packet  [maxReplyLen + 1]byte
}

const (
	// windowUDP keeps the replies of a whole window well within the receive
	// buffer, and is large enough to hide the round trip (measured).
	windowUDP = 16

	// windowUnix is what a Unix datagram socket queues at least (sysctl
	// net.unix.max_dgram_qlen, 10 by default): chronyd doesn't wait, it drops
	// the reply for which there is no room.
	windowUnix = 10
)

func (c *Client) connect(ctx context.Context, t target) (*conn, error) {
	if t.path != "" {
		socket, err := dialUnix(ctx, t.path)
		if err != nil {
			return nil, err
		}
		return &conn{Conn: socket, target: t, window: windowUnix, counts: &c.counts}, nil
	}
	var dialer net.Dialer
	socket, err := dialer.DialContext(ctx, "udp", t.String())
	if err != nil {
		return nil, err
	}
	return &conn{Conn: socket, target: t, window: windowUDP, counts: &c.counts}, nil
}
