package evidence

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A fakeStore evaluates the few shapes of PromQL that the report asks for, over series
// in memory, as Prometheus does: with a lookback of five minutes and stale markers.
type fakeStore struct {
	series map[string][]fakeSeries                                  // by metric
	before func(w http.ResponseWriter, r *http.Request) (done bool) // faults
}

type fakeSeries struct {
	labels  map[string]string
	samples []sample // NaN is a stale marker
}

func (f *fakeStore) add(metric string, labels map[string]string, samples []sample) {
	if f.series == nil {
		f.series = make(map[string][]fakeSeries)
	}
	f.series[metric] = append(f.series[metric], fakeSeries{labels, samples})
}

// start serves it and returns a store for it that never waits.
func (f *fakeStore) start(t testing.TB) *Store {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return newTestStore(t, server.URL)
}

func (f *fakeStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.before != nil && f.before(w, r) {
		return
	}
	number := func(name string) float64 { v, _ := strconv.ParseFloat(r.FormValue(name), 64); return v }
	result := []any{}
	e := &evaluation{store: f, text: r.FormValue("query")}
	if strings.HasSuffix(r.URL.Path, "query_range") {
		all := make(map[string][]any)
		metrics := make(map[string]map[string]string)
		for at := number("start"); at <= number("end"); at += number("step") {
			for _, s := range e.at(at) {
				key := fmt.Sprint(s.labels)
				metrics[key] = s.labels
				all[key] = append(all[key], pair(at, s.samples[0].value))
			}
		}
		for key, values := range all {
			result = append(result, map[string]any{"metric": metrics[key], "values": values})
		}
	} else {
		for _, s := range e.at(number("time")) {
			if e.raw {
				var values []any
				for _, v := range s.samples {
					values = append(values, pair(v.at, v.value))
				}
				result = append(result, map[string]any{"metric": s.labels, "values": values})
			} else {
				result = append(result, map[string]any{"metric": s.labels, "value": pair(number("time"), s.samples[0].value)})
			}
		}
	}
	json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"result": result}})
}

func pair(at, value float64) []any { return []any{at, strconv.FormatFloat(value, 'g', -1, 64)} }

type evaluation struct {
	store *fakeStore
	text  string
	raw   bool

	// What does not depend on the time.
	found  bool
	chosen []fakeSeries
	length float64 // of the range or of the lookback, in seconds
	ranged bool
}

var (
	groupShape    = regexp.MustCompile(`^(max|min|count) by \(([^)]*)\) \((.*)\)$`)
	functionShape = regexp.MustCompile(`^(\w+)\((.*)\)$`)
	selectorShape = regexp.MustCompile(`^(\w+)\{(.*?)\}(?:\[(\d+)([sh])\])?$`)
	matcherShape  = regexp.MustCompile(`(\w+)(=~|!~|!=|=)"((?:[^"\\]|\\.)*)"`)
)

func (e *evaluation) at(t float64) []fakeSeries { return e.eval(e.text, t) }

func (e *evaluation) eval(text string, t float64) []fakeSeries {
	if inner, ok := strings.CutSuffix(text, " > 0"); ok {
		return slices.DeleteFunc(e.eval(inner, t), func(s fakeSeries) bool { return !(s.samples[0].value > 0) })
	}
	if inner, ok := strings.CutSuffix(text, " == 1"); ok {
		return slices.DeleteFunc(e.eval(inner, t), func(s fakeSeries) bool { return s.samples[0].value != 1 })
	}
	if m := groupShape.FindStringSubmatch(text); m != nil {
		return aggregate(m[1], strings.Split(strings.ReplaceAll(m[2], " ", ""), ","), e.eval(m[3], t))
	}
	if m := functionShape.FindStringSubmatch(text); m != nil {
		return apply(m[1], e.selected(m[2], t))
	}
	found := e.selected(text, t)
	if e.raw = strings.HasSuffix(text, "]"); !e.raw {
		for i, s := range found {
			found[i].samples = s.samples[len(s.samples)-1:]
		}
	}
	return found
}

