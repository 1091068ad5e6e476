package evidence

import (
	"context"
	"errors"
	"maps"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestOddValues wants values that are no numbers to leave gaps, and series that the store
// has twice to count once.
func TestOddValues(t *testing.T) {
	const day = 86400.0
	whole := span{at(-1, 0), at(9, 0)}
	change := func(f *fakeStore, w span, value float64) {
		for _, metric := range []string{classMetric, totalMetric} {
			for _, s := range f.series[metric] {
				for i, v := range s.samples {
					if v.at >= w.From && v.at < w.To {
						s.samples[i].value = value
					}
				}
			}
		}
	}
	for _, test := range []struct {
		name    string
		change  func(f *fakeStore)
		verdict Verdict
		within  float64
	}{
		{"NaN for two hours", func(f *fakeStore) { change(f, span{at(2, 23), at(3, 1)}, math.NaN()) }, Pass, 1},
		{"NaN from then on", func(f *fakeStore) { change(f, span{at(2, 0), at(9, 0)}, math.NaN()) }, Insufficient, 2*day + 31},
		{"infinite at midnight", func(f *fakeStore) { change(f, span{at(2, 23), at(3, 1)}, math.Inf(1)) }, Pass, 1},
		{"infinite from then on", func(f *fakeStore) { change(f, span{at(2, 0), at(9, 0)}, math.Inf(1)) }, Insufficient, 2*day + 31},
		{"every series twice", func(f *fakeStore) {
			for metric, all := range f.series {
				f.series[metric] = append(all, all...)
			}
		}, Pass, 1},
		{"every series three times, with other labels and case", func(f *fakeStore) {
			for metric, all := range f.series {
				for n, s := range slices.Concat(all, all) {
					other := maps.Clone(s.labels)
					other["shard"] = string(rune('a' + n))
					other["node"] = strings.ToUpper(other["node"])
					other["cluster"] = "Prod"
					all = append(all, fakeSeries{other, s.samples})
				}
				f.series[metric] = all
			}
		}, Pass, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := new(fakeStore)
			scraper{interval: 30, phase: 11}.record(f, simNode{name: "node-1", cluster: "prod", exists: []span{whole}, lives: lives(whole)}, at(0, 0), at(6, 0))
			test.change(f)
			options := Options{Checkpoints: filepath.Join(t.TempDir(), "partial")}
			report, err := Make(t.Context(), f.start(t), request(3), options)
			if err != nil {
				t.Fatal(err)
			}
			got := nodeOf(t, report, "node-1")
			if len(report.Nodes) != 1 || got.Expected != 3*day || got.Uncovered > test.within || report.Verdict != test.verdict {
				t.Errorf("%s: %+v, %v", report.Verdict, got.Account, report.Reasons)
			}
			checkSums(t, report)
		})
	}
}

// TestCaseOfLabels wants a profile to remain one, with what it asks for, if the store
// changed the case of its name and of all values.
func TestCaseOfLabels(t *testing.T) {
	if !NeedsUTC("FINRA-Cat") || NeedsUTC("orders") {
		t.Error("NeedsUTC depends on the case")
	}
	if q := requirementOf(Request{Objective: "FINRA-Cat"}); q.Limit != 0.05 || len(q.Notes) == 0 {
		t.Errorf("%+v", q)
	}
	f := fleet()
	for _, all := range f.series {
		for _, s := range all {
			for name, value := range s.labels {
				if name != "objective" && name != "window" && name != "os_image" {
					s.labels[name] = strings.ToUpper(value)
				}
			}
		}
	}
	f.before = func(_ http.ResponseWriter, r *http.Request) bool { // Azure compares without case
		query := r.FormValue("query")
		for _, value := range []string{"contradicted|outside", "synchronized"} {
			query = strings.ReplaceAll(query, `"`+value+`"`, `"`+strings.ToUpper(value)+`"`)
		}
		r.Form.Set("query", query)
		return false
	}
	got, want := makeReport(t, f, request(3)), makeReport(t, fleet(), request(3))
	if got.Verdict != want.Verdict || got.Totals != want.Totals || got.Excursions[0].Outside != want.Excursions[0].Outside {
		t.Errorf("%+v, want %+v", got.Totals, want.Totals)
	}
}

// TestInterrupted wants an interrupted report to end soon, to keep finished days only,
// and to go on with them.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := fleet()
	f.before = func(_ http.ResponseWriter, r *http.Request) bool {
		if ctx.Err() == nil && r.FormValue("time") == unixText(fromUnix(at(3, 0))) {
			cancel()
		}
		return false
	}
	store := f.start(t)
	parent := t.TempDir()
	options := Options{Checkpoints: filepath.Join(parent, "report.partial")}
	report, err := Make(ctx, store, request(3), options)
	if report != nil || !errors.Is(err, context.Canceled) {
		t.Fatalf("%v, %v", report, err)
	}
	left, err := os.ReadDir(options.Checkpoints)
	if err != nil || len(left) != 2 || !strings.HasPrefix(left[0].Name(), "2025-10-01-") || left[1].Name() != "request" {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if report, err = Make(t.Context(), store, request(3), options); err != nil {
		t.Fatal(err)
	}
	want := makeReport(t, fleet(), request(3))
	report.Store = want.Store
	one, _ := want.files(Formats)
	two, _ := report.files(Formats)
	for i := range one {
		if string(one[i].data) != string(two[i].data) {
			t.Errorf("%s differs after an interruption", one[i].name)
		}
	}
}

// TestHangs wants a store that never answers to be given up soon.
func TestHangs(t *testing.T) {
	f := new(fakeStore)
	asks := make(chan bool, 1000)
	done := make(chan bool)
	defer close(done)
	f.before = func(_ http.ResponseWriter, r *http.Request) bool {
		r.ParseForm()
		asks <- true
		select {
		case <-r.Context().Done():
		case <-done:
		}
		return true
	}
	store := f.start(t)
	store.timeout = 10 * time.Millisecond
	if _, err := store.Objectives(t.Context(), request(1)); err == nil || len(asks) > 1+mostTimeouts {
		t.Errorf("asked %d times: %v", len(asks), err)
	}
}
