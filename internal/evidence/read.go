package evidence

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Request says what to report.
type Request struct {
	Objective string
	From, To  time.Time
	Cluster   string   // only this one, if not empty
	Nodes     []string // only these, if not empty
	Expected  string   // selects a series for each node that must have a tracker
	Target    float64  // fraction of the time that must be within the limit
	Coverage  float64  // fraction of the time that must be recorded
	UTC       bool     // the objective asks for traceability to UTC
	SiteInfo  string   // what the store cannot know: timestamping point, components
	Version   string   // of this program
}

// ExpectedNodes selects the nodes that have a clock of their own and can run a tracker:
// no virtual nodes, and no Windows.
const ExpectedNodes = `kube_node_info{os_image!~"Windows.*",kubelet_version!~".*-vk-.*",node!~"(virtual|fargate)-.*"}`

// A reader reads a period from a store, day by day.
type reader struct {
	Request
	store     *Store
	selection string
	dry       *[]string // lists the queries instead of asking them
}

// A day is what was read about a day, or a part of one. It can be stored as JSON.
type day struct {
	Span       span
	Points     map[string][]point            `json:",omitempty"` // by node
	Present    map[string][]span             `json:",omitempty"` // when the node existed
	Refs       map[string][]string           `json:",omitempty"` // how the store names the node: label, then value
	Worst      map[string]float64            `json:",omitempty"` // largest bound, in seconds
	Witness    map[string]float64            `json:",omitempty"` // largest bound by witnesses, in seconds
	Untraced   map[string]float64            `json:",omitempty"` // 1 if the clock was not traced to UTC
	Events     map[string]map[string]float64 `json:",omitempty"` // number of each event
	Limits     []float64                     `json:",omitempty"` // smallest and largest limit of the objective, in seconds
	Versions   map[string]float64            `json:",omitempty"` // number of nodes
	Sources    map[string]float64            `json:",omitempty"` // number of nodes
	Excursions []Excursion                   `json:",omitempty"`
	Scrape     float64                       `json:",omitempty"` // time between two scrapes, in seconds
	Failures   []Failure                     `json:",omitempty"`
}

// A Failure is a query that got no complete answer. It leaves a gap.
type Failure struct {
	Day     string `json:"day"`
	Query   string `json:"query"`
	Problem string `json:"problem"`
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
func fromUnix(seconds float64) time.Time {
	return time.UnixMilli(int64(math.Round(seconds * 1000))).UTC()
}

// days divides a period at midnight UTC.
func days(from, to time.Time) (spans []span) {
	for from.Before(to) {
		next := from.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
		if next.After(to) {
			next = to
		}
		spans = append(spans, span{unix(from), unix(next)})
		from = next
	}
	return spans
}

func (s span) String() string { return fromUnix(s.From).Format(time.DateOnly) }

func (s span) rangeText() string { return fmt.Sprintf("[%ds]", int(math.Round(s.length()))) }

// by is how series are told apart: by node, and by what is scraped there.
const (
	byNode    = "cluster,node,instance"
	byTracker = "cluster,node,instance,pod"
)

func (r *reader) counter(name string) string {
	return name + `{objective="` + r.Objective + `"` + matchers + `}`
}

func selector(metric string, fixed ...string) string {
	return metric + "{" + strings.Join(fixed, ",") + matchers + "}"
}

// maxBy is the largest value of each group. It makes one of the copies that two
// scrapers, or two replicas of one, have stored.
func maxBy(group, expression string) string { return "max by (" + group + ") (" + expression + ")" }

const (
	classMetric = "chrony_objective_class_seconds_total"
	totalMetric = "chrony_objective_seconds_total"
	eventNames  = `event=~"clock_stepped|suspended|chronyd_restarted|source_changed"`
)

// A task is a query, and what to do with its answer.
type task struct {
	name string
	query
	take func([]series)
}

// run runs tasks at the same time. It notes those that fail.
func (r *reader) run(ctx context.Context, d *day, tasks ...task) {
	if r.dry != nil {
		for _, t := range tasks {
			*r.dry = append(*r.dry, t.name+": "+fill(t.text, r.selection))
		}
		return
	}
	var group sync.WaitGroup
	var mu sync.Mutex
	for _, t := range tasks {
		group.Go(func() {
			found, err := r.fetch(ctx, t.query)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				d.Failures = append(d.Failures, Failure{Day: d.Span.String(), Query: t.name, Problem: err.Error()})
				return
			}
			t.take(found)
		})
	}
	group.Wait()
	slices.SortFunc(d.Failures, func(a, b Failure) int { return strings.Compare(a.Query+a.Problem, b.Query+b.Problem) })
}

