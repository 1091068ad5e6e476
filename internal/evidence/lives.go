package evidence

import (
	"cmp"
	"math"
	"slices"

	"github.com/chrony-tracker/chrony-tracker/internal/objective"
)

// The classes of time, as indices.
const (
	contradicted = int(objective.Contradicted)
	outside      = int(objective.Outside)
	proven       = int(objective.Proven)
	claimed      = int(objective.Claimed)
	classes      = 4
)

var classNames = func() (names [classes]string) {
	for _, c := range objective.Classes {
		names[c] = c.String()
	}
	return names
}()

// A point is what a tracker had counted at a scrape, all in seconds.
type point struct {
	At    float64          `json:"t"`           // since 1970
	Up    float64          `json:"u"`           // since the tracker's start
	Class [classes]float64 `json:"c"`           // the part of that in each class
	ID    string           `json:"i,omitempty"` // instance and pod
}

// start is when the tracker began to count.
func (p point) start() float64 { return p.At - p.Up }

const (
	// jitter is by how much the age of a tracker and the time between two scrapes may
	// differ: samples are taken once a second, and a scrape takes a while.
	jitter = 15.0 // seconds

	// drift is how fast the clocks of the node and of the store may drift apart.
	drift = 500e-6

	// youth is how long a tracker is young. The start of an older one cannot be
	// confused with that of its predecessor.
	youth = 600.0 // seconds
)

// follows reports whether q is surely the same process as p, some time later: it has
// counted as many seconds as have passed.
func (p point) follows(q point) bool {
	passed := q.At - p.At
	return passed >= -jitter && math.Abs(q.Up-p.Up-passed) <= jitter+drift*math.Abs(passed) && q.Up >= p.Up-jitter
}

// A life is one run of a tracker.
type life struct {
	points []point // by time. Counters never fall
	ids    map[string]bool
}

// livesOf divides the points of a node into the runs of its trackers. Several scrapers
// of one tracker are one life: a run is recognized by its start.
//
// A life that began at or after from has counted from zero. What an older one had
// counted before its first point is not part of the period.
func livesOf(points []point, from float64) []*life {
	points = slices.Clone(points)
	slices.SortStableFunc(points, func(a, b point) int { return cmp.Compare(a.At, b.At) })
	var lives []*life
	for _, q := range points {
		l, possible := lifeOf(lives, q)
		if !possible {
			continue
		}
		if l == nil {
			l = &life{ids: make(map[string]bool)}
			if start := q.start(); start >= from && q.Up > 0 {
				l.points = []point{{At: start}}
			}
			lives = append(lives, l)
		}
		l.add(q)
	}
	return lives
}

// lifeOf returns the life that a later point belongs to, or nil if it began a new one. A
// point is impossible if two scrapers disagree about a restart: the largest values of
// both are from two lives.
func lifeOf(lives []*life, q point) (l *life, possible bool) {
	if q.counted() > q.Up+jitter {
		return nil, false
	}
	for _, l := range slices.Backward(lives) {
		if l.last().follows(q) {
			return l, true
		}
	}
	// A machine that was paused counts less than has passed. But the same tracker cannot
	// have begun anew before it was last seen.
	for _, l := range slices.Backward(lives) {
		if p := l.last(); l.ids[q.ID] && q.start() < p.At-jitter {
			return l, q.Up >= p.Up-jitter
		}
	}
	return nil, true
}

// counted is the time in all classes.
func (p point) counted() (seconds float64) {
	for _, v := range p.Class {
		seconds += v
	}
	return seconds
}

func (l *life) last() point  { return l.points[len(l.points)-1] }
func (l *life) first() point { return l.points[0] }

func (l *life) add(q point) {
	l.ids[q.ID] = true
	if len(l.points) > 0 {
		p := l.last()
		q.Up = max(q.Up, p.Up)
		for c := range q.Class {
			q.Class[c] = max(q.Class[c], p.Class[c])
		}
	}
	l.points = append(l.points, q)
}

