// Package clockbound publishes the bound of the clock in ClockBound's shared memory, so
// that programs on the node read it without a system call.
package clockbound

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/segment"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

const (
	// Amazon's daemon writes once a second. A segment that nobody has written to for this
	// long has no other writer.
	quiet = 1500 * time.Millisecond

	// patience is the same after another program has written to it.
	patience = 10 * time.Second

	// attention is the time between two looks at the file while nothing is written, and
	// calm the time between two while all is well.
	attention = 250 * time.Millisecond
	calm      = 5 * time.Second

	// longest is for how long a record is valid, even if samples are rarer. chronyd may
	// change the clock a lot in between.
	longest = tracker.LongestLifetime

	// noBound is published while there is no bound. A program that ignores the status
	// must not take the clock for accurate, and must be able to add this to a time.
	noBound = 10 * 365 * 24 * time.Hour
)

// Config configures a [Publisher].
type Config struct {
	Path     string        // of the segment
	Interval time.Duration // between two samples
	MaxDrift float64       // of the clock, in ppm
	Logger   *slog.Logger
}

// A Publisher writes each sample to a segment. If another program writes to it as well,
// it stops until that one has stopped.
type Publisher struct {
	config   Config
	lifetime time.Duration // of a record
	blur     time.Duration // by which CLOCK_MONOTONIC_COARSE may be late

	mu         sync.Mutex
	claim      *claim // the file; nil if it can't be used
	writing    bool   // there is no other writer
	quietAt    time.Time
	generation uint16 // that was seen last; while writing, that of the last write
	latest     segment.Record
	informed   bool      // latest comes from Publish
	disrupted  bool      // since the last sample with a bound
	wroteAt    time.Time // zero before the first write
	errors     map[string]uint64
	err        error // why nothing is written
}

// New returns a publisher. It writes nothing before [Publisher.Run].
func New(config Config) *Publisher {
	p := &Publisher{config: config, lifetime: Lifetime(config.Interval), errors: make(map[string]uint64)}
	for _, reason := range Reasons {
		p.errors[reason] = 0
	}
	var coarse unix.Timespec
	if err := unix.ClockGetres(unix.CLOCK_MONOTONIC_COARSE, &coarse); err == nil {
		p.blur = time.Duration(coarse.Nano())
	}
	p.latest = segment.Record{Bound: noBound, MaxDrift: p.maxDrift(0)}
	return p
}

// Lifetime is for how long a record is valid. It is no shorter than what ClockBound's
// client allows in any case, and outlasts a missed sample.
func Lifetime(interval time.Duration) time.Duration {
	return max(segment.Grace, min(interval+interval/2, longest))
}

// Publish writes what is known of the clock.
func (p *Publisher) Publish(known tracker.Published) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latest, p.informed = p.record(known), true
	p.write()
}

// record puts what is known of the clock into the protocol's terms.
//
// Readers measure the age of a record by CLOCK_MONOTONIC_COARSE, which is late by up to
// its resolution. So the record is dated back by as much. If ticks of the kernel were
// lost, that clock is later still. ClockBound's client refuses a record of its future.
func (p *Publisher) record(known tracker.Published) segment.Record {
	asOf := min(time.Duration(known.Mono)-p.blur, read(unix.CLOCK_MONOTONIC_COARSE))
	r := segment.Record{AsOf: asOf, VoidAfter: asOf + p.lifetime, Bound: noBound, MaxDrift: p.maxDrift(known.Growth)}
	r.Status = statusOf(known)
	bound := nanoseconds(known.Bound + p.excess(known.Growth))
	if bound > segment.MaxBound {
		r.Status = segment.Unknown
	}
	switch {
	case known.Disrupted:
		p.disrupted = true
	case r.Status.HasBound():
		p.disrupted = false
		r.Bound = bound
	}
	if p.disrupted {
		r.Status = segment.Disrupted
	}
	return r
}

// statusOf returns what a state is called in the protocol. All other states mean that
// nothing confirms the clock, or that measurements contradict it.
func statusOf(known tracker.Published) segment.Status {
	switch known.State {
	case clockerror.Synchronized:
		return segment.Synchronized
	case clockerror.Holdover:
		return segment.FreeRunning
	default:
		return segment.Unknown
	}
}

// nanoseconds rounds up. What is too large, or not a number, becomes the largest value.
func nanoseconds(seconds float64) time.Duration {
	ns := math.Ceil(seconds * 1e9)
	if !(ns < math.MaxInt64) {
		return math.MaxInt64
	}
	return time.Duration(ns)
}

// maxDrift returns how fast readers must let the bound grow, in ppb.
func (p *Publisher) maxDrift(growth float64) uint32 {
	ppb := math.Ceil(max(growth*1e9, p.config.MaxDrift*1e3))
	if !(ppb < segment.MaxDrift) { // or not a number
		return segment.MaxDrift
	}
	return uint32(ppb)
}

