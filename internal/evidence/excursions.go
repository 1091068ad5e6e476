package evidence

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"time"
)

// An Excursion is a time in which a clock was outside its limit or contradicted.
type Excursion struct {
	Cluster      string    `json:"cluster"`
	Node         string    `json:"node"`
	Start        time.Time `json:"start"` // at the earliest
	End          time.Time `json:"end"`   // at the latest
	Outside      float64   `json:"outside_seconds"`
	Contradicted float64   `json:"contradicted_seconds"`
	Largest      *float64  `json:"max_bound_seconds"` // null if none was known
	Unbounded    bool      `json:"unbounded"`         // for a time no bound was known
	States       []string  `json:"states"`            // that were scraped
}

// Seconds is how long the clock was bad.
func (e Excursion) Seconds() float64 { return e.Outside + e.Contradicted }

func (e Excursion) key() string { return e.Cluster + "/" + e.Node }

// countable is the smallest time that counts, in seconds. Sums of floating-point
// numbers differ by less.
const countable = 1e-3

// badNodes are the nodes with bad seconds in the day.
func (d *day) badNodes(before map[string][]point) (some, all []string) {
	for key, points := range d.Points {
		a := account(livesOf(slices.Concat(before[key], points), d.Span.From), nil, d.Span)
		switch {
		case a.Bad() < countable:
		case d.Span.length()-a.Bad() < jitter:
			all = append(all, key)
		default:
			some = append(some, key)
		}
	}
	slices.Sort(some)
	slices.Sort(all)
	return some, all
}

// readExcursions finds when the clocks with bad seconds were bad, by the minute. A clock
// that was bad all day needs no search.
func (r *reader) readExcursions(ctx context.Context, d *day, before map[string][]point) {
	some, all := d.badNodes(before)
	for _, nodes := range refMatchers(d.refs(some)) {
		r.readMinuteByMinute(ctx, d, before, nodes)
	}
	for _, nodes := range refMatchers(d.refs(all)) {
		r.readWholeDays(ctx, d, before, all, nodes)
	}
}

// minutes is what is known of a node in some minutes: the largest value, by the end of
// the minute in seconds since 1970.
type minutes struct {
	counters  map[string][2][]sample // by tracker: contradicted and outside
	bound     map[float64]float64
	unbounded map[float64]bool
	states    map[float64]string
}

func (r *reader) readMinuteByMinute(ctx context.Context, d *day, before map[string][]point, nodes string) {
	q := query{from: fromUnix(d.Span.From), to: fromUnix(d.Span.To), step: time.Minute}
	found := r.readMinutesOf(ctx, d, q, nodes, true)
	for key, m := range found {
		lives := livesOf(slices.Concat(before[key], d.Points[key]), d.Span.From)
		d.Excursions = append(d.Excursions, m.excursions(key, lives, d.Span)...)
	}
}

func (r *reader) readMinutesOf(ctx context.Context, d *day, q query, nodes string, counters bool) map[string]*minutes {
	found := make(map[string]*minutes)
	get := func(s series) *minutes {
		m := found[s.labels.key()]
		if m == nil {
			m = &minutes{make(map[string][2][]sample), make(map[float64]float64), make(map[float64]bool), make(map[float64]string)}
			found[s.labels.key()] = m
		}
		return m
	}
	with := func(text string) query {
		q := q
		q.text = strings.ReplaceAll(text, matchers, matchers+nodes)
		return q
	}
	bad := classMetric + `{objective="` + r.Objective + `",class=~"contradicted|outside"` + matchers + `}`
	tasks := []task{
		{"largest bound, each minute", with(maxBy(byNode, selector("chrony_clock_error_bound_max_seconds", `window="1m"`))), func(all []series) {
			for _, s := range all {
				for _, v := range s.samples {
					get(s).bound[v.at] = max(get(s).bound[v.at], v.value)
				}
			}
		}},
		{"time without a bound, each minute", with(maxBy(byNode, selector("chrony_clock_unbounded_seconds", `window="1m"`)) + " > 0"), func(all []series) {
			for _, s := range all {
				for _, v := range s.samples {
					get(s).unbounded[v.at] = true
				}
			}
		}},
		{"state, each minute", with(maxBy(byNode+",state", selector("chrony_clock_state", `state!="synchronized"`)) + " == 1"), func(all []series) {
			for _, s := range all {
				for _, v := range s.samples {
					get(s).states[v.at] = max(get(s).states[v.at], s.labels.State)
				}
			}
		}},
	}
	if counters {
		tasks = append(tasks, task{"bad seconds, each minute", with(maxBy(byTracker+",class", bad)), func(all []series) {
			for _, s := range all {
				m, id := get(s), s.labels.id()
				both := m.counters[id]
				c := slices.Index(classNames[:outside+1], strings.ToLower(s.labels.Class))
				both[max(c, 0)] = append(both[max(c, 0)], s.samples...)
				m.counters[id] = both
			}
		}})
	}
	r.run(ctx, d, tasks...)
	return found
}

