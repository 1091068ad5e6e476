package tracker

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/witness"
)

// An observation is the result of one look at the clock.
type observation struct {
	Instant                   // at which it began
	tracking *chrony.Tracking // nil if chronyd did not answer
	address  string           // of the chronyd that answered
	err      error            // why there was no answer
	kernel   *Kernel          // nil if the kernel doesn't report it
	known    clockerror.Observation
	estimate clockerror.Estimate

	found      *witness.Findings   // nil without witnesses
	actionable clockerror.Estimate // without what a forger can fake
	moved      float64             // see steered
}

// sourcesFor is the longest time that a list of sources is used to judge the clock.
const sourcesFor = 10 * time.Second

// A sampler asks chronyd for its tracking at each sample. There may be many sources,
// so it asks for them only when its list may be out of date.
type sampler struct {
	report   func(context.Context, chrony.Want) (*chrony.Report, error)
	interval time.Duration // between two samples
	assume   clockerror.Assumptions
	list     atomic.Pointer[sourceList] // nil if the sources have to be read
	aged     []chrony.Source            // the list's sources with their present ages
	past     past
}

// A past is what earlier samples of the followed source showed.
type past struct {
	of          sourceKey
	sampled     int64 // the last one, by CLOCK_BOOTTIME; zero if there was none
	intervals   [3]float64
	asked       bool // whether the server follows its own clock
	serverLocal bool // the server does
}

// A sourceKey identifies the source that chronyd follows.
type sourceKey struct {
	id      chrony.RefID
	address chrony.Address
	stratum uint16
}

func keyOf(t *chrony.Tracking) sourceKey { return sourceKey{t.RefID, t.Address, t.Stratum} }

// A sourceList is chronyd's list of sources, and the update it belongs to. It is
// immutable.
type sourceList struct {
	refTime time.Time
	readAt  int64           // by CLOCK_BOOTTIME
	sources []chrony.Source // as they were at readAt; nil if refused
	poll    float64         // of the followed one, in seconds; 0 if there is none
	age     time.Duration   // of its last sample
	lasts   float64         // seconds that the list is valid
	past
}

func newSampler(report func(context.Context, chrony.Want) (*chrony.Report, error), interval time.Duration, assume clockerror.Assumptions) *sampler {
	return &sampler{report: report, interval: interval, assume: assume}
}

// sample asks chronyd. Its result is not judged yet.
func (s *sampler) sample(ctx context.Context, now Instant) *observation {
	o := &observation{Instant: now}
	began := time.Now()
	report, err := s.ask(ctx, now.Boot)
	if err != nil {
		o.err = err
		s.forget()
		return o
	}
	o.tracking, o.address = report.Tracking, report.Address
	o.known = clockerror.Observation{Tracking: report.Tracking, At: report.At}
	if list := s.list.Load(); list != nil {
		s.aged = list.at(now.Boot+int64(time.Since(began)), s.aged[:0])
		list.tell(&o.known, s.aged)
	}
	return o
}

// forget makes the next sample read the sources.
func (s *sampler) forget() { s.list.Store(nil) }

func (s *sampler) ask(ctx context.Context, now int64) (*chrony.Report, error) {
	if list := s.list.Load(); list.serves(now, s.interval) {
		report, err := s.report(ctx, chrony.WantTracking)
		if err != nil || list.fits(report.Tracking) {
			return report, err
		}
	}
	report, err := s.report(ctx, judged)
	if err != nil {
		return report, err
	}
	if of := keyOf(report.Tracking); s.past.of != of {
		s.past = past{of: of, asked: !of.address.IP.IsValid()}
	}
	if !s.past.asked {
		if report, err = s.report(ctx, judged|chrony.WantNTPData); err != nil {
			return report, err
		}
		// Most chronyds refuse it over UDP. If the answer is late, ask again.
		s.past.asked = report.Refused[chrony.WantNTPData] == nil || !errors.Is(report.Refused[chrony.WantNTPData], chrony.ErrNoAnswer)
	}
	s.keep(report, now)
	return report, nil
}

// keep stores the sources, if they certainly belong to the same update as tracking.
func (s *sampler) keep(report *chrony.Report, now int64) {
	if report.Sources != nil && !report.SameUpdate {
		s.forget()
		return
	}
	list := &sourceList{refTime: report.Tracking.RefTime, readAt: now, sources: report.Sources, lasts: lifetime(report.Sources)}
	if f := clockerror.Followed(report.Tracking, report.Sources); f != nil {
		list.poll, list.age = math.Ldexp(1, int(f.Poll)), f.SampleAge
		s.past.add(now - int64(f.SampleAge))
		s.past.serverLocal = s.past.serverLocal || f.NTP != nil && f.NTP.RefID == chrony.RefIDLocal
	}
	list.past = s.past
	s.list.Store(list)
}

// lifetime returns how long the sources are valid, in seconds. It ends before a source
// would lose its vote: perhaps only its newer sample was not read.
func lifetime(sources []chrony.Source) float64 {
	left := sourcesFor.Seconds()
	for i := range sources {
		s := &sources[i]
		if votes := math.Ldexp(clockerror.LostPolls, int(s.Poll)) - s.SampleAge.Seconds(); votes > 0 {
			left = min(left, votes)
		}
	}
	return left
}

// add adds a sample of the followed source, if it is a new one. Ages are rounded down
// to seconds.
func (p *past) add(sampled int64) {
	interval := seconds(sampled - p.sampled)
	if p.sampled == 0 {
		p.sampled = sampled
	} else if interval > 1.5 {
		p.sampled = sampled
		p.intervals = [3]float64{interval, p.intervals[0], p.intervals[1]}
	}
}

// serves reports whether the list is good enough for a sample taken now, and for
// others within the interval. It must be fresh, and no newer sample of the followed
// source may be due. A nil list is not good enough.
func (l *sourceList) serves(now int64, interval time.Duration) bool {
	if l == nil {
		return false
	}
	age := time.Duration(now - l.readAt)
	return (age+interval).Seconds() <= l.lasts && (l.poll == 0 || (l.age+age).Seconds() <= l.poll)
}

// fits reports whether the list belongs to the same update as tracking.
func (l *sourceList) fits(t *chrony.Tracking) bool {
	return l != nil && t.RefTime.Equal(l.refTime) && l.of == keyOf(t)
}

// at appends the sources to others, with their samples' ages as they are now.
func (l *sourceList) at(now int64, into []chrony.Source) []chrony.Source {
	if l.sources == nil {
		return nil // refused
	}
	if into == nil {
		into = make([]chrony.Source, 0, len(l.sources)) // none is not the same as unknown
	}
	into = append(into, l.sources...)
	for i := range into {
		if source := &into[i]; source.SampleAge != chrony.Never {
			source.SampleAge += time.Duration(now - l.readAt)
		}
	}
	return into
}

// tell adds to an observation the findings of earlier samples, and the sources.
func (l *sourceList) tell(o *clockerror.Observation, sources []chrony.Source) {
	o.Sources = sources
	if l.of == keyOf(o.Tracking) {
		o.Intervals, o.ServerLocal = l.intervals, l.serverLocal
	}
}
