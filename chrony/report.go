package chrony

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Want names the reports that [Client.Report] reads.
type Want uint16

// The reports. Combine them with |. Reports about sources need WantSources.
const (
	WantTracking Want = 1 << iota
	WantActivity
	WantSources
	WantSourceStats
	WantSourceNames
	WantNTPData
	WantAuthData
	WantSelectData
	WantServerStats
	WantRTC
	WantSmoothing

	WantAll Want = 1<<iota - 1
)

var wantNames = map[Want]string{
	WantTracking:    "tracking",
	WantActivity:    "activity",
	WantSources:     "sources",
	WantSourceStats: "sourcestats",
	WantSourceNames: "sourcename",
	WantNTPData:     "ntpdata",
	WantAuthData:    "authdata",
	WantSelectData:  "selectdata",
	WantServerStats: "serverstats",
	WantRTC:         "rtcdata",
	WantSmoothing:   "smoothing",
}

// Each iterates over the single reports.
func (w Want) Each() []Want {
	var each []Want
	for want := WantTracking; want < WantAll; want <<= 1 {
		if w&want != 0 {
			each = append(each, want)
		}
	}
	return each
}

// String returns the name of a single report. It is the name of chronyc's command, and
// of the argument to opencommands in chrony.conf.
func (w Want) String() string { return wantNames[w] }

// ofSources are the reports that exist once for each source.
const ofSources = WantSources | WantSourceStats | WantSourceNames | WantNTPData | WantAuthData | WantSelectData

// Report is the result of one call of [Client.Report]. Reports that were not wanted or
// not given are nil.
type Report struct {
	Want    Want      // what was wanted
	Given   Want      // what chronyd gave; a per-source report is neither given nor refused if there is no source to ask about
	At      time.Time // when Tracking arrived; zero if that was not wanted or not given
	Address string    // of the chronyd that answered

	Tracking    *Tracking
	Activity    *Activity
	Sources     []Source
	ServerStats *ServerStats
	RTC         *RTC
	Smoothing   *Smoothing

	// SameUpdate says that Tracking and Sources belong to the same clock update:
	// the reference time was the same before and after the sources were read.
	SameUpdate bool

	// Refused holds the error for each wanted report that chronyd didn't give, usually
	// [ErrUnauthorized]. It is nil if all were given.
	Refused map[Want]error
}

// Report reads several reports over one connection, with as many concurrent requests
// as is safe. It requests tracking before and after the sources, so that
// [Report.SameUpdate] is reliable. If chronyd refuses one report, the others are still
// read: see [Report.Refused]. Report fails if chronyd doesn't answer, or doesn't
// answer for tracking or the list of sources. Any other report without an answer at
// the context's deadline counts as refused.
func (c *Client) Report(ctx context.Context, want Want) (*Report, error) {
	var r *reading
	served, err := c.exchange(ctx, func(ask func(query)) {
		r = &reading{Report: Report{Want: want}, ask: ask}
		r.begin()
	})
	if err != nil {
		return nil, err
	}
	if r.count > maxSources {
		err := fmt.Errorf("%w: it claims %d sources", ErrBadReply, r.count)
		r.refuseSources(queryError(served.target, &cmdNumSources, err))
	}
	r.merge()
	r.Address = served.target.String()
	return &r.Report, nil
}

// maxSources is the largest number of sources that is accepted from chronyd. It is far
// above any real number, and needs little memory.
const maxSources = 1 << 16

// A reading fills a report.
type reading struct {
	Report
	ask     func(query)
	before  Tracking        // chronyd's answer before the requests about its sources
	count   uint32          // of sources
	left    uint32          // of them, not answered yet
	sources []sourceReading // by index
	details []detail        // the wanted reports about each of them
	listed  bool            // chronyd has listed them all
}

// A sourceReading holds chronyd's answers about one index. Sources can change between
// two answers, so stats and selection can be about another source than the rest.
// merge compares their identities.
type sourceReading struct {
	Source
	present   bool
	stats     *SourceStats
	selection *SelectData
}

// A sourceReport is a report that exists once for each source.
type sourceReport struct {
	want    Want
	command *command
	has     func(Address) bool            // asked by address: the sources that have one; nil: all have one, asked by index
	store   func(*sourceReading) decoding // where the reply goes
}

