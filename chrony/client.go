package chrony

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// A Client asks one chronyd. It may be used by several goroutines: their
// exchanges follow one another. It connects when it is first asked and again
// whenever that is needed, so it outlives restarts of chronyd.
type Client struct {
	target target
	busy   chan struct{} // holds one token while an exchange is under way
	conn   *conn         // the connection that served the last exchange, if it is still good
	counts counters
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
	return &Client{target: target, busy: make(chan struct{}, 1)}, nil
}

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

// Close ends the connection. The client may be used again; it then connects
// anew.
func (c *Client) Close() error {
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

// Want names the reports that [Client.Report] reads.
type Want uint8

// The reports. They can be or-ed.
const (
	WantTracking Want = 1 << iota
	WantActivity
	WantSources
)

// Report is what one call of [Client.Report] read.
type Report struct {
	At      time.Time // when the first replies had arrived, Tracking among them
	Address string    // of the chronyd that answered

	Tracking *Tracking // nil unless wanted and given
	Activity *Activity // nil unless wanted and given
	Sources  []Source  // nil unless wanted and given

	// Refused holds, for each wanted report that chronyd didn't give, why: most
	// often [ErrUnauthorized]. It is nil when all were given.
	Refused map[Want]error
}

// Report reads several reports in as few round trips as the protocol allows.
// That chronyd refuses one of them doesn't concern the others: see
// [Report.Refused]. It fails if chronyd doesn't answer.
func (c *Client) Report(ctx context.Context, want Want) (*Report, error) {
	var (
		tracking Tracking
		activity Activity
		count    uint32
	)
	var wanted []Want
	var queries []query
	add := func(w Want, cmd *command, decode func([]byte)) {
		if want&w != 0 {
			wanted = append(wanted, w)
			queries = append(queries, query{command: cmd, decode: decode})
		}
	}
	add(WantTracking, &cmdTracking, tracking.decode)
	add(WantActivity, &cmdActivity, activity.decode)
	add(WantSources, &cmdNumSources, func(b []byte) { count = wireUint32(b) })

	address, err := c.exchange(ctx, queries)
	if err != nil {
		return nil, err
	}
	report := &Report{At: time.Now(), Address: address}
	for i, w := range wanted {
		if err := queries[i].err; err != nil {
			report.refuse(w, err)
			continue
		}
		switch w {
		case WantTracking:
			report.Tracking = &tracking
		case WantActivity:
			report.Activity = &activity
		case WantSources:
			if err := c.readSources(ctx, count, report); err != nil {
				return nil, err
			}
		}
	}
	return report, nil
}

func (r *Report) refuse(w Want, err error) {
	if r.Refused == nil {
		r.Refused = make(map[Want]error)
	}
	r.Refused[w] = err
}

// ask makes an exchange of a single query.
func (c *Client) ask(ctx context.Context, q query) error {
	queries := [1]query{q}
	if _, err := c.exchange(ctx, queries[:]); err != nil {
		return err
	}
	return queries[0].err
}
