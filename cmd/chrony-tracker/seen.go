package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/status"
)

// seen is what the tracker on this node has seen. chronyd keeps no history.
type seen struct {
	url    string
	watch  *status.Watch // nil if no tracker that watches a clock has answered
	events []status.Event
}

// seenPatience is the tracker's timeout, in addition to chronyd's. The tracker is on this
// node, but asks chronyd before it answers.
const seenPatience = 2 * time.Second

// askTracker asks a tracker what it has seen.
func askTracker(ctx context.Context, base *url.URL, chronyd time.Duration) *seen {
	ctx, cancel := context.WithTimeout(ctx, chronyd+seenPatience)
	defer cancel()
	var now struct {
		status.Full
		State string `json:"state"` // a tracker of another version may have other states
	}
	var past status.Events
	s := &seen{url: base.Redacted()}
	if getJSON(ctx, base.JoinPath("api/v1/status"), &now) == nil && getJSON(ctx, base.JoinPath("api/v1/events"), &past) == nil {
		s.watch, s.events = now.Watch, past.Events
	}
	return s
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

// A statusDocument is the status with what a tracker has seen. Without a tracker, that
// is null.
type statusDocument struct {
	status.Full
	Tracker *string        `json:"tracker"`
	Events  []status.Event `json:"events"`
}

func (s *seen) document(now status.Status) statusDocument {
	document := statusDocument{Full: status.Full{Status: now, Watch: s.watch}, Events: s.events}
	if s.watch != nil {
		document.Tracker = &s.url
	}
	return document
}
