package main

import (
	"fmt"
	"strings"
)

// of selects the chosen clusters. It also matches series without the label.
const of = `cluster=~"$cluster"`

// bound is the bound of each node, +Inf included.
const bound = `node:chrony_clock_error_bound_seconds:max{` + of + `}`

// withoutBound is +Inf with the number of nodes as its name, if several nodes have no
// bound.
const withoutBound = `label_replace(count_values("nodes", count(` + bound + ` == +Inf) > 1) * +Inf, "node", "$1 nodes", "nodes", "(.*)")`

// worstTen keeps the series of the ten worst nodes.
func worstTen(expr string) string {
	return expr + ` and on (cluster, node) topk(10, ` + bound + `)`
}

// perNode merges the series of several scrapers into one per node.
func perNode(expr string) string { return `max by (cluster, node) (` + expr + `)` }

// now returns the series unchanged.
func now(series string) string { return series }

// worst takes the largest value since the previous point. In a graph over hours, the
// points are farther apart than the scrapes. Without it, the graph would miss short
// peaks.
func worst(series string) string { return `max_over_time(` + series + `[$__rate_interval])` }

// code returns the number of the state of each node that the labels select.
func code(labels string, when func(series string) string) string {
	var each []string
	for i, s := range states {
		each = append(each, fmt.Sprintf(`%d * %s`, i, when(fmt.Sprintf(`chrony_clock_state{%s,state="%s"}`, labels, s.name))))
	}
	return perNode(strings.Join(each, " or "))
}

// doubt is the same number, but only for nodes that are not synchronized.
func doubt(when func(series string) string) string {
	return perNode(when(`node:chrony_clock_doubt:code{` + of + `}`))
}

func fleet() dashboard {
	return dashboard{
		uid: "chrony-tracker-fleet", title: "Clocks: fleet",
		about:     "How far off the clocks of all nodes can be, which one is worst, and why.",
		variables: []object{target()},
		sections: []section{
			{"Now", fleetTiles()},
			{"The worst nodes", []panel{worstNodes()}},
			{"All nodes over time", []panel{allBounds(), knownBounds(), howManyInDoubt(), whichAreInDoubt()}},
			{"Witnesses", fleetWitnesses()},
			{"Nodes without a tracker", []panel{silentNodes()}},
		},
	}
}

// boundColors show only whether a bound is known. "Limit used" shows whether it is
// good.
func boundColors() object { return object{"decimals": 2, "thresholds": steps("red", 0, "blue")} }

func limitColors() object { return steps("red", 0, "green", 0.8, "orange", 1, "red") }

// limitUsed is the bound of each node, divided by its smallest limit.
func limitUsed(bound, labels string) string {
	return perNode(bound + ` / on (cluster, node) group_right () node:chrony_objective_limit_seconds:max{` + labels + `}`)
}

// noRules is the text if a query that always has data has none.
const noRules = "No data. Check that the recording rules are loaded."

// whyUnknown explains why the data on objectives can be missing.
const whyUnknown = "unknown: no objective is set (--objective), or there were no scrapes for five minutes."

// budgetLeft returns the texts and colors of an error budget.
func budgetLeft() object {
	overspent := object{"type": "range", "options": object{"from": nil, "to": -1e-9, "result": object{"text": "overspent", "color": "red", "index": 0}}}
	return object{"decimals": 0, "mappings": list{overspent}, "thresholds": steps(grey, -1e9, "red", 0, "orange", 0.5, "green")}
}

// overRange is the average of a series over the chosen range, if it still exists.
func overRange(series string) string {
	return `(avg_over_time(` + series + `[$__range]) and ` + series + `)`
}

