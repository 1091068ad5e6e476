package chrony

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Want names the reports that [Client.Report] reads.
type Want uint16

// The reports. They can be or-ed. Those of sources go with WantSources.
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

// Each lists the reports one by one.
func (w Want) Each() []Want {
	var each []Want
	for want := WantTracking; want < WantAll; want <<= 1 {
		if w&want != 0 {
			each = append(each, want)
		}
	}
	return each
}

// String returns the name of a single report: that of chronyc's command, which
// the directive opencommands in chrony.conf takes as well.
func (w Want) String() string { return wantNames[w] }

// ofSources are the reports that there is one of for each source.
const ofSources = WantSources | WantSourceStats | WantSourceNames | WantNTPData | WantAuthData | WantSelectData

// Report is what one call of [Client.Report] read. What was not wanted or not
// given is nil.
type Report struct {
	Want    Want      // what was wanted
	Given   Want      // what chronyd gave; what is neither given nor refused is about sources, and there was none to ask about
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

	// Refused holds, for each wanted report that chronyd didn't give, why: most
	// often [ErrUnauthorized]. It is nil when all were given.
	Refused map[Want]error
}

// Report reads several reports over one connection, with as many requests under way
// at once as is safe. Tracking is asked before and after the sources, so that
// [Report.SameUpdate] is sure. That chronyd refuses one report doesn't concern the others: see
// [Report.Refused]. It fails if chronyd doesn't answer, or leaves unanswered what it
// says of the clock or which sources it has; any other report that is still without
// an answer when the context's deadline passes counts as refused.
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
	r.putTogether()
	r.Address = served.target.String()
	return &r.Report, nil
}

// maxSources bounds what is believed of a chronyd that says how many sources it
// has: far above any real one, and little memory.
const maxSources = 1 << 16

// A reading fills a report.
type reading struct {
	Report
	ask     func(query)
	before  Tracking        // what chronyd said before its sources were asked about
	count   uint32          // of sources
	left    uint32          // of them, not answered yet
	sources []sourceReading // by index
	listed  bool            // chronyd has listed them all
}

// A sourceReading is what is known of the source with some index. chronyd may
// add and remove sources between two answers, so the parts that came by index
// are put together by the source's identity in the end.
type sourceReading struct {
	Source
	present    bool
	stats      SourceStats
	hasStats   bool
	selectData SelectData
	hasSelect  bool
}

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
			refuse: func(error) { r.askCount() }, // as it will be in the end
		})
	default:
		r.askCount()
	}
}

// askCount asks how many sources there are, and then for everything else.
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

// refuseSources is for a chronyd that doesn't list its sources. Answers about some
// of them may still come.
func (r *reading) refuseSources(err error) {
	r.listed = false
	for _, want := range (r.Want & ofSources).Each() {
		r.refuse(want, err)
	}
}

// single asks for a report that there is one of.
func (r *reading) single(want Want, cmd *command, decode func(uint16, []byte)) {
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

// askTracking asks what chronyd says of the clock. Where sources are read, that is
// after the last of them has answered.
func (r *reading) askTracking() {
	tracking := into(&r.Tracking)
	r.single(WantTracking, &cmdTracking, func(reply uint16, b []byte) {
		r.At = time.Now()
		tracking(reply, b)
	})
}

// askRest asks for the reports that there is one of, but for tracking.
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
}](field *P) func(uint16, []byte) {
	return func(reply uint16, body []byte) {
		value := P(new(T))
		value.decode(reply, body)
		*field = value
	}
}

