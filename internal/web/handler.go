package web

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

//go:embed page.html
var page string

var pageTemplate = template.Must(template.New("page").Parse(page))

// Config says what is served beside the page.
type Config struct {
	Version string       // of the program
	Metrics string       // the path of the metrics; if it is /, there is no page
	Handler http.Handler // of the metrics
}

// Register adds the page at /, the metrics, the two health checks and the API to a
// server.
func Register(mux *http.ServeMux, t *tracker.Tracker, config Config) {
	if config.Metrics == "/" {
		mux.Handle("GET /{$}", config.Handler)
	} else {
		mux.Handle("GET "+config.Metrics, config.Handler)
		mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
			servePage(w, NewStatus(t.Snapshot(r.Context())), config)
		})
	}
	// Healthy means that this process lives; chronyd's death is no reason to
	// restart it.
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "healthy")
	})
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, r *http.Request) { serveReady(w, r, t) })
	registerAPI(mux, t)
}

func servePage(w http.ResponseWriter, status Status, config Config) {
	var b bytes.Buffer
	err := pageTemplate.Execute(&b, struct {
		Status
		Class, Version, MetricsLink string
	}{status, class(status), config.Version, strings.TrimPrefix(config.Metrics, "/")}) // a relative link works behind a proxy
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	header.Set("Cache-Control", "no-store")
	w.Write(b.Bytes())
}

// class is the verdict's colour on the page.
func class(s Status) string {
	switch {
	case s.Bound == nil:
		return "none"
	case s.State != clockerror.Synchronized, s.Untraced:
		return "doubt"
	default:
		return ""
	}
}
