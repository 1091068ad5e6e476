package chrony

import "time"

// SourceStats is a row of chronyc sourcestats: chronyd's estimates from the samples of
// one source. Without samples, the estimates have no meaning.
type SourceStats struct {
	RefID   RefID
	Address Address // unspecified for a reference clock

	Samples uint32        // number of samples in use
	Runs    uint32        // runs of residuals with the same sign; a low number means that a straight line fits badly
	Span    time.Duration // from the oldest to the newest sample

	StandardDeviation float64 // seconds, standard deviation of the samples
	ResidualFrequency float64 // ppm, of the clock against the source
	Skew              float64 // ppm, error bound of the frequency
	Offset            float64 // seconds, estimated; positive if the clock is ahead
	OffsetError       float64 // seconds, error bound of the offset
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