// excess returns by how much the bound may grow, in seconds, beyond what the protocol
// can express: a clock that was found to be off by hours grows fast.
func (p *Publisher) excess(growth float64) float64 {
	return max(0, growth-segment.MaxDrift*1e-9) * p.lifetime.Seconds()
}

// write writes the latest record. The mutex is held.
func (p *Publisher) write() {
	defer p.survive(debug.SetPanicOnFault(true))
	if p.writing && p.claim.mapping.Generation() != p.generation {
		p.yield()
	}
	if p.err != nil {
		p.errors[reasonOf(p.err)]++
	}
	if !p.writing {
		return
	}
	p.generation = p.claim.mapping.Write(p.latest)
	p.wroteAt = time.Now()
}

// yield leaves the segment to another program. The mutex is held.
func (p *Publisher) yield() {
	p.writing = false
	p.generation = p.claim.mapping.Generation()
	p.quietAt = time.Now().Add(patience)
	p.err = anotherWriter(p.config.Path)
}

// Run opens the file, and keeps an eye on it, until the context ends.
func (p *Publisher) Run(ctx context.Context) {
	defer p.release(nil)
	timer := time.NewTimer(0)
	defer timer.Stop()
	logged := ""
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		writing, err := p.tend()
		if text := describe(writing, err); text != logged {
			logged = text
			p.log(text, err)
		}
		if writing {
			timer.Reset(calm)
		} else {
			timer.Reset(attention)
		}
	}
}

func describe(writing bool, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case writing:
		return "publishing the bound"
	default:
		return "the bound is published once no other program writes to the file"
	}
}

func (p *Publisher) log(text string, err error) {
	if err != nil {
		p.config.Logger.Error("the bound is not published", "path", p.config.Path, "error", err, "hint", hintOf(err))
		return
	}
	p.config.Logger.Info(text, "path", p.config.Path)
}

// tend opens the file if it is not open, and gives it up if it is no longer the one at
// the path. It returns whether it is written, or why not.
func (p *Publisher) tend() (writing bool, err error) {
	p.mu.Lock()
	c, latest := p.claim, p.latest
	p.mu.Unlock()
	if c == nil || !c.isCurrent() {
		lost := p.release(nil)
		opened, err := open(p.config.Path, latest)
		p.take(opened, err)
		p.retire(lost)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.claim != nil && !p.writing {
		p.watchOthers()
	}
	return p.writing, p.err
}

// take begins to use a file.
func (p *Publisher) take(c *claim, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claim, p.err = c, err
	if err != nil {
		return
	}
	defer p.survive(debug.SetPanicOnFault(true))
	p.generation = c.mapping.Generation()
	p.quietAt = time.Now()
	if !c.created {
		p.quietAt = p.quietAt.Add(c.untilQuiet())
	}
}

// retire makes the last record of a file void that is no longer at the path. Readers that
// still have it mapped would not learn of a step: they must open the new file.
func (p *Publisher) retire(lost *segment.Mapping) {
	if lost == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { _ = recover() }() // truncated
	lost.Write(segment.Record{Bound: noBound, MaxDrift: p.maxDrift(0)})
}

// survive turns a fault into an error: another program may truncate the file.
func (p *Publisher) survive(before bool) {
	debug.SetPanicOnFault(before)
	switch fault := recover().(type) {
	case nil:
	case interface{ Addr() uintptr }:
		p.writing, p.err = false, foreign(fmt.Errorf("%s was truncated", p.config.Path), p.config.Path)
	default:
		panic(fault)
	}
}

// watchOthers begins to write once nobody else does. The mutex is held.
func (p *Publisher) watchOthers() {
	defer p.survive(debug.SetPanicOnFault(true))
	if now := p.claim.mapping.Generation(); now != p.generation {
		p.yield()
	}
	if time.Now().Before(p.quietAt) {
		return
	}
	p.writing, p.err = true, nil
	if p.informed { // otherwise the record of the program that ran before stays
		p.write()
	}
}

// release gives up the file. It returns the file's mapping if this process has written
// to it last.
func (p *Publisher) release(err error) (last *segment.Mapping) {
	p.mu.Lock()
	c, writing := p.claim, p.writing
	p.claim, p.writing, p.err = nil, false, err
	p.mu.Unlock()
	if c == nil {
		return nil
	}
	c.close()
	if !writing {
		return nil
	}
	return c.mapping
}

// Publication returns what became of the samples.
func (p *Publisher) Publication() tracker.Publication {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := tracker.Publication{
		Path: p.config.Path, Age: -1, Generation: p.generation, Errors: maps.Clone(p.errors), Err: p.err,
	}
	if p.writing {
		found.Status = p.latest.Status.String()
	}
	if !p.wroteAt.IsZero() {
		found.Age = time.Since(p.wroteAt)
	}
	return found
}
