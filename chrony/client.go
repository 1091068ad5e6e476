package chrony

import (
	"context"
	"errors"
	"sync/atomic"
)

// A Client asks one chronyd. Several goroutines may use it. Their exchanges run one
// after the other. It connects with the first request, and reconnects if necessary, so
// it survives restarts of chronyd.
type Client struct {
	target  target
	closing context.Context // ends with Close
	close   context.CancelFunc
	busy    chan struct{} // holds one token while an exchange is in progress
	conn    *conn         // the connection of the last exchange, if it is still usable
	counts  counters
}

// NewClient returns a client that is not connected yet, for programs that can start
// before chronyd. The address is host:port, or unix:///path of chronyd's socket. If it
// is empty, the client asks the chronyd on this machine: 127.0.0.1:323 and, if nothing
// answers there, [::1]:323. The only error is [ErrAddress].
func NewClient(address string) (*Client, error) {
	target, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	return newClient(target), nil
}

func newClient(t target) *Client {
	c := &Client{target: t, busy: make(chan struct{}, 1)}
	c.closing, c.close = context.WithCancel(context.Background())
	return c
}

// Clone returns a client for the same chronyd that is not connected yet. Its exchanges do
// not wait for those of the original.
func (c *Client) Clone() *Client { return newClient(c.target) }

// Dial returns a client after its chronyd has answered. The address is as in
// [NewClient]. If chronyd does not answer, the error is an [*OpError].
func Dial(ctx context.Context, address string) (*Client, error) {
	c, err := NewClient(address)
	if err != nil {
		return nil, err
	}
	if _, err := c.Tracking(ctx); err != nil && !errors.As(err, new(*StatusError)) {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close aborts an exchange that is in progress, and closes the connection. All further
// requests fail with [net.ErrClosed].
func (c *Client) Close() error {
	c.close()
	c.busy <- struct{}{}
	defer func() { <-c.busy }()
	return c.disconnect()
}

func (c *Client) disconnect() error {
	if c.conn == nil {
		return nil
	}
	err := c.conn.Close()
	c.conn = nil
	return err
}

// Stats counts the packets that a client has sent and dropped since its creation.
type Stats struct {
	Requests uint64 // sent for the first time
	Retries  uint64 // sent again, because there was no answer

	// Packets that were dropped because they are not a valid answer.
	Malformed  uint64 // truncated, or not a reply of this protocol
	Oversized  uint64 // longer than any reply
	Unexpected uint64 // matches no pending request: late, duplicate or forged
}

// Plus returns the sum of the counts of two clients.
func (s Stats) Plus(other Stats) Stats {
	return Stats{
		Requests:   s.Requests + other.Requests,
		Retries:    s.Retries + other.Retries,
		Malformed:  s.Malformed + other.Malformed,
		Oversized:  s.Oversized + other.Oversized,
		Unexpected: s.Unexpected + other.Unexpected,
	}
}

// counters are Stats that can be read during an exchange.
type counters struct {
	requests, retries, malformed, oversized, unexpected atomic.Uint64
}

// Stats returns the client's counts.
func (c *Client) Stats() Stats {
	return Stats{
		Requests:   c.counts.requests.Load(),
		Retries:    c.counts.retries.Load(),
		Malformed:  c.counts.malformed.Load(),
		Oversized:  c.counts.oversized.Load(),
		Unexpected: c.counts.unexpected.Load(),
	}
}

// ask makes an exchange of a single query.
func (c *Client) ask(ctx context.Context, cmd *command, decode decoding) error {
	var refusal error
	_, err := c.exchange(ctx, func(ask func(query)) {
		refusal = nil
		ask(query{command: cmd, decode: decode, refuse: func(err error) { refusal = err }})
	})
	if err != nil {
		return err
	}
	return refusal
}
