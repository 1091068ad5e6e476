package web

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// openAPI describes the answers of the API. A test holds it to them.
//
//go:embed openapi.yaml
var openAPI []byte

func registerAPI(mux *http.ServeMux, t *tracker.Tracker) {
	for path, answer := range map[string]func(*http.Request) (any, error){
		"/api/v1/status":  func(r *http.Request) (any, error) { return newAPIStatus(t.Snapshot(r.Context())), nil },
		"/api/v1/now":     func(*http.Request) (any, error) { return newNow(t.Now()), nil },
		"/api/v1/events":  func(*http.Request) (any, error) { return newEvents(t), nil },
		"/api/v1/history": func(r *http.Request) (any, error) { return queryHistory(r.URL.Query(), t.History) },
	} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			body, err := answer(r)
			if err != nil {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusBadRequest)
				json.NewEncoder(w).Encode(Problem{err.Error(), "see /api/v1/openapi.yaml"})
				return
			}
			writeJSON(w, r, body)
		})
	}
	mux.HandleFunc("GET /api/v1/openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		w.Write(openAPI)
	})
}

func writeJSON(w http.ResponseWriter, r *http.Request, body any) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	writeCompressed(w, r, "application/json", text.Bytes())
}

// writeCompressed compresses what is worth it, for those who accept that.
func writeCompressed(w http.ResponseWriter, r *http.Request, contentType string, body []byte) {
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Vary", "Accept-Encoding")
	const small = 1400 // bytes, which are one packet anyway
	if len(body) <= small || !acceptsGzip(r.Header.Get("Accept-Encoding")) {
		w.Write(body)
		return
	}
	header.Set("Content-Encoding", "gzip")
	packed := gzip.NewWriter(w)
	packed.Write(body)
	packed.Close()
}

func acceptsGzip(header string) bool {
	for coding := range strings.SplitSeq(header, ",") {
		name, parameter, _ := strings.Cut(coding, ";")
		_, quality, weighted := strings.Cut(parameter, "q=")
		if weight, err := strconv.ParseFloat(strings.TrimSpace(quality), 64); weighted && (err != nil || weight == 0) {
			continue
		}
		if strings.TrimSpace(name) == "gzip" {
			return true
		}
	}
	return false
}

// unobserved is the state of a time at which nobody looked.
const unobserved = "unobserved"

// apiStatus is the status and what the watch has found.
type apiStatus struct {
	Status
	Watch *watch `json:"watch"`
}

type watch struct {
	Since             time.Time          `json:"since"`
	Interval          float64            `json:"interval_seconds"`
	Samples           uint64             `json:"samples"`
	SampleTime        *time.Time         `json:"sample_time"`
	StateSince        *time.Time         `json:"state_since"`
	Seconds           map[string]float64 `json:"state_seconds"`
	Windows           []window           `json:"windows"`
	Distribution      []bucket           `json:"distribution"`
	Objectives        []objective        `json:"objectives"`
	Steps             jumps              `json:"steps"`
	Suspends          jumps              `json:"suspends"`
	Steering          float64            `json:"steering_seconds"`
	Kernel            *kernel            `json:"kernel"`
	ForeignDiscipline bool               `json:"foreign_discipline"`

	state      clockerror.State // of the latest sample
	eventCount uint64
}

type window struct {
	Length  float64  `json:"length_seconds"`
	Bound   *float64 `json:"bound_max_seconds"`
	Error   *float64 `json:"error_max_seconds"`
	Without float64  `json:"without_bound_seconds"`
}

type bucket struct {
	Above float64  `json:"above_seconds"`
	UpTo  *float64 `json:"up_to_seconds"`
	Count uint64   `json:"samples"`
}

type objective struct {
	Name   string  `json:"name"`
	Limit  float64 `json:"limit_seconds"`
	Source string  `json:"source"`
	Good   float64 `json:"good_seconds"`
	Total  float64 `json:"seconds"`
}

type jumps struct {
	Count uint64     `json:"count"`
	Total float64    `json:"total_seconds"`
	Last  *float64   `json:"last_seconds"`
	Time  *time.Time `json:"last_time"`
}

type kernel struct {
	Frequency      float64 `json:"frequency_ppm"`
	MaxError       float64 `json:"max_error_seconds"`
	EstimatedError float64 `json:"estimated_error_seconds"`
	Synchronized   bool    `json:"synchronized"`
}

