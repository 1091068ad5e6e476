package main

import (
	"context"
	"fmt"
	"math"
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

// A cost is what doing the thing once took, in microseconds, in each round.
type cost struct {
	latency []float64 // the round's median
	cpu     []float64 // the round's mean
	slowest float64   // 99 of 100 were faster, over all rounds
}

// takeTurns has the peers do their thing in turns, so that what else the machine
// does hits all alike. In the next round another one begins.
func takeTurns(ctx context.Context, peers []peer, rounds, times int) ([]cost, error) {
	costs := make([]cost, len(peers))
	all := make([][]float64, len(peers))
	for round := range rounds {
		for turn := range peers {
			i := (round + turn) % len(peers)
			latencies, cpu, err := peers[i].turn(max(1, times/rounds))
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", peers[i].name, err)
			}
			costs[i].latency = append(costs[i].latency, median(latencies))
			costs[i].cpu = append(costs[i].cpu, cpu)
			all[i] = append(all[i], latencies...)
		}
	}
	for i := range costs {
		costs[i].slowest = quantile(all[i], 0.99)
	}
	return costs, nil
}

func (p *peer) turn(times int) (latencies []float64, cpu float64, err error) {
	if err := p.once(); err != nil { // it comes back from a rest
		return nil, 0, err
	}
	before := p.cpu()
	for range times {
		start := time.Now()
		if err := p.once(); err != nil {
			return nil, 0, err
		}
		latencies = append(latencies, microseconds(time.Since(start)))
	}
	return latencies, microseconds(p.cpu()-before) / float64(times), nil
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

func median(values []float64) float64 { return quantile(values, 0.5) }

func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(q*float64(len(sorted)))]
}

// ratio compares what two peers had in the same rounds.
func ratio(ours, theirs []float64) float64 {
	ratios := make([]float64, len(ours))
	for round := range ours {
		ratios[round] = ours[round] / theirs[round]
	}
	return median(ratios)
}
