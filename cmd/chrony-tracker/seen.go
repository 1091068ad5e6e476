package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/status"
	"github.com/chrony-tracker/chrony-tracker/internal/terminal"
)

// seen is what the tracker on this node has seen. chronyd keeps no history.
type seen struct {
	url    string
	watch  *status.Watch // nil if no tracker that watches a clock has answered
	events []status.Event
	err    error // why not

	witnesses *status.Witnesses // nil without
}

// localTracker is the address of the tracker on this node.
const localTracker = "http://127.0.0.1:9123"

// seenPatience is the tracker's timeout, in addition to chronyd's. The tracker is on this
// node, but asks chronyd before it answers.
const seenPatience = 2 * time.Second

// askTracker asks a tracker what it has seen.
func askTracker(ctx context.Context, client *http.Client, base *url.URL, chronyd time.Duration) *seen {
	ctx, cancel := context.WithTimeout(ctx, chronyd+seenPatience)
	defer cancel()
	var past status.Events
	s := &seen{url: base.Redacted()}
	now, err := askNow(ctx, client, base)
	if err == nil {
		err = getJSON(ctx, client, base.JoinPath("api/v1/events"), &past)
	}
	switch {
	case err != nil:
		s.err = asking(err)
	case now.Watch == nil:
		s.err = errors.New("it watches no clock")
	default:
		s.watch, s.events, s.witnesses = now.Watch, past.Events, now.Witnesses
	}
	return s
}

// A told status is what a tracker answers.
type told struct {
	status.Full
	State string `json:"state"` // a tracker of another version may have other states
}

func askNow(ctx context.Context, client *http.Client, base *url.URL) (now told, err error) {
	err = getJSON(ctx, client, base.JoinPath("api/v1/status"), &now)
	return now, err
}

// forPrograms returns what programs act on.
func (t *told) forPrograms() (status.Status, error) {
	now, name := t.Full.Status.Acting(), t.State
	if w := t.Witnesses; w != nil {
		name = w.Actionable.State
	}
	for _, state := range clockerror.States {
		if state.String() == name {
			now.State = state
			return now, nil
		}
	}
	return now, fmt.Errorf("the tracker reports a state that this version does not know: %q", name)
}

// ask asks the tracker what it has seen.
func (f *trackerFlags) ask(ctx context.Context, chronyd time.Duration) (*seen, error) {
	client, err := f.client()
	if err != nil {
		return nil, err
	}
	return askTracker(ctx, client, f.url, chronyd), nil
}

func getJSON(ctx context.Context, client *http.Client, address *url.URL, into any) error {
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
		return answerError{response.Status, response.StatusCode, ""}
	}
	const most = 16 << 20 // bytes; a chronyd with 1,000 sources takes one million
	body, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	if err != nil {
		return err
	}
	if len(body) > most {
		return fmt.Errorf("the answer is longer than %d MiB", most>>20)
	}
	return json.Unmarshal(body, into)
}

// past prints what the tracker has seen, or why that is unknown.
func (s *seen) past(w io.Writer, style terminal.Style) error {
	if s.err != nil {
		return terminal.NoPast(w, s.url, s.err, style)
	}
	return terminal.Past(w, s.url, s.watch, s.events, style)
}

// A statusDocument is the status with what a tracker has seen. Without a tracker, that
// is null.
type statusDocument struct {
	status.Full
	Tracker      *string        `json:"tracker"`
	TrackerError *string        `json:"tracker_error"`
	Events       []status.Event `json:"events"`
}

func (s *seen) document(now status.Status) statusDocument {
	document := statusDocument{Full: status.Full{Status: now, Watch: s.watch}, Events: s.events}
	if s.err == nil {
		document.Tracker = &s.url
	} else {
		problem := s.err.Error()
		document.TrackerError = &problem
	}
	return document
}
