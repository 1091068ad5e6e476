package web

import (
	"fmt"
	"net/http"

	"github.com/klauspost/compress/gzhttp"

	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// Config configures the handlers.
type Config struct {
	Version string       // version of the program
	Metrics string       // path of the metrics; if it is /, there is no page
	Handler http.Handler // handler of the metrics
}

// Register adds the page at /, the metrics, the health checks and the API to mux.
func Register(mux *http.ServeMux, t *tracker.Tracker, config Config) {
	if config.Metrics == "/" {
		mux.Handle("GET /{$}", config.Handler)
	} else {
		mux.Handle("GET "+config.Metrics, config.Handler)
		mux.Handle("GET /{$}", gzhttp.GzipHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { servePage(w, r, t, config) })))
		registerAssets(mux)
	}
	// Healthy only means that this process runs. A dead chronyd must not cause a
	// restart of it.
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "healthy")
	})
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, r *http.Request) { serveReady(w, r, t) })
	registerAPI(mux, t)
}
