package web

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/status"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

//go:embed page/page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"seconds": status.Seconds,
	"signed":  status.Signed,
	"length":  status.Duration,
	"clock":   status.Clock,

	"boundNote": func() string { return status.BoundNote },
	"machine":   func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
}).Parse(pageText))

// policy allows the page to load only files from this program.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// A page is the data of page.html. The script fetches the page periodically and
// replaces the changed parts. So all text is made here, and the page also works
// without the script.
type page struct {
	status.Full
	Config
	events []status.Event
}

func servePage(w http.ResponseWriter, r *http.Request, t *tracker.Tracker, config Config) {
	var b bytes.Buffer
	p := page{status.NewFull(t.Snapshot(r.Context())), config, status.NewEvents(t).Events}
	if err := pageTemplate.Execute(&b, &p); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Type", "text/html; charset=utf-8")
	w.Write(b.Bytes())
}

// MetricsLink is a relative link, so that it works behind a proxy.
func (p *page) MetricsLink() string { return strings.TrimPrefix(p.Metrics, "/") }

// shownEvents is how many the table has; the plot marks all.
const shownEvents = 10

// Events are the latest ones, the latest first.
func (p *page) Events() []status.Event {
	latest := slices.Clone(p.events[max(0, len(p.events)-shownEvents):])
	slices.Reverse(latest)
	return latest
}
