package web

import (
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// TestEventTexts reads what a person reads of an event.
func TestEventTexts(t *testing.T) {
	for _, test := range []struct {
		event tracker.Event
		want  string
	}{
		{tracker.Event{Kind: tracker.ClockStepped, Seconds: -2.5}, "the clock was stepped by −2.5 s"},
		{tracker.Event{Kind: tracker.ClockStepped, Seconds: 1e-4}, "the clock was stepped by +100 µs"},
		{tracker.Event{Kind: tracker.Suspended, Seconds: 3725}, "the machine was suspended for 1 h 2 min"},
		{tracker.Event{Kind: tracker.ChronydRestarted}, "chronyd was restarted"},
		{tracker.Event{Kind: tracker.SourceChanged, From: "none", To: "PHC0"}, "chronyd follows another source: from none to PHC0"},
	} {
		if got := eventText(test.event); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

func TestLength(t *testing.T) {
	for s, want := range map[float64]string{
		-1: "0 s", 0: "0 s", 0.0156: "15.6 ms", 1: "1 s", 59.9: "59 s", 60: "1 min 0 s", 3599: "59 min 59 s", 7260: "2 h 1 min", 86400 * 3: "3 d 0 h",
	} {
		if got := length(s); got != want {
			t.Errorf("%v s is %q, want %q", s, got, want)
		}
	}
}

// TestKept never says that an objective was kept better than it was.
func TestKept(t *testing.T) {
	for _, test := range []struct {
		good, total float64
		want        string
	}{
		{0, 0, "not yet known"}, {100, 100, "100 %"}, {0, 100, "0 %"}, {999_999.9, 1e6, "99.999 %"}, {1, 3, "33.333 %"},
	} {
		if got := (objective{Good: test.good, Total: test.total}).Kept(); got != test.want {
			t.Errorf("%v of %v: %q, want %q", test.good, test.total, got, test.want)
		}
	}
}

// TestParts has them fill the bar, whatever the bound is.
func TestParts(t *testing.T) {
	for _, terms := range []clockerror.Terms{{}, {Offset: 1}, {Offset: 1e-6, Delay: 2e-6, Dispersion: 3e-6, Reference: 4e-3, Disagreement: 1}} {
		bound := terms.Sum()
		p := page{apiStatus: apiStatus{Status: Status{Bound: &bound, Terms: &terms}}}
		end := 0.0
		for _, part := range p.Parts() {
			if part.Start != end {
				t.Errorf("%+v begins at %v", part, end)
			}
			end += part.Size
		}
		if bound > 0 && (end < 99.999 || end > 100.001) {
			t.Errorf("%+v: %v", terms, end)
		}
	}
	if parts := (&page{}).Parts(); parts != nil {
		t.Errorf("%+v", parts)
	}
}

// TestNames wants each state and each term to have words, and colors light and dark.
func TestNames(t *testing.T) {
	css, err := assets.ReadFile("page/page.css")
	if err != nil {
		t.Fatal(err)
	}
	plot, err := assets.ReadFile("page/plot.js")
	if err != nil {
		t.Fatal(err)
	}
	colored := func(name string) {
		t.Helper()
		if n := strings.Count(string(css), "--"+name+": #"); n != 2 {
			t.Errorf("%s has %d colors, want one for light and one for dark", name, n)
		}
	}
	for _, state := range clockerror.States {
		colored(state.String())
		if stateNotes[state] == "" || !regexp.MustCompile(`\b`+state.String()+`: "`).Match(plot) {
			t.Errorf("%v lacks words", state)
		}
	}
	for term := range (clockerror.Terms{}).All() {
		colored(term)
		if termNotes[term] == "" || !strings.Contains(string(css), "."+term+" { fill: var(--"+term+"); }") {
			t.Errorf("%s lacks words, or a color in the bar", term)
		}
	}
}

// TestAssets gets all that the page and its scripts name, and nothing twice.
func TestAssets(t *testing.T) {
	mux := http.NewServeMux()
	registerAssets(mux)
	server := httptest.NewServer(mux)
	defer server.Close()
	text := pageText
	for _, name := range []string{"page.js", "plot.js"} {
		script, err := assets.ReadFile("page/" + name)
		if err != nil {
			t.Fatal(err)
		}
		text += strings.ReplaceAll(string(script), `"./`, `"-/`)
	}
	found := regexp.MustCompile(`"(-/[a-z]+\.[a-z]+)"`).FindAllStringSubmatch(text, -1)
	if len(found) != len(assetFiles) {
		t.Errorf("%d files are named, %d served", len(found), len(assetFiles))
	}
	for _, match := range found {
		request, _ := http.NewRequest("GET", server.URL+"/"+match[1], nil)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", match[1], response.Status)
		}
		request.Header.Set("If-None-Match", response.Header.Get("ETag"))
		again, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		again.Body.Close()
		if again.StatusCode != http.StatusNotModified {
			t.Errorf("%s, again: %s", match[1], again.Status)
		}
	}
}

// TestVendored wants uPlot to be the version that the Makefile names.
func TestVendored(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	script, err := assets.ReadFile("page/uplot/uPlot.iife.min.js")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`\(v([\d.]+)\)`).FindSubmatch(script[:100])
	if version == nil || !strings.Contains(string(makefile), "\nUPLOT = "+string(version[1])+"\n") {
		t.Errorf("version %s", version)
	}
}

// TestSmall wants all that a browser loads for an hour of samples, compressed, to be
// below 150 KiB.
func TestSmall(t *testing.T) {
	total := len(pack([]byte(pageText))) * 2 // filled in
	for _, a := range assetFiles {
		text, err := assets.ReadFile("page/" + a.file)
		if err != nil {
			t.Fatal(err)
		}
		total += len(pack(text))
	}
	hour, err := queryHistory(url.Values{"step": {"5"}}, noisyHour)
	if err != nil {
		t.Fatal(err)
	}
	recorder := httptest.NewRecorder()
	request := httptest.NewRequest("GET", "/", nil)
	request.Header.Set("Accept-Encoding", "gzip")
	writeJSON(recorder, request, hour)
	total += recorder.Body.Len()
	t.Logf("%d bytes, %d of them for %d rows", total, recorder.Body.Len(), len(hour.Time))
	if total > 150<<10 {
		t.Errorf("%d bytes", total)
	}
}

// noisyHour has samples that don't compress.
func noisyHour(time.Time, time.Time) iter.Seq[tracker.Sample] {
	return func(yield func(tracker.Sample) bool) {
		begin := time.Date(2026, 11, 2, 3, 4, 0, 0, time.UTC)
		noise := uint32(1)
		next := func() float64 {
			noise = noise*1664525 + 1013904223
			return float64(float32(noise) * 1e-14)
		}
		for i := range 3600 {
			terms := clockerror.Terms{Offset: next(), Dispersion: next(), Delay: next(), Drift: next()}
			s := tracker.Sample{At: begin.Add(time.Duration(i)*time.Second + 7), Seconds: 1 + next(), Bound: next(), Error: next(), Offset: next(), Terms: terms}
			if !yield(s) {
				return
			}
		}
	}
}

// TestSurvivesNames has a source whose name would be markup.
func TestSurvivesNames(t *testing.T) {
	name := `<script>alert("here")</script>`
	status := Status{Sources: []ListedSource{{Name: name, Configured: &name, Reason: name}}, Problem: &Problem{name, name}}
	var b strings.Builder
	if err := pageTemplate.Execute(&b, &page{apiStatus: apiStatus{Status: status}}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "<script>") {
		t.Error(fmt.Sprint("not escaped: ", b.String()))
	}
}