// boundary adds the points at one time.
func (r *reader) boundary(d *day, at time.Time, into *[]point3) []task {
	return r.pointTasks(d, query{at: at}, "", into)
}

// point3 is a point in parts: its counters and its time come from three queries.
type point3 struct {
	key string
	at  float64 // of the evaluation
	point
	parts int
}

// pointTasks are the queries for points: what was counted, for how long, and when.
func (r *reader) pointTasks(d *day, q query, nodes string, into *[]point3) []task {
	type where struct {
		key, id string
		at      float64
	}
	found := make(map[where]*point3)
	var order []where
	get := func(s series, at float64) *point3 {
		w := where{s.labels.key(), s.labels.id(), at}
		p := found[w]
		if p == nil {
			p = &point3{key: w.key, at: at, point: point{ID: w.id}}
			found[w] = p
			order = append(order, w)
			d.note(s.labels)
		}
		return p
	}
	remaining := 3
	done := func() {
		if remaining--; remaining > 0 {
			return
		}
		for _, w := range order {
			if p := found[w]; p.parts == 1<<classes-1+1<<classes+1<<(classes+1) {
				*into = append(*into, *p)
			}
		}
	}
	with := func(text string) query {
		q := q
		q.text = strings.ReplaceAll(text, matchers, matchers+nodes)
		return q
	}
	return []task{
		{"seconds in each class", with(maxBy(byTracker+",class", r.counter(classMetric))), func(all []series) {
			for _, s := range all {
				if c := slices.Index(classNames[:], strings.ToLower(s.labels.Class)); c >= 0 {
					for _, v := range s.samples {
						p := get(s, v.at)
						p.Class[c], p.parts = max(p.Class[c], v.value), p.parts|1<<c
					}
				}
			}
			done()
		}},
		{"seconds since the tracker's start", with(maxBy(byTracker, r.counter(totalMetric))), func(all []series) {
			for _, s := range all {
				for _, v := range s.samples {
					p := get(s, v.at)
					p.Up, p.parts = max(p.Up, v.value), p.parts|1<<classes
				}
			}
			done()
		}},
		{"time of the scrape", with(maxBy(byTracker, "timestamp("+r.counter(totalMetric)+")")), func(all []series) {
			for _, s := range all {
				for _, v := range s.samples {
					p := get(s, v.at)
					p.At, p.parts = max(p.At, v.value), p.parts|1<<(classes+1)
				}
			}
			done()
		}},
	}
}

// note remembers how the store names a node.
func (d *day) note(l labels) {
	if _, known := d.Refs[l.key()]; !known {
		d.Refs[l.key()] = []string{l.ref.label, l.ref.value}
	}
}

func (d *day) refs(keys []string) (refs []nodeRef) {
	for _, key := range keys {
		if ref := d.Refs[key]; ref != nil {
			refs = append(refs, nodeRef{ref[0], ref[1]})
		}
	}
	return refs
}

func newDay(w span) *day {
	return &day{
		Span: w, Points: make(map[string][]point), Present: make(map[string][]span), Refs: make(map[string][]string),
		Worst: make(map[string]float64), Witness: make(map[string]float64), Untraced: make(map[string]float64),
		Events: make(map[string]map[string]float64), Versions: make(map[string]float64), Sources: make(map[string]float64),
	}
}

