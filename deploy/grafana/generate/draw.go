package main

import (
	"strconv"
	"strings"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// noBound says in words what else would be "∞ years".
var noBound = object{"type": "range", "options": object{"from": 1e300, "to": nil, "result": object{"text": "no bound", "color": "red", "index": 0}}}

// states are those of a clock, from the best to the worst. The dashboards and the
// recording rules number them in this order.
var states = []tint{
	{"synchronized", "green"},
	{"holdover", "yellow"},
	{"contradicted", pink},
	{"local", "orange"},
	{"unsynchronized", "red"},
	{"unreachable", "purple"},
}

// terms are those of the bound, in the order in which they are added up.
var terms = []tint{
	{"offset", "blue"},
	{"delay", "purple"},
	{"dispersion", "green"},
	{"drift", "orange"},
	{"reference", "yellow"},
	{"disagreement", "red"},
}

// Colors that have no name in Grafana. Grey is for what is neither good nor bad.
const (
	grey = "#808080"
	pink = "#e0529c"
)

// nothing is a number for what no series tells, to be put into words: a count of 0
// would be made up, a gap in a timeline could be overlooked, and a timeline without
// a series is an error to Grafana.
const (
	nothing   = "-1"
	orNothing = ` or vector(` + nothing + `)`
)

// inWords maps a number, or a label's value, to words and a colour.
func inWords(value, text, color string) object {
	return object{"type": "value", "options": object{value: object{"text": text, "color": color, "index": 0}}}
}

// stateNames maps the numbers to names and colours.
func stateNames() list {
	options := object{}
	for i, s := range states {
		options[strconv.Itoa(i)] = object{"text": s.name, "color": s.color, "index": i}
	}
	return list{object{"type": "value", "options": options}, inWords(nothing, "nothing known", "dark-red")}
}

// A tint is the colour of what has a name.
type tint struct{ name, color string }

// tints has each name look the same in all graphs.
func tints(all ...tint) []object {
	var overrides []object
	for _, t := range all {
		overrides = append(overrides, byName(t.name, property("color", object{"mode": "fixed", "fixedColor": t.color})))
	}
	return overrides
}

// stateTints are the colours of states, and of the time in which nobody looked.
func stateTints() []object { return tints(append(states, tint{"unobserved", "dark-red"})...) }

// selectionNames maps the values of chrony_sources_selection to names and colours.
func selectionNames() list {
	options := object{}
	for _, state := range chrony.SelectStates {
		color := "yellow"
		switch state.Name {
		case "selected", "combined":
			color = "green"
		case "falseticker", "untrusted", "unsynchronized", "distant", "jittery":
			color = "red"
		}
		options[strconv.Itoa(state.Code)] = object{"text": strings.ReplaceAll(state.Name, "_", " "), "color": color, "index": state.Code}
	}
	return list{object{"type": "value", "options": options}, inWords(nothing, "not told", grey)}
}

// troubles colours what chrony_exporter calls the states of sources that are not used.
func troubles() list {
	return list{inWords("falseticker", "falseticker", "red"), inWords("jittery", "jittery", "orange"), inWords("unreach", "unreach", "orange")}
}

// steps are thresholds: a colour, then pairs of a value and the colour from there.
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

// tile makes a single number of an instant.
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
	fromOne   = object{"type": "symlog", "log": 10, "linearThreshold": 1} // a logarithm above 1
)

// half is how wide a graph is that has its legend beside it. A narrower one has no
// room there, and a wider one is to be compared with what is below it, which takes
// the same axis of time.
const half = columns / 2

// lines makes a graph. A gap is drawn as one: it may be the worst moment of all.
func lines(p panel, scale object) panel {
	p.kind = "timeseries"
	p.custom = object{"drawStyle": "line", "lineWidth": 1, "fillOpacity": 0, "showPoints": "auto", "spanNulls": false, "scaleDistribution": scale}
	// A legend tells no latest value: it would be that of a series which ended long ago.
	legend := object{"displayMode": "table", "placement": "right", "showLegend": true, "calcs": list{"max"}}
	if p.width != half {
		legend["displayMode"], legend["placement"], legend["calcs"] = "list", "bottom", list{}
	}
	p.options = object{"legend": legend, "tooltip": object{"mode": "multi", "sort": "desc"}}
	return p
}

// fromZero has a graph begin at nought.
func fromZero(p panel) panel {
	p.defaults = object{"min": 0}
	return p
}

// shares makes a graph of shares, most of them small.
func shares(p panel) panel {
	p = fromZero(lines(p, linear))
	p.custom["axisSoftMax"] = 0.01
	return p
}

// areas makes a graph whose values are put on top of one another. They have no
// lines: one of a value that is 0 would look like that of the sum.
func areas(p panel) panel {
	p = fromZero(lines(p, linear))
	p.custom["lineWidth"], p.custom["showPoints"] = 0, "never"
	p.custom["fillOpacity"], p.custom["stacking"] = 70, object{"mode": "normal", "group": "A"}
	return p
}

// bars makes a graph of what happened in each interval. The intervals are as long as
// $__rate_interval is where nodes are scraped each minute, so that neighbours overlap
// by one scrape at most.
func bars(p panel) panel {
	p = areas(p)
	p.interval = "4m"
	p.custom["drawStyle"], p.custom["fillOpacity"] = "bars", 80
	p.defaults["decimals"] = 0
	return p
}

// failures makes one of what should not happen.
func failures(p panel) panel {
	p = bars(p)
	p.defaults["color"] = object{"mode": "shades", "fixedColor": "red"}
	return p
}

// timeline shows which of the named values there was, and when.
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

// A column is a query's value in a table, or a label.
type column struct {
	field, title string
	properties   []object
}

// table shows instants side by side: one row for each set of labels that the
// queries share. Where there is none, a row says so, in the last column of a label
// that comes before the values: cells that are empty must not say it.
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

// largestFirst has a table begin with the largest value of a column.
func largestFirst(p panel, by string) panel { return sorted(p, by, true) }

// smallestFirst has it begin with the smallest.
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

// limit draws what a value should stay below.
func limit() []object {
	return []object{
		dashed(),
		property("color", object{"mode": "shades", "fixedColor": "red"}),
		property("custom.lineWidth", 1),
		property("custom.stacking", object{"mode": "none"}),
		property("custom.fillOpacity", 0),
	}
}

// colored has a cell take the colour of its value. One without a value must not be
// green, which is the base of thresholds that are not given.
func colored(thresholds object) []object {
	return []object{
		property("custom.cellOptions", object{"type": "color-background", "mode": "basic"}),
		property("thresholds", thresholds),
	}
}

// named has a cell take the name and the colour of its value.
func named(names list) []object {
	return append(colored(steps("transparent")), property("unit", "none"), property("mappings", names))
}

// toNode leads from a cell with a node's name to its dashboard. Two clusters may
// have nodes of one name; without a cluster, that of the row is empty.
func toNode() object {
	return property("links", list{object{"title": "Why", "url": "/d/chrony-tracker-node?${datasource:queryparam}&var-cluster=${__data.fields.Cluster}&var-node=${__value.raw}&${__url_time_range}"}})
}
