package chrony

import (
	"context"
	"time"
)

// RTC is what chronyd knows of the machine's real-time clock: the report of
// chronyc rtcdata. It is refused unless chrony.conf has an rtcfile.
type RTC struct {
	RefTime time.Time // of the last measurement, by the real-time clock
	Samples uint16
	Runs    uint16
	Span    time.Duration
	Offset  float64 // seconds by which the real-time clock is ahead
	Gain    float64 // ppm by which it gains
}

func (r *RTC) decode(_ uint16, b []byte) {
	*r = RTC{
		RefTime: wireTime(b),
		Samples: wireUint16(b[12:]),
		Runs:    wireUint16(b[14:]),
		Span:    time.Duration(wireUint32(b[16:])) * time.Second,
		Offset:  wireFloat(b[20:]),
		Gain:    wireFloat(b[24:]),
	}
}

// RTC asks chronyd about the real-time clock.
func (c *Client) RTC(ctx context.Context) (RTC, error) {
	var r RTC
	err := c.ask(ctx, &cmdRTC, r.decode)
	return r, err
}
