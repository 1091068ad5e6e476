package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A peer is a program or client that is measured. It repeats one operation.
type peer struct {
	name string
	once func() error
	cpu  func() time.Duration // CPU time that the peer has used so far
	rest time.Duration        // before each operation; not measured
}

// A cost is the cost of one operation, in microseconds.
type cost struct {
	median, p99 float64 // of the elapsed time
	cpu         float64 // the mean
}

// takeTurns measures the peers in turns, so that other load on the machine affects all
// of them equally. Each round starts with another peer.
func takeTurns(ctx context.Context, peers []peer, rounds, times int) ([]cost, error) {
	took := make([][]time.Duration, len(peers))
	used := make([]time.Duration, len(peers))
	for round := range rounds {
		for turn := range peers {
			i := (round + turn) % len(peers)
			p := &peers[i]
			if err := p.once(); err != nil { // warm-up after a pause
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			before := p.cpu()
			for range times / rounds {
				time.Sleep(p.rest)
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

// cpuOf returns the CPU time, in user and kernel mode, that a process and all its threads
// have used so far, in nanoseconds. See clock_getcpuclockid(3). Process 0 is this
// process.
func cpuOf(pid int) time.Duration {
	const scheduled = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
