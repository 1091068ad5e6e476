package web

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/chrony-tracker/chrony-tracker/internal/status"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// openAPI describes the answers of the API. A test holds it to them.
//
//go:embed openapi.yaml
var openAPI []byte

func registerAPI(mux *http.ServeMux, t *tracker.Tracker) {
	for path, answer := range map[string]func(*http.Request) (any, error){
		"/api/v1/status":  func(r *http.Request) (any, error) { return status.NewFull(t.Snapshot(r.Context())), nil },
		"/api/v1/now":     func(*http.Request) (any, error) { return status.NewNow(t.Now()), nil },
		"/api/v1/events":  func(*http.Request) (any, error) { return status.NewEvents(t), nil },
		"/api/v1/history": func(r *http.Request) (any, error) { return queryHistory(r.URL.Query(), t.History) },
	} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			body, err := answer(r)
			if err != nil {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusBadRequest)
				json.NewEncoder(w).Encode(status.Problem{Error: err.Error(), Hint: "see /api/v1/openapi.yaml"})
				return
			}
			writeJSON(w, r, body)
		})
	}
	mux.HandleFunc("GET /api/v1/openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		w.Write(openAPI)
	})
}

func writeJSON(w http.ResponseWriter, r *http.Request, body any) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	writeCompressed(w, r, "application/json", text.Bytes())
}

// writeCompressed compresses what is worth it, for those who accept that.
func writeCompressed(w http.ResponseWriter, r *http.Request, contentType string, body []byte) {
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Vary", "Accept-Encoding")
	const small = 1400 // bytes, which are one packet anyway
	if len(body) <= small || !acceptsGzip(r.Header.Get("Accept-Encoding")) {
		w.Write(body)
		return
	}
	header.Set("Content-Encoding", "gzip")
	packed := gzip.NewWriter(w)
	packed.Write(body)
	packed.Close()
}

func acceptsGzip(header string) bool {
	for coding := range strings.SplitSeq(header, ",") {
		name, parameter, _ := strings.Cut(coding, ";")
		_, quality, weighted := strings.Cut(parameter, "q=")
		if weight, err := strconv.ParseFloat(strings.TrimSpace(quality), 64); weighted && (err != nil || weight == 0) {
			continue
		}
		if strings.TrimSpace(name) == "gzip" {
			return true
		}
	}
	return false
}
