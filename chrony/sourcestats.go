package chrony

import "time"

// SourceStats is what chronyd has worked out of the samples of one source: a row
// of chronyc sourcestats. Without samples the rest means nothing.
type SourceStats struct {
	RefID   RefID
	Address Address // unspecified for a reference clock

	Samples uint32        // in use
	Runs    uint32        // of residuals of the same sign; few of them mean that a straight line fits badly
	Span    time.Duration // from the oldest sample to the newest

	StandardDeviation float64 // seconds, of the samples
	ResidualFrequency float64 // ppm between the source and the clock
	Skew              float64 // ppm, error bound of that
	Offset            float64 // seconds, estimated; above zero, the clock is ahead
	OffsetError       float64 // seconds, error bound of that
}

func (s *SourceStats) decode(_ uint16, b []byte) {
	*s = SourceStats{
		RefID:             RefID(wireUint32(b)),
		Address:           wireAddress(b[4:]),
		Samples:           wireUint32(b[24:]),
		Runs:              wireUint32(b[28:]),
		Span:              time.Duration(wireUint32(b[32:])) * time.Second,
		StandardDeviation: wireFloat(b[36:]),
		ResidualFrequency: wireFloat(b[40:]),
		Skew:              wireFloat(b[44:]),
		Offset:            wireFloat(b[48:]),
		OffsetError:       wireFloat(b[52:]),
	}
}
