package chrony

import (
	"bytes"
	"context"
	"strings"
	"time"
)

// A SourceMode tells what kind of source it is.
type SourceMode uint16

// The values of a SourceMode.
const (
	ModeServer SourceMode = iota
	ModePeer
	ModeReferenceClock
)

// String returns the mode in a word.
func (m SourceMode) String() string {
	switch m {
	case ModeServer:
		return "server"
	case ModePeer:
		return "peer"
	case ModeReferenceClock:
		return "reference clock"
	default:
		return "invalid"
	}
}

// A SourceState tells what chronyd's source selection thinks of a source.
type SourceState uint16

// The values of a SourceState, with the sign that chronyc prints for each.
const (
	StateSelected      SourceState = iota // '*' the clock follows it
	StateNonselectable                    // '?' unreachable, or not enough samples
	StateFalseticker                      // 'x' disagrees with the majority
	StateJittery                          // '~' too variable
	StateCombined                         // '+' combined with the selected one
	StateSelectable                       // '-' good, but not combined
)

// String returns the state in a word.
func (s SourceState) String() string {
	switch s {
	case StateSelected:
		return "selected"
	case StateNonselectable:
		return "nonselectable"
	case StateFalseticker:
		return "falseticker"
	case StateJittery:
		return "jittery"
	case StateCombined:
		return "combined"
	case StateSelectable:
		return "selectable"
	default:
		return "invalid"
	}
}

// Source is one of chronyd's time sources: a row of chronyc sources.
type Source struct {
	Address Address // unspecified for a reference clock
	RefID   RefID   // of a reference clock, else 0
	Mode    SourceMode
	State   SourceState

	Stratum uint16
	Poll    int16 // log2 of the poll interval in seconds
	Reach   uint8 // the last eight polls, the latest in the lowest bit: 1 was answered

	SampleAge time.Duration // since the last good sample, in whole seconds, or Never

	// Of the last sample; without one they mean nothing.
	MeasuredOffset float64 // seconds, as measured: above zero, the local clock was ahead
	AdjustedOffset float64 // seconds, the same less what was slewed since
	OffsetError    float64 // seconds, error margin

	// What other reports say of this source: nil unless wanted and given.
	Stats  *SourceStats
	NTP    *NTPData    // never for a reference clock
	Auth   *AuthData   // never for a reference clock
	Select *SelectData // from 4.0 on

	// ConfiguredName is the name or address in chrony.conf: empty unless wanted
	// and given (from 4.0 on, and never for a reference clock).
	ConfiguredName string
}

// Name returns the source's address, or a reference clock's name.
func (s Source) Name() string {
	if s.Mode == ModeReferenceClock {
		return s.RefID.Name()
	}
	return s.Address.String()
}

func (s *Source) decode(_ uint16, b []byte) {
	*s = Source{
		Address:        wireAddress(b),
		Poll:           int16(wireUint16(b[20:])),
		Stratum:        wireUint16(b[22:]),
		State:          SourceState(wireUint16(b[24:])),
		Mode:           SourceMode(wireUint16(b[26:])),
		Reach:          uint8(wireUint16(b[30:])),
		SampleAge:      wireAge(b[32:]),
		MeasuredOffset: wireFloat(b[36:]),
		AdjustedOffset: wireFloat(b[40:]),
		OffsetError:    wireFloat(b[44:]),
	}
	if s.Mode == ModeReferenceClock {
		// chronyd sends a reference clock's ID where the IPv4 address would be.
		s.RefID, s.Address = RefID(wireUint32(b)), Address{}
	}
}

func (s *Source) decodeName(_ uint16, b []byte) {
	name, _, _ := bytes.Cut(b, []byte{0})
	s.ConfiguredName = strings.ToValidUTF8(string(name), "?")
}

// Sources asks chronyd for all its sources, in chronyd's order. It takes two
// round trips: one for their number, one for all of them together.
func (c *Client) Sources(ctx context.Context) ([]Source, error) {
	report, err := c.Report(ctx, WantSources)
	if err != nil {
		return nil, err
	}
	return report.Sources, report.Refused[WantSources]
}
