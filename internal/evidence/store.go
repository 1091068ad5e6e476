package evidence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/config"
)

// StoreConfig says where the store is and how to log in.
type StoreConfig struct {
	URL              *url.URL
	HTTPConfigFile   string        // Prometheus' HTTP client configuration: TLS, passwords, tokens, OAuth2; or empty
	WorkloadIdentity bool          // log in to Azure with the token that AKS mounts
	Timeout          time.Duration // of one query
}

// A Store answers PromQL queries: Prometheus, Thanos, Mimir, VictoriaMetrics, or an
// Azure Monitor workspace.
type Store struct {
	base    *url.URL
	client  *http.Client
	timeout time.Duration
	turns   chan struct{} // limits the queries in flight
	pause   func(context.Context, time.Duration) error
	tries   int
}

const (
	inFlight     = 4
	attempts     = 6 // in a minute: a store may be restarting
	fewAttempts  = 2 // before anything is known of the store, and while somebody waits
	longestPause = 2 * time.Minute
	largestBody  = 512 << 20 // bytes
)

// NewStore returns a store. It does not ask it anything yet.
func NewStore(c StoreConfig) (*Store, error) {
	if c.URL == nil || c.URL.Scheme != "http" && c.URL.Scheme != "https" || c.URL.Host == "" {
		return nil, hinted{errors.New("the URL of the store must begin with http:// or https://, and have a host"), "an example is http://prometheus.monitoring:9090"}
	}
	client := config.DefaultHTTPClientConfig
	if c.HTTPConfigFile != "" {
		read, _, err := config.LoadHTTPConfigFile(c.HTTPConfigFile)
		if err != nil {
			// A YAML error quotes the value, which may be a password.
			return nil, hinted{fmt.Errorf("cannot read %s as an HTTP client configuration", c.HTTPConfigFile),
				"the format is http_config of Prometheus: prometheus.io/docs/prometheus/latest/configuration/configuration"}
		}
		client = *read
	}
	transport, err := config.NewRoundTripperFromConfig(client, "evidence")
	if err != nil {
		return nil, err
	}
	if c.WorkloadIdentity {
		if transport, err = newAzureTransport(transport); err != nil {
			return nil, err
		}
	}
	return &Store{
		base:    c.URL,
		timeout: c.Timeout,
		turns:   make(chan struct{}, inFlight),
		pause:   pause,
		tries:   attempts,
		client: &http.Client{
			Transport: transport,
			// The transport would send its credentials to any address.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// quick returns the same store for queries that somebody waits for.
func (s *Store) quick() *Store {
	quick := *s
	quick.tries = fewAttempts
	return &quick
}

// Address is the store's URL without passwords and parameters.
func (s *Store) Address() string {
	shown := *s.base
	shown.User, shown.RawQuery, shown.Fragment = nil, "", ""
	return shown.String()
}

// A Problem is why a query got no complete answer.
type Problem struct {
	Status  int    // HTTP status; 0 if there was none
	Text    string // in one line
	hint    string
	limit   bool // the query was too large: ask for less
	again   bool // the same query may succeed later
	waitFor time.Duration
}

func (p *Problem) Error() string { return p.Text }

// Hint returns what the user can do.
func (p *Problem) Hint() string { return p.hint }

type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }
func (h hinted) Hint() string  { return h.hint }

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// instant evaluates a query at one time.
func (s *Store) instant(ctx context.Context, query string, at time.Time) ([]series, error) {
	return s.ask(ctx, "query", url.Values{"query": {query}, "time": {unixText(at)}})
}

// ranged evaluates a query at each step from one time to another, both included.
func (s *Store) ranged(ctx context.Context, query string, from, to time.Time, step time.Duration) ([]series, error) {
	return s.ask(ctx, "query_range", url.Values{
		"query": {query}, "start": {unixText(from)}, "end": {unixText(to)},
		"step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)},
	})
}

func unixText(t time.Time) string {
	return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', -1, 64)
}

// ask repeats a query that fails for a reason that may pass: after 1, 2, 4 … seconds, or
// when the store says so.
func (s *Store) ask(ctx context.Context, path string, form url.Values) ([]series, error) {
	form.Set("partial_response", "false") // Thanos; the others ignore it
	form.Set("dedup", "true")
	for attempt := 1; ; attempt++ {
		found, err := s.askOnce(ctx, path, form)
		var problem *Problem
		if err == nil || ctx.Err() != nil || !errors.As(err, &problem) || !problem.again || problem.limit || attempt == s.tries {
			return found, err
		}
		wait := time.Second << (attempt - 1)
		wait += rand.N(wait / 2) // so that many programs do not ask together
		if problem.waitFor > 0 {
			wait = problem.waitFor
		}
		if err := s.pause(ctx, min(wait, longestPause)); err != nil {
			return nil, err
		}
	}
}

func (s *Store) askOnce(ctx context.Context, path string, form url.Values) ([]series, error) {
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	response, err := s.send(ctx, path, form)
	if err != nil {
		return nil, s.unreachable(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, largestBody+1))
	switch {
	case err != nil:
		return nil, &Problem{Status: response.StatusCode, Text: "the answer of the store broke off", again: true}
	case len(body) > largestBody:
		return nil, &Problem{Status: response.StatusCode, Text: "the answer of the store is too large", limit: true}
	}
	return s.read(response, body)
}

func (s *Store) send(ctx context.Context, path string, form url.Values) (*http.Response, error) {
	address := s.base.JoinPath("api/v1", path)
	parameters := address.Query()
	for name, values := range form {
		parameters[name] = values
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := s.client.Do(request)
	if err != nil || response.StatusCode != http.StatusMethodNotAllowed && response.StatusCode != http.StatusNotImplemented {
		return response, err
	}
	response.Body.Close() // it takes GET only
	address.RawQuery = parameters.Encode()
	if request, err = http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil); err != nil {
		return nil, err
	}
	return s.client.Do(request)
}

// unreachable describes an error of the connection. The error's own text has the
// address with all parameters, so only its cause is shown.
func (s *Store) unreachable(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &Problem{Text: fmt.Sprintf("the store did not answer within %v", s.timeout), hint: "set --query.timeout to a longer time", limit: true, again: true}
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var login hinted
	if errors.As(err, &login) {
		return login
	}
	return &Problem{Text: fmt.Sprintf("cannot reach %s: %v", s.Address(), err), hint: "check --prometheus.url, and whether a firewall or network policy is in between", again: true}
}

// read judges an answer. Only a complete one counts: a warning means that something
// may be missing.
func (s *Store) read(response *http.Response, body []byte) ([]series, error) {
	var a answer
	failed := json.Unmarshal(body, &a) != nil || a.Status == ""
	status := response.StatusCode
	switch {
	case failed && status/100 == 2:
		return nil, &Problem{Status: status, Text: "the answer of the store is not the JSON of the Prometheus API: " + excerpt(body),
			hint: "--prometheus.url is the address before /api/v1; is a login page or another program there?", again: len(body) > 0 && body[0] == '{'}
	case status/100 != 2 || a.Status != "success":
		return nil, s.refused(response, a, body)
	case len(a.Warnings) > 0:
		return nil, &Problem{Status: status, Text: "the answer of the store may be incomplete: " + excerpt([]byte(strings.Join(a.Warnings, "; "))), again: true}
	}
	return a.Data.Result, nil
}

// tooMuch are words in the errors of stores about queries that exceed a limit.
var tooMuch = []string{"too many samples", "maximum resolution", "limit", "exceed", "too large", "too many", "timed out", "timeout", "expanded into"}

func (s *Store) refused(response *http.Response, a answer, body []byte) error {
	status := response.StatusCode
	text := a.Error
	if text == "" {
		text = excerpt(body)
	}
	p := &Problem{Status: status, Text: fmt.Sprintf("the store answered %d %s: %s", status, http.StatusText(status), excerpt([]byte(text)))}
	lower := strings.ToLower(text)
	for _, words := range tooMuch {
		p.limit = p.limit || strings.Contains(lower, words)
	}
	switch {
	case status == http.StatusUnauthorized:
		p.limit, p.hint = false, "set --http.config.file with a token, password or certificate, or --azure.workload-identity"
	case status == http.StatusForbidden:
		p.limit, p.hint = false, "the account may not read this store; on Azure it needs the role Monitoring Data Reader"
	case status == http.StatusNotFound, status/100 == 3:
		p.limit, p.hint = false, "--prometheus.url is the address before /api/v1"
	case status == http.StatusTooManyRequests, status/100 == 5:
		p.again, p.waitFor = true, retryAfter(response)
		p.limit = p.limit && status != http.StatusTooManyRequests
	case status == http.StatusUnprocessableEntity, status == http.StatusRequestEntityTooLarge:
		p.limit = true
	}
	return p
}

// retryAfter is how long the store asks to wait: seconds, or a date.
func retryAfter(response *http.Response) time.Duration {
	text := response.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil && seconds >= 0 {
		return time.Duration(seconds)*time.Second + time.Millisecond
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(time.Until(at), time.Millisecond)
	}
	return 0
}

// excerpt is the beginning of a text that somebody else wrote, in one line.
func excerpt(text []byte) string {
	const most = 200
	line := strings.Join(strings.Fields(strings.ToValidUTF8(string(text[:min(len(text), 4*most)]), "�")), " ")
	if runes := []rune(line); len(runes) > most {
		line = string(runes[:most]) + "…"
	}
	if line == "" {
		return "(empty)"
	}
	return line
}
