package chrony

import (
	"context"
	"time"
)

// A LeapStatus is the leap indicator of RFC 5905: whether the last minute of the day has
// 59 or 61 seconds, or that the clock is not synchronized.
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

// Tracking is the report of chronyc tracking: chronyd's estimates of its reference and of
// the system clock. Floats have about seven digits.
//
// If chronyd is not synchronized, it reports a root delay and a root dispersion of 1 s
// each. If the local directive is active, it reports 0 for both. These are not
// measurements. Package clockerror takes this into account.
type Tracking struct {
	RefID   RefID
	Address Address // address of the selected source; unspecified for a reference clock, the local reference, or none

	Stratum uint16 // distance from a reference clock, which has 0; 0 also if not synchronized
	Leap    LeapStatus

	// RefTime is when chronyd processed the last measurement of the reference, by
	// the system clock. It is zero if there was none. From 4.0 on, chronyd reports
	// it up to one second early, so that it does not disclose the exact time.
	RefTime time.Time

	SystemTime float64 // seconds left to slew; positive if the system clock is behind
	LastOffset float64 // seconds, estimated at the last clock update; positive if the clock was ahead
	RMSOffset  float64 // seconds, long-term average of the offset

	Frequency         float64 // ppm by which the clock would gain without chronyd's correction
	ResidualFrequency float64 // ppm, difference between the measured frequency and the one in use; 0 if not synchronized
	Skew              float64 // ppm, error bound of the frequency; 0 if not synchronized

	RootDelay          float64 // seconds, total round-trip network delay to the reference clock; can be negative
	RootDispersion     float64 // seconds, accumulated error up to the reference clock; grows with the age of the last measurement
	LastUpdateInterval float64 // seconds between the last two clock updates
}

// SourceName returns the address of the selected source, or the name of the selected
// reference clock. It is empty if the clock follows neither.
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

// Tracking reads the tracking report.
func (c *Client) Tracking(ctx context.Context) (t Tracking, err error) {
	err = c.ask(ctx, &cmdTracking, t.decode)
	return t, err
}
