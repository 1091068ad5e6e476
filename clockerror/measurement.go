package clockerror

import (
	"math"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// A Measurement is the result of one source: the clock is at least Near and at most Far
// seconds off, in either direction.
type Measurement struct{ Near, Far float64 }

// Measured returns the measurement of an offset with its uncertainty, both in seconds.
func Measured(offset, uncertainty float64) Measurement {
	offset = math.Abs(offset)
	return Measurement{Near: max(0, offset-uncertainty), Far: offset + uncertainty}
}

// Excludes reports whether the measurement contradicts a limit, in seconds: the clock is
// further off than that. It is the one rule for sources and witnesses.
func (m Measurement) Excludes(limit float64) bool { return m.Near > limit }

// Outvotes reports whether measurements prove that the clock is off by more than a
// limit, in seconds. It also returns how far off it may be by them. The source that set
// the limit counts too.
func Outvotes(voters []Measurement, limit float64) (far float64, proven bool) {
	beyond := 0
	for _, m := range voters {
		if m.Excludes(limit) {
			beyond++
			far = max(far, m.Far)
		}
	}
	return far, IsMajority(beyond, len(voters)+1)
}

// IsMajority reports whether so many measurements beyond a limit outweigh the other
// voters: at least two, and more than half of all. A single one, or a minority, may be
// wrong itself.
func IsMajority(beyond, voters int) bool { return beyond >= 2 && 2*beyond > voters }

// Followed returns the source that the clock follows, or nil if it is not listed or has
// no sample. If chronyd has selected none, it is the source that tracking names. Of
// several reference clocks with the same name, it is the one with the oldest sample.
func Followed(t *chrony.Tracking, sources []chrony.Source) *chrony.Source {
	var followed *chrony.Source
	for i := range sources {
		s := &sources[i]
		if s.State == chrony.StateSelected {
			if s.SampleAge == chrony.Never {
				return nil
			}
			return s
		}
		if s.SampleAge != chrony.Never && isReference(s, t) && (followed == nil || s.SampleAge > followed.SampleAge) {
			followed = s
		}
	}
	return followed
}

// isReference reports whether tracking names the source.
func isReference(s *chrony.Source, t *chrony.Tracking) bool {
	if s.Mode == chrony.ModeReferenceClock {
		return t.Address.IsUnspecified() && s.RefID == t.RefID
	}
	return !t.Address.IsUnspecified() && s.Address == t.Address
}

// selects reports whether chronyd follows one of the sources. If it lists none, this is
// assumed.
func selects(sources []chrony.Source) bool {
	for i := range sources {
		if sources[i].State == chrony.StateSelected {
			return true
		}
	}
	return sources == nil
}

// second is how much too small a sample's age may be, in seconds: chronyd rounds it
// down.
const second = 1

// measure ages a source's last sample.
func (j *judgement) measure(s *chrony.Source) Measurement {
	age := sampleAge(s, j.Observation) + second
	margin := math.Abs(s.OffsetError) + j.Slewed
	offset := j.offset(s)
	return Measurement{
		Near: max(0, offset.Near-margin-j.driftRate(s)*age),
		Far:  offset.Far + margin + j.rate(s)*age,
	}
}

// offset returns how far off a source's last sample found the clock, minus what was
// slewed since, plus the steps since. Above zero, an adjusted offset means that the
// clock was ahead, and a system time that it is behind.
func (j *judgement) offset(s *chrony.Source) Measurement {
	return shifted(s.AdjustedOffset-j.Tracking.SystemTime, j.stepsSince(s))
}

// systemTime returns how far off the clock is by chronyd's own estimate.
func (j *judgement) systemTime() Measurement {
	var all Step
	for _, step := range j.Steps {
		all.Low, all.High = all.Low+step.Low, all.High+step.High
	}
	return shifted(-j.Tracking.SystemTime, all)
}

// shifted returns the ends of an offset after a step.
func shifted(offset float64, by Step) Measurement {
	low, high := offset+by.Low, offset+by.High
	m := Measurement{Far: max(math.Abs(low), math.Abs(high))}
	if low > 0 || high < 0 {
		m.Near = min(math.Abs(low), math.Abs(high))
	}
	return m
}

// basicRate is how fast the clock may drift, in seconds per second: the uncertainty of
// chronyd's frequency (the skew), plus the change that is allowed for.
func (j *judgement) basicRate() float64 { return math.Abs(j.Tracking.Skew)*1e-6 + j.wander }

// rate is the same for a source's last sample, with the drift that it found. A measured
// offset beyond the sample's own error comes from a frequency that chronyd did not
// know, over the interval since the sample before. The frequency may change as much
// again by the next sample, so the two rates add up.
func (j *judgement) rate(s *chrony.Source) float64 {
	if math.Abs(s.MeasuredOffset) <= math.Abs(s.OffsetError) {
		return j.basicRate()
	}
	interval := max(pollInterval(s.Poll), j.Tracking.LastUpdateInterval)
	return j.basicRate() + math.Abs(s.MeasuredOffset)/interval
}

// fastestDrift is more than any oscillator drifts, in seconds per second. It is the
// largest drift that NTP tolerates (RFC 5905, appendix A.1, MAXFREQ).
const fastestDrift = 500e-6

// driftRate is the rate, unless the last sample found a jump: a clock does not jump
// back by itself.
func (j *judgement) driftRate(s *chrony.Source) float64 {
	if rate := j.rate(s); rate-j.basicRate() <= fastestDrift {
		return rate
	}
	return j.basicRate()
}

// voters are the measurements of sources other than the followed one that are newer
// than chronyd's last update.
func (j *judgement) voters(followed *chrony.Source, e *Estimate) []Measurement {
	var voters []Measurement
	for i := range j.Sources {
		s := &j.Sources[i]
		if s == followed || s.SampleAge == chrony.Never {
			continue
		}
		age := sampleAge(s, j.Observation)
		// Both ages are uncertain by a second.
		if age >= LostPolls*pollInterval(s.Poll) || !(e.UpdateAge-age > slack) {
			continue
		}
		// A source that is not selectable may be there only to be measured (noselect).
		// It measures UTC, and a clock that is not traced to UTC does not claim to show
		// UTC.
		if s.State == chrony.StateNonselectable && e.Untraced {
			continue
		}
		voters = append(voters, j.measure(s))
	}
	return voters
}
