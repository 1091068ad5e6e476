package exporter

import (
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
)

// serve writes a page, with gzip if the client accepts it. promhttp's own
// compression level costs more than the rest of a scrape and saves only a sixth of
// the bytes.
func (p *page) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Vary", "Accept-Encoding")
	if !acceptsGzip(r.Header.Get("Accept-Encoding")) {
		p.metrics.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	p.compressor.Reset(w)
	p.metrics.ServeHTTP(gzipWriter{w, p.compressor}, r)
	p.compressor.Close()
}

// A gzipWriter writes a response through a compressor.
type gzipWriter struct {
	http.ResponseWriter
	compressor *gzip.Writer
}

func (w gzipWriter) Write(b []byte) (int, error) { return w.compressor.Write(b) }

// WriteHeader removes the Content-Length that promhttp sets for errors: it is the
// length before compression.
func (w gzipWriter) WriteHeader(status int) {
	w.Header().Del("Content-Length")
	w.ResponseWriter.WriteHeader(status)
}

// acceptsGzip reports whether an Accept-Encoding header (RFC 9110, section 12.5.3)
// allows gzip.
func acceptsGzip(accept string) bool {
	for coding := range strings.SplitSeq(accept, ",") {
		name, parameters, _ := strings.Cut(coding, ";")
		if strings.TrimSpace(name) != "gzip" {
			continue
		}
		weight, given := strings.CutPrefix(strings.TrimSpace(parameters), "q=")
		q, err := strconv.ParseFloat(weight, 64)
		return !given || err == nil && q > 0
	}
	return false
}
