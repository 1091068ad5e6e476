package main

import "strings"

// object and list are JSON.
type (
	object = map[string]any
	list   = []any
)

// docs is the base URL of the panels' links.
const docs = "https://github.com/chrony-tracker/chrony-tracker/blob/main/docs/"

// A dashboard is a Grafana dashboard, without what all dashboards share.
type dashboard struct {
	uid, title, about string
	variables         []object
	sections          []section
}

// A section is a heading and the panels below it.
type section struct {
	title  string
	panels []panel
}

// A panel is one graph, table or number, with its explanation.
type panel struct {
	title, about  string
	none          string // the text if there is no data
	see           string // a page of the docs that explains it
	kind          string // Grafana's panel type
	unit          string // Grafana's unit
	width, height int    // in 24ths of the screen; in rows of 30 pixels
	queries       []query
	interval      string // minimum time between two points; by default the scrape interval
	options       object
	custom        object // how values are drawn
	defaults      object // of the fields, in addition to unit and custom
	overrides     []object
	transform     []object
}

// A query is a Prometheus query. A table takes the instant at the end of the range.
// A heatmap takes the buckets.
type query struct {
	expr, legend   string
	instant, table bool
	heatmap        bool
}

var datasource = object{"type": "prometheus", "uid": "${datasource}"}

const (
	columns       = 24
	headingHeight = 1
	schemaVersion = 41 // of Grafana 12
)

func (d dashboard) model() object {
	return object{
		"uid": d.uid, "title": d.title, "description": d.about,
		"tags": list{"chrony-tracker"}, "schemaVersion": schemaVersion, "version": 1,
		"editable": true, "graphTooltip": 1, "refresh": "1m", "timezone": "browser",
		"time":        object{"from": "now-6h", "to": "now"},
		"templating":  object{"list": append([]object{datasourceVariable, clusterVariable}, d.variables...)},
		"annotations": object{"list": list{}},
		"links": list{object{
			"type": "dashboards", "title": "Clocks", "tags": list{"chrony-tracker"}, "asDropdown": false,
			"includeVars": true, "keepTime": true, "targetBlank": false, "icon": "external link",
		}},
		"panels": d.layout(),
	}
}

// layout puts the panels into rows, from left to right.
func (d dashboard) layout() []object {
	var all []object
	y := 0
	for _, s := range d.sections {
		all = append(all, object{
			"id": len(all) + 1, "type": "row", "title": s.title, "collapsed": false, "panels": list{},
			"gridPos": object{"x": 0, "y": y, "w": columns, "h": headingHeight},
		})
		y += headingHeight
		x, tallest := 0, 0
		for _, p := range s.panels {
			if x+p.width > columns {
				x, y, tallest = 0, y+tallest, 0
			}
			model := p.model()
			model["id"] = len(all) + 1
			model["gridPos"] = object{"x": x, "y": y, "w": p.width, "h": p.height}
			all = append(all, model)
			x, tallest = x+p.width, max(tallest, p.height)
		}
		y += tallest
	}
	return all
}

func (p panel) model() object {
	defaults := object{"unit": p.unit, "custom": p.custom, "mappings": list{noBound}, "color": object{"mode": p.color()}}
	if p.custom == nil {
		defaults["custom"] = object{}
	}
	if p.none != "" {
		defaults["noValue"] = p.none
	}
	for name, value := range p.defaults {
		defaults[name] = value
	}
	model := object{
		"type": p.kind, "title": p.title, "description": p.about, "datasource": datasource,
		"links":       list{object{"title": p.linkTitle(), "url": docs + p.see, "targetBlank": true}},
		"targets":     p.targets(),
		"options":     p.options,
		"fieldConfig": object{"defaults": defaults, "overrides": orEmpty(p.overrides)},
	}
	if p.interval != "" {
		model["interval"] = p.interval
	}
	if p.transform != nil {
		model["transformations"] = p.transform
	}
	return model
}

// color returns Grafana's color mode. Lines have a color by name, all other panels by
// value. With thresholds, a timeline would show the threshold's range instead of the
// value's name.
func (p panel) color() string {
	switch p.kind {
	case "timeseries", "state-timeline":
		return "palette-classic"
	}
	return "thresholds"
}

func (p panel) linkTitle() string {
	if strings.HasPrefix(p.see, "runbooks/") {
		return "Runbook"
	}
	return "What this means"
}

func (p panel) targets() []object {
	var targets []object
	for i, q := range p.queries {
		format := "time_series"
		switch {
		case q.table:
			format = "table"
		case q.heatmap:
			format = "heatmap"
		}
		targets = append(targets, object{
			"refId": string(rune('A' + i)), "datasource": datasource, "expr": q.expr, "legendFormat": q.legend,
			"format": format, "instant": q.instant, "range": !q.instant, "editorMode": "code",
		})
	}
	return targets
}

func orEmpty(objects []object) []object {
	if objects == nil {
		return []object{}
	}
	return objects
}

var datasourceVariable = object{
	"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus",
	"current": object{}, "hide": 0, "includeAll": false, "multi": false, "refresh": 1, "regex": "",
}

// clusterVariable also matches series without the label cluster.
var clusterVariable = object{
	"name": "cluster", "label": "Cluster", "type": "query", "datasource": datasource,
	"definition": clusterValues, "query": object{"query": clusterValues, "refId": "cluster"},
	"current": object{"text": list{"All"}, "value": list{"$__all"}}, "includeAll": true, "allValue": ".*", "multi": true,
	"refresh": 2, "sort": 1, "hide": 0, "regex": "",
}

const clusterValues = "label_values(node:chrony_clock_error_bound_seconds:max, cluster)"

// custom returns a variable with these values. The first is the default.
func custom(name, label string, values ...string) object {
	var options list
	for i, v := range values {
		options = append(options, object{"text": v, "value": v, "selected": i == 0})
	}
	return object{
		"name": name, "label": label, "type": "custom", "query": strings.Join(values, ","), "options": options,
		"current": object{"text": values[0], "value": values[0]}, "includeAll": false, "multi": false, "hide": 0,
	}
}

// target is the fraction of time in which clocks must be within an objective.
func target() object { return custom("target", "Target", "0.999", "0.99", "0.995", "0.9995", "0.9999") }
