package chrony

import (
	"bytes"
	"context"
	"strings"
	"time"
)

// A SourceMode is the kind of a source.
type SourceMode uint16

// The values of a SourceMode.
const (
	ModeServer SourceMode = iota
	ModePeer
	ModeReferenceClock
)

// String returns the name of the mode.
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

// A SourceState is the result of chronyd's source selection for a source.
type SourceState uint16

// The values of a SourceState, with chronyc's sign for each.
const (
	StateSelected      SourceState = iota // '*' chronyd follows it
	StateNonselectable                    // '?' unreachable, or too few samples
	StateFalseticker                      // 'x' disagrees with the majority
	StateJittery                          // '~' too variable
	StateCombined                         // '+' combined with the selected one
	StateSelectable                       // '-' good, but not combined
)

// String returns the name of the state.
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

// Source is a row of chronyc sources: one of chronyd's time sources.
type Source struct {
	Address Address // unspecified for a reference clock
	RefID   RefID   // reference ID of a reference clock, else 0
	Mode    SourceMode
	State   SourceState

	Stratum uint16
	Poll    int16 // log2 of the poll interval in seconds
	Reach   uint8 // the last eight polls as bits: 1 if answered; the lowest bit is the latest poll

	SampleAge time.Duration // age of the last good sample, in whole seconds, or Never

	// Values of the last sample. Without a sample they have no meaning.
	MeasuredOffset float64 // seconds, as measured; positive if the local clock was ahead
	AdjustedOffset float64 // seconds, the same minus what was slewed since
	OffsetError    float64 // seconds, error margin

	// Other reports on this source. They are nil unless wanted and given.
	Stats  *SourceStats
	NTP    *NTPData    // nil for a reference clock
	Auth   *AuthData   // nil for a reference clock
	Select *SelectData // from 4.0 on

	// ConfiguredName is the name or address in chrony.conf. It is empty unless
	// wanted and given (from 4.0 on, and never for a reference clock).
	ConfiguredName string
}

// Name returns the address of the source, or the name of a reference clock.
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
		// chronyd sends the ID of a reference clock in place of an IPv4 address.
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
