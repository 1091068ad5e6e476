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

// code makes a number of the state of each node that the labels choose.
func code(labels string) string {
	var each []string
	for i, s := range states {
		each = append(each, fmt.Sprintf(`%d * chrony_clock_state{%s,state="%s"}`, i, labels, s.name))
	}
	return perNode(strings.Join(each, " or "))
}

// doubt is the same number, of the nodes that are not synchronized only.
var doubt = perNode(`node:chrony_clock_doubt:code{` + of + `}`)

func fleet() dashboard {
	return dashboard{
		uid: "chrony-tracker-fleet", title: "Clocks: fleet",
		about:     "How wrong the clocks of all nodes can be, which one is worst, and why.",
		variables: []object{target()},
		sections: []section{
			{"Now", fleetTiles()},
			{"The worst nodes", []panel{worstNodes()}},
			{"All nodes over time", []panel{allBounds(), knownBounds(), nodesByState(), nodesInDoubt()}},
			{"Nodes that nobody watches", []panel{silentNodes()}},
		},
	}
}

// tileSeconds are the colours of a bound. One that is missing is not green.
func tileSeconds() object {
	return object{"decimals": 2, "thresholds": steps("red", 0, "green", 0.05, "orange", 0.5, "red")}
}

// Where no objective is set, none is kept and none is broken.
const (
	noObjective    = "no objective"
	whyNoObjective = "no objective: none is set (--objective), or nothing has been scraped for five minutes."
)

// budgetLeft are the words and colours of an error budget.
func budgetLeft() object {
	overspent := object{"type": "range", "options": object{"from": nil, "to": -1e-9, "result": object{"text": "overspent", "color": "red", "index": 0}}}
	return object{"decimals": 0, "mappings": list{overspent}, "thresholds": steps(grey, -1e9, "red", 0, "orange", 0.5, "green")}
}

func fleetTiles() []panel {
	return []panel{
		tile(panel{
			title: "Worst node", width: 6, unit: "s", none: "unknown", see: "runbooks/ClockErrorLarge.md", defaults: tileSeconds(),
			about:   "The node whose clock can be most wrong. No bound: nothing vouches for its clock.",
			queries: []query{{expr: `topk(1, ` + bound + `)`, legend: "{{node}}"}},
		}, "value_and_name"),
		tile(panel{
			title: "Worst pair", width: 4, unit: "s", none: "unknown", see: "runbooks/ClockPairApart.md", defaults: tileSeconds(),
			about:   "How far apart the clocks of two nodes of a cluster can be: the two largest known bounds together. Databases that compare their nodes stop at their limit.",
			queries: []query{{expr: `max(cluster:chrony_clock_pair_error_seconds:max{` + of + `})`}},
		}, "value"),
		tile(panel{
			title: "Budget left", width: 4, unit: "percentunit", none: noObjective, see: "runbooks/ClockBudgetBurning.md",
			about:    "The error budget: what is left of the time in which clocks may be outside of their objectives, over the chosen range, for the objective that is worst kept. Unknown clocks and missing trackers spend it, too. " + whyNoObjective,
			defaults: budgetLeft(),
			queries:  []query{{expr: `min(1 - avg_over_time(cluster:chrony_objective_bad:ratio_rate5m{` + of + `}[$__range]) / (1 - $target))`}},
		}, "value"),
		nodeCounts(),
	}
}

func nodeCounts() panel {
	// A count is of so many nodes, in the colours of the thresholds.
	count := func(name string, runbook string, thresholds object) object {
		return byName(name, property("thresholds", thresholds), property("links", list{object{"title": "Runbook", "url": docs + runbook, "targetBlank": true}}))
	}
	return tile(panel{
		title: "Nodes", width: 10, unit: "none", see: "metrics.md", defaults: object{"decimals": 0},
		about: "watched: with a tracker that was scraped within two minutes. with a bound: of whose clock it is known how wrong it can be. " +
			"no bound: whose clock can be wrong by any amount, as chronyd follows nothing, or itself, or does not answer. " +
			"silent: without a tracker, by kube_node_info; 0 also where there is none of that.",
		queries: []query{
			{expr: `count(` + bound + `) or vector(0)`, legend: "watched"},
			{expr: `count(` + bound + ` < +Inf) or vector(0)`, legend: "with a bound"},
			{expr: `count(` + bound + ` == +Inf) or vector(0)`, legend: "no bound"},
			{expr: `sum(cluster:chrony_tracker_missing:count{` + of + `}) or vector(0)`, legend: "silent"},
		},
		overrides: []object{
			count("watched", "runbooks/README.md", steps("red", 1, "blue")),
			count("with a bound", "runbooks/ClockErrorLarge.md", steps("red", 1, "green")),
			count("no bound", "runbooks/ClockErrorUnknown.md", steps("green", 1, "red")),
			count("silent", "runbooks/ClockTrackerMissing.md", steps("green", 1, "red")),
		},
	}, "value_and_name")
}

