package exporter

import (
	"math"
	"math/bits"
	"slices"
	"strconv"

	dto "github.com/prometheus/client_model/go"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/status"
)

// A source is one of chronyd's sources with the labels of all its series.
type source struct {
	*chrony.Source
	address, name string
	labels        []*dto.LabelPair // address and name, as metric labels
}

// ofSource are the names of those labels, the same as in chrony_exporter.
var ofSource = []string{"source_address", "source_name"}

// An unresolved is a name in chrony.conf that has no address yet.
type unresolved struct {
	name  string
	count int // of sources
}

// showSources labels the sources. It shows at most limit of them: the selected one
// and the first of the others. A source's label does not depend on which others are
// shown. Sources without an address are counted by their name in chrony.conf.
func (v *view) showSources(limit int) {
	all := v.report().Sources
	selected := slices.IndexFunc(all, func(s chrony.Source) bool { return s.State == chrony.StateSelected })
	others := limit
	if selected >= 0 {
		others--
	}
	v.sources, v.names, v.omitted = v.sources[:0], v.names[:0], 0
	taken := make(map[string]bool, len(all))
	for i := range all {
		s := &all[i]
		if status.IsUnresolved(*s) {
			v.showName(s.ConfiguredName, limit)
			continue
		}
		shown := v.label(s, taken)
		switch {
		case i == selected && limit > 0:
			v.sources = append(v.sources, shown)
		case i != selected && others > 0:
			others--
			v.sources = append(v.sources, shown)
		default:
			v.omitted++
		}
	}
	for i := range v.sources {
		s := &v.sources[i]
		s.labels = newLabels(ofSource)
		*s.labels[0].Value, *s.labels[1].Value = s.address, s.name
	}
}

func (v *view) showName(name string, limit int) {
	i := slices.IndexFunc(v.names, func(n unresolved) bool { return n.name == name })
	switch {
	case i >= 0:
		v.names[i].count++
	case len(v.names) < limit:
		v.names = append(v.names, unresolved{name, 1})
	default:
		v.omitted++
	}
}

// label returns a source with unique labels. Several reference clocks can have the
// same reference ID. They become GPS, GPS#2, GPS#3 in chronyd's order.
func (v *view) label(s *chrony.Source, taken map[string]bool) source {
	address := s.Name()
	for n := 2; taken[address]; n++ {
		address = s.Name() + "#" + strconv.Itoa(n)
	}
	taken[address] = true
	if s.Mode == chrony.ModeReferenceClock || !s.Address.IP.IsValid() || address != s.Name() {
		return source{Source: s, address: address, name: address}
	}
	return source{Source: s, address: address, name: v.name(s.Address)}
}

