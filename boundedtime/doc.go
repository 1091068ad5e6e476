// Package boundedtime tells the time as an interval that contains the true time. It
// reads the bound that Chrony Tracker publishes on this node with --clockbound.shm, or
// that of Amazon's ClockBound.
//
// A clock is never exact. A program that orders events of several nodes, or that must
// not act after a lease has ended, has to know how far off its clock can be. Now returns
// the earliest and the latest time that it can be. The true time lies between the two:
//
//	clock, err := boundedtime.Open(boundedtime.Config{})
//	…
//	earliest, latest, _, err := clock.Now()
//
// If nothing confirms the clock, there is no interval, and err says why. Then a program
// must wait, refuse, or ask another node. It must not go on with the plain time.
//
// Now reads shared memory. It takes about twice as long as time.Now, and allocates
// nothing.
//
// # What the interval is relative to
//
// It contains UTC if the node's sources are traced to UTC. If chronyd follows a reference
// clock of unknown error, such as the host's clock on Azure, the interval contains that
// clock's time. See --clock.reference-error of Chrony Tracker.
//
// # When it can't be known
//
// A step of the clock or a resume from a suspension is published within milliseconds. A
// call before that returns a wrong interval, and nothing can prevent it: CLOCK_MONOTONIC
// stands still while the machine is suspended. While no tracker runs, nothing publishes
// a step: the interval can be wrong until its record is void, after at most 5 seconds (15
// with rare samples).
//
// Both programs must use the same CLOCK_MONOTONIC. So a container with a time namespace
// of its own must not use this package. Kubernetes creates none.
package boundedtime
