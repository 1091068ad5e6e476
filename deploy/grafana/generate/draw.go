package main

import (
	"strconv"
	"strings"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/status"
)

// noBound shows +Inf as text. Grafana would show "∞ years".
var noBound = object{"type": "range", "options": object{"from": 1e300, "to": nil, "result": object{"text": "no bound", "color": "red", "index": 0}}}

// states are those of a clock, from the best to the worst. The dashboards and the
// recording rules number them in this order.
var states = func() (all []tint) {
	colors := map[clockerror.State]string{
		clockerror.Synchronized: "green", clockerror.Holdover: "yellow", clockerror.Contradicted: pink,
		clockerror.Local: "orange", clockerror.Unsynchronized: "red", clockerror.Unreachable: "purple",
	}
	for _, state := range clockerror.States {
		all = append(all, tint{state.String(), colors[state]})
	}
	return all
}()

// terms are those of the bound, in the order in which they are added up.
var terms = func() (all []tint) {
	colors := map[string]string{"offset": "blue", "delay": "purple", "dispersion": "green", "drift": "orange", "reference": "yellow", "disagreement": "red"}
	for term := range (clockerror.Terms{}).All() {
		all = append(all, tint{term, colors[term]})
	}
	return all
}()

// Colors without a name in Grafana. Grey means neither good nor bad.
const (
	grey = "#808080"
	pink = "#e0529c"
)

// nothing is the value if there is no series. It is mapped to a text. A count of 0
// would be wrong, a gap in a timeline is easy to miss, and Grafana reports a timeline
// without a series as an error.
const (
	nothing   = "-1"
	orNothing = ` or vector(` + nothing + `)`
)

// inWords maps a number, or a label's value, to a text and a color.
func inWords(value, text, color string) object {
	return object{"type": "value", "options": object{value: object{"text": text, "color": color, "index": 0}}}
}

// stateNames maps the numbers of the states to names and colors.
func stateNames() list {
	options := object{}
	for i, s := range states {
		options[strconv.Itoa(i)] = object{"text": s.name, "color": s.color, "index": i}
	}
	return list{object{"type": "value", "options": options}, inWords(nothing, "no data", "dark-red")}
}

// A tint is a name and its color.
type tint struct{ name, color string }

// tints gives each name the same color in all graphs.
func tints(all ...tint) []object {
	var overrides []object
	for _, t := range all {
		overrides = append(overrides, byName(t.name, property("color", object{"mode": "fixed", "fixedColor": t.color})))
	}
	return overrides
}

// stateTints are the colours of states, and of the time in which nobody looked.
func stateTints() []object { return tints(append(states, tint{status.Unobserved, "dark-red"})...) }

// selectionNames maps the values of chrony_sources_selection to names and colours.
func selectionNames() list {
	options := object{}
	colors := map[status.Tone]string{status.OK: "green", status.Warning: "yellow", status.Bad: "red"}
	for _, state := range chrony.SelectStates {
		options[strconv.Itoa(state.Code)] = object{"text": strings.ReplaceAll(state.Name, "_", " "), "color": colors[status.SelectTone(state.State)], "index": state.Code}
	}
	return list{object{"type": "value", "options": options}, inWords(nothing, "not reported", grey)}
}

// troubles colors chrony_exporter's names for the states of unused sources.
func troubles() list {
	return list{inWords("falseticker", "falseticker", "red"), inWords("jittery", "jittery", "orange"), inWords("unreach", "unreach", "orange")}
}

// steps returns thresholds: a base color, then pairs of a value and the color above it.
func steps(base string, pairs ...any) object {
	all := list{object{"color": base, "value": nil}}
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, object{"value": pairs[i], "color": pairs[i+1]})
	}
	return object{"mode": "absolute", "steps": all}
}

func reduce(calculation string) object {
	return object{"calcs": list{calculation}, "fields": "", "values": false}
}

// tile makes a panel with a single current number.
func tile(p panel, text string) panel {
	p.kind, p.height = "stat", 4
	for i := range p.queries {
		p.queries[i].instant = true
	}
	p.options = object{
		"reduceOptions": reduce("lastNotNull"), "colorMode": "background", "graphMode": "none", "justifyMode": "center",
		"textMode": text, "orientation": "auto", "wideLayout": false,
	}
	return p
}

// The scales of a graph.
var (
	linear    = object{"type": "linear"}
	logarithm = object{"type": "log", "log": 10}
	fromOne   = object{"type": "symlog", "log": 10, "linearThreshold": 1} // logarithmic above 1
)

// half is the width of graphs with the legend on the right. Narrower graphs have no
// room for it. Wider graphs are compared with the panel below, so both need the same
// time axis.
const half = columns / 2

// lines makes a graph. It shows gaps, because a gap can be the worst moment.
func lines(p panel, scale object) panel {
	p.kind = "timeseries"
	p.custom = object{"drawStyle": "line", "lineWidth": 1, "fillOpacity": 0, "showPoints": "auto", "spanNulls": false, "scaleDistribution": scale}
	// The legend has no latest value, because it could be from a series that ended long
	// ago.
	legend := object{"displayMode": "table", "placement": "right", "showLegend": true, "calcs": list{"max"}}
	if p.width != half {
		legend["displayMode"], legend["placement"], legend["calcs"] = "list", "bottom", list{}
	}
	p.options = object{"legend": legend, "tooltip": object{"mode": "multi", "sort": "desc"}}
	return p
}

