package doctor

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// Summary is the examination in a sentence.
func (e *Examination) Summary() string {
	var counts []string
	for _, v := range Verdicts {
		if n := e.count(v); n > 0 {
			count := fmt.Sprintf("%d %s", n, v)
			if v == Note && n > 1 {
				count += "s"
			}
			counts = append(counts, count)
		}
	}
	head := "Something is wrong"
	if e.Healthy() {
		head = "Nothing is wrong"
	}
	return head + ": " + strings.Join(counts, ", ") + "."
}

// MarshalJSON writes the examination with its verdict. A bound that doesn't exist is
// null.
func (e *Examination) MarshalJSON() ([]byte, error) {
	var bound *float64
	if e.Estimate.HasBound() && !math.IsNaN(e.Estimate.Bound) {
		bound = &e.Estimate.Bound
	}
	return json.Marshal(struct {
		Time     time.Time        `json:"time"`
		Healthy  bool             `json:"healthy"`
		State    clockerror.State `json:"state"`
		Bound    *float64         `json:"bound_seconds"`
		Findings []Finding        `json:"findings"`
	}{e.Time, e.Healthy(), e.Estimate.State, bound, e.Findings})
}
