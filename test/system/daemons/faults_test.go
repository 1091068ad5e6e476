//go:build system

// Package daemons tests the program with daemons that fail, hang and lie. These tests
// take longer than others, and some need root.
package daemons

import (
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

func TestMain(m *testing.M) { os.Exit(programtest.Main(m)) }

var (
	faultTime = flag.Duration("faults", 15*time.Second, "how long TestFaults goes on")
	slack     = flag.Duration("slack", 0, "what TestFaults lets a scrape take beyond its limit, such as 100ms on a quiet machine; 0 only prints the times")
)

// TestFaults kills, stops and restarts chronyd during twenty scrapes per second. Each
// scrape must be answered and correct. The clock here is 250 ms off, so every bound
// must be above that, and there is no bound while chronyd is gone.
func TestFaults(t *testing.T) {
	for name, address := range map[string]func(*chronytest.Chronyd) string{
		"udp":    func(d *chronytest.Chronyd) string { return d.Address },
		"socket": func(d *chronytest.Chronyd) string { return "unix://" + d.Socket },
	} {
		t.Run(name, func(t *testing.T) {
			d := chronytest.NewSynchronized(t, " offset 0.25")
			faults(t, d, address(d))
		})
	}
}

const chronyTimeout = time.Second // the default of --chrony.timeout

func faults(t *testing.T, d *chronytest.Chronyd, address string) {
	s := programtest.Start(t, "--chrony.address="+address)
	before := settled(t, s)
	log := &scrapes{}
	stop := log.begin(t, s)
	for begin := time.Now(); time.Since(begin) < *faultTime; {
		d.Kill()
		log.gone(t)
		chronytest.Must(t, d.Launch())
		back(t, s, "the restart")

		chronytest.Must(t, d.Pause())
		log.gone(t)
		chronytest.Must(t, d.Continue())
		back(t, s, "SIGCONT")

		chronytest.Must(t, d.WaitSynchronized(t.Context()))
		chronytest.Must(t, d.Restart()) // at once
		back(t, s, "the restart at once")
		chronytest.Must(t, d.WaitSynchronized(t.Context()))
	}
	stop()
	log.check(t)

	after := settled(t, s)
	for _, what := range []string{"go_goroutines", "process_open_fds"} {
		// The scrape itself and idle connections make a few more or fewer.
		if after[what] > before[what]+3 {
			t.Errorf("%s: %v before, %v after", what, before[what], after[what])
		}
	}
	s.Stop(t)
	entries, err := os.ReadDir(filepath.Dir(d.Socket))
	if err != nil || len(entries) != 1 {
		t.Errorf("left next to chronyd's socket: %v, %v", entries, err)
	}
}

// settled makes a scrape while no other scrape is under way.
func settled(t *testing.T, s *programtest.Server) map[string]float64 {
	t.Helper()
	var values map[string]float64
	previous := math.NaN()
	chronytest.Await(t, "the program to have nothing to do", func() bool {
		values = s.MustScrape(t)
		same := values["go_goroutines"] == previous
		previous = values["go_goroutines"]
		return same
	})
	return values
}

// back waits until chrony_up is 1 again. With -slack, this must happen within a second
// after the daemon is back.
func back(t *testing.T, s *programtest.Server, from string) {
	t.Helper()
	begin := time.Now()
	chronytest.Await(t, "chrony_up after "+from, func() bool { return s.MustScrape(t)["chrony_up"] == 1 })
	took := time.Since(begin)
	if *slack > 0 && took > time.Second+*slack {
		t.Errorf("chrony_up 1 took %v after %s", took, from)
	}
}

// scrapes are the results of all scrapers, and the times at which chronyd was certainly
// gone.
type scrapes struct {
	mu    sync.Mutex
	seen  []scrape
	gones []interval
}

type interval struct{ begin, end time.Time }

type scrape struct {
	interval
	text []byte
	err  error
}

// begin starts twenty scrapes per second. stop ends them.
func (l *scrapes) begin(t *testing.T, s *programtest.Server) (stop func()) {
	var wg sync.WaitGroup
	end := make(chan struct{})
	wg.Go(func() {
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-end:
				return
			case <-ticker.C:
				wg.Go(func() {
					begin := time.Now()
					text, err := s.Fetch()
					l.mu.Lock()
					defer l.mu.Unlock()
					l.seen = append(l.seen, scrape{interval{begin, time.Now()}, text, err})
				})
			}
		}
	})
	stop = sync.OnceFunc(func() {
		close(end)
		wg.Wait()
	})
	t.Cleanup(stop)
	return stop
}

// shared is how long an answer of chronyd is shared. An answer from before its end may be
// given shortly after it.
const shared = 50 * time.Millisecond

// gone waits for scrapes that begin and end while chronyd is certainly gone. If chronyd
// hangs, a scrape ends at its deadline.
func (l *scrapes) gone(t *testing.T) {
	t.Helper()
	begin := time.Now().Add(shared)
	chronytest.Await(t, "scrapes while chronyd is gone", func() bool { return l.since(begin) >= 3 })
	l.gones = append(l.gones, interval{begin, time.Now()})
}

// since counts the scrapes that began after a time and have ended.
func (l *scrapes) since(begin time.Time) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.seen {
		if s.begin.After(begin) {
			n++
		}
	}
	return n
}

func (l *scrapes) check(t *testing.T) {
	t.Helper()
	states, slowest, within := make(map[string]int), time.Duration(0), 0
	for _, s := range l.seen {
		values, err := programtest.Parse(s.text)
		if err = errors.Join(s.err, err); err != nil {
			t.Error(err)
			continue
		}
		state, took := programtest.StateOf(values), s.end.Sub(s.begin)
		states[state]++
		slowest = max(slowest, took)
		if *slack > 0 && took > chronyTimeout+*slack {
			t.Errorf("a scrape took %v", took)
		}
		if err := truthful(state, values); err != nil {
			t.Errorf("%v: %v", err, values)
		}
		for _, gone := range l.gones {
			if s.begin.After(gone.begin) && s.end.Before(gone.end) {
				within++
				if state != "unreachable" {
					t.Errorf("%s while chronyd was gone: a stale value", state)
				}
			}
		}
	}
	t.Logf("%d scrapes, %d of them while chronyd was gone, the slowest took %v, states %v", len(l.seen), within, slowest, states)
	if within == 0 || states["synchronized"] == 0 || states["unsynchronized"] == 0 {
		t.Error("some state was never seen")
	}
}

// truthful checks one scrape of a clock that is 250 ms off.
func truthful(state string, values map[string]float64) error {
	bound, figure, up := values["chrony_clock_error_bound_seconds"], values["chrony_clock_error_ms"], values["chrony_up"]
	known := state == "synchronized" || state == "holdover"
	switch {
	case state != "synchronized" && state != "holdover" && state != "unsynchronized" && state != "unreachable":
		return errors.New("impossible state " + state)
	case known && !(bound >= 0.25 && !math.IsInf(bound, 1)):
		return errors.New("a bound below the error")
	case !known && (!math.IsInf(bound, 1) || !math.IsInf(figure, 1)):
		return errors.New("a number that nothing confirms")
	case up != 0 && state == "unreachable", up != 1 && state != "unreachable":
		return errors.New("chrony_up does not fit the state")
	}
	return nil
}