// worstNodes says of the ten worst why.
func worstNodes() panel {
	queries := []query{
		{expr: `topk(10, ` + bound + `)`},
		// Who is not in doubt is synchronized, but for who has no bound.
		{expr: worstTen(doubt) + ` or 0 * group by (cluster, node) (topk(10, ` + bound + `) < +Inf)`},
		{expr: worstTen(`1000 * ` + perNode(`chrony_clock_state_since_timestamp_seconds{`+of+`}`))},
		{expr: worstTen(`max by (cluster, node, tracking_name) (chrony_tracking_info{` + of + `})`)},
	}
	columns := []column{
		{"cluster", "Cluster", nil},
		{"node", "Node", []object{toNode()}},
		{"Value #A", "Bound", colored(steps("transparent", 0.05, "orange", 0.5, "red"))},
		{"Value #B", "State", append(named(stateNames()), property("custom.minWidth", 115))},
		{"Value #C", "Since", []object{property("unit", "dateTimeFromNow"), property("custom.minWidth", 130)}},
		{"tracking_name", "Source", nil},
	}
	for i, term := range []string{"offset", "dispersion", "delay", "drift", "reference"} {
		queries = append(queries, query{expr: worstTen(perNode(`chrony_clock_error_bound_term_seconds{` + of + `,term="` + term + `"}`))})
		columns = append(columns, column{fmt.Sprintf("Value #%c", 'E'+i), term, nil})
	}
	return sorted(table(panel{
		title: "Ten worst nodes, and why", width: 24, height: 12, unit: "s", see: "metrics.md",
		about: "The bound is the sum of its terms: offset (still to be slewed), dispersion (errors on the way from the reference), delay (half the network delay), " +
			"drift (while no samples arrive), reference (its own error, as assumed). Without a bound there are no terms; the state says why.",
		queries: queries,
	}, columns...), "Bound")
}

func allBounds() panel {
	return panel{
		kind: "heatmap", title: "Bounds of all nodes", width: 12, height: 13, unit: "s", see: "watch.md",
		about: "How many nodes had a bound in each interval, second by second: every sample counts, not only those at a scrape. The limits of the usual objectives are borders of the intervals. " +
			"Nodes without a bound are in none: the states below tell how many.",
		queries: []query{{expr: `sum by (le) (cluster:chrony_clock_error_bound_distribution_seconds_bucket:rate5m{` + of + `})`, legend: "{{le}}", heatmap: true}},
		custom:  object{"scaleDistribution": object{"type": "linear"}},
		options: object{
			"calculate": false, "cellGap": 1, "filterValues": object{"le": 1e-9}, "showValue": "never",
			"color":     object{"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "fill": "dark-orange", "scale": "exponential", "reverse": false},
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
		title: "Known bounds, and the objectives", width: 12, height: 13, unit: "s", none: "no bound is known: see the states below", see: "watch.md",
		about: "The largest known bound, the one that 99 % of all samples of five minutes are below, and the one in the middle. Dashed: the limits. Nodes without a bound are not in it: see the states below.",
		queries: []query{
			{expr: `max(cluster:chrony_clock_error_bound_seconds:max{` + of + `})`, legend: "largest"},
			{expr: quantile("0.99"), legend: "99 %"},
			{expr: quantile("0.5"), legend: "50 %"},
			{expr: `min by (objective) (cluster:chrony_objective_limit_seconds:min{` + of + `})`, legend: "{{objective}}"},
		},
		overrides: []object{byQuery("D", limit()...)},
	}, logarithm)
}

func nodesByState() panel {
	return areas(panel{
		title: "Nodes by state", width: 12, height: 8, unit: "none", see: "architecture.md#the-states",
		about:     "How many nodes are in each state. All but synchronized and holdover have no bound, and are in no graph of it.",
		queries:   []query{{expr: `sum by (state) (cluster:chrony_clock_nodes:count{` + of + `})`, legend: "{{state}}"}},
		overrides: stateTints(),
	})
}

func nodesInDoubt() panel {
	return timeline(panel{
		title: "Nodes in doubt", width: 12, height: 8, unit: "none", see: "runbooks/ClockErrorUnknown.md",
		about: "When a node was not synchronized, and why; at most twenty at a time. A node that is not here was synchronized.",
		queries: []query{
			{expr: `topk(20, ` + doubt + `)`, legend: "{{node}}"},
			{expr: `0 * (sum(cluster:chrony_clock_nodes:count{` + of + `,state="synchronized"}) > 0) or (vector(` + nothing + `) unless sum(cluster:chrony_clock_nodes:count{` + of + `}))`, legend: "all others"},
		},
	}, stateNames())
}

func silentNodes() panel {
	return table(panel{
		title: "Silent nodes", width: 24, height: 6, unit: "none", none: "None of those that kube_node_info knows", see: "runbooks/ClockTrackerMissing.md",
		about:   "Nodes that kube-state-metrics knows and that have no tracker; fifty at most. Empty where all have one, and where there is no kube-state-metrics.",
		queries: []query{{expr: `topk(50, node:chrony_tracker_missing:bool{` + of + `})`}},
	}, column{"cluster", "Cluster", nil}, column{"node", "Node", nil})
}
