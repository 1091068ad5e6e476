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
//
// Each kind of answer that costs CPU or memory has its own places, so that readers of one
// kind don't keep out those of another. The checks and the present time need none.
func Register(mux *http.ServeMux, t *tracker.Tracker, config Config) {
	routes := &routes{mux: http.NewServeMux(), pages: newPlaces(4), history: newPlaces(2)}
	if config.Metrics == "/" {
		routes.get("/{$}", newPlaces(4), config.Handler.ServeHTTP)
	} else {
		routes.get(config.Metrics, newPlaces(4), config.Handler.ServeHTTP)
		routes.get("/{$}", routes.pages, func(w http.ResponseWriter, r *http.Request) { servePage(w, r, t, config) })
		registerAssets(routes)
	}
	// Healthy only means that this process runs. A dead chronyd must not cause a
	// restart of it.
	routes.get("/-/healthy", nil, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "healthy")
	})
	routes.get("/-/ready", nil, func(w http.ResponseWriter, r *http.Request) { serveReady(w, r, t) })
	registerAPI(routes, t)
	mux.Handle("/", routes.mux)
}

// routes are the paths, and the places of those who read them.
type routes struct {
	mux            *http.ServeMux
	pages, history *places
}

// get serves a path. Without places it is for small answers, which are not compressed.
func (r *routes) get(path string, places *places, h http.HandlerFunc) {
	if places == nil {
		r.mux.Handle("GET "+path, h)
		return
	}
	r.mux.Handle("GET "+path, places.limit(compressed(h)))
}
