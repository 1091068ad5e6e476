package chrony

import (
	"context"
	"time"
)

// A LeapStatus tells whether the last minute of the day has 59 or 61 seconds,
// or that the clock is not synchronised at all (RFC 5905, leap indicator).
type LeapStatus uint16

// The values of a LeapStatus.
const (
	LeapNormal LeapStatus = iota
	LeapInsertSecond
	LeapDeleteSecond
	LeapNotSynchronized
)

// String returns the leap status as chronyc prints it.
func (l LeapStatus) String() string {
	switch l {
	case LeapNormal:
		return "Normal"
	case LeapInsertSecond:
		return "Insert second"
	case LeapDeleteSecond:
		return "Delete second"
	case LeapNotSynchronized:
		return "Not synchronised"
	default:
		return "Invalid"
	}
}

// Tracking is chronyd's view of its reference and of the system clock: the
// report of chronyc tracking. Floats have about seven digits.
//
// While chronyd is not synchronised it reports a root delay and a root
// dispersion of 1 s each, and with the local directive in force zero for both,
// whatever the truth is: package clockerror judges that.
type Tracking struct {
	RefID   RefID
	Address Address // of the selected source; unspecified for a reference clock, the local reference, or none

	Stratum uint16 // distance from a reference clock, which has 0; 0 also when not synchronised
	Leap    LeapStatus

	// RefTime is when the last measurement of the reference was processed, by
	// the system clock. It is zero if there was none. From 4.0 on chronyd makes
	// it up to a second too early, so as not to disclose it.
	RefTime time.Time

	SystemTime float64 // seconds still to be corrected by slewing: above zero, the system clock is behind
	LastOffset float64 // seconds estimated at the last clock update: above zero, the clock was ahead
	RMSOffset  float64 // seconds, long-term average of the offset

	Frequency         float64 // ppm by which the clock would gain if chronyd didn't correct it
	ResidualFrequency float64 // ppm between what the reference suggests and what is in use; 0 when not synchronised
	Skew              float64 // ppm, error bound of the frequency; 0 when not synchronised

	RootDelay          float64 // seconds of network delay, both ways, to the reference clock; chronyd may send less than 0
	RootDispersion     float64 // seconds, all errors accumulated on the way; grows with the age of the last measurement
	LastUpdateInterval float64 // seconds between the last two clock updates
}

// SourceName returns the address of the selected source, or the name of the
// selected reference clock, or an empty string if the clock follows neither.
func (t *Tracking) SourceName() string {
	if t.Address.IsUnspecified() && t.RefID != RefIDLocal {
		return t.RefID.Name()
	}
	return t.Address.String()
}

func (t *Tracking) decode(_ uint16, b []byte) {
	*t = Tracking{
		RefID:              RefID(wireUint32(b)),
		Address:            wireAddress(b[4:]),
		Stratum:            wireUint16(b[24:]),
		Leap:               LeapStatus(wireUint16(b[26:])),
		RefTime:            wireTime(b[28:]),
		SystemTime:         wireFloat(b[40:]),
		LastOffset:         wireFloat(b[44:]),
		RMSOffset:          wireFloat(b[48:]),
		Frequency:          wireFloat(b[52:]),
		ResidualFrequency:  wireFloat(b[56:]),
		Skew:               wireFloat(b[60:]),
		RootDelay:          wireFloat(b[64:]),
		RootDispersion:     wireFloat(b[68:]),
		LastUpdateInterval: wireFloat(b[72:]),
	}
}

// Tracking asks chronyd about its reference and the system clock.
func (c *Client) Tracking(ctx context.Context) (Tracking, error) {
	var t Tracking
	err := c.ask(ctx, &cmdTracking, t.decode)
	return t, err
}
