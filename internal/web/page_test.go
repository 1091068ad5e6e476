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
	"github.com/chrony-tracker/chrony-tracker/internal/status"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// TestNames wants each state and each term to have colors, light and dark.
func TestNames(t *testing.T) {
	css, err := assets.ReadFile("page/page.css")
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
	}
	for term := range (clockerror.Terms{}).All() {
		colored(term)
		if !strings.Contains(string(css), "."+term+" { fill: var(--"+term+"); }") {
			t.Errorf("%s lacks a color in the bar", term)
		}
	}
}

// TestAssets gets all that the page and its scripts name, and nothing twice.
func TestAssets(t *testing.T) {
	routes := &routes{mux: http.NewServeMux(), pages: newPlaces(1)}
	registerAssets(routes)
	server := httptest.NewServer(routes.mux)
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
	size := func(h http.HandlerFunc) int {
		recorder := httptest.NewRecorder()
		request := httptest.NewRequest("GET", "/", nil)
		request.Header.Set("Accept-Encoding", "gzip")
		compressed(h).ServeHTTP(recorder, request)
		return recorder.Body.Len()
	}
	total := size(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, pageText) }) * 2 // filled in
	for _, a := range assetFiles {
		text, err := assets.ReadFile("page/" + a.file)
		if err != nil {
			t.Fatal(err)
		}
		total += size(newAsset(text, a.contentType))
	}
	hour, err := queryHistory(url.Values{"step": {"5"}}, noisyHour)
	if err != nil {
		t.Fatal(err)
	}
	rows := size(func(w http.ResponseWriter, _ *http.Request) { hour.writeTo(w) })
	total += rows
	t.Logf("%d bytes, %d of them for %d rows", total, rows, len(hour.rows))
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
	s := status.Status{Sources: []status.ListedSource{{Name: name, Configured: &name, Reason: name}}, Problem: &status.Problem{Error: name, Hint: name}}
	var b strings.Builder
	if err := pageTemplate.Execute(&b, &page{Full: status.Full{Status: s}}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "<script>") {
		t.Error(fmt.Sprint("not escaped: ", b.String()))
	}
}