// aliveTask finds all trackers of a day, by node.
func (r *reader) aliveTask(d *day, alive map[string]map[string]bool) task {
	text := maxBy(byTracker, "last_over_time("+r.counter(totalMetric)+d.Span.rangeText()+")")
	return task{"trackers of the day", query{text: text, at: fromUnix(d.Span.To)}, func(all []series) {
		for _, s := range all {
			key := s.labels.key()
			if alive[key] == nil {
				alive[key] = make(map[string]bool)
			}
			alive[key][s.labels.id()] = true
			d.note(s.labels)
		}
	}}
}

// queries lists all queries, each once, as for a whole day.
func (r *reader) queries() []string {
	var list []string
	dry := *r
	dry.dry = &list
	d := newDay(span{0, 86400})
	const nodes = `,node=~"NODES"`
	ctx := context.Background()
	dry.run(ctx, d, dry.boundary(d, time.Time{}, nil)...)
	dry.run(ctx, d, dry.aliveTask(d, nil))
	dry.run(ctx, d, dry.otherTasks(d)...)
	dry.readPresence(ctx, d)
	dry.readMinutes(ctx, d, []string{"/NODES"}, map[string]nodeRef{"/NODES": {"node", "NODES"}})
	dry.readRaw(ctx, d, span{0, 3600}, nodes)
	dry.readMinutesOf(ctx, d, query{}, nodes, true)
	return list
}

// readDay reads a day. It needs the last points before it, which are those of the day
// before.
func (r *reader) readDay(ctx context.Context, w span, before map[string][]point) (*day, error) {
	d := newDay(w)
	var at0, at1 []point3
	alive := make(map[string]map[string]bool)
	begin, end := fromUnix(w.From), fromUnix(w.To)
	tasks := r.boundary(d, end, &at1)
	if before == nil {
		tasks = append(tasks, r.boundary(d, begin, &at0)...)
	}
	tasks = append(tasks, r.aliveTask(d, alive))
	r.run(ctx, d, append(tasks, r.otherTasks(d)...)...)
	r.readPresence(ctx, d)
	for _, p := range at0 {
		d.Points[p.key] = append(d.Points[p.key], p.point)
	}
	for _, p := range at1 {
		d.Points[p.key] = append(d.Points[p.key], p.point)
	}
	r.refine(ctx, d, before, alive)
	r.readExcursions(ctx, d, before)
	return d, ctx.Err()
}

// steady reports whether one tracker ran from the points at one time to those at
// another, and there was no other.
func steady(first, last []point, alive map[string]bool) bool {
	if len(first) == 0 || len(last) == 0 {
		return false
	}
	for _, p := range first {
		for _, q := range last {
			if !p.follows(q) || p.Up < youth {
				return false
			}
		}
	}
	for id := range alive {
		if !slices.ContainsFunc(last, func(p point) bool { return p.ID == id }) {
			return false
		}
	}
	return true
}

