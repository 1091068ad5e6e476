package web_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/clockbound"
	"github.com/chrony-tracker/chrony-tracker/internal/exporter"
	"github.com/chrony-tracker/chrony-tracker/internal/objective"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
	"github.com/chrony-tracker/chrony-tracker/internal/web"
)

// maxAge is how long the program shares chronyd's answers.
const maxAge = 50 * time.Millisecond

// serveWatched is like serve, with a tracker that takes samples.
func serveWatched(t testing.TB, address string, interval time.Duration) (*httptest.Server, *tracker.Tracker) {
	t.Helper()
	return serveWatch(t, address, tracker.WatchConfig{Interval: interval, Objectives: objective.Profiles})
}

func serveWatch(t testing.TB, address string, config tracker.WatchConfig) (*httptest.Server, *tracker.Tracker) {
	t.Helper()
	client, err := chrony.NewClient(address)
	if err != nil {
		t.Fatal(err)
	}
	tr := tracker.New(tracker.Config{Client: client, MaxAge: maxAge})
	t.Cleanup(func() { tr.Close() })
	if err := tr.Watch(config); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	metrics := exporter.NewHandler(exporter.Config{Tracker: tr, Collect: chrony.WantAll, Logger: slog.New(slog.DiscardHandler)})
	web.Register(mux, tr, web.Config{Version: "chrony-tracker 1.2.3", Metrics: "/metrics", Handler: metrics})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server, tr
}

// await waits until the watch meets the condition.
func await(t testing.TB, tr *tracker.Tracker, what string, condition func(*tracker.Watched) bool) {
	t.Helper()
	chronytest.Await(t, what, func() bool { return condition(tr.Watched()) }, func() any { return tr.Watched() })
}

// document is the parsed OpenAPI file.
type document struct{ root map[string]any }

func readDocument(t *testing.T) document {
	t.Helper()
	text, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := yaml.Unmarshal(text, &d.root); err != nil {
		t.Fatal(err)
	}
	return d
}

// at returns the value at a path of keys in the document.
func (d document) at(keys ...string) any {
	var v any = d.root
	for _, key := range keys {
		v = v.(map[string]any)[key]
	}
	return v
}

// check returns the differences between a value and its schema. It supports only the
// parts of JSON Schema that the file uses.
func (d document) check(schema, value any, path string) []string {
	s := schema.(map[string]any)
	for key := range s {
		if !slices.Contains([]string{"$ref", "type", "format", "enum", "items", "properties", "required", "additionalProperties", "description"}, key) {
			return []string{path + ": the test does not know " + key}
		}
	}
	if ref, ok := s["$ref"].(string); ok {
		return d.check(d.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...), value, path)
	}
	types, ok := s["type"].([]any)
	if !ok {
		types = []any{s["type"]}
	}
	if !slices.Contains(types, any(typeOf(value))) && !(typeOf(value) == "integer" && slices.Contains(types, any("number"))) {
		return []string{fmt.Sprintf("%s: %v is not %v", path, value, types)}
	}
	var problems []string
	switch v := value.(type) {
	case string:
		if s["format"] == "date-time" {
			if at, err := time.Parse(time.RFC3339Nano, v); err != nil || !strings.HasSuffix(v, "Z") || at.Year() < 2020 {
				problems = append(problems, path+": no time: "+v)
			}
		}
		if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, value) {
			problems = append(problems, path+": none of those named: "+v)
		}
	case []any:
		for i, item := range v {
			problems = append(problems, d.check(s["items"], item, path+"/"+strconv.Itoa(i))...)
		}
	case map[string]any:
		properties, _ := s["properties"].(map[string]any)
		for name, item := range v {
			of := properties[name]
			if of == nil {
				of, _ = s["additionalProperties"].(map[string]any)
			}
			if m, ok := of.(map[string]any); !ok || m == nil {
				problems = append(problems, path+": not documented: "+name)
				continue
			}
			problems = append(problems, d.check(of, item, path+"/"+name)...)
		}
		required, _ := s["required"].([]any)
		for _, name := range required {
			if _, found := v[name.(string)]; !found {
				problems = append(problems, fmt.Sprintf("%s: lacks %v", path, name))
			}
		}
		if len(required) != len(properties) {
			problems = append(problems, path+": some properties are not required")
		}
	}
	return problems
}

func typeOf(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case float64:
		if v == math.Trunc(v) {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	default:
		return "object"
	}
}

