package chrony

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"
)

// The kinds of errors, for [errors.Is]. A timeout is also
// [context.DeadlineExceeded].
var (
	// ErrAddress: the address can't be understood.
	ErrAddress = errors.New("bad address")

	// ErrNoAnswer: chronyd does not answer at the address.
	ErrNoAnswer = errors.New("no answer")

	// ErrPermission: this process may not use chronyd's socket.
	ErrPermission = errors.New("no permission")

	// ErrUnauthorized: chronyd refuses this report over this connection.
	ErrUnauthorized = errors.New("not authorised")

	// ErrUnknownCommand: this version of chronyd doesn't know the report.
	ErrUnknownCommand = errors.New("unknown to this chronyd")

	// ErrNoSuchSource: the source was removed in the meantime.
	ErrNoSuchSource = errors.New("no such source")

	// ErrBadReply: chronyd's reply can't be understood.
	ErrBadReply = errors.New("bad reply")
)

// An OpError is the failure of one operation of a [Client]. If several addresses were
// tried, the error consists of one OpError for each.
type OpError struct {
	Op      string // the request as chrony's protocol names it; empty if none could be made
	Address string // where chronyd was asked
	Err     error  // what happened
	hint    string
}

// Error returns what failed, where and why.
func (e *OpError) Error() string {
	if e.Op == "" {
		return fmt.Sprintf("chronyd at %s: %v", e.Address, e.Err)
	}
	return fmt.Sprintf("chronyd at %s: %s: %v", e.Address, e.Op, e.Err)
}

// Unwrap returns what happened.
func (e *OpError) Unwrap() error { return e.Err }

// Timeout reports whether a deadline has passed.
func (e *OpError) Timeout() bool { return errors.Is(e.Err, context.DeadlineExceeded) }

// Hint returns a text that says how to fix the error.
func (e *OpError) Hint() string { return e.hint }

// A StatusError is a status other than success in chronyd's reply to one
// request. Other requests may succeed.
type StatusError struct {
	Status uint16 // a STT_ constant of chrony's candm.h
}

const (
	statusSuccess      = 0
	statusInvalid      = 3
	statusNoSuchSource = 4
)

var statuses = map[uint16]struct {
	err  error // nil if callers don't need to distinguish it
	text string
}{
	1: {nil, "failed"},
	2: {ErrUnauthorized, "not authorised"},

	statusInvalid:      {ErrUnknownCommand, "command unknown to this chronyd"},
	statusNoSuchSource: {ErrNoSuchSource, "no such source"},

	6:  {nil, "not enabled"},
	13: {nil, "no real-time clock"},
	15: {nil, "inactive"},
	18: {ErrBadReply, "bad protocol version"},
	19: {ErrBadReply, "bad packet length"},
}

// Error returns the status in words.
func (e *StatusError) Error() string {
	if s, ok := statuses[e.Status]; ok {
		return s.text
	}
	return fmt.Sprintf("status %d", e.Status)
}

// Is reports whether the status is the given error of this package.
func (e *StatusError) Is(target error) bool {
	known := statuses[e.Status].err
	return known != nil && known == target
}

// deadlineError is context.DeadlineExceeded with a clearer text.
type deadlineError struct{}

func (deadlineError) Error() string        { return "the deadline has passed" }
func (deadlineError) Is(target error) bool { return target == context.DeadlineExceeded }
func (deadlineError) Timeout() bool        { return true }

// addressErrors are the failures of all the addresses that were tried.
type addressErrors []error

func (s addressErrors) Error() string {
	texts := make([]string, len(s))
	for i, err := range s {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (s addressErrors) Unwrap() []error { return s }

func addressError(address, why string) error {
	return &OpError{
		Address: fmt.Sprintf("%q", address),
		Err:     fmt.Errorf("%w: %s", ErrAddress, why),
		hint:    "an address is host:port, such as 127.0.0.1:323 or [::1]:323, or unix:///run/chrony/chronyd.sock",
	}
}

// queryError is a failure that concerns one request and not the way to chronyd.
func queryError(t target, cmd *command, err error) error {
	e := &OpError{Op: cmd.name, Address: t.String(), Err: err, hint: "check that this is a chronyd: its answer matches no known version"}
	switch {
	case errors.Is(err, ErrUnauthorized):
		e.hint = "chronyd gives this report on its Unix socket only. From version 4.7 on, opencommands in chrony.conf can open it"
	case errors.Is(err, ErrUnknownCommand):
		e.hint = "chronyd is too old for this report"
	case errors.Is(err, context.DeadlineExceeded):
		e.hint = "chronyd answers other requests, but not this one in time"
	case errors.Is(err, ErrNoSuchSource):
		e.hint = "the source was removed during the request: ask again"
	case errors.As(err, new(*StatusError)) && !errors.Is(err, ErrBadReply):
		e.hint = "chronyd is not configured for this report: in chrony.conf, rtcdata needs rtcfile, and smoothing needs smoothtime"
	}
	return e
}

// targetError is a failure to reach chronyd or to get an answer.
func targetError(t target, err error) error {
	e := &OpError{Address: t.String()}
	if cause := (syscall.Errno)(0); errors.As(err, &cause) {
		err = cause // without the ephemeral port and the names of system calls
	}
	var name *net.DNSError
	switch {
	case errors.Is(err, ErrBadReply):
		e.Err, e.hint = err, "check that this is a chronyd: its answers match no request"
	case errors.As(err, &name):
		e.Err = fmt.Errorf("%w: %w", ErrNoAnswer, err)
		e.hint = "the host's name can't be resolved: use an IP address"
	case errors.Is(err, context.DeadlineExceeded):
		e.Err, e.hint = fmt.Errorf("%w: %w", ErrNoAnswer, deadlineError{}), t.silenceHint()
	case errors.Is(err, context.Canceled), errors.Is(err, net.ErrClosed):
		e.Err, e.hint = err, "the caller does not wait any more"
	case errors.Is(err, syscall.EROFS):
		e.Err = fmt.Errorf("%w: %w", ErrPermission, err)
		e.hint = "the client needs its own socket next to chronyd's: mount the directory writable, or use the address 127.0.0.1:323"
	case errors.Is(err, fs.ErrPermission):
		e.Err, e.hint = fmt.Errorf("%w: %w", ErrPermission, err), t.permissionHint()
	case isAbsence(err):
		e.Err, e.hint = fmt.Errorf("%w: %w", ErrNoAnswer, err), t.absenceHint(err)
	default:
		e.Err = fmt.Errorf("could not send or receive: %w", err)
		e.hint = "the cause is on this machine, not in chronyd"
	}
	return e
}

// isAbsence reports whether no program listens at the address.
func isAbsence(err error) bool {
	for _, absent := range []syscall.Errno{
		syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ENOTCONN,
		syscall.ENOENT, syscall.ENOTDIR, syscall.EHOSTUNREACH, syscall.ENETUNREACH,
	} {
		if errors.Is(err, absent) {
			return true
		}
	}
	return false
}
