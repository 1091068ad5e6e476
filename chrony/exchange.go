package chrony

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"
)

// A query is one request, and the functions that receive its result.
type query struct {
	command  *command
	index    uint32  // of the source that it is about, or
	address  Address // that source's address
	decode   decoding
	refuse   func(err error) // given chronyd's refusal, as an *OpError
	optional bool            // the exchange can succeed without an answer to it
	sequence uint32
	attempts uint16
}

// A decoding receives a body of the right length. It is valid only during the call.
type decoding = func(reply uint16, body []byte)

// A plan makes the requests of an exchange. The functions that receive answers may
// make more requests. If a connection fails, the plan starts again on another one. It
// must then drop all earlier answers.
type plan func(ask func(query))

// A request is sent again if no answer arrives within the first timeout. The timeout
// doubles each time, up to the last. A healthy chronyd on the same machine answers
// within 1 ms.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 4 * time.Second
)

// exchange carries out a plan and returns the connection that it used. It fails if
// chronyd can't be reached, or if a query has no answer when the context ends. An
// optional query may stay unanswered if others were answered. A refusal only concerns
// its own query.
func (c *Client) exchange(ctx context.Context, p plan) (*conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.closing, func() { cancel(net.ErrClosed) })()
	select {
	case c.busy <- struct{}{}:
		defer func() { <-c.busy }()
	case <-ctx.Done():
		return nil, targetError(c.target, context.Cause(ctx))
	}
	if c.closing.Err() != nil {
		return nil, targetError(c.target, net.ErrClosed)
	}

	if c.conn != nil {
		err := c.conn.exchange(ctx, p)
		if err == nil {
			return c.served(c.conn), nil
		}
		failed := c.conn.target
		c.disconnect()
		if ctx.Err() != nil {
			return nil, targetError(failed, err)
		}
		// chronyd may have restarted. Its new socket may already exist.
	}
	return c.exchangeAnew(ctx, p)
}

// exchangeAnew tries the target's addresses in turn and keeps the connection that
// worked.
func (c *Client) exchangeAnew(ctx context.Context, p plan) (*conn, error) {
	targets, err := c.target.resolve(ctx)
	if err != nil {
		return nil, targetError(c.target, err)
	}
	var failures addressErrors
	for i, t := range targets {
		conn, err := c.exchangeWith(ctx, t, len(targets)-i, p)
		if err == nil {
			return c.served(conn), nil
		}
		failures = append(failures, targetError(t, err))
	}
	if len(failures) == 1 {
		return nil, failures[0]
	}
	return nil, failures
}

// served keeps the connection for the next exchange, unless answers to this one may
// still arrive.
func (c *Client) served(conn *conn) *conn {
	c.conn = conn
	if conn.owed {
		c.disconnect()
	}
	return conn
}

// longestShare is how long to wait for an address before the next is tried, if the
// context has no deadline.
const longestShare = 10 * time.Second

// exchangeWith makes the exchange with one address. If others are left it has
// an equal share of the time.
func (c *Client) exchangeWith(ctx context.Context, t target, left int, p plan) (*conn, error) {
	if left > 1 {
		share := longestShare
		if deadline, ok := ctx.Deadline(); ok {
			share = time.Until(deadline) / time.Duration(left)
		}
		limited, cancel := context.WithTimeout(ctx, share)
		defer cancel()
		ctx = limited
	}
	for {
		conn, err := c.connect(ctx, t)
		if err != nil {
			return nil, err
		}
		if err = conn.exchange(ctx, p); err == nil {
			return conn, nil
		}
		conn.Close()
		if !conn.answered || ctx.Err() != nil {
			return nil, err
		}
		// chronyd stopped during the exchange. It may be restarting.
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// exchange sends all queries of a plan, with at most one window of unanswered queries.
// It sends unanswered queries again.
func (c *conn) exchange(ctx context.Context, p plan) error {
	release := c.interruptOn(ctx)
	defer release()

	c.queue, c.waiting = c.queue[:0], c.waiting[:0]
	p(c.ask)
	served := false
	retryAfter, retryAt := firstRetry, time.Now().Add(firstRetry)
	fouled := false
	for next := 0; ; {
		for len(c.waiting) < window && next < len(c.queue) {
			if err := c.begin(next); err != nil {
				return c.interrupted(ctx, err, fouled)
			}
			next++
		}
		if len(c.waiting) == 0 {
			return nil
		}

		n, err := c.receive(ctx, retryAt)
		switch {
		case err == nil:
			answered, foul := c.accept(c.packet[:n])
			fouled = fouled || foul
			if answered {
				served = true
				retryAt = time.Now().Add(retryAfter)
			}
		case served && errors.Is(err, os.ErrDeadlineExceeded) && errors.Is(ctx.Err(), context.DeadlineExceeded) && c.canDoWithout(next):
			c.giveUp(next)
			return nil
		case !errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil:
			return c.interrupted(ctx, err, fouled)
		case !time.Now().Before(retryAt):
			for _, i := range c.waiting {
				if err := c.send(&c.queue[i]); err != nil {
					return c.interrupted(ctx, err, fouled)
				}
			}
			retryAfter = min(2*retryAfter, lastRetry)
			retryAt = time.Now().Add(retryAfter)
		}
	}
}

// canDoWithout reports whether all unanswered and unsent queries are optional. The
// unsent ones begin at next.
func (c *conn) canDoWithout(next int) bool {
	needed := func(q query) bool { return !q.optional }
	return !slices.ContainsFunc(c.queue[next:], needed) &&
		!slices.ContainsFunc(c.waiting, func(i int) bool { return needed(c.queue[i]) })
}

// giveUp refuses all queries without an answer.
func (c *conn) giveUp(next int) {
	c.owed = true
	late := fmt.Errorf("%w: %w", ErrNoAnswer, deadlineError{})
	for _, i := range c.waiting {
		c.queue[i].refuse(queryError(c.target, c.queue[i].command, late))
	}
	for ; next < len(c.queue); next++ {
		c.queue[next].refuse(queryError(c.target, c.queue[next].command, late))
	}
}

func (c *conn) ask(q query) { c.queue = append(c.queue, q) }

// begin sends the query for the first time, unless this chronyd is known not to
// know the command.
func (c *conn) begin(i int) error {
	q := &c.queue[i]
	if until, ok := c.unknown[q.command.code]; ok && time.Now().Before(until) {
		q.refuse(queryError(c.target, q.command, &StatusError{statusInvalid}))
		return nil
	}
	q.sequence = c.unusedSequence()
	if err := c.send(q); err != nil {
		return err
	}
	c.waiting = append(c.waiting, i)
	return nil
}

// interruptOn makes the context's end wake a blocked read or write. The
// returned function undoes that.
func (c *conn) interruptOn(ctx context.Context) (release func()) {
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		c.SetDeadline(time.Unix(1, 0))
		close(interrupted)
	})
	return func() {
		if !stop() { // it must not hit the next exchange
			<-interrupted
			c.SetDeadline(time.Time{})
		}
	}
}