// sourceReports lists them all, except WantSources itself.
var sourceReports = [...]sourceReport{
	{WantSourceStats, &cmdSourceStats, nil, func(s *sourceReading) decoding { return into(&s.stats) }},
	{WantSelectData, &cmdSelectData, nil, func(s *sourceReading) decoding { return into(&s.selection) }},
	{WantSourceNames, &cmdSourceName, hasAddress, func(s *sourceReading) decoding { return s.decodeName }},
	{WantNTPData, &cmdNTPData, hasIP, func(s *sourceReading) decoding { return into(&s.NTP) }},
	{WantAuthData, &cmdAuthData, hasIP, func(s *sourceReading) decoding { return into(&s.Auth) }},
}

func hasAddress(a Address) bool { return !a.IsUnspecified() }
func hasIP(a Address) bool      { return a.IP.IsValid() }

func (r *reading) begin() {
	switch {
	case r.Want&ofSources == 0:
		r.askTracking()
		r.askRest()
	case r.Want&WantTracking != 0:
		r.ask(query{
			command: &cmdTracking,
			decode: func(reply uint16, b []byte) {
				r.before.decode(reply, b)
				r.askCount()
			},
			refuse: func(error) { r.askCount() }, // the last request for tracking will be refused too
		})
	default:
		r.askCount()
	}
}

// askCount asks for the number of sources, and then for everything else.
func (r *reading) askCount() {
	r.ask(query{
		command: &cmdNumSources,
		decode: func(_ uint16, b []byte) {
			r.count = wireUint32(b)
			if r.count == 0 || r.count > maxSources {
				r.askTracking()
			}
			if r.count <= maxSources {
				r.askSources()
			}
			r.askRest()
		},
		refuse: func(err error) {
			r.refuseSources(err)
			r.askTracking()
			r.askRest()
		},
	})
}

func (r *reading) refuse(want Want, err error) {
	if r.Refused == nil {
		r.Refused = make(map[Want]error)
	}
	r.Refused[want] = err
}

// refuseSources handles a chronyd that doesn't list its sources. Answers about some
// of them may still arrive.
func (r *reading) refuseSources(err error) {
	r.listed = false
	for _, want := range (r.Want & ofSources).Each() {
		r.refuse(want, err)
	}
}

// single asks for a report that exists once.
func (r *reading) single(want Want, cmd *command, decode decoding) {
	if r.Want&want != 0 {
		r.ask(query{
			command: cmd,
			decode: func(reply uint16, b []byte) {
				r.Given |= want
				decode(reply, b)
			},
			refuse:   func(err error) { r.refuse(want, err) },
			optional: want != WantTracking,
		})
	}
}

// askTracking asks for tracking. If sources are read, it comes after the last answer
// about them.
func (r *reading) askTracking() {
	tracking := into(&r.Tracking)
	r.single(WantTracking, &cmdTracking, func(reply uint16, b []byte) {
		r.At = time.Now()
		tracking(reply, b)
	})
}

// askRest asks for the reports that exist once, except tracking.
func (r *reading) askRest() {
	r.single(WantActivity, &cmdActivity, into(&r.Activity))
	r.single(WantServerStats, &cmdServerStats, into(&r.ServerStats))
	r.single(WantRTC, &cmdRTC, into(&r.RTC))
	r.single(WantSmoothing, &cmdSmoothing, into(&r.Smoothing))
}

// into decodes a reply into a new value, which the field then points to.
func into[T any, P interface {
	*T
	decode(reply uint16, body []byte)
}](field *P) decoding {
	return func(reply uint16, body []byte) {
		value := P(new(T))
		value.decode(reply, body)
		*field = value
	}
}

