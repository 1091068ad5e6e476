package tracker

import (
	"context"
	"errors"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// reasons names why an exchange can fail. The first match counts.
var reasons = []struct {
	name string
	err  error
}{
	{"abandoned", errAbandoned},
	{"permission", chrony.ErrPermission},
	{"unauthorized", chrony.ErrUnauthorized},
	{"bad_reply", chrony.ErrBadReply},
	{"deadline", context.DeadlineExceeded},
	{"no_answer", chrony.ErrNoAnswer},
}

// errAbandoned: the caller stopped waiting before chronyd's timeout.
var errAbandoned = errors.New("abandoned")

// otherReason is for all other failures.
const otherReason = "other"

// Reason names why an exchange failed, as in the metrics.
func Reason(err error) string {
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return r.name
		}
	}
	return otherReason
}

// Reasons lists the names of all reasons for which an exchange can fail.
func Reasons() []string {
	names := make([]string, 0, len(reasons)+1)
	for _, r := range reasons {
		names = append(names, r.name)
	}
	return append(names, otherReason)
}

func noFailures() map[string]uint64 {
	failures := make(map[string]uint64)
	for _, name := range Reasons() {
		failures[name] = 0
	}
	return failures
}