func fleetTiles() []panel {
	return []panel{
		tile(panel{
			title: "Worst node", width: 4, unit: "s", none: "unknown", see: "runbooks/ClockErrorLarge.md", defaults: boundColors(),
			about:   "The node whose clock can be farthest off. No bound: nothing confirms its clock. If several nodes have no bound, it shows how many.",
			queries: []query{{expr: withoutBound + ` or on () topk(1, ` + bound + `)`, legend: "{{cluster}} {{node}}"}},
		}, "value_and_name"),
		tile(panel{
			title: "Limit used", width: 4, unit: "percentunit", none: "unknown", see: "runbooks/ClockErrorLarge.md", defaults: object{"decimals": 0, "thresholds": limitColors()},
			about:   "The largest bound of a node relative to its limit. The limit is an objective, or the default of the rules. Above 100 %, a clock can be farther off than its limit allows.",
			queries: []query{{expr: `max(` + limitUsed(bound, of) + `)`}},
		}, "value"),
		tile(panel{
			title: "Worst pair", width: 4, unit: "s", none: "unknown", see: "runbooks/ClockPairApart.md", defaults: boundColors(),
			about: "How far apart the clocks of two nodes of a cluster can be: the sum of the two largest bounds. No bound: one of them can be off by any amount. " +
				"Databases that compare clocks between nodes stop a node at their own limit.",
			queries: []query{{expr: `max(` + bound + ` == +Inf and on (cluster) count by (cluster) (` + bound + `) > 1) or max(cluster:chrony_clock_pair_error_seconds:max{` + of + `})`}},
		}, "value"),
		tile(panel{
			title: "Budget left", width: 4, unit: "percentunit", none: "unknown", see: "runbooks/ClockBudgetBurning.md",
			about: "The part of the error budget that is left over the chosen range, for the worst objective. The budget is the time in which clocks may be outside their objectives. " +
				"Unknown clocks and missing trackers use it too. " + whyUnknown,
			defaults: budgetLeft(),
			queries:  []query{{expr: `min(1 - ` + overRange(`cluster:chrony_objective_bad:ratio_rate5m{`+of+`}`) + ` / (1 - $target))`}},
		}, "value"),
		nodeCounts(),
	}
}

func nodeCounts() panel {
	// A count of nodes is 0 only where there are nodes.
	counted := func(some string) string { return some + ` or 0 * count(` + bound + `)` + orNothing }
	colors := func(name, runbook string, thresholds object) object {
		return byName(name, property("thresholds", thresholds), property("links", list{object{"title": "Runbook", "url": docs + runbook, "targetBlank": true}}))
	}
	return tile(panel{
		title: "Nodes", width: 8, unit: "none", see: "reference/metrics.md",
		defaults: object{"decimals": 0, "mappings": list{inWords(nothing, "?", grey)}},
		about: "watched: the tracker was scraped within two minutes. bound: the clock has a bound. " +
			"no bound: the clock can be off by any amount, because chronyd follows no source or the clock itself, does not answer, or has no usable sample. " +
			"contradicted: measurements show that the clock is farther off than chronyd reports. " +
			"silent: kube_node_info has the node, but it has no tracker. falsetickers: a source contradicts the others. ?: unknown.",
		queries: []query{
			{expr: `count(` + bound + `)` + orNothing, legend: "watched"},
			{expr: counted(`count(` + bound + ` < +Inf)`), legend: "bound"},
			{expr: counted(`count(` + bound + ` == +Inf)`), legend: "no bound"},
			{expr: counted(nodes(`,state="contradicted"`)), legend: "contradicted"},
			{expr: `sum(cluster:chrony_tracker_missing:count{` + of + `} and on (cluster) group by (cluster) (kube_node_info{` + of + `}))` + orNothing, legend: "silent"},
			{expr: counted(`count(node:chrony_sources:max{` + of + `,state="falseticker"} > 0)`), legend: "falsetickers"},
		},
		overrides: []object{
			colors("watched", "runbooks/README.md", steps("red", 1, "blue")),
			colors("bound", "runbooks/ClockErrorLarge.md", steps("red", 1, "blue")),
			colors("no bound", "runbooks/ClockErrorUnknown.md", steps("green", 1, "red")),
			colors("contradicted", "runbooks/ClockContradicted.md", steps("green", 1, "red")),
			colors("silent", "runbooks/ClockTrackerMissing.md", steps("green", 1, "red")),
			colors("falsetickers", "runbooks/ClockSourceSuspicious.md", steps("green", 1, "orange")),
		},
	}, "value_and_name")
}

