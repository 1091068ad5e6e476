package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/chrony-tracker/chrony-tracker/internal/status"
	"github.com/chrony-tracker/chrony-tracker/internal/terminal"
)

// An impostor answers every request. Any program can take the tracker's port.
type impostor struct {
	code   int
	bodies map[string]string // by the end of the path
}

func (i impostor) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: i.code, Status: "400 " + i.bodies["status"], Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(i.bodies[r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]])),
	}, nil
}

// checkPrinted fails if a text could control a terminal.
func checkPrinted(t *testing.T, text string) {
	t.Helper()
	if strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && unicode.In(r, unicode.Cc, unicode.Bidi_Control) }) {
		t.Errorf("%q", text)
	}
}

// FuzzTrackerAnswers gives any answers of a tracker to status. What is printed must be
// safe on a terminal, and the JSON must be JSON.
func FuzzTrackerAnswers(f *testing.F) {
	const now = `{"time":"2026-01-02T03:04:05Z","state":"synchronized","bound_seconds":1e-3,"bound_terms_seconds":{"offset":1e-3},"sources":[],"chronyd":null,
		"watch":{"since":"2026-01-02T03:04:05Z","interval_seconds":1,"samples":5,"state":"holdover","state_since":"2026-01-02T03:04:05Z","state_seconds":{"local":1e300},
		"windows":[{"length_seconds":60,"bound_max_seconds":1e-3,"unbounded_seconds":-1}],"distribution":[],"objectives":[],"kernel":null}}`
	const past = `{"events":[{"time":"2026-01-02T03:04:05Z","event":"clock_stepped","text":"x","from":"a","to":null,"seconds":-1e300}],"counts":{"x":1}}`
	f.Add(now, past, 200)
	f.Add(`{"watch":{"state":"\u001b[2J\u009b1m","state_since":"9999-12-31T23:59:59Z"}}`, `{"events":[{"event":"\u202e","from":"\n","to":"\u0007"}]}`, 200)
	f.Add(`{"watch":{"windows":[{"length_seconds":1e400}]}}`, `[]`, 200)
	f.Add(strings.Repeat("[", 1000), ``, 200)
	f.Add(``, ``, 503)
	limit := 2 * time.Second
	f.Fuzz(func(t *testing.T, now, past string, code int) {
		client := &http.Client{Transport: impostor{code, map[string]string{"status": now, "events": past}}}
		before := askTracker(t.Context(), client, &url.URL{Scheme: "http", Host: "127.0.0.1:9123"}, limit)
		if code != http.StatusOK && before.watch != nil {
			t.Errorf("%d is an answer", code)
		}
		for _, style := range []terminal.Style{{}, {Width: 1}, {Width: 200}} {
			var out bytes.Buffer
			if err := before.past(&out, style); err != nil {
				t.Fatal(err)
			}
			checkPrinted(t, out.String())
		}
		var out bytes.Buffer
		if err := terminal.JSON(&out, before.document(status.Status{})); err != nil {
			t.Fatal(err)
		}
		if !json.Valid(out.Bytes()) {
			t.Errorf("%q", out.Bytes())
		}
		checkPrinted(t, out.String())
	})
}

// FuzzGateAnswers gives any answer of a gate to waitsync. It waits no longer only if the
// gate said so.
func FuzzGateAnswers(f *testing.F) {
	f.Add("ready: at most 1 ms off\n", 200)
	f.Add("ready\n", 200)
	f.Add("not ready: \x1b[2J\nhint\u202e", 503)
	f.Add("", 404)
	f.Fuzz(func(t *testing.T, text string, code int) {
		flags := waitsyncFlags{
			maxError: time.Millisecond,
			tracker:  &trackerFlags{url: &url.URL{Scheme: "http", Host: "127.0.0.1:9123"}},
			client:   &http.Client{Transport: impostor{code, map[string]string{"ready": text}}},
		}
		verdict, _, err := flags.lookAtTracker(t.Context())
		if err == nil && (code != http.StatusOK || !strings.Contains(text, "ready: ") || strings.HasPrefix(text, "not ready")) {
			t.Errorf("%d %q is a yes", code, text)
		}
		checkPrinted(t, terminal.Line(verdict))
		if err != nil {
			checkPrinted(t, terminal.Line(err.Error()))
		}
	})
}
