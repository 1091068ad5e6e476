package chrony

import (
	"strings"
	"time"
)

// SelectOptions are options of a source, or-ed.
type SelectOptions uint16

// The options, as in chrony.conf.
const (
	OptionNoSelect SelectOptions = 1 << iota
	OptionPrefer
	OptionTrust
	OptionRequire
)

// String returns the options' names in chrony.conf, with commas between them.
func (o SelectOptions) String() string {
	var names []string
	for i, name := range []string{"noselect", "prefer", "trust", "require"} {
		if o&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// A SelectState is chronyd's verdict on a source: why it is used, or not. It is the
// letter that chronyc prints.
type SelectState byte

// SelectStates are all verdicts, from the worst to the best. The codes and names belong
// to this package. They do not change, because metrics and dashboards use them.
var SelectStates = []struct {
	State SelectState
	Code  int
	Name  string
}{
	{'N', 0, "noselect"},          // the option forbids it
	{'M', 1, "missing_samples"},   // too few samples yet
	{'s', 2, "unsynchronized"},    // the source reports that it is unsynchronized
	{'r', 3, "bad_stratum"},       // above what the orphan mode or the local stratum allows
	{'d', 4, "distant"},           // its root distance is above maxdistance
	{'~', 5, "jittery"},           // its jitter is above maxjitter
	{'w', 6, "waits_for_stats"},   // others have no statistics yet
	{'S', 7, "stale"},             // its samples are old
	{'O', 8, "orphan"},            // chronyd follows another source of its stratum
	{'T', 9, "untrusted"},         // it disagrees with trusted ones
	{'x', 10, "falseticker"},      // it disagrees with the majority
	{'W', 11, "waits_for_others"}, // fewer than minsources agree
	{'P', 12, "nonpreferred"},     // another one has the option prefer
	{'U', 13, "waits_for_update"}, // for waits for its next sample
	{'D', 14, "too_distant"},      // its distance is far above another's
	{'L', 15, "outlier"},          // its offset is far from the others'
	{'+', 16, "combined"},         // with the selected one
	{'*', 17, "selected"},         // the clock follows it
}

// String returns the verdict's name.
func (s SelectState) String() string {
	for _, known := range SelectStates {
		if known.State == s {
			return known.Name
		}
	}
	return "invalid"
}

// Code returns the verdict's code, or -1 for one that this package does not know.
func (s SelectState) Code() int {
	for _, known := range SelectStates {
		if known.State == s {
			return known.Code
		}
	}
	return -1
}

// SelectData is a row of chronyc selectdata: the result of the last selection for one
// source. chronyd has it from 4.0 on.
type SelectData struct {
	RefID   RefID
	Address Address // unspecified for a reference clock

	State         SelectState
	Authenticated bool
	Leap          LeapStatus
	Configured    SelectOptions
	Effective     SelectOptions

	SampleAge time.Duration // since the last sample, in whole seconds, or Never
	Score     float64       // against the selected source; it is replaced at 10
	Low, High float64       // seconds: the range of the true offset according to the source; meaningless without a sample
}

func (s *SelectData) decode(_ uint16, b []byte) {
	*s = SelectData{
		RefID:         RefID(wireUint32(b)),
		Address:       wireAddress(b[4:]),
		State:         SelectState(b[24]),
		Authenticated: b[25] != 0,
		Leap:          LeapStatus(b[26]),
		Configured:    SelectOptions(wireUint16(b[28:])),
		Effective:     SelectOptions(wireUint16(b[30:])),
		SampleAge:     wireAge(b[32:]),
		Score:         wireFloat(b[36:]),
		Low:           wireFloat(b[40:]),
		High:          wireFloat(b[44:]),
	}
}