// TestOpenAPI checks answers in all states against the OpenAPI file.
func TestOpenAPI(t *testing.T) {
	d := readDocument(t)
	paths := d.at("paths").(map[string]any)
	daemon := chronytest.NewSynchronized(t, "")
	server, tr := serveWatched(t, daemon.Address, 20*time.Millisecond)
	unwatched := serve(t, daemon.Address)
	checkAll := func(when, base string) {
		t.Helper()
		for path := range paths {
			for _, query := range []string{"", "?step=0", "?step=1s", "?step=nonsense", "?start=1e300", "?end=-"} {
				if query != "" && path != "/api/v1/history" {
					continue
				}
				response, text := get(t, base+path+query)
				documented, ok := d.at("paths", path, "get", "responses", strconv.Itoa(response.StatusCode), "content").(map[string]any)
				contentType := response.Header.Get("Content-Type")
				content, known := documented[contentType].(map[string]any)
				if !ok || !known {
					t.Errorf("%s: %s%s: %s, %s is not documented", when, path, query, response.Status, contentType)
					continue
				}
				if contentType != "application/json" {
					continue
				}
				var value any
				if err := json.Unmarshal([]byte(text), &value); err != nil {
					t.Errorf("%s: %s: %v: %s", when, path, err, text)
				}
				for _, problem := range d.check(content["schema"], value, path+query) {
					t.Errorf("%s: %s", when, problem)
				}
			}
		}
	}
	checkAll("not watched", unwatched.URL)
	checkAll("not published", servePublished(t, daemon.Address, filepath.Join(t.TempDir(), "none/shm0"), func(p *tracker.Publication) bool { return p.Err != nil }))
	checkAll("published", servePublished(t, daemon.Address, filepath.Join(t.TempDir(), "shm0"), func(p *tracker.Publication) bool { return p.Status == "synchronized" }))
	await(t, tr, "samples", func(w *tracker.Watched) bool { return w.Samples > 3 })
	checkAll("synchronized", server.URL)
	daemon.Kill()
	await(t, tr, "chronyd's end", func(w *tracker.Watched) bool { return w.Events[tracker.StateChanged] > 0 })
	checkAll("unreachable", server.URL)
	if err := daemon.Restart(); err != nil {
		t.Fatal(err)
	}
	await(t, tr, "chronyd's restart", func(w *tracker.Watched) bool { return w.Events[tracker.ChronydRestarted] > 0 })
	checkAll("restarted", server.URL)

	for _, source := range []string{"handler.go", "api.go"} {
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range regexp.MustCompile(`/api/v1/[a-z.]+`).FindAllString(string(text), -1) {
			if paths[path] == nil {
				t.Errorf("%s is not documented", path)
			}
		}
	}
}

// servePublished serves a tracker that publishes the bound, once the publication meets
// the condition.
func servePublished(t *testing.T, address, path string, condition func(*tracker.Publication) bool) (url string) {
	t.Helper()
	client, err := chrony.NewClient(address)
	if err != nil {
		t.Fatal(err)
	}
	publisher := clockbound.New(clockbound.Config{Path: path, Interval: time.Second, Logger: slog.New(slog.DiscardHandler)})
	done := make(chan struct{})
	go func() { defer close(done); publisher.Run(t.Context()) }()
	t.Cleanup(func() { <-done })
	tr := tracker.New(tracker.Config{Client: client})
	t.Cleanup(func() { tr.Close() })
	if err := tr.Watch(tracker.WatchConfig{Interval: 20 * time.Millisecond, Publisher: publisher}); err != nil {
		t.Fatal(err)
	}
	await(t, tr, "a publication", func(w *tracker.Watched) bool { return condition(w.Publication) })
	mux := http.NewServeMux()
	web.Register(mux, tr, web.Config{Metrics: "/metrics", Handler: http.NotFoundHandler()})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// answer returns a decoded JSON answer.
func answer[T any](t *testing.T, url string) T {
	t.Helper()
	_, text := get(t, url)
	var value T
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%s: %v: %s", url, err, text)
	}
	return value
}

type nowAnswer struct {
	Time, Earliest, Latest time.Time
	ValidUntil             time.Time `json:"valid_until"`
	Bound                  *float64  `json:"bound_seconds"`
	State                  string
}

