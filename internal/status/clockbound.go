package status

import (
	"errors"

	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// ClockBound is what is published in ClockBound's shared memory.
type ClockBound struct {
	Path       string   `json:"path"`
	Status     *string  `json:"status"` // null while nothing is published
	Age        *float64 `json:"age_seconds"`
	Generation uint16   `json:"generation"`
	Problem    *Problem `json:"problem"`
}

func newClockBound(p *tracker.Publication) *ClockBound {
	if p == nil {
		return nil
	}
	c := &ClockBound{Path: p.Path, Generation: p.Generation}
	if p.Status != "" {
		c.Status = &p.Status
	}
	if p.Age >= 0 {
		age := p.Age.Seconds()
		c.Age = &age
	}
	if p.Err != nil {
		c.Problem = &Problem{Error: p.Err.Error()}
		var hinted interface{ Hint() string }
		if errors.As(p.Err, &hinted) {
			c.Problem.Hint = hinted.Hint()
		}
	}
	return c
}

// clockBoundNotes say what the statuses mean to a program that reads them.
var clockBoundNotes = map[string]string{
	"synchronized": "programs on this node read the bound",
	"free_running": "no fresh measurement: programs on this node read a bound that grows",
	"unknown":      "nothing confirms the clock, or measurements contradict it: programs on this node read no bound",
	"disrupted":    "the clock was set or the machine was suspended, and no good sample has come since: programs on this node read no bound",
}

// row is the publication in words.
func (c *ClockBound) row() Row {
	row := Row{Label: "bounded time", Value: "not published"}
	switch {
	case c.Problem != nil:
		row.Note = c.Problem.Error
		if c.Problem.Hint != "" {
			row.Note += ": " + c.Problem.Hint
		}
	case c.Status == nil:
		row.Note = "the tracker first makes sure that no other program writes to " + c.Path
	default:
		row.Value = *c.Status
		row.Note = clockBoundNotes[*c.Status] + " in " + c.Path
	}
	return row
}
