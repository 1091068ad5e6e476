package boundedtime_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chrony-tracker/chrony-tracker/boundedtime"
)

// A transaction takes the latest possible time as its timestamp. It is shown to others
// only when that time has certainly passed. So a transaction that begins after it, on
// any node, gets a later timestamp.
func Example_commitWait() {
	clock, err := boundedtime.Open(boundedtime.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer clock.Close()

	commit := func(write func(timestamp time.Time) error) error {
		_, timestamp, _, err := clock.Now()
		if err != nil {
			return fmt.Errorf("no timestamp: %w", err)
		}
		if err := write(timestamp); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return clock.WaitUntilAfter(ctx, timestamp)
	}
	fmt.Println(commit(func(timestamp time.Time) error { return nil }))
}

// The holder of a lease acts only while the lease has certainly not ended. Another node
// takes the lease over only when it certainly has. If the time is not known, neither
// does.
func Example_leaseExpiry() {
	clock, err := boundedtime.Open(boundedtime.Config{URL: "http://127.0.0.1:9123"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer clock.Close()

	expiry := time.Now().Add(10 * time.Second)
	mayAct := clock.Before(expiry)
	mayTakeOver := clock.After(expiry)
	fmt.Println(mayAct, mayTakeOver)
}

// Two events have a certain order only if their intervals do not overlap.
func Example_eventOrdering() {
	clock, err := boundedtime.Open(boundedtime.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer clock.Close()

	type event struct{ earliest, latest time.Time }
	happened := func() (event, error) {
		earliest, latest, status, err := clock.Now()
		if status == boundedtime.Disrupted {
			return event{}, errors.New("the clock was set just now: try again in a second")
		}
		return event{earliest, latest}, err
	}
	a, errA := happened()
	b, errB := happened() // perhaps on another node
	switch {
	case errors.Join(errA, errB) != nil:
		fmt.Println("unknown")
	case a.latest.Before(b.earliest):
		fmt.Println("a, then b")
	case b.latest.Before(a.earliest):
		fmt.Println("b, then a")
	default:
		fmt.Println("perhaps at the same time")
	}
}