// refine looks closer at the nodes whose day is not explained by two points: at each
// hour, and then at each scrape in the hours in which something happened.
func (r *reader) refine(ctx context.Context, d *day, before map[string][]point, alive map[string]map[string]bool) {
	var odd []string
	for key, ids := range alive {
		first := before[key]
		if before == nil {
			first = pointsUntil(d.Points[key], d.Span.From)
		}
		if !steady(first, pointsAfter(d.Points[key], d.Span.From), ids) {
			odd = append(odd, key)
		}
	}
	slices.Sort(odd)
	if len(odd) == 0 {
		return
	}
	const hour = 3600.0
	marks := make(map[string]map[float64][]point) // by node and full hour
	mark := func(p point3) {
		if marks[p.key] == nil {
			marks[p.key] = make(map[float64][]point)
		}
		marks[p.key][p.at] = append(marks[p.key][p.at], p.point)
	}
	for _, key := range odd {
		for _, p := range before[key] {
			mark(point3{key: key, at: d.Span.From, point: p})
		}
		for _, p := range d.Points[key] {
			at := d.Span.To
			if p.At <= d.Span.From {
				at = d.Span.From
			}
			mark(point3{key: key, at: at, point: p})
		}
	}
	if d.Span.length() > hour {
		q := query{from: fromUnix(d.Span.From + hour), to: fromUnix(d.Span.To - 1), step: time.Hour}
		for _, nodes := range refMatchers(d.refs(odd)) {
			var hourly []point3
			r.run(ctx, d, r.pointTasks(d, q, nodes, &hourly)...)
			for _, p := range hourly {
				d.Points[p.key] = append(d.Points[p.key], p.point)
				mark(p)
			}
		}
	}
	for from := d.Span.From; from < d.Span.To; from += hour {
		to := min(from+hour, d.Span.To)
		var keys []string
		for _, key := range odd {
			if !steady(marks[key][from], marks[key][to], nil) {
				keys = append(keys, key)
			}
		}
		for _, nodes := range refMatchers(d.refs(keys)) {
			r.readRaw(ctx, d, span{from, to}, nodes)
		}
	}
	for _, key := range odd {
		d.Points[key] = essential(d.Points[key], []float64{d.Span.From, d.Span.To})
	}
}

func pointsUntil(points []point, t float64) (until []point) {
	for _, p := range points {
		if p.At <= t {
			until = append(until, p)
		}
	}
	return until
}

func pointsAfter(points []point, t float64) (after []point) {
	for _, p := range points {
		if p.At > t {
			after = append(after, p)
		}
	}
	return after
}

// readRaw reads each scrape. All series of one scrape have the same time.
func (r *reader) readRaw(ctx context.Context, d *day, w span, nodes string) {
	type scrape struct {
		key, id string
		at      float64
	}
	found := make(map[scrape]*point)
	parts := make(map[scrape]int)
	take := func(metric int, all []series) {
		for _, s := range all {
			part := metric
			if metric < classes {
				if part = slices.Index(classNames[:], strings.ToLower(s.labels.Class)); part < 0 {
					continue
				}
			}
			for _, v := range s.samples {
				at := scrape{s.labels.key(), s.labels.id(), v.at}
				p := found[at]
				if p == nil {
					p = &point{At: v.at, ID: at.id}
					found[at] = p
				}
				parts[at] |= 1 << part
				if part == classes {
					p.Up = v.value
				} else {
					p.Class[part] = v.value
				}
			}
		}
	}
	q := func(metric string) query {
		return query{text: strings.ReplaceAll(r.counter(metric), matchers, matchers+nodes) + w.rangeText(), at: fromUnix(w.To)}
	}
	r.run(ctx, d,
		task{"each scrape", q(classMetric), func(all []series) { take(0, all) }},
		task{"each scrape", q(totalMetric), func(all []series) { take(classes, all) }})
	for at, p := range found {
		if parts[at] == 1<<(classes+1)-1 {
			d.Points[at.key] = append(d.Points[at.key], *p)
		}
	}
}

// Objectives lists the objectives that the store has data for in a period, until it
// finds that of the request.
func (s *Store) Objectives(ctx context.Context, r Request) ([]string, error) {
	reader := &reader{Request: r, store: s.quick(), selection: selection(r.Cluster, nil)}
	var names []string
	for _, w := range days(r.From, r.To) {
		found, err := reader.fetch(ctx, query{
			text: "max by (objective) (last_over_time(" + selector("chrony_objective_limit_seconds") + w.rangeText() + "))",
			at:   fromUnix(w.To),
		})
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			names = append(names, f.labels.Objective)
		}
		if slices.Contains(names, r.Objective) {
			break
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

var errNoData = errors.New("the store has no data of this objective in this period")
