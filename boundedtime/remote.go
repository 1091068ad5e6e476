package boundedtime

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// A remote is a tracker that is asked over HTTP.
type remote struct {
	url    string
	client *http.Client
}

func newRemote(url string, client *http.Client) *remote {
	if client == nil {
		client = &http.Client{Timeout: time.Second}
	}
	return &remote{strings.TrimRight(url, "/") + "/api/v1/now", client}
}

// now asks the tracker. Its interval holds at some instant between the request and the
// answer. So the latest time is moved by all the time since the request.
func (r *remote) now(ctx context.Context) (earliest, latest time.Time, status Status, err error) {
	sent := time.Now()
	answer, err := r.ask(ctx)
	if err != nil {
		return time.Time{}, time.Time{}, Unknown, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	switch answer.State {
	case "synchronized":
		status = Synchronized
	case "holdover":
		status = FreeRunning
	}
	if status == Unknown || answer.Earliest == nil || answer.Latest == nil {
		return time.Time{}, time.Time{}, Unknown, fmt.Errorf("%w: the tracker reports %q", ErrUnknown, answer.State)
	}
	const fastest = 1000 // an oscillator is off by less than one part in so many
	since := time.Since(sent)
	return *answer.Earliest, answer.Latest.Add(since + since/fastest + 1), status, nil
}

type remoteNow struct {
	State    string     `json:"state"`
	Earliest *time.Time `json:"earliest"`
	Latest   *time.Time `json:"latest"`
}

func (r *remote) ask(ctx context.Context) (answer remoteNow, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return answer, err
	}
	response, err := r.client.Do(request)
	if err != nil {
		return answer, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return answer, fmt.Errorf("%s: %s", r.url, response.Status)
	}
	const most = 1 << 16
	err = json.NewDecoder(io.LimitReader(response.Body, most)).Decode(&answer)
	return answer, err
}