// TestNow checks /api/v1/now for a clock that is 250 ms off.
func TestNow(t *testing.T) {
	d := chronytest.NewSynchronized(t, " offset 0.25")
	server, tr := serveWatched(t, d.Address, 100*time.Millisecond)
	await(t, tr, "a sample", func(w *tracker.Watched) bool { return w.Samples > 0 })
	var got nowAnswer
	chronytest.Await(t, "a bound", func() bool { // a busy machine may have none at first
		got = answer[nowAnswer](t, server.URL+"/api/v1/now")
		return got.Bound != nil
	})
	if got.State != "synchronized" || got.Bound == nil || *got.Bound < 0.25 || *got.Bound > 0.4 {
		t.Fatalf("%+v", got)
	}
	bound := time.Duration(*got.Bound * 1e9)
	if off := got.Time.Sub(got.Earliest) - bound; off < 0 || off > time.Microsecond {
		t.Errorf("earliest is off by %v: %+v", off, got)
	}
	if off := got.Latest.Sub(got.Time) - bound; off < 0 || off > time.Microsecond {
		t.Errorf("latest is off by %v: %+v", off, got)
	}
	if for_ := got.ValidUntil.Sub(got.Time); for_ <= 0 || for_ > 150*time.Millisecond {
		t.Errorf("valid for %v", for_)
	}
	d.Kill()
	await(t, tr, "chronyd's end", func(w *tracker.Watched) bool { return w.State.String() == "unreachable" })
	if got := answer[nowAnswer](t, server.URL+"/api/v1/now"); got.Bound != nil || !got.Latest.IsZero() || !got.ValidUntil.IsZero() {
		t.Errorf("chronyd is dead: %+v", got)
	}
}

type historyAnswer struct {
	Step     *float64 `json:"step_seconds"`
	Time     []time.Time
	State    []string
	Bound    []*float64            `json:"bound_seconds"`
	Observed []float64             `json:"observed_seconds"`
	Without  []float64             `json:"unbounded_seconds"`
	Terms    map[string][]*float64 `json:"bound_terms_seconds"`
}

// TestHistory reads the same samples as rows, as steps, and in parts.
func TestHistory(t *testing.T) {
	d := chronytest.NewSynchronized(t, "")
	server, tr := serveWatched(t, d.Address, 20*time.Millisecond)
	await(t, tr, "samples", func(w *tracker.Watched) bool { return w.Samples >= 20 })
	d.Kill()
	await(t, tr, "chronyd's end", func(w *tracker.Watched) bool { return w.Events[tracker.StateChanged] > 0 })
	tr.Close() // no more samples are added

	all := answer[historyAnswer](t, server.URL+"/api/v1/history?step=0")
	if n := len(all.Time); uint64(n) != tr.Watched().Samples || all.Step != nil || len(all.Bound) != n || len(all.State) != n || len(all.Terms["delay"]) != n {
		t.Fatalf("%d of %d samples: %+v", n, tr.Watched().Samples, all)
	}
	var largest, observed, without float64
	for i, bound := range all.Bound {
		observed += all.Observed[i]
		without += all.Without[i]
		if (bound == nil) != (all.State[i] == "unreachable") {
			t.Errorf("%v, bound %v", all.State[i], bound)
		}
		if bound == nil {
			continue
		}
		largest = max(largest, *bound)
		sum := 0.0
		for _, term := range all.Terms {
			sum += *term[i]
		}
		if math.Abs(sum-*bound) > 1e-6**bound {
			t.Errorf("bound %v, terms %v", *bound, sum)
		}
	}

	stepped := answer[historyAnswer](t, server.URL+"/api/v1/history?step=3600")
	if n := len(stepped.Time); n < 1 || n > 2 || *stepped.Step != 3600 {
		t.Fatalf("%+v", stepped)
	}
	var largestStepped, observedStepped, withoutStepped float64
	for i, bound := range stepped.Bound {
		if bound != nil {
			largestStepped = max(largestStepped, *bound)
		}
		observedStepped += stepped.Observed[i]
		withoutStepped += stepped.Without[i]
		if !stepped.Time[i].Equal(stepped.Time[i].Truncate(time.Hour)) {
			t.Errorf("a step begins at %v", stepped.Time[i])
		}
	}
	if largest != largestStepped || math.Abs(observed-observedStepped)+math.Abs(without-withoutStepped) > 1e-6 || stepped.State[len(stepped.State)-1] != "unreachable" {
		t.Errorf("largest %v, in steps %v; observed %v, %v; without %v, %v; states %v",
			largest, largestStepped, observed, observedStepped, without, withoutStepped, stepped.State)
	}

	from, to := all.Time[5], all.Time[10]
	query := "?start=" + url.QueryEscape(from.Format(time.RFC3339Nano)) + "&end=" + url.QueryEscape(to.Format(time.RFC3339Nano))
	part := answer[historyAnswer](t, server.URL+"/api/v1/history"+query+"&step=0")
	if len(part.Time) != 5 || !part.Time[0].Equal(from) {
		t.Errorf("from %v to %v: %v", from, to, part.Time)
	}
	for _, query := range []string{"?step=-1", "?step=NaN", "?step=1e300", "?start=yesterday", "?end=2026"} {
		response, text := get(t, server.URL+"/api/v1/history"+query)
		if ok := query == "?end=2026"; (response.StatusCode == 200) != ok || !ok && !strings.Contains(text, `"hint"`) {
			t.Errorf("%s: %s: %s", query, response.Status, text)
		}
	}
}

