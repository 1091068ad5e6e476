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
	c := &Client{target: target, busy: make(chan struct{}, 1)}
	c.closing, c.close = context.WithCancel(context.Background())
	return c, nil
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
	At      time.Time // when Tracking arrived; zero if that was not wanted or not given
	Address string    // of the chronyd that answered

	Tracking *Tracking // nil unless wanted and given
	Activity *Activity // nil unless wanted and given
	Sources  []Source  // nil unless wanted and given

	// Refused holds, for each wanted report that chronyd didn't give, why: most
	// often [ErrUnauthorized]. It is nil when all were given.
	Refused map[Want]error
}

// Report reads several reports in as few round trips as the protocol allows: one
// or, with the sources, two. All of them come from the same chronyd. That it
// refuses one of them doesn't concern the others: see [Report.Refused]. It fails
// if chronyd doesn't answer.
func (c *Client) Report(ctx context.Context, want Want) (*Report, error) {
	for {
		report, err := c.report(ctx, want)
		if !errors.Is(err, errReplaced) {
			return report, err
		}
	}
}

// errReplaced says that another chronyd answered the second half of a report
// than the first.
var errReplaced = errors.New("chronyd was replaced")

func (c *Client) report(ctx context.Context, want Want) (*Report, error) {
	r := &Report{}
	var first *conn
	var count uint32
	if want&WantSources != 0 {
		var err error
		if count, first, err = c.numSources(ctx); first == nil {
			return nil, err
		}
		r.note(WantSources, err)
	}

	sources := make([]Source, count)
	var activity Activity
	var tracking Tracking
	queries := make([]query, 0, len(sources)+2)
	for i := range sources {
		queries = append(queries, query{command: &cmdSourceData, argument: uint32(i), decode: sources[i].decode})
	}
	if want&WantActivity != 0 {
		queries = append(queries, query{command: &cmdActivity, decode: activity.decode})
	}
	if want&WantTracking != 0 { // last, so that nothing else is newer than what it says of the clock
		queries = append(queries, query{command: &cmdTracking, decode: func(b []byte) {
			tracking.decode(b)
			r.At = time.Now()
		}})
	}
	served, err := c.exchange(ctx, queries)
	if err != nil {
		return nil, err
	}
	if first != nil && served != first {
		return nil, errReplaced
	}

	r.Address = served.target.String()
	if want&WantSources != 0 && r.Refused == nil {
		r.Sources, err = present(sources, queries)
		r.note(WantSources, err)
	}
	rest := queries[len(sources):]
	if want&WantActivity != 0 {
		if r.note(WantActivity, rest[0].err) {
			r.Activity = &activity
		}
		rest = rest[1:]
	}
	if want&WantTracking != 0 && r.note(WantTracking, rest[0].err) {
		r.Tracking = &tracking
	}
	return r, nil
}

// note remembers why a report was refused, if it was.
func (r *Report) note(w Want, refusal error) (given bool) {
	if refusal == nil {
		return true
	}
	if r.Refused == nil {
		r.Refused = make(map[Want]error)
	}
	r.Refused[w] = refusal
	return false
}

// ask makes an exchange of a single query.
func (c *Client) ask(ctx context.Context, q query) error {
	queries := [1]query{q}
	if _, err := c.exchange(ctx, queries[:]); err != nil {
		return err
	}
	return queries[0].err
}
