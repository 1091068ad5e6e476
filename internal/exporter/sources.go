package exporter

import (
	"math"
	"math/bits"
	"slices"
	"strconv"

	dto "github.com/prometheus/client_model/go"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// A source is one of chronyd's sources under the labels that it has everywhere.
type source struct {
	*chrony.Source
	address, name string
	labels        []*dto.LabelPair // these two, for all its series
}

// ofSource are those labels, as chrony_exporter has them.
var ofSource = []string{"source_address", "source_name"}

// showSources labels the sources, of which at most limit are shown: the selected
// one and the first of the others. Sources whose name has no address yet are not
// among them: they have none of the values, and their number changes.
func (v *view) showSources(limit int) {
	all := v.report().Sources
	selected := slices.IndexFunc(all, func(s chrony.Source) bool { return s.State == chrony.StateSelected })
	if limit == 0 {
		selected = -1
	}
	if selected >= 0 {
		limit-- // for it
	}
	v.sources, v.omitted = v.sources[:0], 0
	for i := range all {
		s := &all[i]
		switch {
		case isUnresolved(s):
		case i == selected:
			v.showSource(s)
		case limit > 0:
			limit--
			v.showSource(s)
		default:
			v.omitted++
		}
	}
}

func (v *view) showSource(s *chrony.Source) {
	shown := source{Source: s, address: s.Name()}
	if s.Mode == chrony.ModeReferenceClock {
		// Nothing keeps two reference clocks from having one reference ID.
		shown.address = v.distinct(shown.address)
		shown.name = shown.address
	} else {
		shown.name = v.name(s.Address)
	}
	shown.labels = newLabels(ofSource)
	*shown.labels[0].Value, *shown.labels[1].Value = shown.address, shown.name
	v.sources = append(v.sources, shown)
}

// distinct numbers the second and later sources of a name: GPS, GPS#2, GPS#3.
func (v *view) distinct(name string) string {
	taken := func(wanted string) bool {
		return slices.ContainsFunc(v.sources, func(s source) bool { return s.address == wanted })
	}
	distinct := name
	for n := 2; taken(distinct); n++ {
		distinct = name + "#" + strconv.Itoa(n)
	}
	return distinct
}

func isUnresolved(s *chrony.Source) bool { return s.Address.ID != 0 }

// sourceMetrics are the fields of chronyd's report SOURCE_DATA, most of them under
// the names that chrony_exporter gave them.
var sourceMetrics = []metric{
	{
		name: "chrony_sources_by_state", kind: gauge, from: chrony.WantSources,
		help: "Number of sources in each state: selected, combined, selectable, jittery, falseticker, nonselectable " +
			"(unreachable, unresolved, or with too few samples).",
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
		help:   "Number of sources by how many of the last eight polls they answered: all, some, none.",
		labels: []string{"reach"},
		values: func(v *view, f *family) {
			if v.report().Sources == nil {
				return
			}
			var all, none int
			for _, s := range v.Report.Sources {
				switch s.Reach {
				case math.MaxUint8:
					all++
				case 0:
					none++
				}
			}
			f.add(float64(all), "all")
			f.add(float64(len(v.Report.Sources)-all-none), "some")
			f.add(float64(none), "none")
		},
	},
	{
		name: "chrony_sources_unresolved", kind: gauge, from: chrony.WantSources, since: "4.0",
		help: "Number of sources that chronyd has no address for, by the name in chrony.conf (empty if chronyd doesn't tell it). " +
			"Absent when all names are resolved. Such sources have no other series of their own.",
		labels: []string{"configured_name"},
		values: func(v *view, f *family) {
			counts := make(map[string]int)
			var names []string
			for i := range v.report().Sources {
				if s := &v.Report.Sources[i]; isUnresolved(s) {
					if counts[s.ConfiguredName]++; counts[s.ConfiguredName] == 1 {
						names = append(names, s.ConfiguredName)
					}
				}
			}
			for _, name := range names {
				f.add(float64(counts[name]), name)
			}
		},
	},
	{
		name: "chrony_sources_omitted", kind: gauge, from: chrony.WantSources,
		help:   "Number of sources that have no series of their own, because there are more than --collector.sources.max.",
		values: func(v *view, f *family) { f.add(float64(v.omitted)) },
	},
	{
		name: "chrony_sources_info", kind: gauge, from: chrony.WantSources,
		help: "Always 1. The labels say what stays as it is while chronyd runs: the name in chrony.conf, the mode, " +
			"the options there (of noselect, prefer, trust, require), how the source is authenticated (none, symmetric, nts) with chrony's number of the key's algorithm and its bits, " +
			"who stamps the time of packets (daemon, kernel, hardware), and whether in interleaved mode. A label is empty when chronyd doesn't tell: most of them only over the socket.",
		labels: append(slices.Clone(ofSource), "mode", "configured_name", "options", "authentication", "key_type", "key_bits", "tx_timestamping", "rx_timestamping", "interleaved"),
		values: func(v *view, f *family) {
			for _, s := range v.sources {
				var options, authentication, keyType, keyBits, tx, rx, interleaved string
				if s.Select != nil {
					options = s.Select.Configured.String()
				}
				if s.Auth != nil {
					if authentication = s.Auth.Mode.String(); s.Auth.Mode != chrony.AuthNone {
						keyType, keyBits = strconv.Itoa(int(s.Auth.KeyType)), strconv.Itoa(int(s.Auth.KeyBits))
					}
				}
				if s.NTP != nil && s.NTP.TotalValid > 0 {
					tx, rx = s.NTP.TxTimestamping.String(), s.NTP.RxTimestamping.String()
					interleaved = strconv.FormatBool(s.NTP.Interleaved)
				}
				f.add(1, s.address, s.name, s.Mode.String(), s.ConfiguredName, options, authentication, keyType, keyBits, tx, rx, interleaved)
			}
		},
	},
	{
		name: "chrony_sources_state_info", kind: gauge, from: chrony.WantSources,
		help: "Always 1. The labels say, in chrony_exporter's words, what chronyd's selection thinks of the source (sync, candidate, outlier, jittery, falseticker, unreach) " +
			"and its mode (client, peer, reference clock). The series changes with the state: chrony_sources_selection is a value instead.",
		labels: append(slices.Clone(ofSource), "source_state", "source_mode"),
		values: func(v *view, f *family) {
			for _, s := range v.sources {
				f.add(1, s.address, s.name, stateNames[s.State], modeName(s.Mode))
			}
		},
	},
	perSource("stratum", "", "Stratum of the source, as its last sample said.",
		func(s *chrony.Source) (float64, bool) { return float64(s.Stratum), true }),
	perSource("polling_interval_seconds", seconds, "Time between two polls.",
		func(s *chrony.Source) (float64, bool) { return math.Exp2(float64(s.Poll)), true }),
	perSource("reach", "", "The last eight polls as bits of a number from 0 to 255, the latest as the lowest bit: 1 was answered. chronyc prints it in octal digits.",
		func(s *chrony.Source) (float64, bool) { return float64(s.Reach), true }),
	perSource("reachability_ratio", ratio, "Share of the last eight polls that were answered.",
		func(s *chrony.Source) (float64, bool) { return float64(bits.OnesCount8(s.Reach)) / 8, true }),
	perSource("reachability_success", "", "1 if the last poll was answered, else 0.",
		func(s *chrony.Source) (float64, bool) { return float64(s.Reach & 1), true }),
	perSource("last_sample_age_seconds", seconds, "Time since the last good sample. Absent when there never was one.",
		func(s *chrony.Source) (float64, bool) { return s.SampleAge.Seconds(), s.SampleAge != chrony.Never }),
	perSource("last_sample_offset_seconds", seconds, "Offset of the last good sample, less what was slewed since; above zero, the clock was ahead. Absent when there never was a sample.",
		func(s *chrony.Source) (float64, bool) { return s.AdjustedOffset, s.SampleAge != chrony.Never }),
	perSource("last_sample_error_margin_seconds", seconds, "Error margin of that offset. Absent when there never was a sample.",
		func(s *chrony.Source) (float64, bool) { return s.OffsetError, s.SampleAge != chrony.Never }),
}

// stateNames are chrony_exporter's words for a source's state.
var stateNames = map[chrony.SourceState]string{
	chrony.StateSelected:      "sync",
	chrony.StateNonselectable: "unreach",
	chrony.StateFalseticker:   "falseticker",
	chrony.StateJittery:       "jittery",
	chrony.StateCombined:      "candidate",
	chrony.StateSelectable:    "outlier",
}

// modeName is chrony_exporter's word for a source's mode.
func modeName(m chrony.SourceMode) string {
	if m == chrony.ModeServer {
		return "client"
	}
	return m.String()
}

// perSource makes a line of the table for one field, which has no value while the
// function says so.
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
