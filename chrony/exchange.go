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

// A query is one request, and what becomes of it.
type query struct {
	command  *command
	argument uint32
	decode   func(body []byte) // given a body of the right length, valid only during the call
	err      error             // chronyd's refusal, as an *OpError

	sequence uint32
	attempts uint16
}

// Requests are sent again when no answer has arrived for this long, then for
// twice as long, and so on up to the last. A healthy chronyd on the same machine
// answers within a millisecond.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 4 * time.Second
)

// exchange puts the queries to chronyd and returns the connection that served
// them. It fails if chronyd can't be reached or a query is still without an
// answer when the context ends; an answer that is a refusal is the query's own
// affair.
func (c *Client) exchange(ctx context.Context, queries []query) (*conn, error) {
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
		err := c.conn.exchange(ctx, queries)
		if err == nil {
			return c.conn, nil
		}
		failed := c.conn.target
		c.disconnect()
		if ctx.Err() != nil {
			return nil, targetError(failed, err)
		}
		// chronyd was restarted, perhaps: its new socket may be there already.
	}
	return c.exchangeAnew(ctx, queries)
}

// exchangeAnew connects to one address of the target after the other and keeps
// the connection that served.
func (c *Client) exchangeAnew(ctx context.Context, queries []query) (*conn, error) {
	targets, err := c.target.resolve(ctx)
	if err != nil {
		return nil, targetError(c.target, err)
	}
	var failures several
	for i, t := range targets {
		err := c.exchangeWith(ctx, t, len(targets)-i, queries)
		if err == nil {
			return c.conn, nil
		}
		failures = append(failures, targetError(t, err))
	}
	if len(failures) == 1 {
		return nil, failures[0]
	}
	return nil, failures
}

// longestShare is how long an address may stay silent before the next is tried
// by a context without a deadline.
const longestShare = 10 * time.Second

// exchangeWith makes the exchange with one address. If others are left it has
// an equal share of the time.
func (c *Client) exchangeWith(ctx context.Context, t target, left int, queries []query) error {
	if left > 1 {
		share := longestShare
		if deadline, ok := ctx.Deadline(); ok {
			share = time.Until(deadline) / time.Duration(left)
		}
		limited, cancel := context.WithTimeout(ctx, share)
		defer cancel()
		ctx = limited
	}
	conn, err := c.connect(ctx, t)
	if err != nil {
		return err
	}
	if err := conn.exchange(ctx, queries); err != nil {
		conn.Close()
		return err
	}
	c.conn = conn
	return nil
}

// exchange sends all queries, at most a window of them ahead of their answers,
// and again those that stay without one.
func (c *conn) exchange(ctx context.Context, queries []query) error {
	release := c.interruptOn(ctx)
	defer release()

	var room [window]*query
	waiting := room[:0]
	retryAfter, retryAt := firstRetry, time.Now().Add(firstRetry)
	fouled := false
	for next := 0; ; {
		for len(waiting) < window && next < len(queries) {
			q := &queries[next]
			q.err, q.attempts, q.sequence = nil, 0, unusedSequence(waiting)
			if err := c.send(q); err != nil {
				return c.interrupted(ctx, err, fouled)
			}
			waiting = append(waiting, q)
			next++
		}
		if len(waiting) == 0 {
			return nil
		}

		n, err := c.receive(ctx, retryAt)
		switch {
		case err == nil:
			answered, foul := c.accept(c.packet[:n], waiting)
			fouled = fouled || foul
			if answered >= 0 {
				waiting = slices.Delete(waiting, answered, answered+1)
				retryAt = time.Now().Add(retryAfter)
			}
		case !errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil:
			return c.interrupted(ctx, err, fouled)
		case !time.Now().Before(retryAt):
			for _, q := range waiting {
				if err := c.send(q); err != nil {
					return c.interrupted(ctx, err, fouled)
				}
			}
			retryAfter = min(2*retryAfter, lastRetry)
			retryAt = time.Now().Add(retryAfter)
		}
	}
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

// interrupted turns a failed read or write into the exchange's error. An
// exchange whose time ran out among packets that fit nothing had a bad reply.
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

// unusedSequence draws a number that no waiting request has.
func unusedSequence(waiting []*query) uint32 {
	for {
		var b [4]byte
		rand.Read(b[:])
		sequence := binary.NativeEndian.Uint32(b[:])
		if !slices.ContainsFunc(waiting, func(q *query) bool { return q.sequence == sequence }) {
			return sequence
		}
	}
}

// send sends a request, for the first time or again. It keeps its sequence
// number, as the answer to an earlier attempt answers it as well.
func (c *conn) send(q *query) error {
	putRequest(c.request[:], q.command.code, q.attempts, q.sequence, q.argument)
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
	if ctx.Err() != nil { // the interruption may have come before this deadline
		return 0, os.ErrDeadlineExceeded
	}
	return c.Read(c.packet[:])
}

// accept finds the waiting query that a packet answers, hands it the answer,
// and returns its index, or -1 if the packet is to be dropped. A packet is foul
// if chronyd would not send it.
func (c *conn) accept(packet []byte, waiting []*query) (index int, foul bool) {
	if len(packet) > maxReplyLen {
		c.counts.oversized.Add(1)
		return -1, true
	}
	header, body, ok := parseReply(packet)
	if !ok {
		c.counts.malformed.Add(1)
		return -1, true
	}
	index = slices.IndexFunc(waiting, func(q *query) bool {
		return q.sequence == header.sequence && q.command.code == header.command
	})
	if index < 0 {
		c.counts.unexpected.Add(1)
		return -1, false
	}
	q := waiting[index]
	if want, known := q.command.length(header.reply); known && len(body) != want {
		c.counts.malformed.Add(1)
		return -1, true
	}
	switch {
	case header.status != statusSuccess:
		q.err = queryError(c.target, q.command, &StatusError{header.status})
	case header.reply == q.command.reply:
		q.decode(body)
	case header.reply == replyNull && q.command.ofSource:
		q.err = queryError(c.target, q.command, &StatusError{statusNoSuchSource})
	default:
		q.err = queryError(c.target, q.command, fmt.Errorf("%w: of type %d", ErrBadReply, header.reply))
	}
	return index, false
}