// askSources asks everything about each source. What is asked by address is
// asked as soon as that is known.
func (r *reading) askSources() {
	r.sources, r.left, r.listed = make([]sourceReading, r.count), r.count, true
	stats := r.detail(WantSourceStats, func(i int) query {
		return query{command: &cmdSourceStats, index: uint32(i), decode: func(reply uint16, b []byte) {
			r.sources[i].stats.decode(reply, b)
			r.sources[i].hasStats = true
		}}
	})
	selection := r.detail(WantSelectData, func(i int) query {
		return query{command: &cmdSelectData, index: uint32(i), decode: func(reply uint16, b []byte) {
			r.sources[i].selectData.decode(reply, b)
			r.sources[i].hasSelect = true
		}}
	})
	name := r.detail(WantSourceNames, func(i int) query {
		return query{command: &cmdSourceName, address: r.sources[i].Address, decode: func(_ uint16, b []byte) {
			text, _, _ := bytes.Cut(b, []byte{0})
			r.sources[i].ConfiguredName = strings.ToValidUTF8(string(text), "?")
		}}
	})
	ntp := r.detail(WantNTPData, func(i int) query {
		return query{command: &cmdNTPData, address: r.sources[i].Address, decode: into(&r.sources[i].NTP)}
	})
	auth := r.detail(WantAuthData, func(i int) query {
		return query{command: &cmdAuthData, address: r.sources[i].Address, decode: into(&r.sources[i].Auth)}
	})

	for i := range r.sources {
		s := &r.sources[i]
		r.ask(query{
			command: &cmdSourceData,
			index:   uint32(i),
			decode: func(reply uint16, b []byte) {
				defer r.answered()
				s.Source.decode(reply, b)
				s.present = true
				if s.Address.IsUnspecified() {
					return // a reference clock has none of these
				}
				name.about(i)
				if s.Address.IP.IsValid() {
					ntp.about(i)
					auth.about(i)
				}
			},
			refuse: func(err error) {
				defer r.answered()
				if !errors.Is(err, ErrNoSuchSource) {
					r.refuseSources(err)
				}
			},
		})
		stats.about(i)
		selection.about(i)
	}
}

// answered notes that a source is answered for. Tracking follows the last one.
func (r *reading) answered() {
	if r.left--; r.left == 0 {
		r.askTracking()
	}
}

// A detail is a report that there is one of for each source. The first source
// finds out whether chronyd gives it at all; the others wait for that.
type detail struct {
	*reading
	want           Want
	query          func(i int) query
	tried, refused bool
	given          bool
	later          []int
}

func (r *reading) detail(want Want, query func(i int) query) *detail {
	return &detail{reading: r, want: want, query: query}
}

// about asks for the detail of the source with the index.
func (d *detail) about(i int) {
	switch {
	case d.reading.Want&d.want == 0, d.refused:
	case d.tried && !d.given:
		d.later = append(d.later, i)
	default:
		d.tried = true
		d.put(i)
	}
}

func (d *detail) put(i int) {
	q := d.query(i)
	decode := q.decode
	q.optional = true
	q.decode = func(reply uint16, b []byte) {
		d.Given |= d.want
		decode(reply, b)
		d.give()
	}
	q.refuse = func(err error) {
		if errors.Is(err, ErrNoSuchSource) {
			d.give()
			return
		}
		d.refused = true
		d.refuse(d.want, err)
	}
	d.ask(q)
}

func (d *detail) give() {
	if d.given {
		return
	}
	d.given = true
	for _, i := range d.later {
		d.put(i)
	}
}

// putTogether makes the list of the sources that chronyd still had when it was
// asked about each, with what was said by index of the same source.
func (r *reading) putTogether() {
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
			continue // it went, or it moved to another index and is there already
		}
		seen[s.Address] = true
		if at := r.find(i, func(c *sourceReading) bool { return c.hasStats && s.is(c.stats.RefID, c.stats.Address) }); at >= 0 {
			s.Stats, r.sources[at].hasStats = &r.sources[at].stats, false
		}
		if at := r.find(i, func(c *sourceReading) bool { return c.hasSelect && s.is(c.selectData.RefID, c.selectData.Address) }); at >= 0 {
			s.Select, r.sources[at].hasSelect = &r.sources[at].selectData, false
			if s.SampleAge == Never {
				s.Select.SampleAge = Never // chronyd says 0 here
			}
		}
		r.Sources = append(r.Sources, s.Source)
	}
}

// find returns the index of the source that satisfies the condition: the given
// one or, since few sources come and go at once, one nearby; else -1.
func (r *reading) find(i int, condition func(*sourceReading) bool) int {
	const nearby = 16
	if condition(&r.sources[i]) {
		return i
	}
	for at := max(0, i-nearby); at < min(len(r.sources), i+nearby+1); at++ {
		if condition(&r.sources[at]) {
			return at
		}
	}
	return -1
}

// is reports whether a part of a report that has this identity is about the
// source. Only a reference clock is known by its reference ID.
func (s *Source) is(id RefID, address Address) bool {
	if s.Mode == ModeReferenceClock {
		return address.IsUnspecified() && id == s.RefID
	}
	return address == s.Address
}