// interrupted turns a failed read or write into the exchange's error. If the exchange
// timed out and only invalid packets arrived, the error is a bad reply.
func (c *conn) interrupted(ctx context.Context, err error, fouled bool) error {
	switch {
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case fouled:
		return fmt.Errorf("%w: %w", ErrBadReply, context.Cause(ctx))
	default:
		return context.Cause(ctx)
	}
}

// unusedSequence returns a random number that no waiting request uses.
func (c *conn) unusedSequence() uint32 {
	for {
		var b [4]byte
		rand.Read(b[:])
		sequence := binary.NativeEndian.Uint32(b[:])
		if !slices.ContainsFunc(c.waiting, func(i int) bool { return c.queue[i].sequence == sequence }) {
			return sequence
		}
	}
}

// send sends a request, for the first time or again. The sequence number stays the
// same, so an answer to an earlier attempt also counts.
func (c *conn) send(q *query) error {
	putRequest(c.request[:], q)
	if q.attempts == 0 {
		c.counts.requests.Add(1)
	} else {
		c.counts.retries.Add(1)
	}
	q.attempts++
	_, err := c.Write(c.request[:])
	return err
}

// receive waits for a packet until the given time or the context's end.
func (c *conn) receive(ctx context.Context, until time.Time) (int, error) {
	c.SetReadDeadline(until)
	if ctx.Err() != nil { // the interruption may have happened before this deadline was set
		return 0, os.ErrDeadlineExceeded
	}
	return c.Read(c.packet[:])
}

// accept finds the waiting query that a packet answers, and passes the answer to it. If
// there is none, it drops the packet. A packet that chronyd never sends is invalid.
func (c *conn) accept(packet []byte) (answered, foul bool) {
	if len(packet) > maxReplyLen {
		c.counts.oversized.Add(1)
		return false, true
	}
	header, body, ok := parseReply(packet)
	if !ok {
		c.counts.malformed.Add(1)
		return false, true
	}
	at := slices.IndexFunc(c.waiting, func(i int) bool {
		return c.queue[i].sequence == header.sequence && c.queue[i].command.code == header.command
	})
	if at < 0 {
		c.counts.unexpected.Add(1)
		return false, false
	}
	q := c.queue[c.waiting[at]] // a copy, because the function called next may add queries
	want, known := q.command.length(header.reply)
	if known && len(body) != want {
		c.counts.malformed.Add(1)
		return false, true
	}
	c.waiting, c.answered = slices.Delete(c.waiting, at, at+1), true
	switch {
	case header.status != statusSuccess:
		c.refused(q, header.status)
	case header.reply == replyNull && q.command.ofSource:
		c.refused(q, statusNoSuchSource)
	case header.reply == replyNull || !known:
		q.refuse(queryError(c.target, q.command, fmt.Errorf("%w: of type %d", ErrBadReply, header.reply)))
	default:
		q.decode(header.reply, body)
	}
	return true, false
}

// unknownFor is how long a command stays marked as unknown. Then it is tried again,
// because UDP does not show that a newer chronyd has started.
const unknownFor = 10 * time.Minute

func (c *conn) refused(q query, status uint16) {
	if status == statusInvalid {
		if c.unknown == nil {
			c.unknown = make(map[uint16]time.Time)
		}
		c.unknown[q.command.code] = time.Now().Add(unknownFor)
	}
	q.refuse(queryError(c.target, q.command, &StatusError{status}))
}