// askSources asks everything about each source.
func (r *reading) askSources() {
	r.sources, r.left, r.listed = make([]sourceReading, r.count), r.count, true
	for n := range sourceReports {
		if d := &sourceReports[n]; r.Want&d.want != 0 {
			r.details = append(r.details, detail{sourceReport: d})
		}
	}
	for i := range r.sources {
		s := &r.sources[i]
		r.ask(query{
			command: &cmdSourceData,
			index:   uint32(i),
			decode: func(reply uint16, b []byte) {
				s.Source.decode(reply, b)
				s.present = true
				r.askDetails(i, true)
				r.answered()
			},
			refuse: func(err error) {
				if !errors.Is(err, ErrNoSuchSource) {
					r.refuseSources(err)
				}
				r.answered()
			},
		})
		r.askDetails(i, false)
	}
}

// answered records that the answer about a source has arrived. Tracking follows the
// last one.
func (r *reading) answered() {
	if r.left--; r.left == 0 {
		r.askTracking()
	}
}

// A detail is a wanted sourceReport. The request for the first source shows whether
// chronyd gives it at all. The other requests wait for that.
type detail struct {
	*sourceReport
	tried, given bool
	later        []int // the sources that wait, by index
}

// askDetails asks for the details of the source at an index: either the reports that
// need its address, or the others.
func (r *reading) askDetails(i int, byAddress bool) {
	for n := range r.details {
		d := &r.details[n]
		if byAddress != (d.has != nil) || byAddress && !d.has(r.sources[i].Address) {
			continue
		}
		if d.tried && !d.given {
			d.later = append(d.later, i)
			continue
		}
		d.tried = true
		r.askDetail(d, i)
	}
}

func (r *reading) askDetail(d *detail, i int) {
	q := query{command: d.command, index: uint32(i), optional: true}
	if d.has != nil {
		q.address = r.sources[i].Address
	}
	store := d.store(&r.sources[i])
	q.decode = func(reply uint16, b []byte) {
		r.Given |= d.want
		store(reply, b)
		r.askLater(d)
	}
	q.refuse = func(err error) {
		if errors.Is(err, ErrNoSuchSource) {
			r.askLater(d) // it gives the report, but this source was removed
		} else {
			r.refuse(d.want, err)
		}
	}
	r.ask(q)
}

// askLater asks about the waiting sources. chronyd does give the detail.
func (r *reading) askLater(d *detail) {
	if !d.given {
		d.given = true
		for _, i := range d.later {
			r.askDetail(d, i)
		}
	}
}

// merge lists the sources that chronyd still had at each request. It adds the answers
// by index that are about the same source.
func (r *reading) merge() {
	if !r.listed {
		return
	}
	r.Given |= r.Want & WantSources
	r.SameUpdate = r.Tracking != nil && r.Tracking.RefTime.Equal(r.before.RefTime)
	r.Sources = make([]Source, 0, len(r.sources))
	seen := make(map[Address]bool)
	for i := range r.sources {
		s := &r.sources[i]
		if !s.present || !s.Address.IsUnspecified() && seen[s.Address] {
			continue // it was removed, or it moved to another index and is already in the list
		}
		seen[s.Address] = true
		if at := r.find(i, func(c *sourceReading) bool { return c.stats != nil && s.is(c.stats.RefID, c.stats.Address) }); at != nil {
			s.Stats, at.stats = at.stats, nil
		}
		if at := r.find(i, func(c *sourceReading) bool { return c.selection != nil && s.is(c.selection.RefID, c.selection.Address) }); at != nil {
			s.Select, at.selection = at.selection, nil
			if s.SampleAge == Never {
				s.Select.SampleAge = Never // chronyd says 0 here
			}
		}
		r.Sources = append(r.Sources, s.Source)
	}
}

// find returns the source that satisfies the condition, or nil. It tries the index
// first and then those nearby, because few sources change at once.
func (r *reading) find(i int, condition func(*sourceReading) bool) *sourceReading {
	const nearby = 16
	if condition(&r.sources[i]) {
		return &r.sources[i]
	}
	for at := max(0, i-nearby); at < min(len(r.sources), i+nearby+1); at++ {
		if condition(&r.sources[at]) {
			return &r.sources[at]
		}
	}
	return nil
}

// is reports whether a part of a report that has this identity is about the
// source. Only a reference clock is known by its reference ID.
func (s *Source) is(id RefID, address Address) bool {
	if s.Mode == ModeReferenceClock {
		return address.IsUnspecified() && id == s.RefID
	}
	return address == s.Address
}
