package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A peer does the same thing over and over.
type peer struct {
	name string
	once func() error
	cpu  func() time.Duration // that the peer has used so far
}

// A cost is what doing the thing once takes, in microseconds.
type cost struct {
	median, p99 float64 // of the time until it is done
	cpu         float64 // the mean
}

// takeTurns has the peers do their thing in turns, so that what else the machine
// does hits all alike. In the next round another one begins.
func takeTurns(ctx context.Context, peers []peer, rounds, times int) ([]cost, error) {
	took := make([][]time.Duration, len(peers))
	used := make([]time.Duration, len(peers))
	for round := range rounds {
		for turn := range peers {
			i := (round + turn) % len(peers)
			p := &peers[i]
			if err := p.once(); err != nil { // it has rested for long
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			before := p.cpu()
			for range times / rounds {
				start := time.Now()
				if err := p.once(); err != nil {
					return nil, fmt.Errorf("%s: %w", p.name, err)
				}
				took[i] = append(took[i], time.Since(start))
			}
			used[i] += p.cpu() - before
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
	}
	costs := make([]cost, len(peers))
	for i, all := range took {
		slices.Sort(all)
		costs[i] = cost{
			median: microseconds(all[len(all)/2]),
			p99:    microseconds(all[len(all)*99/100]),
			cpu:    microseconds(used[i]) / float64(len(all)),
		}
	}
	return costs, nil
}

// cpuOf is the processor time, in user and kernel mode, that a process and all
// its threads have used so far, to the nanosecond: see clock_getcpuclockid(3).
// The process 0 is this one.
func cpuOf(pid int) time.Duration {
	const scheduled = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
