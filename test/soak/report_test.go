//go:build soak

package soak

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"testing"
	"time"
)

// A report is what the day was like.
type report struct {
	begin time.Time

	mu       sync.Mutex
	faults   map[string]int
	requests map[string]int
	failures map[string]int // by their first words
	first    []string       // some failures, in full

	// Only the watch uses these.
	states   map[string]int
	process  map[string][]float64 // by the second
	last     map[string]float64   // the last scrape
	slowest  time.Duration
	gone     int // checks while chronyd was gone
	checked  int // checks against an error that could be known
	off      int // of these, with an error above zero
	unknown  int // of these, without a bound
	early    int // checks in which the bound was below an error that could not be known yet
	smallest float64
}

// flat are the metrics of the process that must not grow, and by how much they may.
var flat = []struct {
	name     string
	factor   float64
	addition float64
}{
	{"process_resident_memory_bytes", 1.15, 2 << 20},
	{"go_goroutines", 1, 10},
	{"process_open_fds", 1, 10},
}

const mostMemory = 64 << 20 // of the manifests' limit

func newReport() *report {
	return &report{
		begin: time.Now(), faults: make(map[string]int), requests: make(map[string]int), failures: make(map[string]int),
		states: make(map[string]int), process: make(map[string][]float64), smallest: math.Inf(1),
	}
}

func (r *report) count(fault string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults[fault]++
}

func (r *report) request(result string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests[result]++
}

func (r *report) fail(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures[format]++
	if len(r.first) < 20 {
		line := fmt.Sprintf("after %v: ", time.Since(r.begin).Round(time.Second)) + fmt.Sprintf(format, args...)
		r.first = append(r.first, line)
		fmt.Println(line)
	}
}

func (r *report) scraped(values map[string]float64, state string, took time.Duration) {
	r.states[state]++
	r.last = values
	r.slowest = max(r.slowest, took)
	for _, f := range flat {
		r.process[f.name] = append(r.process[f.name], values[f.name])
	}
}

func (r *report) compared(truth, bound float64) {
	r.checked++
	if math.IsInf(bound, 1) {
		r.unknown++
	}
	if truth > 0 {
		r.off++
		r.smallest = min(r.smallest, bound/truth)
	}
}

func (r *report) print(t *testing.T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Printf("\n%v, seed %d\n", time.Since(r.begin).Round(time.Second), *seed)
	printCounts("faults", r.faults)
	printCounts("requests by status", r.requests)
	printCounts("seconds by state", r.states)
	fmt.Printf("compared with the truth: %d times, %d times while the clock was off, %d times without a bound; the smallest bound was %.4g of the error\n", r.checked, r.off, r.unknown, r.smallest)
	fmt.Printf("not compared, because the sources had not told the error yet: the bound was below it %d times\n", r.early)
	fmt.Printf("checked while chronyd was gone: %d times\n", r.gone)
	fmt.Printf("slowest scrape: %v\n", r.slowest.Round(time.Millisecond))
	fmt.Printf("samples: %.0f, unobserved: %.3g s\n", r.last["chrony_tracker_samples_total"], r.last["chrony_clock_state_seconds_total/unobserved"])
	for _, f := range flat {
		all := r.process[f.name]
		early, late := median(all[len(all)/5:2*len(all)/5]), median(all[4*len(all)/5:])
		fmt.Printf("%s: median %.0f in the second fifth, %.0f in the last, maximum %.0f\n", f.name, early, late, slices.Max(all))
		if late > early*f.factor+f.addition {
			t.Errorf("%s grows", f.name)
		}
	}
	if largest := slices.Max(r.process["process_resident_memory_bytes"]); largest > mostMemory {
		t.Errorf("%.0f bytes of memory", largest)
	}
	for format, n := range r.failures {
		t.Errorf("%d times: %s", n, format)
	}
	if r.off == 0 || r.gone == 0 {
		t.Error("too short a day to have compared anything")
	}
}

func printCounts(what string, counts map[string]int) {
	fmt.Print(what, ":")
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		fmt.Printf(" %s %d,", name, counts[name])
	}
	fmt.Println()
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
