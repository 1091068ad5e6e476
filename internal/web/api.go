package web

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/chrony-tracker/chrony-tracker/internal/status"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// openAPI describes the answers of the API. A test holds it to them.
//
//go:embed openapi.yaml
var openAPI []byte

func registerAPI(routes *routes, t *tracker.Tracker) {
	routes.get("/api/v1/status", routes.pages, func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, status.NewFull(t.Snapshot(r.Context())))
	})
	routes.get("/api/v1/events", routes.pages, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, status.NewEvents(t)) })
	routes.get("/api/v1/now", nil, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, status.NewNow(t.Now())) })
	routes.get("/api/v1/history", routes.history, func(w http.ResponseWriter, r *http.Request) { serveHistory(w, r, t.History) })
	routes.get("/api/v1/openapi.yaml", routes.pages, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		w.Write(openAPI)
	})
}

func serveHistory(w http.ResponseWriter, r *http.Request, from samples) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		refuse(w, fmt.Errorf("the parameters can't be parsed: %w", err))
		return
	}
	h, err := queryHistory(query, from)
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	h.writeTo(w)
}

// refuse answers a request whose parameters make no sense.
func refuse(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	json.NewEncoder(w).Encode(status.Problem{Error: err.Error(), Hint: "see /api/v1/openapi.yaml"})
}

func writeJSON(w http.ResponseWriter, body any) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	w.Write(text.Bytes())
}
