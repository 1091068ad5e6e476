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

func registerAPI(mux *http.ServeMux, t *tracker.Tracker) {
	for path, answer := range map[string]func(*http.Request) (any, error){
		"/api/v1/status": func(r *http.Request) (any, error) { return status.NewFull(t.Snapshot(r.Context())), nil },
		"/api/v1/now":    func(*http.Request) (any, error) { return status.NewNow(t.Now()), nil },
		"/api/v1/events": func(*http.Request) (any, error) { return status.NewEvents(t), nil },
		"/api/v1/history": func(r *http.Request) (any, error) {
			query, err := url.ParseQuery(r.URL.RawQuery)
			if err != nil {
				return nil, fmt.Errorf("the parameters can't be parsed: %w", err)
			}
			return queryHistory(query, t.History)
		},
	} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			body, err := answer(r)
			if err != nil {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusBadRequest)
				json.NewEncoder(w).Encode(status.Problem{Error: err.Error(), Hint: "see /api/v1/openapi.yaml"})
				return
			}
			writeJSON(w, body)
		})
	}
	mux.HandleFunc("GET /api/v1/openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		w.Write(openAPI)
	})
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