// sourceMetrics are the fields of chronyd's sources report, most of them under the
// names of chrony_exporter.
var sourceMetrics = []metric{
	{
		name: "chrony_sources_by_state", kind: gauge, from: chrony.WantSources,
		help: "Number of sources in each state: selected, combined, selectable, jittery, falseticker, nonselectable " +
			"(unreachable, unresolved, or with too few samples). Absent if chronyd does not list its sources.",
		labels: []string{"state"},
		values: func(v *view, f *family) {
			if v.report().Sources == nil {
				return
			}
			var n [6]int
			for _, s := range v.Report.Sources {
				if int(s.State) < len(n) {
					n[s.State]++
				}
			}
			for state, count := range n {
				f.add(float64(count), chrony.SourceState(state).String())
			}
		},
	},
	{
		name: "chrony_sources_by_reach", kind: gauge, from: chrony.WantSources,
		help:   "Number of sources by answers to their last eight polls: some (at least one answer), none. Absent if chronyd does not list its sources.",
		labels: []string{"reach"},
		values: func(v *view, f *family) {
			if v.report().Sources == nil {
				return
			}
			none := 0
			for _, s := range v.Report.Sources {
				if s.Reach == 0 {
					none++
				}
			}
			f.add(float64(len(v.Report.Sources)-none), "some")
			f.add(float64(none), "none")
		},
	},
	{
		name: "chrony_sources_unresolved", kind: gauge, from: chrony.WantSources, since: "4.0",
		help: "Number of sources without an address, by their name in chrony.conf. The name is empty if chronyd does not give it. " +
			"Such sources have no other series of their own. At most --collector.sources.max names are shown. Absent if all names are resolved.",
		labels: []string{"configured_name"},
		values: func(v *view, f *family) {
			for _, n := range v.names {
				f.add(float64(n.count), n.name)
			}
		},
	},
	{
		name: "chrony_sources_omitted", kind: gauge,
		help: "Number of sources beyond --collector.sources.max, which have no series of their own. Absent if chronyd does not list its sources.",
		values: func(v *view, f *family) {
			if v.report().Sources != nil {
				f.add(float64(v.omitted))
			}
		},
	},
	{
		name: "chrony_sources_info", kind: gauge, from: chrony.WantSources,
		help: "Always 1. The labels show the source's configuration in chrony.conf: name, mode, options (noselect, prefer, trust, require) " +
			"and authentication (none, symmetric, nts). A label is empty if chronyd does not report it, as is usual over UDP.",
		labels: []string{"authentication", "configured_name", "mode", "options", "source_address", "source_name"},
		values: func(v *view, f *family) {
			for _, s := range v.sources {
				var options, authentication string
				if s.Select != nil {
					options = s.Select.Configured.String()
				}
				if s.Auth != nil {
					authentication = s.Auth.Mode.String()
				}
				f.add(1, authentication, s.ConfiguredName, s.Mode.String(), options, s.address, s.name)
			}
		},
	},
	{
		name: "chrony_sources_state_info", kind: gauge, from: chrony.WantSources,
		help: "Always 1. The labels show the source's state (sync, candidate, outlier, jittery, falseticker, unreach) " +
			"and mode (client, peer, reference clock) in chrony_exporter's words. A change of state starts a new series. chrony_sources_selection has the state as a value instead.",
		labels: []string{"source_address", "source_mode", "source_name", "source_state"},
		values: func(v *view, f *family) {
			for _, s := range v.sources {
				f.add(1, s.address, modeName(s.Mode), s.name, stateNames[s.State])
			}
		},
	},
	perSource("stratum", "", "Stratum of the source by its last sample. 0 for a reference clock, and for a source without a sample.",
		func(s *chrony.Source) (float64, bool) { return float64(s.Stratum), true }),
	perSource("polling_interval_seconds", seconds, "Time between two polls, in seconds.",
		func(s *chrony.Source) (float64, bool) { return math.Exp2(float64(min(max(s.Poll, -32), 32))), true }),
	perSource("reach", "", "The last eight polls as bits, from 0 to 255. A bit is 1 if the poll was answered. The lowest bit is the latest poll. chronyc prints it in octal.",
		func(s *chrony.Source) (float64, bool) { return float64(s.Reach), true }),
	perSource("reachability_ratio", ratio, "Fraction of the last eight polls that were answered, from 0 to 1.",
		func(s *chrony.Source) (float64, bool) { return float64(bits.OnesCount8(s.Reach)) / 8, true }),
	perSource("reachability_success", "", "1 if the last poll was answered, else 0.",
		func(s *chrony.Source) (float64, bool) { return float64(s.Reach & 1), true }),
	perSource("last_sample_age_seconds", seconds, "Time since the last good sample, in seconds. Absent without a sample.",
		func(s *chrony.Source) (float64, bool) { return s.SampleAge.Seconds(), s.SampleAge != chrony.Never }),
	perSource("last_sample_offset_seconds", seconds, "Offset of the last good sample, minus what was slewed since, in seconds. Positive if the clock was ahead. Absent without a sample.",
		func(s *chrony.Source) (float64, bool) { return s.AdjustedOffset, s.SampleAge != chrony.Never }),
	perSource("last_sample_error_margin_seconds", seconds, "Error margin of that offset, in seconds. Absent without a sample.",
		func(s *chrony.Source) (float64, bool) { return s.OffsetError, s.SampleAge != chrony.Never }),
}

// stateNames are chrony_exporter's names for a source's state.
var stateNames = map[chrony.SourceState]string{
	chrony.StateSelected:      "sync",
	chrony.StateNonselectable: "unreach",
	chrony.StateFalseticker:   "falseticker",
	chrony.StateJittery:       "jittery",
	chrony.StateCombined:      "candidate",
	chrony.StateSelectable:    "outlier",
}

// modeName is chrony_exporter's name for a source's mode.
func modeName(m chrony.SourceMode) string {
	if m == chrony.ModeServer {
		return "client"
	}
	return m.String()
}

// perSource returns the metric for one field of each source. The function reports
// whether the field has a value.
func perSource(name string, u unit, help string, field func(*chrony.Source) (float64, bool)) metric {
	return metric{
		name: "chrony_sources_" + name, kind: gauge, unit: u, from: chrony.WantSources, help: help, labels: ofSource,
		values: func(v *view, f *family) {
			for i := range v.sources {
				if value, ok := field(v.sources[i].Source); ok {
					f.addOf(&v.sources[i], value)
				}
			}
		},
	}
}
