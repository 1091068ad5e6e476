package web

import (
	"math"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// A ListedSource is one of chronyd's sources, and what chronyd thinks of it.
type ListedSource struct {
	Name        string   `json:"name"` // the address, or a reference clock's name
	Configured  *string  `json:"configured_name"`
	Mode        string   `json:"mode"`
	State       string   `json:"state"`
	Verdict     *string  `json:"verdict"`
	Reason      string   `json:"reason"`
	Stratum     uint16   `json:"stratum"`
	Poll        float64  `json:"poll_seconds"`
	Reach       uint8    `json:"reach"`
	SampleAge   *float64 `json:"sample_age_seconds"`
	Offset      *float64 `json:"offset_seconds"`
	OffsetError *float64 `json:"offset_error_seconds"`
}

// newSources returns nil if chronyd doesn't list its sources.
func newSources(sources []chrony.Source) []ListedSource {
	if sources == nil {
		return nil
	}
	listed := make([]ListedSource, len(sources))
	for i, s := range sources {
		listed[i] = newListedSource(s)
	}
	return listed
}

func newListedSource(s chrony.Source) ListedSource {
	listed := ListedSource{
		Name:    s.Name(),
		Mode:    s.Mode.String(),
		State:   s.State.String(),
		Reason:  reason(s),
		Stratum: s.Stratum,
		Poll:    math.Exp2(float64(s.Poll)),
		Reach:   s.Reach,
	}
	if s.ConfiguredName != "" {
		listed.Configured = &s.ConfiguredName
	}
	if s.Select != nil {
		verdict := s.Select.State.String()
		listed.Verdict = &verdict
	}
	if s.SampleAge != chrony.Never {
		listed.SampleAge = finite(s.SampleAge.Seconds())
		listed.Offset, listed.OffsetError = finite(s.AdjustedOffset), finite(s.OffsetError)
	}
	return listed
}

// reason says why chronyd uses a source, or does not. The report selectdata knows
// it; the state tells less.
func reason(s chrony.Source) string {
	if isUnresolved(s) {
		return "its name has no address"
	}
	text, known := "", false
	if s.Select != nil {
		text, known = verdicts[s.Select.State]
	}
	if !known {
		text = states[s.State]
	}
	if s.Reach == 0 {
		text += "; it has answered none of the last eight polls"
	}
	return text
}

func isUnresolved(s chrony.Source) bool { return s.Address.ID != 0 }

var states = map[chrony.SourceState]string{
	chrony.StateSelected:      "the clock follows it",
	chrony.StateNonselectable: "it has too few samples, or is not fit to be followed",
	chrony.StateFalseticker:   "it disagrees with the majority",
	chrony.StateJittery:       "it jitters too much",
	chrony.StateCombined:      "combined with the one that the clock follows",
	chrony.StateSelectable:    "good enough, but another one is better",
}

// verdicts are the reasons behind chrony.SelectStates.
var verdicts = map[chrony.SelectState]string{
	'N': "the option noselect forbids it",
	'M': "it has too few samples",
	's': "it says of itself that it is not synchronised",
	'r': "its stratum is too high",
	'd': "its root distance is above maxdistance",
	'~': "it jitters more than maxjitter allows",
	'w': "chronyd waits for the statistics of others",
	'S': "its samples are old",
	'O': "another one of the orphan mode is followed",
	'T': "it disagrees with the trusted ones",
	'x': "it disagrees with the majority",
	'W': "fewer sources than minsources agree",
	'P': "another one has the option prefer",
	'U': "chronyd waits for its next sample",
	'D': "its distance is far above another's",
	'L': "its offset is far from the others'",
	'+': "combined with the one that the clock follows",
	'*': "the clock follows it",
}
