package main

import (
	"math"
	"time"
)

// In this file, times are relative to the node's start and can be negative. Errors are
// in seconds, positive if the clock is ahead. Frequencies are in seconds per second.
//
// chronyd updates the clock when its source answers a poll. It estimates the clock's
// error, slews the clock by this error, and corrects the frequency by what the
// oscillator gained since the previous update.

// truth returns how far the clock is ahead of UTC, in seconds.
func (n *node) truth(t time.Duration) float64 { return n.unnoticed(t) + n.remaining(t) }

// unnoticed returns the part of the error that chronyd does not correct: the error of
// its estimate at the last update, and drift and events since.
func (n *node) unnoticed(t time.Duration) float64 {
	u := n.updated(t)
	drift := n.gained(t) - n.gained(u) - n.frequency(u)*(t-u).Seconds()
	return n.misjudged(u) + drift + n.moved(t) - n.moved(u)
}

// found returns the error that the update at u estimated.
func (n *node) found(u time.Duration) float64 { return n.unnoticed(u-1) - n.unnoticed(u) }

// makestep is the error, in seconds, from which chronyd steps the clock (makestep 1 -1).
const makestep = 1

// remaining returns the error that chronyd still has to slew. It becomes 0 before the
// next poll.
func (n *node) remaining(t time.Duration) float64 {
	const share = 0.75 // of the time between two polls
	u := n.updated(t)
	found := n.found(u)
	if math.Abs(found) >= makestep {
		return 0
	}
	done := (t - u).Seconds() / (share * n.interval().Seconds())
	return found * max(0, 1-done)
}

// misjudged returns the error of the estimate of the update at u. chronyd averages over
// many samples, so only a part of the latest sample's error is in its estimate.
func (n *node) misjudged(u time.Duration) float64 {
	const weight = 0.3
	return n.fault.lie(0) - weight*n.measurementError(0, u)
}

// frequency returns the frequency error of the oscillator that the update at u
// estimates. It is positive if the oscillator is too fast.
func (n *node) frequency(u time.Duration) float64 {
	before := n.updated(u - 1)
	return (n.gained(u) - n.gained(before)) / (u - before).Seconds()
}

// gained returns the time that the oscillator gained without corrections. Its frequency
// swings around a mean of some ppm, as with changing temperature. It changes by less
// than 10 ppm between two polls.
func (n *node) gained(t time.Duration) float64 {
	swing, period := n.fault.oscillator()
	rate := 2 * math.Pi / period.Seconds()
	return n.mean*t.Seconds() - swing/rate*math.Cos(rate*t.Seconds()+n.phase)
}

// moved returns the effect of all events until t on the clock, without corrections.
func (n *node) moved(t time.Duration) float64 {
	if n.fault.moves == nil {
		return 0
	}
	return n.fault.moves(t)
}

// paused returns the effect of the machine's pauses on all of its clocks.
func (n *node) paused(t time.Duration) float64 {
	if n.fault.event != pause {
		return 0
	}
	return n.moved(t)
}

// set returns the sum of all steps of the clock until t, by another program, or by
// chronyd after a pause.
func (n *node) set(t time.Duration) float64 {
	switch n.fault.event {
	case step:
		return n.moved(t)
	case pause:
		return -n.moved(n.updated(t))
	default:
		return 0
	}
}

// updated returns the time of the last update at or before t.
func (n *node) updated(t time.Duration) time.Duration {
	return n.lastPoll(0, t, func(poll time.Duration) time.Duration {
		return min(n.answering(0, poll), n.fault.lastUsed(poll))
	})
}

// sampled returns the time of the last sample of a source at or before t.
func (n *node) sampled(source int, t time.Duration) time.Duration {
	return n.lastPoll(source, t, func(poll time.Duration) time.Duration { return n.answering(source, poll) })
}

// answering returns t if the source answers at t. If not, it returns an earlier time
// since which the source has not answered.
func (n *node) answering(source int, t time.Duration) time.Duration {
	if n.loss > 0 && n.random(t, lostPoll+uint64(source)).Float64() < n.loss {
		return t - 1
	}
	return n.fault.lastAnswer(t)
}

// lastPoll returns the time of a source's last poll at or before t that counts. For a
// poll that does not count, counting returns an earlier time to continue from.
func (n *node) lastPoll(source int, t time.Duration, counting func(time.Duration) time.Duration) time.Duration {
	for {
		poll := n.poll(source, t)
		if t = counting(poll); t == poll {
			return poll
		}
	}
}

// poll returns the time of a source's last poll at or before t. All polls of all nodes
// and sources are at different times.
func (n *node) poll(source int, t time.Duration) time.Duration {
	interval := n.interval()
	shift := time.Duration(n.number*7919)*time.Millisecond - time.Duration(source)*interval/4
	return t - modulo(t+shift, interval)
}

func (n *node) interval() time.Duration { return time.Second << n.pollExponent }

// modulo returns how far t is into a cycle. It is never negative.
func modulo(t, cycle time.Duration) time.Duration { return ((t % cycle) + cycle) % cycle }
