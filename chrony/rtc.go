package chrony

import (
	"context"
	"time"
)

// RTC is the report of chronyc rtcdata: chronyd's estimate of the machine's real-time
// clock. chronyd refuses it unless chrony.conf has rtcfile.
type RTC struct {
	RefTime time.Time // time of the last measurement, by the real-time clock
	Samples uint16
	Runs    uint16
	Span    time.Duration
	Offset  float64 // seconds by which the real-time clock is ahead
	Gain    float64 // ppm by which the real-time clock gains
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

// RTC reads the rtcdata report.
func (c *Client) RTC(ctx context.Context) (r RTC, err error) {
	err = c.ask(ctx, &cmdRTC, r.decode)
	return r, err
}
