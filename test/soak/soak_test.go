//go:build soak

// Package soak lets the program live through many days of trouble in a short time: one
// tracker, one real chronyd, faults every few seconds, and fifty requests a second. What
// the program says is compared with the truth each second. See make soak.
package soak

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

var (
	duration = flag.Duration("duration", 5*time.Minute, "how long the day is")
	seed     = flag.Uint64("seed", 0, "of the faults; 0 takes one at random. An odd one makes the tracker ask by UDP, an even one by the Unix socket")
)

func TestMain(m *testing.M) { os.Exit(programtest.Main(m)) }

// A day is everything that takes part in it.
type day struct {
	t       *testing.T
	chronyd *chronytest.Chronyd
	dir     string // of chronyd
	conf    string // chrony.conf as it is at first
	truth   *truth
	tracker *programtest.Server
	report  *report
}

// TestSoak lets a day pass. Invariants are checked each second; the figures at its end
// are printed.
func TestSoak(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64N(1_000_000) + 1
	}
	d := begin(t)
	end := time.Now().Add(*duration)
	stop := make(chan struct{})
	var lanes []func()
	for _, lane := range []func(stop <-chan struct{}){d.breakChronyd, d.breakServers, d.ask} {
		lanes = append(lanes, inBackground(func() { lane(stop) }))
	}
	d.watch(end)
	close(stop)
	for _, wait := range lanes {
		wait()
	}
	d.report.print(t)
	d.tracker.Stop(t)
}

func begin(t *testing.T) *day {
	d := &day{t: t, dir: t.TempDir(), truth: newTruth(t), report: newReport()}
	d.chronyd = chronytest.New(t, chronytest.Config{Dir: d.dir, Lines: d.truth.lines()})
	conf, err := os.ReadFile(d.confFile())
	chronytest.Must(t, err)
	d.conf = string(conf)
	chronytest.Must(t, d.chronyd.WaitSynchronized(t.Context()))
	address := "unix://" + d.chronyd.Socket
	if *seed%2 == 1 {
		address = d.chronyd.Address
	}
	fmt.Printf("%v with seed %d, asking chronyd at %s\n", *duration, *seed, address)
	d.tracker = programtest.Start(t, "--chrony.address="+address, "--objective=finra-cat")
	return d
}

func (d *day) confFile() string { return filepath.Join(d.dir, "chrony.conf") }

// random returns the source of randomness of a part of the day.
func random(part uint64) *rand.Rand { return rand.New(rand.NewPCG(*seed, part)) }

// between returns a random time.
func between(r *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(r.Int64N(int64(high-low)))
}

// pause waits. It reports whether the day goes on.
func pause(stop <-chan struct{}, d time.Duration) bool {
	select {
	case <-stop:
		return false
	case <-time.After(d):
		return true
	}
}

// inBackground runs a function and returns one that waits for its end.
func inBackground(f func()) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	return func() { <-done }
}
