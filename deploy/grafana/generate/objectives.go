package main

// held selects the chosen clusters and objectives.
const held = of + `,objective=~"$objective"`

const bad = `cluster:chrony_objective_bad:ratio_rate5m{` + held + `}`

// burn is the burn rate of the budget. At 1, the budget lasts exactly for the period.
func burn(window string) string {
	return `max by (objective) (avg_over_time(` + bad + `[` + window + `])) / (1 - $target)`
}

func objectives() dashboard {
	const names = `label_values(cluster:chrony_objective_limit_seconds:min{` + of + `}, objective)`
	return dashboard{
		uid: "chrony-tracker-objectives", title: "Clocks: objectives",
		about: "How much of the time the clocks were within their limits, how fast the error budget burns, and which nodes use it.",
		variables: []object{target(), {
			"name": "objective", "label": "Objective", "type": "query", "datasource": datasource,
			"definition": names, "query": object{"query": names, "refId": "objective"},
			"current": object{"text": list{"All"}, "value": list{"$__all"}}, "includeAll": true, "allValue": ".*", "multi": true,
			"refresh": 2, "sort": 1, "hide": 0, "regex": "",
		}},
		sections: []section{
			{"Over the chosen range", []panel{compliance(), budget(), limits()}},
			{"Over time", []panel{badShare(), burnRates(), exceeded(), statesBeside()}},
			{"Nodes", []panel{offenders()}},
		},
	}
}

func compliance() panel {
	return tile(panel{
		title: "Kept", width: 10, unit: "percentunit", none: "unknown", see: "background/watch.md#objectives",
		about:    "Fraction of time that the clocks were within each objective. Clocks without a bound and nodes without a tracker count as outside. With several clusters, the worst one is shown. " + whyUnknown,
		defaults: object{"decimals": 3, "thresholds": steps(grey, 0, "red", 0.99, "orange", 0.999, "green")},
		queries:  []query{{expr: `min by (objective) (1 - ` + overRange(bad) + `)`, legend: "{{objective}}"}},
	}, "value_and_name")
}

func budget() panel {
	return tile(panel{
		title: "Error budget left", width: 10, unit: "percentunit", none: "unknown", see: "runbooks/ClockBudgetBurning.md",
		about:    "The part of the error budget of each objective that is left, as if the chosen range were the whole period. If it is overspent, the burn rate shows by how much. " + whyUnknown,
		defaults: budgetLeft(),
		queries:  []query{{expr: `min by (objective) (1 - ` + overRange(bad) + ` / (1 - $target))`, legend: "{{objective}}"}},
	}, "value_and_name")
}

func limits() panel {
	return tile(panel{
		title: "Limits", width: 4, unit: "s", none: "unknown", see: "background/watch.md#objectives", defaults: object{"thresholds": steps("blue")},
		about:   "The limit of each objective: chrony_objective_limit_seconds, or the default of the rules if no objective is set.",
		queries: []query{{expr: `min by (objective) (cluster:chrony_objective_limit_seconds:min{` + held + `})`, legend: "{{objective}}"}},
	}, "value_and_name")
}

func badShare() panel {
	return shares(panel{
		title: "Outside", width: 12, height: 9, unit: "percentunit", none: "unknown", see: "runbooks/ClockBudgetBurning.md",
		about:   "Fraction of time that the clocks were outside each objective, over five minutes. Clocks without a bound and nodes without a tracker count as outside.",
		queries: []query{{expr: `max by (objective) (` + bad + `)`, legend: "{{objective}}"}},
	})
}

func burnRates() panel {
	p := lines(panel{
		title: "Burn rate", width: 12, height: 9, unit: "short", none: "unknown", see: "runbooks/ClockBudgetBurning.md",
		about: "How fast the budget burns, relative to the target. The critical alert fires above 14.4 over 1 h or 6 over 6 h, the warning above 1 over 3 days. Both also need a clock whose known bound exceeds its limit.",
		queries: []query{
			{expr: burn("1h"), legend: "{{objective}}, 1 h"},
			{expr: burn("6h"), legend: "{{objective}}, 6 h"},
			{expr: burn("3d"), legend: "{{objective}}, 3 d"},
		},
	}, fromOne)
	p.defaults = object{"min": 0, "thresholds": steps("transparent", 1, "yellow", 6, "orange", 14.4, "red")}
	p.custom["thresholdsStyle"], p.custom["axisSoftMax"] = object{"mode": "dashed"}, 20
	return p
}

func exceeded() panel {
	return shares(panel{
		title: "Clocks above their limit", width: 12, height: 8, unit: "percentunit", none: noRules, see: "runbooks/ClockErrorLarge.md",
		about:   "Fraction of the clocks that had a bound in the last minute, but one above the limit. Clocks without a bound do not count: see the next panel.",
		queries: []query{{expr: `max by (objective) (cluster:chrony_objective_exceeded:ratio{` + held + `})`, legend: "{{objective}}"}},
	})
}

func statesBeside() panel {
	p := howManyInDoubt()
	p.about = "Nodes that are not synchronized use the budget too. They have no bound, or a large or growing one."
	return p
}

func offenders() panel {
	const good = `node:chrony_objective_good:ratio_rate5m{` + held + `}`
	const most = `topk(10, 1 - avg_over_time(` + good + `[$__range]))`
	return largestFirst(table(panel{
		title: "Worst offenders", width: 24, height: 12, unit: "percentunit", none: "unknown", see: "runbooks/ClockErrorLarge.md",
		about: "The ten nodes that were outside an objective for the largest part of the chosen range, with their current bound and limit. Nodes without a tracker use the budget too: see the fleet dashboard.",
		queries: []query{
			{expr: most},
			{expr: `max by (cluster, node, objective) (node:chrony_objective_limit_seconds:max{` + held + `}) and on (cluster, node, objective) ` + most},
			{expr: `max by (cluster, node, objective) (` + bound + ` * on (cluster, node) group_right () (node:chrony_objective_limit_seconds:max{` + held + `} > bool 0)) and on (cluster, node, objective) ` + most},
		},
	},
		column{"cluster", "Cluster", nil},
		column{"node", "Node", []object{toNode()}},
		column{"objective", "Objective", nil},
		column{"Value #A", "Outside", append(colored(steps("transparent", 0.001, "orange", 0.01, "red")), property("decimals", 2), property("mappings", list{inWords(nothing, "unknown", grey)}))},
		column{"Value #B", "Limit", []object{property("unit", "s")}},
		column{"Value #C", "Bound now", append(colored(steps("transparent")), property("unit", "s"))},
	), "Outside")
}
