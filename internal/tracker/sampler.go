package tracker

import (
	"context"
	"math"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// An observation is what one look at the clock found.
type observation struct {
	Instant                   // at which it began
	tracking *chrony.Tracking // nil if chronyd gave no answer
	address  string           // of the chronyd that answered
	err      error            // why there was no answer
	kernel   *Kernel          // nil if the kernel doesn't tell
	estimate clockerror.Estimate
}

// sourcesFor is how long a list of sources serves to judge the clock by.
const sourcesFor = 10 * time.Second

// A sampler asks chronyd for its tracking at each sample. The sources, of which
// there may be many, it asks for when what is known of them may be wrong.
type sampler struct {
	report   func(context.Context, chrony.Want) (*chrony.Report, error)
	interval time.Duration // between two samples
	assume   clockerror.Assumptions
	correct  func(*chrony.Tracking) *chrony.Tracking // for what chronyd doesn't know of the clock

	followed *chrony.Tracking // when the sources were read; nil if they have to be
	readAt   int64            // by CLOCK_BOOTTIME
	sources  []chrony.Source  // as they were read
	aged     []chrony.Source  // as they are now
}

func newSampler(report func(context.Context, chrony.Want) (*chrony.Report, error), interval time.Duration, assume clockerror.Assumptions) sampler {
	asItIs := func(t *chrony.Tracking) *chrony.Tracking { return t }
	return sampler{report: report, interval: interval, assume: assume, correct: asItIs}
}

// sample asks, and judges the answer.
func (s *sampler) sample(ctx context.Context, now Instant) *observation {
	o := &observation{Instant: now}
	var judged clockerror.Observation
	report, err := s.ask(ctx, now.Boot)
	if err != nil {
		o.err, s.followed = err, nil
	} else {
		o.tracking, o.address = s.correct(report.Tracking), report.Address
		judged = clockerror.Observation{Tracking: o.tracking, Sources: s.grown(now.Boot), At: report.At}
	}
	o.estimate = clockerror.Of(judged, s.assume)
	return o
}

// forget has the sources read at the next sample.
func (s *sampler) forget() { s.followed = nil }

func (s *sampler) ask(ctx context.Context, now int64) (*chrony.Report, error) {
	if !s.mustRead(now) {
		report, err := s.report(ctx, chrony.WantTracking)
		if err != nil || s.follows(report.Tracking) {
			return report, err
		}
	}
	report, err := s.report(ctx, judged)
	if err == nil {
		s.followed, s.readAt, s.sources = report.Tracking, now, report.Sources
	}
	return report, err
}

// follows reports whether the reference is the one that it was when the sources
// were read.
func (s *sampler) follows(t *chrony.Tracking) bool {
	return t.RefID == s.followed.RefID && t.Address == s.followed.Address
}

// mustRead reports whether the sources have to be read: when they were not, or
// else would be too old by the next sample, or when the selected one's sample has
// grown older than its poll interval. There is a newer one then, or it is late.
func (s *sampler) mustRead(now int64) bool {
	age := time.Duration(now - s.readAt)
	if s.followed == nil || age+s.interval > sourcesFor {
		return true
	}
	for _, source := range s.sources {
		if source.State == chrony.StateSelected && source.SampleAge != chrony.Never {
			return (source.SampleAge + age).Seconds() > math.Ldexp(1, int(source.Poll))
		}
	}
	return false
}

// grown returns the sources with their samples' ages as they are now.
func (s *sampler) grown(now int64) []chrony.Source {
	if s.sources == nil {
		return nil // refused
	}
	s.aged = append(s.aged[:0], s.sources...)
	for i := range s.aged {
		if source := &s.aged[i]; source.SampleAge != chrony.Never {
			source.SampleAge += time.Duration(now - s.readAt)
		}
	}
	return s.aged
}