// excursions finds the minutes in which a counter rose.
func (m *minutes) excursions(key string, lives []*life, w span) (all []Excursion) {
	const minute = 60.0
	type rise struct {
		from, to float64
		seconds  [2]float64
	}
	var rises []rise
	for _, both := range m.counters {
		for c, samples := range both {
			slices.SortFunc(samples, func(a, b sample) int { return cmp.Compare(a.at, b.at) })
			for i, s := range samples {
				var from, was float64
				if i == 0 {
					from, was = beforeFirst(lives, s, c, w)
				} else if from = samples[i-1].at; s.value >= samples[i-1].value { // else it is a new tracker
					was = samples[i-1].value
				}
				if s.value-was > countable {
					rises = append(rises, rise{from: from, to: s.at})
					rises[len(rises)-1].seconds[c] = s.value - was
				}
			}
		}
	}
	slices.SortFunc(rises, func(a, b rise) int { return cmp.Compare(a.from, b.from) })
	for _, x := range rises {
		e := newExcursion(key, x.from, x.to)
		e.Contradicted, e.Outside = x.seconds[contradicted], x.seconds[outside]
		for t := x.from; t <= x.to+minute; t += minute { // the maximum of a minute is scraped up to a minute later
			at := math.Ceil((t-w.From)/minute)*minute + w.From
			e.observe(m.bound[at], m.unbounded[at], m.states[at])
		}
		all = append(all, e)
	}
	return joinExcursions(all, 2*time.Minute)
}

// beforeFirst returns when the time before a first sample began, and what had been
// counted until then.
func beforeFirst(lives []*life, s sample, class int, w span) (from, was float64) {
	from = max(s.at-60, w.From)
	for _, l := range lives {
		if l.first().At > s.at || l.last().At < s.at-300 {
			continue
		}
		begin := l.at(w.From)[class]
		if begin <= s.value {
			return max(w.From, min(from, lastBefore(l, s.at-60))), begin
		}
	}
	return from, 0
}

// lastBefore is the time of the last point before a time, or of the first one.
func lastBefore(l *life, t float64) float64 {
	at := l.first().At
	for _, p := range l.points {
		if p.At <= t {
			at = p.At
		}
	}
	return at
}

func newExcursion(key string, from, to float64) Excursion {
	cluster, node := splitKey(key)
	return Excursion{Cluster: cluster, Node: node, Start: fromUnix(from), End: fromUnix(to), States: []string{}}
}

func (e *Excursion) observe(bound float64, unbounded bool, state string) {
	if bound > 0 && !math.IsInf(bound, 0) && (e.Largest == nil || bound > *e.Largest) {
		e.Largest = &bound
	}
	e.Unbounded = e.Unbounded || unbounded || math.IsInf(bound, 1)
	if state != "" && !slices.Contains(e.States, state) {
		e.States = append(e.States, state)
		slices.Sort(e.States)
	}
}

// readWholeDays makes an excursion of each day that was bad from its beginning to its
// end.
func (r *reader) readWholeDays(ctx context.Context, d *day, before map[string][]point, keys []string, nodes string) {
	q := query{from: fromUnix(d.Span.From), to: fromUnix(d.Span.To), step: time.Hour}
	for key, m := range r.readMinutesOf(ctx, d, q, nodes, false) {
		if _, whole := slices.BinarySearch(keys, key); !whole {
			continue
		}
		a := account(livesOf(slices.Concat(before[key], d.Points[key]), d.Span.From), nil, d.Span)
		e := newExcursion(key, d.Span.From, d.Span.To)
		e.Outside, e.Contradicted = a.Outside, a.Contradicted
		for t := range m.bound {
			e.observe(m.bound[t], false, "")
		}
		e.observe(d.Worst[key], len(m.unbounded) > 0, "")
		for _, state := range m.states {
			e.observe(0, false, state)
		}
		d.Excursions = append(d.Excursions, e)
	}
}

// joinExcursions sorts excursions by node and time, and joins those that are close.
func joinExcursions(all []Excursion, gap time.Duration) (joined []Excursion) {
	slices.SortStableFunc(all, func(a, b Excursion) int {
		return cmp.Or(cmp.Compare(a.key(), b.key()), a.Start.Compare(b.Start), a.End.Compare(b.End))
	})
	for _, e := range all {
		n := len(joined)
		if n == 0 || joined[n-1].key() != e.key() || e.Start.Sub(joined[n-1].End) > gap {
			e.States = slices.Clone(e.States)
			joined = append(joined, e)
			continue
		}
		last := &joined[n-1]
		if e.End.After(last.End) {
			last.End = e.End
		}
		last.Outside += e.Outside
		last.Contradicted += e.Contradicted
		if e.Largest != nil {
			last.observe(*e.Largest, false, "")
		}
		last.Unbounded = last.Unbounded || e.Unbounded
		for _, state := range e.States {
			last.observe(0, false, state)
		}
	}
	return joined
}
