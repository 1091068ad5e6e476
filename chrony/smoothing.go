package chrony

import "context"

// Smoothing is the report of chronyc smoothing: how chronyd smooths the time that it
// serves. chronyd refuses it unless chrony.conf has smoothtime.
type Smoothing struct {
	Active   bool
	LeapOnly bool // chronyd smooths only leap seconds

	Offset    float64 // seconds between the served time and the clock
	Frequency float64 // ppm
	Wander    float64 // ppm per second
	UpdateAge float64 // seconds since the last update
	Remaining float64 // seconds until the offset is zero
}

func (s *Smoothing) decode(_ uint16, b []byte) {
	const active, leapOnly = 1, 2
	flags := wireUint32(b)
	*s = Smoothing{
		Active:    flags&active != 0,
		LeapOnly:  flags&leapOnly != 0,
		Offset:    wireFloat(b[4:]),
		Frequency: wireFloat(b[8:]),
		Wander:    wireFloat(b[12:]),
		UpdateAge: wireFloat(b[16:]),
		Remaining: wireFloat(b[20:]),
	}
}

// Smoothing reads the smoothing report.
func (c *Client) Smoothing(ctx context.Context) (s Smoothing, err error) {
	err = c.ask(ctx, &cmdSmoothing, s.decode)
	return s, err
}