// cause returns each node with the label cause: why the tracker cannot reach chronyd,
// or the state of a clock without a bound, or else the largest term of the bound.
func cause() string {
	labelled := func(label, text, each string) string {
		return `max by (cluster, node, cause) (label_replace(topk by (cluster, node) (1, ` + each + `), "cause", "` + text + `", "` + label + `", "(.*)"))`
	}
	unbounded := ` and on (cluster, node) ` + bound + ` == +Inf`
	return `(` + labelled("reason", "unreachable: $1", `max by (cluster, node, reason) (increase(chrony_tracker_exchange_failures_total{`+of+`}[$__rate_interval])) > 0`+unbounded) +
		` or on (cluster, node) ` + labelled("state", "$1", `max by (cluster, node, state) (chrony_clock_state{`+of+`}) == 1`+unbounded) +
		` or on (cluster, node) ` + labelled("term", "mostly $1", `max by (cluster, node, term) (chrony_clock_error_bound_term_seconds{`+of+`})`) + `)`
}

// worstNodes shows why the ten worst nodes are bad.
func worstNodes() panel {
	queries := []query{
		{expr: `topk(10, ` + bound + `)`},
		{expr: worstTen(doubt(now)) + ` or ` + worstTen(`0 * `+perNode(`chrony_clock_state{`+of+`,state="synchronized"} == 1`))},
		{expr: worstTen(`1000 * ` + perNode(`chrony_clock_state_since_timestamp_seconds{`+of+`}`))},
		{expr: worstTen(`max by (cluster, node, tracking_name) (chrony_tracking_info{` + of + `})`)},
		{expr: worstTen(limitUsed(bound, of))},
	}
	columns := []column{
		{"cluster", "Cluster", nil},
		{"node", "Node", []object{toNode()}},
		{"Value #A", "Bound", append(colored(steps("transparent")), property("mappings", list{noBound, inWords(nothing, "unknown", grey)}))},
		{"Value #E", "Limit used", append(colored(steps("transparent", 0.8, "orange", 1, "red")), property("unit", "percentunit"), property("decimals", 0))},
		{"Value #B", "State", append(named(stateNames()), property("custom.width", 125))},
		{"Value #C", "Since", []object{property("unit", "dateTimeFromNow"), property("custom.width", 145)}},
		{"cause", "Cause", nil},
		{"tracking_name", "Source", nil},
	}
	for i, term := range terms {
		queries = append(queries, query{expr: worstTen(perNode(`chrony_clock_error_bound_term_seconds{` + of + `,term="` + term.name + `"}`))})
		columns = append(columns, column{fmt.Sprintf("Value #%c", 'F'+i), term.name, nil})
	}
	queries = append(queries, query{expr: worstTen(cause())})
	return largestFirst(table(panel{
		title: "Ten worst nodes, and why", width: 24, height: 12, unit: "s", none: "no data", see: "reference/metrics.md",
		about: "The bound is the sum of its terms. offset: the offset of the last sample, minus what was slewed since. delay and dispersion: the error of that sample. " +
			"drift: possible drift since then. reference: the configured error of the reference. disagreement: what chrony's own terms or other sources add. " +
			"Without a bound there are no terms. Cause: the largest term, or why there is no bound. no_answer: nothing listens; deadline: chronyd does not answer in time. Limit used: the bound relative to the smallest limit.",
		queries: queries,
	}, columns...), "Bound")
}

