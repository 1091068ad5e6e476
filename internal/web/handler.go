package web

import (
	"fmt"
	"net/http"

	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// Config configures the handlers.
type Config struct {
	Version string       // version of the program
	Metrics string       // path of the metrics; if it is /, there is no page
	Handler http.Handler // handler of the metrics
}

// Register adds the page at /, the metrics, the health checks and the API to mux. Their
// responses are compressed if the client accepts gzip.
func Register(mux *http.ServeMux, t *tracker.Tracker, config Config) {
	routes := http.NewServeMux()
	if config.Metrics == "/" {
		routes.Handle("GET /{$}", config.Handler)
	} else {
		routes.Handle("GET "+config.Metrics, config.Handler)
		routes.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { servePage(w, r, t, config) })
		registerAssets(routes)
	}
	// Healthy only means that this process runs. A dead chronyd must not cause a
	// restart of it.
	routes.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "healthy")
	})
	routes.HandleFunc("GET /-/ready", func(w http.ResponseWriter, r *http.Request) { serveReady(w, r, t) })
	registerAPI(routes, t)
	mux.Handle("/", compressed(routes))
}
