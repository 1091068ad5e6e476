package main

import (
	"fmt"
	"strings"
)

// of names the clusters that are chosen. It matches series without the label, too.
const of = `cluster=~"$cluster"`

// bound is that of each node, +Inf included.
const bound = `node:chrony_clock_error_bound_seconds:max{` + of + `}`

// worstTen takes a series for each node, and leaves those of the ten worst.
func worstTen(expr string) string {
	return expr + ` and on (cluster, node) topk(10, ` + bound + `)`
}

// perNode makes one series for each node of what two scrapers may have found.
func perNode(expr string) string { return `max by (cluster, node) (` + expr + `)` }

// now takes a series as it is.
func now(series string) string { return series }

// worst takes the largest value since the point before. In a graph of some hours the
// points are further apart than the scrapes, and what was bad between them would not
// be seen.
func worst(series string) string { return `max_over_time(` + series + `[$__rate_interval])` }

// code makes a number of the state of each node that the labels choose.
func code(labels string, when func(series string) string) string {
	var each []string
	for i, s := range states {
		each = append(each, fmt.Sprintf(`%d * %s`, i, when(fmt.Sprintf(`chrony_clock_state{%s,state="%s"}`, labels, s.name))))
	}
	return perNode(strings.Join(each, " or "))
}

// doubt is the same number, of the nodes that are not synchronized only.
func doubt(when func(series string) string) string {
	return perNode(when(`node:chrony_clock_doubt:code{` + of + `}`))
}

func fleet() dashboard {
	return dashboard{
		uid: "chrony-tracker-fleet", title: "Clocks: fleet",
		about:     "How wrong the clocks of all nodes can be, which one is worst, and why.",
		variables: []object{target()},
		sections: []section{
			{"Now", fleetTiles()},
			{"The worst nodes", []panel{worstNodes()}},
			{"All nodes over time", []panel{allBounds(), knownBounds(), howManyInDoubt(), whichAreInDoubt()}},
			{"Nodes that nobody watches", []panel{silentNodes()}},
		},
	}
}

// boundColors say that a bound is known. Whether it is good, its share of the limit
// tells.
func boundColors() object { return object{"decimals": 2, "thresholds": steps("red", 0, "blue")} }

func limitColors() object { return steps("red", 0, "green", 0.8, "orange", 1, "red") }

// limitUsed is the bound of each node as a share of its tightest limit.
func limitUsed(bound, labels string) string {
	return perNode(bound + ` / on (cluster, node) group_right () node:chrony_objective_limit_seconds:max{` + labels + `}`)
}

// noRules is said where there should always be something.
const noRules = "Nothing. Are the recording rules loaded?"

// whyUnknown tells why there may be nothing to say of objectives.
const whyUnknown = "unknown: no objective is set (--objective), or nothing has been scraped for five minutes."

// budgetLeft are the words and colours of an error budget.
func budgetLeft() object {
	overspent := object{"type": "range", "options": object{"from": nil, "to": -1e-9, "result": object{"text": "overspent", "color": "red", "index": 0}}}
	return object{"decimals": 0, "mappings": list{overspent}, "thresholds": steps(grey, -1e9, "red", 0, "orange", 0.5, "green")}
}

// overRange is the average of a series over the chosen range, if it has not ended.
func overRange(series string) string {
	return `(avg_over_time(` + series + `[$__range]) and ` + series + `)`
}