func newAPIStatus(s *tracker.Snapshot) apiStatus {
	return apiStatus{NewStatus(s), newWatch(s.Watched)}
}

func newWatch(found *tracker.Watched) *watch {
	if found == nil {
		return nil
	}
	w := &watch{
		Since:             found.Since,
		Interval:          found.Interval.Seconds(),
		Samples:           found.Samples,
		SampleTime:        timeOrNone(found.SampleAt),
		StateSince:        timeOrNone(found.StateSince),
		Seconds:           map[string]float64{unobserved: found.Unobserved},
		Distribution:      newDistribution(found.Distribution),
		Objectives:        []objective{},
		Steps:             newJumps(found.Steps),
		Suspends:          newJumps(found.Sleeps),
		Steering:          found.Steering,
		ForeignDiscipline: found.ForeignDiscipline,
		state:             found.State,
	}
	for _, n := range found.Events {
		w.eventCount += n
	}
	for _, state := range clockerror.States {
		w.Seconds[state.String()] = found.StateSeconds[state]
	}
	for _, f := range found.Windows {
		w.Windows = append(w.Windows, window{f.Length.Seconds(), finite(f.Bound), finite(f.Error), f.Without})
	}
	for _, p := range found.Objectives {
		w.Objectives = append(w.Objectives, objective{p.Name, p.Limit, p.Source, p.Good, p.Total})
	}
	if k := found.Kernel; k != nil {
		w.Kernel = &kernel{k.Frequency, k.MaxError, k.EstimatedError, k.Synchronized}
	}
	return w
}

func newDistribution(d tracker.Distribution) []bucket {
	buckets := make([]bucket, 0, len(d.Counts))
	above := 0.0
	for i, n := range d.Counts {
		b := bucket{Above: above, Count: n}
		if i < len(d.Limits) {
			above = d.Limits[i]
			b.UpTo = &d.Limits[i]
		}
		buckets = append(buckets, b)
	}
	return buckets
}

func newJumps(j tracker.Jumps) jumps {
	result := jumps{Count: j.Count, Total: j.Total, Time: timeOrNone(j.LastAt)}
	if j.Count > 0 {
		result.Last = &j.Last
	}
	return result
}

func timeOrNone(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// now is this instant, for applications that wait out uncertainty.
type now struct {
	Time       time.Time  `json:"time"`
	State      string     `json:"state"`
	Bound      *float64   `json:"bound_seconds"`
	Earliest   *time.Time `json:"earliest"`
	Latest     *time.Time `json:"latest"`
	ValidUntil *time.Time `json:"valid_until"`
	Untraced   bool       `json:"untraced"`
}

func newNow(n tracker.Now) now {
	answer := now{Time: n.At, State: unobserved, Untraced: n.Untraced}
	if n.Observed {
		answer.State = n.State.String()
	}
	nanoseconds := math.Ceil(n.Bound * 1e9)
	if !(nanoseconds < math.MaxInt64) {
		return answer // no bound, or one that is longer than 292 years
	}
	earliest, latest := n.At.Add(-time.Duration(nanoseconds)), n.At.Add(time.Duration(nanoseconds))
	answer.Bound, answer.Earliest, answer.Latest, answer.ValidUntil = &n.Bound, &earliest, &latest, &n.Until
	return answer
}

type events struct {
	Events []event           `json:"events"`
	Counts map[string]uint64 `json:"counts"`
}

type event struct {
	Time    time.Time `json:"time"`
	Kind    string    `json:"event"`
	From    *string   `json:"from"`
	To      *string   `json:"to"`
	Seconds *float64  `json:"seconds"`
}

func newEvents(t *tracker.Tracker) events {
	answer := events{Events: []event{}, Counts: make(map[string]uint64)}
	for _, e := range t.Events() {
		entry := event{Time: e.At, Kind: string(e.Kind)}
		if e.From != "" {
			entry.From, entry.To = &e.From, &e.To
		}
		if e.Kind == tracker.ClockStepped || e.Kind == tracker.Suspended {
			entry.Seconds = &e.Seconds
		}
		answer.Events = append(answer.Events, entry)
	}
	if found := t.Watched(); found != nil {
		for kind, n := range found.Events {
			answer.Counts[string(kind)] = n
		}
	}
	return answer
}
