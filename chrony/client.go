package chrony

import (
	"context"
	"errors"
	"sync/atomic"
)

// A Client asks one chronyd. It may be used by several goroutines: their
// exchanges follow one another. It connects when it is first asked and again
// whenever that is needed, so it outlives restarts of chronyd.
type Client struct {
	target  target
	closing context.Context // ends with Close
	close   context.CancelFunc
	busy    chan struct{} // holds one token while an exchange is under way
	conn    *conn         // the connection that served the last exchange, if it is still good
	counts  counters
}

// NewClient returns a client that has not connected yet: for programs that may
// start before chronyd does. The address is host:port, or unix:///path of
// chronyd's socket, or empty for the chronyd on this machine: 127.0.0.1:323 and,
// if nobody answers there, [::1]:323. It fails with [ErrAddress] only.
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

// Clone returns a client of the same chronyd that has not connected yet: for
// exchanges that must not wait for those of the other.
func (c *Client) Clone() *Client { return newClient(c.target) }

// Dial returns a client whose chronyd has answered. The address is that of
// [NewClient].
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

// Close ends an exchange that is under way, and the connection. All further
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

// Stats counts what a client has sent and dropped since it was made.
type Stats struct {
	Requests uint64 // sent for the first time
	Retries  uint64 // sent again, for want of an answer

	// Packets that were dropped instead of being taken for an answer.
	Malformed  uint64 // truncated, or not a reply of this protocol
	Oversized  uint64 // longer than any reply
	Unexpected uint64 // fits no request that is waiting: late, repeated, or forged
}

// Plus returns the counts of two clients together.
func (s Stats) Plus(other Stats) Stats {
	return Stats{
		Requests:   s.Requests + other.Requests,
		Retries:    s.Retries + other.Retries,
		Malformed:  s.Malformed + other.Malformed,
		Oversized:  s.Oversized + other.Oversized,
		Unexpected: s.Unexpected + other.Unexpected,
	}
}

// counters are Stats that may be read during an exchange.
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
