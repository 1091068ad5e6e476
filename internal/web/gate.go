package web

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/status"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// serveReady says whether chronyd answers now and, with ?max_error=10ms, whether the
// clock is at most that far off: for whatever must not start before it is.
func serveReady(w http.ResponseWriter, r *http.Request, t *tracker.Tracker) {
	limit, err := maxError(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	snapshot := t.Judge(r.Context())
	w.Header().Set(status.Header, snapshot.Estimate.State.String())
	if err := snapshot.Err; err != nil {
		http.Error(w, fmt.Sprintf("not ready: %v\n%s", err, tracker.Hint(err)), http.StatusServiceUnavailable)
		return
	}
	if limit == 0 {
		fmt.Fprintln(w, "ready")
		return
	}
	verdict, err := status.New(snapshot).Within(limit)
	if err != nil {
		http.Error(w, fmt.Sprintf("not ready: %v", err), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready:", verdict)
}

// maxError returns the limit in the request, or 0 if there is none. Unknown
// parameters are errors, so that a typo does not disable the check.
func maxError(r *http.Request) (time.Duration, error) {
	query, err := url.ParseQuery(r.URL.RawQuery) // unlike URL.Query, which drops what it can't parse
	if err != nil {
		return 0, fmt.Errorf("the parameters can't be parsed: %w", err)
	}
	for name := range query {
		if name != "max_error" {
			return 0, fmt.Errorf("unknown parameter %q: use max_error, such as max_error=10ms", name)
		}
	}
	if !query.Has("max_error") {
		return 0, nil
	}
	limit, err := time.ParseDuration(query.Get("max_error"))
	if err != nil || limit <= 0 || len(query["max_error"]) > 1 {
		return 0, fmt.Errorf("max_error=%s: must be one duration above zero, such as 10ms", query.Get("max_error"))
	}
	return limit, nil
}
