package status

import (
	"math"
	"math/bits"
	"strings"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// A ListedSource is one of chronyd's sources, with chronyd's verdict on it.
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

	tone Tone
}

// Tone is a color: whether chronyd uses the source, and how bad it is if not.
func (s ListedSource) Tone() Tone { return s.tone }

// A Poll is one of a source's last polls, and whether it was answered.
type Poll struct {
	X        int // in the drawing
	Answered bool
}

// Polls returns the last eight polls, the latest at the end.
func (s ListedSource) Polls() []Poll {
	const width = 6
	polls := make([]Poll, 8)
	for i := range polls {
		polls[i] = Poll{i * width, s.Reach&(1<<(7-i)) != 0}
	}
	return polls
}

// Answered counts them.
func (s ListedSource) Answered() int { return bits.OnesCount8(s.Reach) }

// OtherName returns the name in chrony.conf, if it is not the address.
func (s ListedSource) OtherName() string {
	if s.Configured == nil || *s.Configured == s.Name {
		return ""
	}
	return *s.Configured
}

// VerdictOrState returns chronyd's verdict, or the state if the verdict is unknown.
func (s ListedSource) VerdictOrState() string {
	if s.Verdict != nil {
		return strings.ReplaceAll(*s.Verdict, "_", " ")
	}
	return s.State
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

// longestPoll is the longest poll interval that chronyd has, as a power of 2 s
// (chrony's MAX_POLL).
const longestPoll = 24

func newListedSource(s chrony.Source) ListedSource {
	listed := ListedSource{
		Name:    s.Name(),
		Mode:    s.Mode.String(),
		State:   s.State.String(),
		Reason:  Standing(s),
		Stratum: s.Stratum,
		Poll:    math.Exp2(float64(min(s.Poll, longestPoll))),
		Reach:   s.Reach,
		tone:    standingOf(s).tone,
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

// IsUnresolved reports whether a source's name has no address.
func IsUnresolved(c chrony.Source) bool { return c.Address.ID != 0 && !c.Address.IP.IsValid() }

// A standing is chronyd's verdict on a source, in words.
type standing struct {
	text string
	tone Tone
}

// standingOf prefers the report selectdata, which has the reason. The source's state is
// less precise.
func standingOf(c chrony.Source) standing {
	if IsUnresolved(c) {
		return standing{"not used: its name has no address", Bad}
	}
	if c.Select != nil {
		if known, ok := selectStates[c.Select.State]; ok {
			return known
		}
	}
	return sourceStates[c.State]
}

// Standing says whether chronyd uses a source, and why not.
func Standing(c chrony.Source) string {
	text := standingOf(c).text
	if c.Reach == 0 && !IsUnresolved(c) {
		text += "; none of its last eight polls was answered"
	}
	return text
}

// SelectTone is the color of a state of the selection.
func SelectTone(s chrony.SelectState) Tone { return selectStates[s].tone }

// sourceStates are the states of the report sources.
var sourceStates = map[chrony.SourceState]standing{
	chrony.StateSelected:      selectStates['*'],
	chrony.StateNonselectable: {"not used: unreachable, or too few samples", Warning},
	chrony.StateFalseticker:   selectStates['x'],
	chrony.StateJittery:       {"not used: it jitters too much", Bad},
	chrony.StateCombined:      selectStates['+'],
	chrony.StateSelectable:    {"in reserve", Warning},
}

// selectStates are the states of the report selectdata (chronyc manual, selectdata).
var selectStates = map[chrony.SelectState]standing{
	'N': {"not used: it has the option noselect", Warning},
	'M': {"not used yet: too few samples", Warning},
	's': {"not used: it is not synchronized itself", Bad},
	'r': {"not used: its stratum is not below the local stratum", Warning},
	'd': {"not used: its root distance is above maxdistance", Bad},
	'~': {"not used: its jitter is above maxjitter", Bad},
	'w': {"not used yet: chronyd waits for statistics of other sources", Warning},
	'S': {"not used: its samples are old", Warning},
	'O': {"not used: chronyd follows another source in orphan mode", Warning},
	'T': {"not used: it disagrees with the trusted sources", Bad},
	'x': {"not used: it disagrees with the majority", Bad},
	'W': {"not used: fewer sources agree than minsources requires", Warning},
	'P': {"in reserve: another source has the option prefer", Warning},
	'U': {"in reserve until its next sample", Warning},
	'D': {"in reserve: its root distance is far above the others'", Warning},
	'L': {"in reserve: its offset is far from the others'", Warning},
	'+': {"combined with the followed source", OK},
	'*': {"followed", OK},
}
