package status

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// A Full status also has what the watch has found, or null without a watch.
type Full struct {
	Status
	Watch *Watch `json:"watch"`
}

// A Watch is what the watch has found since it began.
type Watch struct {
	Since             time.Time          `json:"since"`
	Interval          float64            `json:"interval_seconds"`
	Samples           uint64             `json:"samples"`
	SampleTime        *time.Time         `json:"sample_time"`
	State             string             `json:"state"` // of the latest sample
	StateSince        *time.Time         `json:"state_since"`
	Seconds           map[string]float64 `json:"state_seconds"`
	Windows           []Window           `json:"windows"`
	Distribution      []Bucket           `json:"distribution"`
	Objectives        []Objective        `json:"objectives"`
	Steps             Jumps              `json:"steps"`
	Suspends          Jumps              `json:"suspends"`
	Steering          float64            `json:"steering_seconds"`
	Kernel            *Kernel            `json:"kernel"`
	ForeignDiscipline bool               `json:"foreign_discipline"`
	ClockBound        *ClockBound        `json:"clockbound"` // null without --clockbound.shm

	eventCount uint64
}

// A Window is the last minutes of the watch.
type Window struct {
	Length  float64  `json:"length_seconds"`
	Bound   *float64 `json:"bound_max_seconds"`
	Error   *float64 `json:"error_max_seconds"`
	Without float64  `json:"unbounded_seconds"`
}

// A Bucket counts samples by the size of their bounds.
type Bucket struct {
	Above float64  `json:"above_seconds"`
	UpTo  *float64 `json:"up_to_seconds"`
	Count uint64   `json:"samples"`
}

// An Objective is a limit, and for how long it was kept.
type Objective struct {
	Name   string  `json:"name"`
	Limit  float64 `json:"limit_seconds"`
	Source string  `json:"source"`
	Good   float64 `json:"good_seconds"`
	Total  float64 `json:"seconds"`
}

// Jumps counts steps or suspensions.
type Jumps struct {
	Count uint64     `json:"count"`
	Total float64    `json:"total_seconds"`
	Last  *float64   `json:"last_seconds"`
	Time  *time.Time `json:"last_time"`
}

// Kernel is the kernel's own view of its clock.
type Kernel struct {
	Frequency      float64 `json:"frequency_ppm"`
	MaxError       float64 `json:"max_error_seconds"`
	EstimatedError float64 `json:"estimated_error_seconds"`
	Synchronized   bool    `json:"synchronized"`
}

// Rows returns what the watch has found, in words.
func (w *Watch) Rows() []Row {
	var rows []Row
	if w.StateSince != nil {
		state := w.State
		if !slices.ContainsFunc(clockerror.States, func(s clockerror.State) bool { return s.String() == state }) {
			state = fmt.Sprintf("unknown state %q", state) // a state of another version
		}
		rows = append(rows, Row{Label: "state", Value: state, Note: "since " + Clock(*w.StateSince)})
	}
	for _, window := range w.Windows {
		note := "the largest bound"
		if window.Without > 0 {
			note = "the largest known bound; it was unknown for " + Duration(window.Without)
		}
		rows = append(rows, Row{Label: "last " + Duration(window.Length), Value: secondsOrUnknown(window.Bound), Note: note})
	}
	if w.ClockBound != nil {
		rows = append(rows, w.ClockBound.row())
	}
	return rows
}

// EventCount returns the number of all events.
func (f Full) EventCount() uint64 {
	if f.Watch == nil {
		return 0
	}
	return f.Watch.eventCount
}

// Kept returns the share of the time in which an objective was kept, rounded down.
func (o Objective) Kept() string {
	if o.Total == 0 {
		return "not yet known"
	}
	const digits = 1e3
	return fmt.Sprintf("%.6g %%", math.Floor(100*digits*o.Good/o.Total)/digits)
}

// NewFull returns a snapshot's status with what the watch has found.
func NewFull(s *tracker.Snapshot) Full { return Full{New(s), newWatch(s.Watched)} }

func newWatch(found *tracker.Watched) *Watch {
	if found == nil {
		return nil
	}
	w := &Watch{
		Since:             found.Since,
		Interval:          found.Interval.Seconds(),
		Samples:           found.Samples,
		SampleTime:        timeOrNone(found.SampleAt),
		State:             Unobserved,
		StateSince:        timeOrNone(found.StateSince),
		Seconds:           map[string]float64{Unobserved: found.Unobserved},
		Distribution:      newDistribution(found.Distribution),
		Objectives:        []Objective{},
		Steps:             newJumps(found.Steps),
		Suspends:          newJumps(found.Sleeps),
		Steering:          found.Steering,
		ForeignDiscipline: found.ForeignDiscipline,
		ClockBound:        newClockBound(found.Publication),
	}
	if w.StateSince != nil {
		w.State = found.State.String()
	}
	for _, n := range found.Events {
		w.eventCount += n
	}
	for _, state := range clockerror.States {
		w.Seconds[state.String()] = found.StateSeconds[state]
	}
	for _, f := range found.Windows {
		w.Windows = append(w.Windows, Window{f.Length.Seconds(), finite(f.Bound), finite(f.Error), w.lasting(f.Without)})
	}
	for _, p := range found.Objectives {
		w.Objectives = append(w.Objectives, Objective{p.Name, p.Limit, p.Source, p.Good, p.Total})
	}
	if k := found.Kernel; k != nil {
		w.Kernel = &Kernel{k.Frequency, k.MaxError, k.EstimatedError, k.Synchronized}
	}
	return w
}

// lasting is a time without a bound. Less than a sampling interval is none: it is left
// over where the sum of the samples' times is rounded.
func (w *Watch) lasting(seconds float64) float64 {
	if seconds < w.Interval {
		return 0
	}
	return seconds
}

func newDistribution(d tracker.Distribution) []Bucket {
	buckets := make([]Bucket, 0, len(d.Counts))
	above := 0.0
	for i, n := range d.Counts {
		b := Bucket{Above: above, Count: n}
		if i < len(d.Limits) {
			above = d.Limits[i]
			b.UpTo = &d.Limits[i]
		}
		buckets = append(buckets, b)
	}
	return buckets
}

func newJumps(j tracker.Jumps) Jumps {
	result := Jumps{Count: j.Count, Total: j.Total, Time: timeOrNone(j.LastAt)}
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

// Now is the range of the present time, for applications that wait until a time has
// certainly passed.
type Now struct {
	Time       time.Time  `json:"time"`
	State      string     `json:"state"`
	Bound      *float64   `json:"bound_seconds"`
	Earliest   *time.Time `json:"earliest"`
	Latest     *time.Time `json:"latest"`
	ValidUntil *time.Time `json:"valid_until"`
	Untraced   bool       `json:"untraced"`
}

// NewNow returns the range of the present time.
func NewNow(n tracker.Now) Now {
	answer := Now{Time: n.At, State: Unobserved, Untraced: n.Untraced}
	if n.Observed {
		answer.State = n.State.String()
	}
	nanoseconds := math.Ceil(n.Bound * 1e9)
	if !(nanoseconds < math.MaxInt64) {
		return answer // no bound, or one of more than 292 years
	}
	earliest, latest := n.At.Add(-time.Duration(nanoseconds)), n.At.Add(time.Duration(nanoseconds))
	answer.Bound, answer.Earliest, answer.Latest, answer.ValidUntil = &n.Bound, &earliest, &latest, &n.Until
	return answer
}