func fleetTiles() []panel {
	return []panel{
		tile(panel{
			title: "Worst node", width: 4, unit: "s", none: "unknown", see: "runbooks/ClockErrorLarge.md", defaults: boundColors(),
			about:   "The node whose clock can be most wrong. No bound: nothing confirms its clock.",
			queries: []query{{expr: `topk(1, ` + bound + `)`, legend: "{{cluster}} {{node}}"}},
		}, "value_and_name"),
		tile(panel{
			title: "Limit used", width: 4, unit: "percentunit", none: "unknown", see: "runbooks/ClockErrorLarge.md", defaults: object{"decimals": 0, "thresholds": limitColors()},
			about:   "The largest share that a bound is of its limit, an objective's or the rules' own. Above 100 %, a clock can be more wrong than it may.",
			queries: []query{{expr: `max(` + limitUsed(bound, of) + `)`}},
		}, "value"),
		tile(panel{
			title: "Worst pair", width: 4, unit: "s", none: "unknown", see: "runbooks/ClockPairApart.md", defaults: boundColors(),
			about: "How far apart the clocks of two nodes of a cluster can be: the two largest bounds together. No bound: one of them can be wrong by any amount. " +
				"Databases that compare their nodes stop at their limit.",
			queries: []query{{expr: `max(` + bound + ` == +Inf and on (cluster) count by (cluster) (` + bound + `) > 1) or max(cluster:chrony_clock_pair_error_seconds:max{` + of + `})`}},
		}, "value"),
		tile(panel{
			title: "Budget left", width: 4, unit: "percentunit", none: "unknown", see: "runbooks/ClockBudgetBurning.md",
			about: "The error budget: what is left of the time in which clocks may be outside of their objectives, over the chosen range, for the objective that is worst kept. " +
				"Unknown clocks and missing trackers spend it, too. " + whyUnknown,
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
		about: "watched: with a tracker that was scraped within two minutes. bound: of whose clock it is known how wrong it can be. " +
			"no bound: whose clock can be off by any amount, because chronyd follows no source or the clock itself, or does not answer. " +
			"contradicted: whose clock is farther off than chronyd reports, as measurements show. " +
			"silent: without a tracker, by kube_node_info. falsetickers: with a source that contradicts the others. ?: nothing is known.",
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

// worstNodes says of the ten worst why.
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
		{"tracking_name", "Source", nil},
	}
	for i, term := range terms {
		queries = append(queries, query{expr: worstTen(perNode(`chrony_clock_error_bound_term_seconds{` + of + `,term="` + term.name + `"}`))})
		columns = append(columns, column{fmt.Sprintf("Value #%c", 'F'+i), term.name, nil})
	}
	return largestFirst(table(panel{
		title: "Ten worst nodes, and why", width: 24, height: 12, unit: "s", none: "nothing known", see: "reference/metrics.md",
		about: "The bound is the sum of its terms: offset (how far off the last sample found the clock, less what was slewed since), delay and dispersion (the error of that sample), " +
			"drift (how far the clock may have moved since), reference (the error of the reference, as set), disagreement (what chrony's own terms or other sources demand beyond these). " +
			"Without a bound there are no terms; the state says why. Limit used: the bound as a share of the tightest limit.",
		queries: queries,
	}, columns...), "Bound")
}

func allBounds() panel {
	return panel{
		kind: "heatmap", title: "Bounds of all nodes", width: 12, height: 13, unit: "s", see: "background/watch.md",
		about: "How many nodes had a bound in each interval, second by second: every sample counts, not only those at a scrape. The limits of the usual objectives are borders of the intervals. " +
			"Nodes without a bound are in none: the states below tell how many.",
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
		title: "Known bounds, and the objectives", width: 12, height: 13, unit: "s", none: "no bound is known: see the states below", see: "background/watch.md",
		about: "The largest known bound, the one that 99 % of all samples of five minutes are below, and the one in the middle; these two are read off the intervals of the heatmap. Dashed: the limits. Nodes without a bound are not in it: see the states below.",
		queries: []query{
			{expr: `max(` + worst(`cluster:chrony_clock_error_bound_seconds:max{`+of+`}`) + `)`, legend: "largest"},
			{expr: quantile("0.99"), legend: "99 %"},
			{expr: quantile("0.5"), legend: "50 %"},
			{expr: `min by (objective) (cluster:chrony_objective_limit_seconds:min{` + of + `})`, legend: "{{objective}}"},
		},
		overrides: []object{byQuery("D", limit()...)},
	}, logarithm)
}

// nodes is how many nodes there are in some of the states.
func nodes(some string) string { return `sum(cluster:chrony_clock_nodes:count{` + of + some + `})` }

const (
	inDoubt      = `,state!="synchronized"`
	synchronized = `,state="synchronized"`
)

func howManyInDoubt() panel {
	p := areas(panel{
		title: "How many nodes are in doubt", width: 12, height: 8, unit: "none", none: noRules, see: "background/architecture.md#the-states",
		about: "Nodes that are not synchronized, by state. Only those in holdover or contradicted have a bound. The others are in no graph of it.",
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
		about: "When a node was not synchronized, and why; at most twenty at a time. A watched node that is not here was synchronized, unless the last row says that there are more.",
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
		title: "Silent nodes", width: 24, height: 6, unit: "none", none: "None that kube_node_info knows, and none that was watched before", see: "runbooks/ClockTrackerMissing.md",
		about: "Nodes that kube-state-metrics knows and that have no tracker, and nodes that had one when the chosen range began and are in no series now: silent, or gone. Fifty of each at most.",
		queries: []query{{expr: why(`node:chrony_tracker_missing:bool{`+of+`}`, "in Kubernetes, without a tracker") + ` or ` +
			why(`group by (cluster, node) (`+bound+` offset $__range) unless on (cluster, node) `+bound, "watched when the range began, and not now")}},
	}, column{"cluster", "Cluster", nil}, column{"node", "Node", []object{toNode()}}, column{"why", "Why", nil})
}
