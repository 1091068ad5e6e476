package web

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// Within returns a text on how far off the clock can be, if its bound is within the
// limit. Else it returns an error with the reason. A clock without a bound is never
// within the limit.
func Within(s Status, limit time.Duration) (verdict string, err error) {
	switch verdict := lowerFirst(s.Verdict()); {
	case s.Bound == nil:
		return "", errors.New(verdict)
	case *s.Bound > limit.Seconds():
		return "", fmt.Errorf("the clock can be %s off, more than %s%s", seconds(*s.Bound), seconds(limit.Seconds()), s.doubt())
	default:
		return verdict, nil
	}
}

// doubt returns a note if the clock is contradicted, with a semicolon in front.
func (s Status) doubt() string {
	if s.State != clockerror.Contradicted {
		return ""
	}
	return "; " + stateNotes[s.State]
}

// lowerFirst prepares a sentence to follow a colon: it lowers the first letter and
// removes the period.
func lowerFirst(sentence string) string {
	return string(sentence[0]|0x20) + sentence[1:len(sentence)-1]
}

// serveReady reports whether chronyd answers now. With ?max_error=10ms it reports
// whether the clock is at most that far off, so that programs can wait for it.
func serveReady(w http.ResponseWriter, r *http.Request, t *tracker.Tracker) {
	limit, err := maxError(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	snapshot := t.Judge(r.Context())
	if err := snapshot.Err; err != nil {
		http.Error(w, fmt.Sprintf("not ready: %v\n%s", err, tracker.Hint(err)), http.StatusServiceUnavailable)
		return
	}
	if limit == 0 {
		fmt.Fprintln(w, "ready")
		return
	}
	verdict, err := Within(NewStatus(snapshot), limit)
	if err != nil {
		http.Error(w, fmt.Sprintf("not ready: %v", err), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready:", verdict)
}

// maxError returns the limit in the request, or 0 if there is none. Unknown
// parameters are errors, so that a typo does not disable the check.
func maxError(r *http.Request) (time.Duration, error) {
	query := r.URL.Query()
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
