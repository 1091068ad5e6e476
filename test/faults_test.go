package test

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
)

var (
	faultTime = flag.Duration("faults", 15*time.Second, "how long TestFaults goes on")
	slack     = flag.Duration("slack", 2*time.Second, "what a busy machine may add to a scrape; 100ms on a quiet one")
)

// TestFaults kills, stops and restarts chronyd under twenty scrapes a second.
// Each scrape must be in time and true: the clock here is wrong by 250 ms, and
// every bound must be above that.
func TestFaults(t *testing.T) {
	for name, address := range map[string]func(*chronytest.Chronyd) string{
		"udp":    func(d *chronytest.Chronyd) string { return d.Address },
		"socket": func(d *chronytest.Chronyd) string { return "unix://" + d.Socket },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := chronytest.NewSynchronized(t, " offset 0.25")
			faults(t, d, address(d))
		})
	}
}

const chronyTimeout = time.Second // the default of --chrony.timeout

func faults(t *testing.T, d *chronytest.Chronyd, address string) {
	s := start(t, "--chrony.address="+address)
	before := settled(t, s)

	var scrapers sync.WaitGroup
	var tally tally
	end := make(chan struct{})
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	scrapers.Go(func() {
		for {
			select {
			case <-end:
				return
			case <-ticker.C:
				scrapers.Go(func() { tally.add(t, s) })
			}
		}
	})

	for begin := time.Now(); time.Since(begin) < *faultTime; {
		d.Kill() // and let it be dead for a while
		await(t, "a scrape to show that chronyd is dead", func() bool { return stateOf(s.mustScrape(t)) == "unreachable" })
		if err := d.Launch(); err != nil {
			t.Fatal(err)
		}
		back(t, s, "the restart")
		if err := d.Pause(); err != nil {
			t.Fatal(err)
		}
		await(t, "a scrape to show that chronyd hangs", func() bool { return stateOf(s.mustScrape(t)) == "unreachable" })
		if err := d.Continue(); err != nil {
			t.Fatal(err)
		}
		back(t, s, "SIGCONT")
		if err := d.WaitSynchronized(); err != nil {
			t.Fatal(err)
		}
		if err := d.Restart(); err != nil { // at once
			t.Fatal(err)
		}
		back(t, s, "the restart at once")
	}
	close(end)
	scrapers.Wait()
	t.Logf("%+v", &tally)
	if tally.states["synchronized"] == 0 || tally.states["unreachable"] == 0 || tally.states["unsynchronized"] == 0 {
		t.Errorf("some state was never seen: %v", tally.states)
	}

	after := settled(t, s)
	for _, what := range []string{"go_goroutines", "process_open_fds"} {
		// The scrape itself and idle connections make a few more or fewer.
		if after[what] > before[what]+3 {
			t.Errorf("%s: %v before, %v after", what, before[what], after[what])
		}
	}
	s.stop(t)
	entries, err := os.ReadDir(filepath.Dir(d.Socket))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside chronyd's socket: %v, %v", entries, err)
	}
}

// settled scrapes when no other scrape is under way.
func settled(t *testing.T, s *server) map[string]float64 {
	t.Helper()
	var values map[string]float64
	previous := math.NaN()
	await(t, "the program to have nothing to do", func() bool {
		values = s.mustScrape(t)
		same := values["go_goroutines"] == previous
		previous = values["go_goroutines"]
		return same
	})
	return values
}

// back wants chrony_up to be 1 again within a second of the daemon's coming back.
// The daemon itself needs a moment before it answers anybody.
func back(t *testing.T, s *server, from string) {
	t.Helper()
	begin := time.Now()
	await(t, "chrony_up after "+from, func() bool { return s.mustScrape(t)["chrony_up"] == 1 })
	if took := time.Since(begin); took > time.Second+*slack {
		t.Errorf("chrony_up 1 took %v after %s", took, from)
	}
}

// A tally is what the scrapers saw.
type tally struct {
	mu      sync.Mutex
	scrapes int
	slowest time.Duration
	states  map[string]int
}

func (c *tally) add(t *testing.T, s *server) {
	begin := time.Now()
	values, err := s.scrape()
	took := time.Since(begin)
	if err != nil {
		t.Error(err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.scrapes++
	c.slowest = max(c.slowest, took)
	state := stateOf(values)
	if c.states == nil {
		c.states = make(map[string]int)
	}
	c.states[state]++
	if took > chronyTimeout+*slack {
		t.Errorf("a scrape took %v", took)
	}
	if err := truthful(state, values); err != nil {
		t.Errorf("%v: %v", err, values)
	}
}

// truthful checks one scrape of a clock that is wrong by 250 ms.
func truthful(state string, values map[string]float64) error {
	bound, figure, up := values["chrony_clock_error_bound_seconds"], values["chrony_clock_error_ms"], values["chrony_up"]
	known := state == "synchronized" || state == "holdover"
	switch {
	case state != "synchronized" && state != "holdover" && state != "unsynchronized" && state != "unreachable":
		return errors.New("impossible state " + state)
	case known && !(bound >= 0.25 && !math.IsInf(bound, 1)):
		return errors.New("a bound below the error")
	case !known && (!math.IsInf(bound, 1) || !math.IsInf(figure, 1)):
		return errors.New("a number that nothing vouches for")
	case up != 0 && state == "unreachable", up != 1 && state != "unreachable":
		return errors.New("chrony_up does not fit the state")
	}
	return nil
}
