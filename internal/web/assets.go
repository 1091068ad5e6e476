package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"time"
)

// assets are the static files of the page.
//
//go:embed page
var assets embed.FS

// assetFiles are served under /-/. No flag can put another handler there.
var assetFiles = []struct{ name, file, contentType string }{
	{"page.css", "page.css", "text/css; charset=utf-8"},
	{"page.js", "page.js", "text/javascript; charset=utf-8"},
	{"plot.js", "plot.js", "text/javascript; charset=utf-8"},
	{"icon.svg", "icon.svg", "image/svg+xml"},
	{"uplot.css", "uplot/uPlot.min.css", "text/css; charset=utf-8"},
	{"uplot.js", "uplot/uPlot.iife.min.js", "text/javascript; charset=utf-8"},
	{"uplot.txt", "uplot/LICENSE", "text/plain; charset=utf-8"},
}

func registerAssets(routes *routes) {
	for _, a := range assetFiles {
		text, err := assets.ReadFile(path.Join("page", a.file))
		if err != nil {
			panic(err) // it is embedded
		}
		routes.get("/-/"+a.name, routes.pages, newAsset(text, a.contentType))
	}
}

// newAsset serves a file that does not change while the program runs. Browsers cache
// it and check whether it is current. The ETag is weak, because it is the same with
// and without compression.
func newAsset(text []byte, contentType string) http.HandlerFunc {
	hash := sha256.Sum256(text)
	tag := `W/"` + hex.EncodeToString(hash[:8]) + `"`
	return func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Type", contentType)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Cache-Control", "no-cache")
		header.Set("ETag", tag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
	}
}
