package web

import (
	"fmt"
	"net/http"

	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

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
		mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { servePage(w, r, t, config) })
		registerAssets(mux)
	}
	// Healthy means that this process lives; chronyd's death is no reason to
	// restart it.
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "healthy")
	})
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, r *http.Request) { serveReady(w, r, t) })
	registerAPI(mux, t)
}
