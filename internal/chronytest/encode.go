package chronytest

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

func trackingBody(t chrony.Tracking) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(t.RefID))
	b = appendAddress(b, t.Address)
	b = binary.BigEndian.AppendUint16(b, t.Stratum)
	b = binary.BigEndian.AppendUint16(b, uint16(t.Leap))
	b = appendTime(b, t.RefTime)
	for _, v := range []float64{
		t.SystemTime, t.LastOffset, t.RMSOffset,
		t.Frequency, t.ResidualFrequency, t.Skew,
		t.RootDelay, t.RootDispersion, t.LastUpdateInterval,
	} {
		b = appendFloat(b, v)
	}
	return b
}

func activityBody(a chrony.Activity) []byte {
	var b []byte
	for _, n := range []uint32{a.Online, a.Offline, a.BurstOnline, a.BurstOffline, a.Unresolved} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return b
}

func sourceBody(s chrony.Source) []byte {
	var b []byte
	if s.Mode == chrony.ModeReferenceClock {
		b = binary.BigEndian.AppendUint32(b, uint32(s.RefID))
		b = append(b, make([]byte, 12)...)
		b = append(b, 0, 1, 0, 0)
	} else {
		b = appendAddress(b, s.Address)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(s.Poll))
	for _, n := range []uint16{s.Stratum, uint16(s.State), uint16(s.Mode), 0, uint16(s.Reach)} {
		b = binary.BigEndian.AppendUint16(b, n)
	}
	b = appendAge(b, s.SampleAge)
	for _, v := range []float64{s.MeasuredOffset, s.AdjustedOffset, s.OffsetError} {
		b = appendFloat(b, v)
	}
	return b
}

func statsBody(s chrony.SourceStats) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(s.RefID))
	b = appendAddress(b, s.Address)
	for _, n := range []uint32{s.Samples, s.Runs, uint32(s.Span / time.Second)} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	for _, v := range []float64{s.StandardDeviation, s.ResidualFrequency, s.Skew, s.Offset, s.OffsetError} {
		b = appendFloat(b, v)
	}
	return b
}

func selectBody(s chrony.SelectData) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(s.RefID))
	b = appendAddress(b, s.Address)
	authenticated := byte(0)
	if s.Authenticated {
		authenticated = 1
	}
	b = append(b, byte(s.State), authenticated, byte(s.Leap), 0)
	b = binary.BigEndian.AppendUint16(b, uint16(s.Configured))
	b = binary.BigEndian.AppendUint16(b, uint16(s.Effective))
	b = appendAge(b, s.SampleAge)
	for _, v := range []float64{s.Score, s.Low, s.High} {
		b = appendFloat(b, v)
	}
	return b
}

func appendAge(b []byte, age time.Duration) []byte {
	if age == chrony.Never {
		return binary.BigEndian.AppendUint32(b, math.MaxUint32)
	}
	return binary.BigEndian.AppendUint32(b, uint32(age/time.Second))
}

func appendAddress(b []byte, a chrony.Address) []byte {
	var ip [16]byte
	family := uint16(0)
	switch {
	case a.IP.Is4():
		family = 1
		v4 := a.IP.As4()
		copy(ip[:], v4[:])
	case a.IP.Is6():
		family = 2
		ip = a.IP.As16()
	case a.ID != 0:
		family = 3
		binary.BigEndian.PutUint32(ip[:], a.ID)
	}
	b = append(b, ip[:]...)
	b = binary.BigEndian.AppendUint16(b, family)
	return append(b, 0, 0)
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, make([]byte, 12)...)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(t.Unix()))
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
}

// appendFloat encodes a number as chrony does: a signed exponent of 7 bits, then a signed
// coefficient of 25 bits. A number that is too large becomes the largest one.
func appendFloat(b []byte, v float64) []byte {
	const coefficientMax, exponentMin, exponentMax = 1<<24 - 1, -64, 63
	fraction, exponent := math.Frexp(v) // v = fraction · 2^exponent, |fraction| in [½, 1)
	exponent++                          // the wire's value is coefficient · 2^(exponent-25)
	coefficient := math.Round(math.Ldexp(fraction, 24))
	if math.Abs(coefficient) > coefficientMax {
		coefficient /= 2
		exponent++
	}
	switch {
	case v == 0 || math.IsNaN(v):
		coefficient, exponent = 0, 0
	case exponent > exponentMax:
		coefficient, exponent = math.Copysign(coefficientMax, v), exponentMax
	case exponent < exponentMin:
		coefficient, exponent = math.Ldexp(coefficient, exponent-exponentMin), exponentMin
	}
	return binary.BigEndian.AppendUint32(b, uint32(exponent)<<25|uint32(int32(coefficient))&(1<<25-1))
}