// selected returns the samples of a range, or of the lookback.
func (e *evaluation) selected(text string, t float64) (found []fakeSeries) {
	if !e.found { // a query has one selector
		e.choose(text)
	}
	for _, s := range e.chosen {
		first, _ := slices.BinarySearchFunc(s.samples, t-e.length, func(v sample, t float64) int { return int(math.Copysign(1, v.at-t)) })
		last, _ := slices.BinarySearchFunc(s.samples, t, func(v sample, t float64) int {
			if v.at <= t {
				return -1
			}
			return 1
		})
		if first >= last {
			continue
		}
		samples := s.samples[first:last]
		if !e.ranged && math.IsNaN(samples[len(samples)-1].value) {
			continue
		}
		samples = slices.DeleteFunc(slices.Clone(samples), func(v sample) bool { return math.IsNaN(v.value) })
		if len(samples) > 0 {
			found = append(found, fakeSeries{s.labels, samples})
		}
	}
	return found
}

// choose finds the series of the query's selector.
func (e *evaluation) choose(text string) {
	m := selectorShape.FindStringSubmatch(text)
	if m == nil {
		panic("the fake store does not know " + text)
	}
	e.found, e.length = true, lookback
	if e.ranged = m[3] != ""; e.ranged {
		e.length, _ = strconv.ParseFloat(m[3], 64)
		if m[4] == "h" {
			e.length *= 3600
		}
	}
	for _, s := range e.store.series[m[1]] {
		if matches(m[2], s.labels) {
			e.chosen = append(e.chosen, s)
		}
	}
}

func matches(text string, labels map[string]string) bool {
	for _, m := range matcherShape.FindAllStringSubmatch(text, -1) {
		want, _ := strconv.Unquote(`"` + m[3] + `"`)
		value := labels[m[1]]
		equal := value == want
		if strings.Contains(m[2], "~") {
			equal = cachedRegexp("^(?:" + want + ")$").MatchString(value)
		}
		if equal == strings.Contains(m[2], "!") {
			return false
		}
	}
	return true
}

var regexps sync.Map // by text

func cachedRegexp(text string) *regexp.Regexp {
	compiled, known := regexps.Load(text)
	if !known {
		compiled, _ = regexps.LoadOrStore(text, regexp.MustCompile(text))
	}
	return compiled.(*regexp.Regexp)
}

func apply(function string, all []fakeSeries) []fakeSeries {
	for i, s := range all {
		last := s.samples[len(s.samples)-1]
		v := last.value
		for _, x := range s.samples {
			switch function {
			case "max_over_time":
				v = max(v, x.value)
			case "min_over_time":
				v = min(v, x.value)
			case "timestamp":
				v = last.at
			case "last_over_time":
			default:
				panic("the fake store does not know " + function)
			}
		}
		all[i].samples = []sample{{last.at, v}}
	}
	return all
}

func aggregate(function string, by []string, all []fakeSeries) (groups []fakeSeries) {
	index := make(map[string]int)
	for _, s := range all {
		labels := make(map[string]string)
		for _, name := range by {
			if s.labels[name] != "" {
				labels[name] = s.labels[name]
			}
		}
		key, v := fmt.Sprint(labels), s.samples[len(s.samples)-1].value
		i, known := index[key]
		if !known {
			index[key] = len(groups)
			if function == "count" {
				v = 1
			}
			groups = append(groups, fakeSeries{labels, []sample{{0, v}}})
			continue
		}
		switch old := &groups[i].samples[0].value; function {
		case "max":
			*old = max(*old, v)
		case "min":
			*old = min(*old, v)
		case "count":
			*old++
		}
	}
	return groups
}

func newTestStore(t testing.TB, address string) *Store {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewStore(StoreConfig{URL: u, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	s.pause = noPause
	return s
}
