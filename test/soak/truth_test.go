//go:build soak

package soak

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

// everySecond is the poll interval of the sources. On a busy machine delays vary by so
// much that chronyd would drop samples for it.
const everySecond = " minpoll 0 maxpoll 0 maxdelaydevratio 1e6"

// crowdSize is how many sources are added at times. They are polled each four seconds.
const (
	crowdSize  = 300
	everyFourS = " minpoll 2 maxpoll 2 maxdelaydevratio 1e6"
)

// The truth is how far off the clock is. Nothing sets or slews the clock here: chronyd
// runs with -x. So when all servers move, the clock is off by as much.
//
// No reading of chronyd can show an error that chronyd's sources have not told yet, or
// that only the minority of them tells. So the error counts as known once each source
// that does not lie has told it to this run of chronyd, and then some:
//
//   - 4 s, if no server lies: a sample of the tracker, and the time of a request
//   - 20 s after a server began or ceased to lie: until then chronyd may follow the liar,
//     for whom its other sources are wrong
type truth struct {
	main  [3]*chronytest.TimeSource
	crowd []*chronytest.TimeSource

	mu        sync.Mutex
	error     time.Duration
	liar      *chronytest.TimeSource // one of the three; nil if none lies
	lie       time.Time              // when that changed
	crowded   bool
	gone      time.Time // since when chronyd surely does not answer; zero if it may
	forgotten int       // grows when chronyd may have forgotten what it was told
}

const (
	toldAge  = 4 * time.Second
	lieAge   = 20 * time.Second
	noise    = 1e-3 // seconds that the servers' own measurements may lack
	goneTime = 5 * time.Second
)

func newTruth(t *testing.T) *truth {
	truth := &truth{}
	for i := range truth.main {
		truth.main[i] = chronytest.NewTimeSource(t)
	}
	for range crowdSize {
		truth.crowd = append(truth.crowd, chronytest.NewTimeSource(t))
	}
	return truth
}

// lines of chrony.conf follow the three servers.
func (t *truth) lines() (lines []string) {
	for _, s := range t.main {
		lines = append(lines, s.Line+everySecond)
	}
	return lines
}

func (t *truth) all() []*chronytest.TimeSource { return slices.Concat(t.main[:], t.crowd) }

// set moves all servers, except the liar.
func (t *truth) set(e time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.error = e
	for _, s := range t.all() {
		if s != t.liar {
			s.SetError(e)
		}
	}
}

// setLiar has one server tell another error, or none of them.
func (t *truth) setLiar(s *chronytest.TimeSource, by time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.liar != nil {
		t.liar.SetError(t.error)
	}
	t.liar, t.lie = s, time.Now()
	if s != nil {
		s.SetError(t.error + by)
	}
}

func (t *truth) setLoss(share float64) {
	for _, s := range t.all() {
		s.SetLoss(share)
	}
}

func (t *truth) setCrowded(crowded bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.crowded = crowded
	t.forget()
}

// leave marks chronyd as gone; comeBack ends that. What chronyd was told before does not
// count any more.
func (t *truth) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone = time.Now()
}

func (t *truth) comeBack() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone = time.Time{}
	t.forget()
}

func (t *truth) forget() {
	for _, s := range t.all() {
		s.Forget()
	}
	t.forgotten++
}

// A view is the truth at a time.
type view struct {
	error     time.Duration // by which the clock is off
	known     bool          // it can be
	gone      time.Time
	forgotten int
}

func (t *truth) view() view {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	v := view{error: t.error.Abs(), known: now.Sub(t.lie) > lieAge, gone: t.gone, forgotten: t.forgotten}
	sources := t.main[:]
	if t.crowded {
		sources = t.all()
	}
	for _, s := range sources {
		if told := s.Told(); s != t.liar && (told.IsZero() || now.Sub(told) < toldAge) {
			v.known = false
		}
	}
	return v
}
