package chronytest

import (
	"context"
	"fmt"
	"io"
	"time"
)

// TB is what this package uses of [testing.TB]. Programs use this package too, and
// must not link the package testing.
type TB interface {
	Helper()
	Name() string
	Context() context.Context
	Cleanup(func())
	Failed() bool
	Output() io.Writer
	Fatal(args ...any)
	Skip(args ...any)
}

// Patience is the longest wait for anything that takes a second on an idle machine.
// It only matters to a test that fails.
const Patience = time.Minute

// Await waits until a condition holds. If it does not hold within [Patience], the test
// fails and prints the details.
func Await(t TB, what string, condition func() bool, details ...func() any) {
	t.Helper()
	AwaitFor(t, Patience, what, condition, details...)
}

// AwaitFor is Await with another limit, for a condition that takes longer.
func AwaitFor(t TB, limit time.Duration, what string, condition func() bool, details ...func() any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if Poll(ctx, condition) == nil {
		return
	}
	message := fmt.Sprintf("waited %v for %s", limit, what)
	for _, detail := range details {
		message += fmt.Sprintf("\n%+v", detail())
	}
	t.Fatal(message)
}

// Poll calls a condition until it holds, and returns an error if ctx ends first. It
// begins with short pauses and ends with pauses of 50 ms.
func Poll(ctx context.Context, condition func() bool) error {
	for pause := time.Millisecond; !condition(); pause = min(2*pause, 50*time.Millisecond) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
	return nil
}

// Limit ends the whole test binary with all its stacks if the test takes longer, as the
// flag -timeout does for a package. Every wait in a test must have a limit.
func Limit(t TB, limit time.Duration) {
	t.Helper()
	name := t.Name()
	timer := time.AfterFunc(limit, func() { panic(fmt.Sprintf("%s has run for %v", name, limit)) })
	t.Cleanup(func() { timer.Stop() })
}

// Must fails the test if there is an error.
func Must(t TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
