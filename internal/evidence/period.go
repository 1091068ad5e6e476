package evidence

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Options say how a period is read.
type Options struct {
	Checkpoints string                // a directory that keeps finished days, or empty
	Progress    func(done, total int) // called after each day; or nil
}

// mostFailedDays is after how many days without any answer the others are not tried.
const mostFailedDays = 3

// read reads the days of the period, in order.
func (r *reader) read(ctx context.Context, o Options) ([]*day, error) {
	spans := days(r.From, r.To)
	keep, err := r.openCheckpoints(o.Checkpoints)
	if err != nil {
		return nil, err
	}
	var all []*day
	var before map[string][]point
	failed := 0
	for i, w := range spans {
		d := keep.load(w)
		switch {
		case d != nil:
		case failed >= mostFailedDays:
			d = &day{Span: w, Failures: []Failure{{w.String(), "all", fmt.Sprintf("not asked, because the %d days before failed", mostFailedDays)}}}
		default:
			if d, err = r.readDay(ctx, w, before); err != nil {
				return nil, err
			}
			if i == 0 || i == len(spans)-1 {
				r.lookAround(ctx, d, i == 0, i == len(spans)-1)
			}
			r.readScrape(ctx, d)
			d.countEvents()
			if len(d.Failures) == 0 {
				if err := keep.save(d); err != nil {
					return nil, err
				}
			}
		}
		if failed++; len(d.Points) > 0 || len(d.Failures) == 0 {
			failed = 0
		}
		all = append(all, d)
		before = latest(before, d.Points)
		if o.Progress != nil {
			o.Progress(i+1, len(spans))
		}
	}
	return all, nil
}

// latest returns the last points of each node's trackers: of all that were seen in its
// last ten minutes.
func latest(before, points map[string][]point) map[string][]point {
	found := make(map[string][]point)
	for key, old := range before {
		if len(points[key]) == 0 {
			found[key] = old // it may come back
		}
	}
	for key, list := range points {
		end := math.Inf(-1)
		lives := livesOf(list, math.Inf(1))
		for _, l := range lives {
			end = max(end, l.last().At)
		}
		for _, l := range lives {
			if l.last().At >= end-youth {
				found[key] = append(found[key], l.last())
			}
		}
	}
	return found
}

// lookAround reads the points around the period's edges. A counter says what happened up
// to an edge only if there is a scrape on either side. For nodes without one nearby it
// looks up to six hours away: the store had a gap there, and the trackers counted on.
func (r *reader) lookAround(ctx context.Context, d *day, atBegin, atEnd bool) {
	const reach = 6 * time.Hour
	add := func(found []point3) {
		for _, p := range found {
			d.Points[p.key] = append(d.Points[p.key], p.point)
		}
	}
	search := func(w span, q query) {
		var keys []string
		for key, points := range d.Points {
			if !slices.ContainsFunc(points, func(p point) bool { return p.At > w.From && p.At <= w.To }) {
				keys = append(keys, key)
			}
		}
		for _, nodes := range refMatchers(d.refs(keys)) {
			var found []point3
			r.run(ctx, d, r.pointTasks(d, q, nodes, &found)...)
			add(found)
		}
	}
	begin, end := fromUnix(d.Span.From), fromUnix(d.Span.To)
	if atBegin {
		search(span{d.Span.From - lookback, d.Span.From}, query{from: begin.Add(-reach), to: begin.Add(-time.Second), step: 5 * time.Minute})
	}
	if after := end.Add(lookback * time.Second); atEnd && after.Before(time.Now()) {
		var found []point3
		r.run(ctx, d, r.boundary(d, after, &found)...)
		add(found)
		if far := end.Add(reach); far.Before(time.Now()) {
			search(span{d.Span.To, d.Span.To + lookback}, query{from: after, to: far, step: 5 * time.Minute})
		}
	}
}

// lookback is how old a sample may be that Prometheus returns for a time, in seconds.
const lookback = 300

// spacing is the usual time between two samples, in seconds; 0 if there are none.
func spacing(all []series) float64 {
	var gaps []float64
	for _, s := range all {
		for i := 1; i < len(s.samples); i++ {
			gaps = append(gaps, s.samples[i].at-s.samples[i-1].at)
		}
	}
	if len(gaps) == 0 {
		return 0
	}
	slices.Sort(gaps)
	return math.Round(gaps[len(gaps)/2]*10) / 10
}

// readScrape finds the time between two scrapes, of one node in one hour.
func (r *reader) readScrape(ctx context.Context, d *day) {
	keys := slices.Sorted(maps.Keys(d.Refs))
	if len(keys) == 0 {
		return
	}
	q := query{text: strings.ReplaceAll(r.counter(totalMetric), matchers, matchers+refMatchers(d.refs(keys[:1]))[0]) + "[1h]", at: fromUnix(d.Span.To)}
	r.run(ctx, d, task{"time between scrapes", q, func(all []series) { d.Scrape = spacing(all) }})
}

// checkpoints keep the days that are finished, so that an interrupted report can resume.
type checkpoints struct{ dir string }

// openCheckpoints makes the directory. If it has days of another report, that is an
// error.
func (r *reader) openCheckpoints(dir string) (checkpoints, error) {
	if dir == "" {
		return checkpoints{}, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return checkpoints{}, err
	}
	request := r.Request
	request.SiteInfo, request.Target, request.Coverage = "", 0, 0 // they are not part of a query
	text, err := json.Marshal(struct {
		Format  int
		Store   string
		Request Request
	}{1, r.store.Address(), request})
	if err != nil {
		return checkpoints{}, err
	}
	mark := fmt.Sprintf("%x\n", sha256.Sum256(text))
	file := filepath.Join(dir, "request")
	switch old, err := os.ReadFile(file); {
	case errors.Is(err, fs.ErrNotExist):
		return checkpoints{dir}, os.WriteFile(file, []byte(mark), 0o644)
	case err != nil:
		return checkpoints{}, err
	case string(old) != mark:
		return checkpoints{}, hinted{fmt.Errorf("%s belongs to a report with other parameters", dir), "use the same flags and version, or delete the directory"}
	}
	return checkpoints{dir}, nil
}

func (c checkpoints) path(w span) string {
	return filepath.Join(c.dir, fmt.Sprintf("%s-%d.json.gz", w, int64(w.From)))
}

// load returns a finished day, or nil. A file that was cut short is not finished.
func (c checkpoints) load(w span) *day {
	if c.dir == "" {
		return nil
	}
	file, err := os.Open(c.path(w))
	if err != nil {
		return nil
	}
	defer file.Close()
	unzip, err := gzip.NewReader(file)
	if err != nil {
		return nil
	}
	var d day
	if json.NewDecoder(unzip).Decode(&d) != nil || d.Span != w {
		return nil
	}
	return &d
}

func (c checkpoints) save(d *day) error {
	if c.dir == "" {
		return nil
	}
	path := c.path(d.Span)
	file, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	zip := gzip.NewWriter(file)
	if err := errors.Join(json.NewEncoder(zip).Encode(d), zip.Close(), file.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