// TestCompressed requests the history and the metrics with usual and unusual
// Accept-Encoding headers, many at a time.
func TestCompressed(t *testing.T) {
	d := chronytest.NewSynchronized(t, "")
	server, tr := serveWatched(t, d.Address, 10*time.Millisecond)
	await(t, tr, "samples", func(w *tracker.Watched) bool { return w.Samples >= 50 })
	var wg sync.WaitGroup
	for accept, want := range map[string]bool{
		"gzip, deflate, br, zstd": true, "br;q=1.0, gzip;q=0.8, *;q=0.1": true, "zstd, gzip ; q=1": true, "gzip": true,
		"": false, "br": false, "gzip;q=0": false, "gzip; q=0.0": false, "identity": false,
	} {
		for path, wantEnd := range map[string]string{"/api/v1/history?step=0": "}\n", "/metrics": "# EOF\n"} {
			wg.Go(func() {
				request, _ := http.NewRequest("GET", server.URL+path, nil)
				request.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
				request.Header.Set("Accept-Encoding", accept)
				response, err := placed(request)
				if err != nil {
					t.Error(err)
					return
				}
				defer response.Body.Close()
				var body io.Reader = response.Body
				if got := response.Header.Get("Content-Encoding"); (got == "gzip") != want || !want && got != "" {
					t.Errorf("%s for %q has the content encoding %q", path, accept, got)
				} else if want {
					if body, err = gzip.NewReader(body); err != nil {
						t.Error(err)
						return
					}
				}
				text, err := io.ReadAll(body)
				if err != nil || len(text) < 5000 || !strings.HasSuffix(string(text), wantEnd) {
					t.Errorf("%s for %q: %v, %d bytes", path, accept, err, len(text))
				}
			})
		}
	}
	wg.Wait()
}

// placed sends a request again while a busy machine has no place for it.
func placed(request *http.Request) (*http.Response, error) {
	for {
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil || response.StatusCode != http.StatusServiceUnavailable {
			return response, err
		}
		response.Body.Close()
	}
}

// TestManyReaders has a hundred readers of everything and ten scrapers at once. All get
// their answers, or hear that they have to come later. The watch goes on. How many ticks it misses depends on the machine:
// BenchmarkManyReaders tells.
func TestManyReaders(t *testing.T) {
	tr, urls := manyReaders(t)
	readAll(t, urls, func() { awaitMore(t, tr, 5) })
}

// BenchmarkManyReaders reports how much of the time the watch misses under such readers.
func BenchmarkManyReaders(b *testing.B) {
	tr, urls := manyReaders(b)
	before, samples := tr.Watched(), uint64(0)
	for b.Loop() {
		readAll(b, urls, func() { awaitMore(b, tr, 5) })
		samples += 5
	}
	after := tr.Watched()
	missed := after.Unobserved - before.Unobserved + after.StateSeconds[clockerror.Unreachable] - before.StateSeconds[clockerror.Unreachable]
	b.ReportMetric(missed/float64(samples), "missed/sample")
}

func manyReaders(t testing.TB) (tr *tracker.Tracker, urls []string) {
	d := chronytest.NewSynchronized(t, "")
	server, tr := serveWatched(t, d.Address, time.Second)
	metrics := httptest.NewServer(exporter.NewHandler(exporter.Config{Tracker: tr, Collect: chrony.WantAll, Logger: slog.New(slog.DiscardHandler)}))
	t.Cleanup(metrics.Close)
	urls = slices.Repeat([]string{metrics.URL}, 10)
	for _, path := range []string{"status", "now", "events", "history", "history?step=1s"} {
		urls = append(urls, slices.Repeat([]string{server.URL + "/api/v1/" + path}, 20)...)
	}
	return tr, urls
}

func awaitMore(t testing.TB, tr *tracker.Tracker, samples uint64) {
	t.Helper()
	enough := tr.Watched().Samples + samples
	await(t, tr, "samples", func(w *tracker.Watched) bool { return w.Samples >= enough })
}

// readAll reads each of the URLs several times a second while a function runs.
func readAll(t testing.TB, urls []string, during func()) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: len(urls)}}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, url := range urls {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := read(client, url); err != nil {
					t.Errorf("%s: %v", url, err)
					return
				}
				select {
				case <-ctx.Done():
				case <-time.After(200 * time.Millisecond):
				}
			}
		})
	}
	during()
}

func read(client *http.Client, url string) error {
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusServiceUnavailable && response.Header.Get("Retry-After") != "" {
		return nil // the machine is too busy for so many
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}
