package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// seen is what a tracker that runs on this node has seen. chronyd knows nothing of
// what was before.
type seen struct {
	URL   string
	Watch json.RawMessage // as /api/v1/status has it
	watch struct {
		Since      time.Time  `json:"since"`
		StateSince *time.Time `json:"state_since"`
		Windows    []struct {
			Length  float64  `json:"length_seconds"`
			Bound   *float64 `json:"bound_max_seconds"`
			Without float64  `json:"without_bound_seconds"`
		} `json:"windows"`
	}
	state  string
	Events []seenEvent
}

type seenEvent struct {
	Time    time.Time `json:"time"`
	Kind    string    `json:"event"`
	From    *string   `json:"from"`
	To      *string   `json:"to"`
	Seconds *float64  `json:"seconds"`
}

// seenPatience is how long the tracker may take beside what it gives chronyd: it is on
// this node, but asks chronyd before it answers.
const seenPatience = 2 * time.Second

// askTracker asks a tracker what it has seen.
func askTracker(ctx context.Context, base *url.URL, chronyd time.Duration) (*seen, error) {
	ctx, cancel := context.WithTimeout(ctx, chronyd+seenPatience)
	defer cancel()
	s := &seen{URL: base.Redacted()}
	var status struct {
		State string          `json:"state"`
		Watch json.RawMessage `json:"watch"`
	}
	if err := getJSON(ctx, base.JoinPath("api/v1/status"), &status); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(status.Watch, &s.watch); err != nil || s.watch.Since.IsZero() {
		return nil, fmt.Errorf("%s does not watch a clock", s.URL)
	}
	s.Watch, s.state = status.Watch, status.State
	var happened struct{ Events []seenEvent }
	if err := getJSON(ctx, base.JoinPath("api/v1/events"), &happened); err != nil {
		return nil, err
	}
	s.Events = happened.Events
	return s, nil
}

func getJSON(ctx context.Context, address *url.URL, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", address.Redacted(), response.Status)
	}
	const most = 1 << 20
	return json.NewDecoder(io.LimitReader(response.Body, most)).Decode(into)
}

// shownEvents is how many of the latest events a person is told.
const shownEvents = 10

// writeSeen writes what a tracker has seen, or that there is none.
func writeSeen(w io.Writer, s *seen, base *url.URL) {
	if s == nil {
		fmt.Fprintf(w, "\nNo tracker answers at %s: what happened before is not known.\n", base.Redacted())
		return
	}
	fmt.Fprintf(w, "\nSeen by the tracker at %s since %s:\n", s.URL, clockTime(s.watch.Since))
	if since := s.watch.StateSince; since != nil {
		fmt.Fprintf(w, "  %s since %s\n", s.state, clockTime(*since))
	}
	for _, window := range s.watch.Windows {
		largest := "there was no bound"
		if window.Bound != nil {
			largest = "the bound was " + clockerror.Format(*window.Bound) + " at most, and there was none for " + clockerror.Format(window.Without)
		}
		fmt.Fprintf(w, "  last %v min: %s\n", window.Length/60, largest)
	}
	for _, event := range s.Events[max(0, len(s.Events)-shownEvents):] {
		fmt.Fprintf(w, "  %s  %s\n", clockTime(event.Time), event)
	}
}

func clockTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// String is the event in a few words.
func (e seenEvent) String() string {
	text := strings.ReplaceAll(e.Kind, "_", " ")
	if e.From != nil && e.To != nil {
		text += ": " + *e.From + " → " + *e.To
	}
	if e.Seconds != nil {
		text += fmt.Sprintf(" by %+.3g s", *e.Seconds)
	}
	return text
}