// at returns what had been counted in each class by a time.
//
// Between two points, the seconds in bad classes count as late as possible: on the day
// that ends a gap. The rest is as much of the good seconds as fits into the time since
// the earlier point.
func (l *life) at(t float64) [classes]float64 {
	next, _ := slices.BinarySearchFunc(l.points, t, func(p point, t float64) int {
		if p.At <= t {
			return -1
		}
		return 1
	})
	if next == 0 {
		return l.first().Class
	}
	p := l.points[next-1]
	counted := p.Class
	if next < len(l.points) {
		q := l.points[next]
		good := q.Class[proven] - p.Class[proven] + q.Class[claimed] - p.Class[claimed]
		if share := min(t-p.At, good); share > 0 {
			counted[proven] += share * (q.Class[proven] - p.Class[proven]) / good
			counted[claimed] += share * (q.Class[claimed] - p.Class[claimed]) / good
		}
	}
	return counted
}

// A span is a time from one second since 1970 to another.
type span struct{ From, To float64 }

// within returns the part of a span inside of another. It may be empty.
func (s span) within(w span) span {
	return span{max(s.From, w.From), max(min(s.To, w.To), max(s.From, w.From))}
}

func (s span) length() float64 { return max(0, s.To-s.From) }

// union sorts spans and joins those that touch.
func union(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.From, b.From) })
	var joined []span
	for _, s := range spans {
		if s.length() == 0 {
			continue
		}
		if n := len(joined); n > 0 && s.From <= joined[n-1].To {
			joined[n-1].To = max(joined[n-1].To, s.To)
		} else {
			joined = append(joined, s)
		}
	}
	return joined
}

// measure is how long the spans are inside of a window.
func measure(spans []span, w span) (seconds float64) {
	for _, s := range spans {
		seconds += s.within(w).length()
	}
	return seconds
}

// An Account is how long a node was in each class. The classes and Uncovered sum up to
// Expected. All are in seconds.
type Account struct {
	Expected     float64 `json:"expected_seconds"` // the node existed
	Claimed      float64 `json:"claimed_seconds"`
	Proven       float64 `json:"proven_seconds"`
	Contradicted float64 `json:"contradicted_seconds"`
	Outside      float64 `json:"outside_seconds"`
	Uncovered    float64 `json:"uncovered_seconds"`
}

// Add adds another account.
func (a *Account) Add(b Account) {
	a.Expected += b.Expected
	a.Claimed += b.Claimed
	a.Proven += b.Proven
	a.Contradicted += b.Contradicted
	a.Outside += b.Outside
	a.Uncovered += b.Uncovered
}

// Bad is the time outside or contradicted.
func (a Account) Bad() float64 { return a.Outside + a.Contradicted }

// Coverage is the fraction of the time for which something was recorded.
func (a Account) Coverage() float64 {
	if a.Expected <= 0 {
		return 0
	}
	return 1 - a.Uncovered/a.Expected
}

// account sums up a window of a node's lives. The node existed in the spans; it also
// existed while its tracker ran.
//
// If two trackers overlap, every bad second counts. If more seconds were counted than
// have passed, claimed seconds are dropped first, then proven ones.
func account(lives []*life, existed []span, w span) Account {
	var sum [classes]float64
	expected := slices.Clone(existed)
	for _, l := range lives {
		begin, end := l.at(w.From), l.at(w.To)
		for c := range sum {
			sum[c] += max(0, end[c]-begin[c])
		}
		expected = append(expected, span{l.first().At, l.last().At})
	}
	a := Account{Expected: measure(union(expected), w)}
	left := a.Expected
	for c, into := range []*float64{contradicted: &a.Contradicted, outside: &a.Outside, proven: &a.Proven, claimed: &a.Claimed} {
		*into = min(sum[c], left)
		left -= *into
	}
	a.Uncovered = left
	return a
}

// starts counts the trackers that began in a window.
func starts(lives []*life, w span) (n int) {
	for _, l := range lives {
		if p := l.first(); p.Up == 0 && p.At >= w.From && p.At < w.To {
			n++
		}
	}
	return n
}

// essential returns the points that say all: the first and the last of each life, and
// the last before each of some times.
func essential(points []point, times []float64) []point {
	var kept []point
	for _, l := range livesOf(points, math.Inf(-1)) {
		real := l.points
		if real[0].Up == 0 && real[0].ID == "" && len(real) > 1 {
			real = real[1:]
		}
		for i, p := range real {
			edge := i == 0 || i == len(real)-1
			for _, t := range times {
				edge = edge || !edge && p.At <= t && real[i+1].At > t
			}
			if edge {
				kept = append(kept, p)
			}
		}
	}
	return kept
}