// fromZero makes a graph start at 0.
func fromZero(p panel) panel {
	p.defaults = object{"min": 0}
	return p
}

// shares makes a graph of fractions, most of them small.
func shares(p panel) panel {
	p = fromZero(lines(p, linear))
	p.custom["axisSoftMax"] = 0.01
	return p
}

// areas makes a stacked graph. It has no lines, because the line of a value of 0 would
// look like the line of the sum.
func areas(p panel) panel {
	p = fromZero(lines(p, linear))
	p.custom["lineWidth"], p.custom["showPoints"] = 0, "never"
	p.custom["fillOpacity"], p.custom["stacking"] = 70, object{"mode": "normal", "group": "A"}
	return p
}

// bars makes a graph of events in each interval. The intervals are as long as
// $__rate_interval with one scrape per minute. So neighbors overlap by at most one
// scrape.
func bars(p panel) panel {
	p = areas(p)
	p.interval = "4m"
	p.custom["drawStyle"], p.custom["fillOpacity"] = "bars", 80
	p.defaults["decimals"] = 0
	return p
}

// failures makes a graph of events that should not happen.
func failures(p panel) panel {
	p = bars(p)
	p.defaults["color"] = object{"mode": "shades", "fixedColor": "red"}
	return p
}

// timeline makes a panel that shows named values over time.
func timeline(p panel, names list) panel {
	p.kind = "state-timeline"
	p.custom = object{"fillOpacity": 80, "lineWidth": 0, "spanNulls": false}
	p.defaults = object{"mappings": names}
	p.options = object{
		"mergeValues": true, "showValue": "auto", "rowHeight": 0.9, "alignValue": "left",
		"legend":  object{"displayMode": "list", "placement": "bottom", "showLegend": true},
		"tooltip": object{"mode": "single"},
	}
	return p
}

// A column of a table is the value of a query, or a label.
type column struct {
	field, title string
	properties   []object
}

// table shows the current values of several queries. It has one row for each set of
// labels. Without data, one row has the text p.none, in the last label column before
// the values: empty cells would be ambiguous.
func table(p panel, columns ...column) panel {
	p.kind = "table"
	if p.none != "" {
		p.queries[0].expr += ` or on () label_replace(vector(` + nothing + `), "` + lastLabel(columns) + `", "` + p.none + `", "", "")`
		p.none = ""
	}
	names, order, shown := object{}, object{}, list{}
	for i, c := range columns {
		names[c.field], order[c.field] = c.title, i
		shown = append(shown, c.field)
		if c.properties != nil {
			p.overrides = append(p.overrides, byName(c.title, c.properties...))
		}
	}
	for i := range p.queries {
		p.queries[i].instant, p.queries[i].table = true, true
	}
	p.custom = object{"align": "auto", "cellOptions": object{"type": "auto"}, "filterable": false, "minWidth": 80}
	p.options = object{"showHeader": true, "cellHeight": "sm"}
	p.transform = []object{
		{"id": "merge", "options": object{}},
		{"id": "filterFieldsByName", "options": object{"include": object{"names": shown}}},
		{"id": "organize", "options": object{"renameByName": names, "indexByName": order, "excludeByName": object{}}},
	}
	return p
}

func lastLabel(columns []column) string {
	label := columns[0].field
	for _, c := range columns {
		if strings.HasPrefix(c.field, "Value #") {
			break
		}
		label = c.field
	}
	return label
}

// largestFirst sorts a table by a column, the largest value first.
func largestFirst(p panel, by string) panel { return sorted(p, by, true) }

// smallestFirst sorts a table by a column, the smallest value first.
func smallestFirst(p panel, by string) panel { return sorted(p, by, false) }

func sorted(p panel, by string, descending bool) panel {
	p.options["sortBy"] = list{object{"displayName": by, "desc": descending}}
	return p
}

func byName(name string, properties ...object) object {
	return object{"matcher": object{"id": "byName", "options": name}, "properties": properties}
}

func byQuery(refID string, properties ...object) object {
	return object{"matcher": object{"id": "byFrameRefID", "options": refID}, "properties": properties}
}

func property(id string, value any) object { return object{"id": id, "value": value} }

func dashed() object {
	return property("custom.lineStyle", object{"fill": "dash", "dash": list{8, 8}})
}

// limit returns the style of limits: dashed red lines.
func limit() []object {
	return []object{
		dashed(),
		property("color", object{"mode": "shades", "fixedColor": "red"}),
		property("custom.lineWidth", 1),
		property("custom.stacking", object{"mode": "none"}),
		property("custom.fillOpacity", 0),
	}
}

// colored colors a cell by its value. The thresholds must not have a green base, which
// is Grafana's default: a cell without a value would be green.
func colored(thresholds object) []object {
	return []object{
		property("custom.cellOptions", object{"type": "color-background", "mode": "basic"}),
		property("thresholds", thresholds),
	}
}

// named shows the name and the color of a cell's value.
func named(names list) []object {
	return append(colored(steps("transparent")), property("unit", "none"), property("mappings", names))
}

// toNode links a node's name to its dashboard. It passes the cluster too, because two
// clusters can have nodes with the same name.
func toNode() object {
	return property("links", list{object{"title": "Why", "url": "/d/chrony-tracker-node?${datasource:queryparam}&var-cluster=${__data.fields.Cluster}&var-node=${__value.raw}&${__url_time_range}"}})
}