func allBounds() panel {
	return panel{
		kind: "heatmap", title: "Bounds of all nodes", width: 12, height: 13, unit: "s", see: "background/watch.md",
		about: "Number of nodes with a bound in each interval. Every sample counts, not only those at a scrape. The limits of common objectives are borders of the intervals. " +
			"Nodes without a bound are not shown: see the states below.",
		queries: []query{{expr: `sum by (le) (cluster:chrony_clock_error_bound_distribution_seconds_bucket:rate5m{` + of + `})`, legend: "{{le}}", heatmap: true}},
		custom:  object{"scaleDistribution": object{"type": "linear"}},
		options: object{
			"calculate": false, "cellGap": 0, "filterValues": object{"le": 1e-9}, "showValue": "never",
			"color":     object{"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.2, "fill": "dark-orange", "scale": "exponential", "reverse": false},
			"yAxis":     object{"axisPlacement": "left", "unit": "s", "reverse": false},
			"rowsFrame": object{"layout": "auto"}, "cellValues": object{"unit": "short", "decimals": 1},
			"legend": object{"show": true}, "tooltip": object{"mode": "single", "yHistogram": false}, "exemplars": object{"color": "rgba(255,0,255,0.7)"},
		},
	}
}

func knownBounds() panel {
	quantile := func(q string) string {
		return `histogram_quantile(` + q + `, sum by (le) (cluster:chrony_clock_error_bound_distribution_seconds_bucket:rate5m{` + of + `}))`
	}
	return lines(panel{
		title: "Known bounds, and the objectives", width: 12, height: 13, unit: "s", none: "no known bound: see the states below", see: "background/watch.md",
		about: "The largest known bound, the 99th percentile and the median of all samples of five minutes. The percentiles are estimates from the intervals of the heatmap. Dashed: the limits. Nodes without a bound are not shown: see the states below.",
		queries: []query{
			{expr: `max(` + worst(`cluster:chrony_clock_error_bound_seconds:max{`+of+`}`) + `)`, legend: "largest"},
			{expr: quantile("0.99"), legend: "99 %"},
			{expr: quantile("0.5"), legend: "50 %"},
			{expr: `min by (objective) (cluster:chrony_objective_limit_seconds:min{` + of + `})`, legend: "{{objective}}"},
		},
		overrides: []object{byQuery("D", limit()...)},
	}, logarithm)
}

// nodes is the number of nodes in some of the states.
func nodes(some string) string { return `sum(cluster:chrony_clock_nodes:count{` + of + some + `})` }

const (
	inDoubt      = `,state!="synchronized"`
	synchronized = `,state="synchronized"`
)

func howManyInDoubt() panel {
	p := areas(panel{
		title: "How many nodes are in doubt", width: 12, height: 8, unit: "none", none: noRules, see: "background/architecture.md#the-states",
		about: "Number of nodes that are not synchronized, by state. Only nodes in holdover or contradicted can have a bound. The graphs of bounds do not show the others.",
		queries: []query{
			{expr: `sum by (state) (cluster:chrony_clock_nodes:count{` + of + inDoubt + `})`, legend: "{{state}}"},
			{expr: nodes(inDoubt) + ` or 0 * ` + nodes(""), legend: "all in doubt"},
		},
		overrides: append(stateTints(), byName("all in doubt",
			property("custom.stacking", object{"mode": "none"}), property("custom.fillOpacity", 0), property("custom.lineWidth", 1), property("color", object{"mode": "fixed", "fixedColor": grey}))),
	})
	p.custom["axisSoftMax"] = 4
	return p
}

func whichAreInDoubt() panel {
	const more = "99"
	return timeline(panel{
		title: "Which nodes are in doubt", width: 12, height: 8, unit: "none", see: "runbooks/ClockErrorUnknown.md",
		about: "When a node was not synchronized, and why. At most twenty nodes at a time are shown. All other watched nodes were synchronized, unless the last row shows that there are more.",
		queries: []query{
			{expr: `topk(20, ` + doubt(worst) + `)`, legend: "{{cluster}} {{node}}"},
			{expr: more + ` * group(` + nodes(inDoubt) + ` > 20) or 0 * group(` + nodes(synchronized) + ` > 0) or (vector(` + nothing + `) unless ` + nodes("") + `)`, legend: "all others watched"},
		},
	}, append(stateNames(), inWords(more, "more in doubt", "dark-red")))
}

func silentNodes() panel {
	why := func(nodes, text string) string {
		return `label_replace(topk(50, ` + nodes + `), "why", "` + text + `", "", "")`
	}
	return table(panel{
		title: "Silent nodes", width: 24, height: 6, unit: "none", none: "No node without a tracker is known", see: "runbooks/ClockTrackerMissing.md",
		about: "Nodes in kube-state-metrics without a tracker. Also nodes that had a tracker at the start of the chosen range and have no series now: silent or deleted. At most fifty of each are shown.",
		queries: []query{{expr: why(`node:chrony_tracker_missing:bool{`+of+`}`, "in Kubernetes, without a tracker") + ` or ` +
			why(`group by (cluster, node) (`+bound+` offset $__range) unless on (cluster, node) `+bound, "watched at the start of the range, not now")}},
	}, column{"cluster", "Cluster", nil}, column{"node", "Node", []object{toNode()}}, column{"why", "Why", nil})
}
