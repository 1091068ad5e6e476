package web

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/status"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// serveReady says whether chronyd answers and, with ?max_error=10ms, whether the clock is
// at most that far off: for whatever must not start before it is. It answers from the
// latest sample, so requests cost chronyd nothing.
func serveReady(w http.ResponseWriter, r *http.Request, t *tracker.Tracker) {
	limit, err := maxError(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	now := t.Now()
	state, verdict, err := judge(now, limit)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set(status.Header, state)
	if err != nil {
		text := "not ready: " + err.Error()
		if hint := tracker.Hint(now.Err); hint != "" {
			text += "\n" + hint
		}
		http.Error(w, text, http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, verdict)
}

// judge returns the state of the clock and the gate's verdict, or why the gate is closed.
// Without a limit, the latest sample may be older.
func judge(now tracker.Now, limit time.Duration) (state, verdict string, err error) {
	if !now.Current || limit > 0 && !now.Observed {
		return status.Unobserved, "", status.NotSampled(now)
	}
	present := status.Present(now)
	state = present.State.String()
	switch {
	case now.Err != nil:
		return state, "", now.Err
	case limit == 0:
		return state, "ready", nil
	}
	verdict, err = present.Within(limit)
	return state, "ready: " + verdict, err
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
