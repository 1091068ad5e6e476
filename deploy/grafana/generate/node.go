package main

// one selects the chosen node.
const one = of + `,node="$node"`

// raw is a metric of that node, as one series even with several scrapers.
func raw(metric string) string { return `max(` + metric + `{` + one + `})` }

// by is the same for each value of the labels.
func by(labels, metric string) string { return `max by (` + labels + `) (` + metric + `{` + one + `})` }

// growth is the increase in each interval.
func growth(labels, metric string) string {
	return `max by (` + labels + `) (increase(` + metric + `{` + one + `}[$__rate_interval]))`
}

func node() dashboard {
	const names = `label_values(chrony_clock_error_bound_seconds{` + of + `}, node)`
	return dashboard{
		uid: "chrony-tracker-node", title: "Clocks: node",
		about: "How far off the clock of one node can be, why, and what happened to it.",
		variables: []object{{
			"name": "node", "label": "Node", "type": "query", "datasource": datasource,
			"definition": names, "query": object{"query": names, "refId": "node"}, "current": object{},
			"includeAll": false, "multi": false, "refresh": 2, "sort": 1, "hide": 0, "regex": "",
		}},
		sections: []section{
			{"Now", nodeTiles()},
			{"The bound, and why", []panel{boundTerms(), nodeState(), largestBounds()}},
			{"Sources", nodeSources()},
			{"Witnesses", nodeWitnesses()},
			{"How the clock runs", []panel{offsets(), frequencies(), skew()}},
			{"What happened", []panel{events(), stepSizes(), stateShares()}},
			{"The tracker itself", trackerHealth()},
		},
	}
}

func nodeTiles() []panel {
	return []panel{
		tile(panel{
			title: "Bound", width: 6, unit: "s", none: "unknown", see: "background/architecture.md#the-error-and-the-bound", defaults: boundColors(),
			about:   "The clock is at most this far off. No bound: nothing confirms the clock.",
			queries: []query{{expr: raw("chrony_clock_error_bound_seconds")}},
		}, "value"),
		tile(panel{
			title: "Limit used", width: 4, unit: "percentunit", none: "unknown", see: "runbooks/ClockErrorLarge.md", defaults: object{"decimals": 0, "thresholds": limitColors()},
			about:   "The bound relative to its smallest limit. The limit is an objective, or the default of the rules.",
			queries: []query{{expr: `max(` + limitUsed(perNode(`chrony_clock_error_bound_seconds{`+one+`}`), one) + `)`}},
		}, "value"),
		tile(panel{
			title: "State", width: 6, unit: "none", see: "background/architecture.md#the-states",
			defaults: object{"mappings": stateNames()},
			about:    "Whether anything confirms the clock. contradicted: measurements show that it is farther off than chronyd reports.",
			queries:  []query{{expr: stateOfNode(now)}},
		}, "value"),
		tile(panel{
			title: "Since", width: 4, unit: "dateTimeFromNow", none: "unknown", see: "reference/metrics.md", defaults: object{"thresholds": steps("blue")},
			about:   "When this state was first seen.",
			queries: []query{{expr: `1000 * ` + raw("chrony_clock_state_since_timestamp_seconds")}},
		}, "value"),
		tile(panel{
			title: "Steps", width: 4, unit: "short", none: "unknown", see: "runbooks/ClockStepped.md", defaults: object{"decimals": 0, "thresholds": steps(grey, 0, "green", 1, "orange")},
			about:   "Number of times the clock was set in the chosen range.",
			queries: []query{{expr: `round(max(increase(chrony_clock_steps_total{` + one + `}[$__range])))`}},
		}, "value"),
	}
}

// stateOfNode is the number of the node's state. It has a number for a missing state,
// too.
func stateOfNode(when func(series string) string) string {
	return `max(` + code(one, when) + `) and ` + raw("chrony_clock_state") + orNothing
}

func boundTerms() panel {
	return areas(panel{
		title: "The terms of the bound", width: 24, height: 10, unit: "s", none: "No bound: see the state below", see: "background/architecture.md#the-error-and-the-bound",
		about: "Their sum is the bound. offset: the offset of the last sample, minus what was slewed since. delay, dispersion: the error of that sample. " +
			"drift: possible drift since that sample. reference: the configured error of the reference. disagreement: what chrony's own terms or other sources add. " +
			"A gap means that there is no bound: see the state below. Dashed: the limits of the objectives.",
		queries: []query{
			{expr: by("term", "chrony_clock_error_bound_term_seconds"), legend: "{{term}}"},
			{expr: `max by (objective) (node:chrony_objective_limit_seconds:max{` + one + `} < on () group_left () (10 * max(max_over_time(chrony_clock_error_bound_max_seconds{` + one + `}[$__range]))))`, legend: "limit: {{objective}}"},
		},
		overrides: append(tints(terms...), byQuery("B", limit()...)),
	})
}

func nodeState() panel {
	return timeline(panel{
		title: "States", width: 24, height: 4, unit: "none", see: "background/architecture.md#the-states",
		about:   "Whether anything confirmed the clock. Each point shows the worst state since the previous point, over at least four scrapes.",
		queries: []query{{expr: stateOfNode(worst), legend: "state"}},
	}, stateNames())
}

func largestBounds() panel {
	const truth = "simulated truth (demo)"
	return lines(panel{
		title: "Between the scrapes", width: 24, height: 9, unit: "s", none: "No bound: see the state above", see: "background/watch.md",
		about: "bound: the bound at each point. largest: the largest bound since the previous point and in the minute before it, including samples between scrapes. " +
			"chrony_clock_error_ms: the value of Azure's chrony-tracker, which is not a bound. In a gap there is no bound: see the state above. Only make demo knows the real error, because it simulates the clock.",
		queries: []query{
			{expr: raw("chrony_clock_error_bound_seconds") + ` < +Inf`, legend: "bound"},
			{expr: `max(` + worst(`chrony_clock_error_bound_max_seconds{`+one+`,window="1m"}`) + `)`, legend: "largest"},
			{expr: raw("chrony_clock_error_ms") + ` / 1000 < +Inf`, legend: "chrony_clock_error_ms"},
			{expr: `max(abs(chrony_demo_clock_error_seconds{` + one + `}))`, legend: truth}, // no series, and no line, on real nodes
		},
		overrides: tints(tint{truth, "text"}),
	}, logarithm)
}

func nodeSources() []panel {
	const source, there = "source_name, source_address", `group(chrony_clock_state{` + one + `})`
	bySource := func(metric string) query { return query{expr: by(source, metric)} }
	const offset, margin = "chrony_sources_last_sample_offset_seconds", "chrony_sources_last_sample_error_margin_seconds"
	return []panel{
		tile(panel{
			title: "Source", width: 12, unit: "none", see: "reference/metrics.md", defaults: object{"thresholds": steps("blue")},
			about: "The source that chronyd follows. If it is a reference clock, such as PHC0 (the clock of the machine's host), the bound is relative to it. none: chronyd follows no source, or does not answer.",
			queries: []query{{
				expr: `max by (tracking_name) (chrony_tracking_info{` + one + `,tracking_name!=""}) or on () label_replace(` + there + `, "tracking_name", "none", "", "")` +
					` or on () label_replace(vector(` + nothing + `), "tracking_name", "unknown", "", "")`,
				legend: "{{tracking_name}}",
			}},
		}, "name"),
		tile(panel{
			title: "Sample age", width: 12, unit: "s", none: "none known", see: "background/architecture.md#the-states", defaults: object{"thresholds": steps("blue")},
			about:   "Age of the last sample of the source that chronyd follows.",
			queries: []query{{expr: raw("chrony_clock_sample_age_seconds")}},
		}, "value"),
		smallestFirst(table(panel{
			title: "Sources", width: 24, height: 7, unit: "s", none: "no source reported", see: "runbooks/ClockSourceSuspicious.md",
			about: "State: the result of chronyd's source selection. Reach: the fraction of the last eight polls that were answered. Offset and margin: how far the clock is ahead of the source, and the error of that. " +
				"The verdict needs chronyd's socket, or opencommands with chronyd 4.7 or later.",
			queries: []query{
				{expr: by(source+", source_state", "chrony_sources_state_info")},
				bySource("chrony_sources_selection"),
				bySource("chrony_sources_reachability_ratio"),
				bySource(offset),
				bySource(margin),
				bySource("chrony_sources_last_sample_age_seconds"),
				bySource("chrony_sources_polling_interval_seconds"),
				bySource("chrony_sources_stratum"),
			},
		},
			column{"source_name", "Source", nil},
			column{"source_address", "Address", nil},
			column{"source_state", "State", append(colored(steps("transparent")), property("mappings", troubles()))},
			column{"Value #B", "Verdict", named(selectionNames())},
			column{"Value #C", "Reach", append(colored(steps("transparent", 0, "red", 0.5, "orange", 1, "transparent")), property("unit", "percentunit"))},
			column{"Value #D", "Offset", nil},
			column{"Value #E", "Margin", nil},
			column{"Value #F", "Last sample", nil},
			column{"Value #G", "Poll", nil},
			column{"Value #H", "Stratum", []object{property("unit", "none")}},
		), "Reach"),
		lines(panel{
			title: "Offset of the sources, and its bounds", width: 12, height: 8, unit: "s", none: "No samples", see: "reference/metrics.md",
			about: "How far the clock was ahead of each source at its last sample. Dashed: offset plus and minus the margin. If the bands of two sources do not overlap, one source is wrong.",
			queries: []query{
				{expr: by(source, offset), legend: "{{source_name}}"},
				{expr: by(source, offset) + ` + ` + by(source, margin), legend: "{{source_name}} at most"},
				{expr: by(source, offset) + ` - ` + by(source, margin), legend: "{{source_name}} at least"},
			},
			overrides: []object{byQuery("B", dashed()), byQuery("C", dashed())},
		}, linear),
		areas(panel{
			title: "Sources by state", width: 12, height: 8, unit: "none", none: "No sources", see: "runbooks/ClockSourceSuspicious.md",
			about:   "Number of sources by state. selectable: good, but not needed. falseticker: contradicts the others. nonselectable: not usable.",
			queries: []query{{expr: by("state", "chrony_sources_by_state") + ` > 0`, legend: "{{state}}"}},
			overrides: tints(tint{"selected", "green"}, tint{"combined", "light-green"}, tint{"selectable", "blue"},
				tint{"nonselectable", "yellow"}, tint{"jittery", "orange"}, tint{"falseticker", "red"}),
		}),
		timeline(panel{
			title: "Verdicts", width: 24, height: 6, unit: "none", see: "reference/metrics.md",
			about:   "Whether chronyd would select a source, or why not. It needs chronyd's socket, or opencommands with chronyd 4.7 or later.",
			queries: []query{{expr: by(source, "chrony_sources_selection") + ` or on () label_replace(vector(` + nothing + `), "source_name", "sources", "", "")`, legend: "{{source_name}}"}},
		}, selectionNames()),
	}
}

func offsets() panel {
	return lines(panel{
		title: "Offset", width: 8, height: 8, unit: "s", none: "No data", see: "reference/metrics.md",
		about: "to be corrected: the offset left to slew. Positive if the clock is behind. last: the offset at the last update. Positive if the clock was ahead. average: the long-term average.",
		queries: []query{
			{expr: raw("chrony_tracking_system_time_seconds"), legend: "to be corrected"},
			{expr: raw("chrony_tracking_last_offset_seconds"), legend: "last"},
			{expr: raw("chrony_tracking_rms_offset_seconds"), legend: "average"},
		},
	}, linear)
}

func frequencies() panel {
	return lines(panel{
		title: "Frequency and steering", width: 8, height: 8, unit: "ppm", see: "background/watch.md",
		about: "gains: how fast the clock would gain time without chronyd. kernel: the correction that is set in the kernel. steered: the measured correction, including slewing. The last two mirror the first. If not, another program steers the clock too.",
		queries: []query{
			{expr: raw("chrony_tracking_frequency_ppms"), legend: "gains"},
			{expr: `1e6 * ` + raw("chrony_clock_kernel_frequency_ratio"), legend: "kernel"},
			{expr: `1e6 * max(deriv(chrony_clock_steering_seconds{` + one + `}[$__rate_interval]))`, legend: "steered"},
		},
	}, linear)
}

func skew() panel {
	return lines(panel{
		title: "Skew", width: 8, height: 8, unit: "ppm", none: "No data", see: "reference/metrics.md",
		about: "skew: the error bound of the frequency. Between two samples, the bound of the clock grows by skew and --clock.max-wander. residual: the difference between the frequency of the source and the one in use.",
		queries: []query{
			{expr: raw("chrony_tracking_skew_ppms"), legend: "skew"},
			{expr: `abs(` + raw("chrony_tracking_residual_frequency_ppms") + `)`, legend: "residual"},
		},
	}, linear)
}

func events() panel {
	return bars(panel{
		title: "Events", width: 8, height: 8, unit: "short", none: "No events", see: "background/watch.md#what-happens-to-the-clocks",
		about:   "Steps of the clock, suspensions of the machine, restarts of chronyd, changes of source, leap status and state. /api/v1/events of the tracker has the last 100 with their times.",
		queries: []query{{expr: growth("event", "chrony_clock_events_total") + ` > 0`, legend: "{{event}}"}},
	})
}

func stepSizes() panel {
	return lines(panel{
		title: "Last step", width: 8, height: 8, unit: "s", none: "No steps", see: "runbooks/ClockStepped.md",
		about:   "Size of the last step of the clock. Positive if it was set forward.",
		queries: []query{{expr: raw("chrony_clock_last_step_seconds"), legend: "last step"}},
	}, linear)
}

func stateShares() panel {
	p := areas(panel{
		title: "Time in each state", width: 8, height: 8, unit: "percentunit", none: "No data", see: "background/watch.md",
		about:     "Fraction of time in each state, including the time between scrapes. unobserved: no samples, because the tracker got no CPU time or the machine was suspended.",
		queries:   []query{{expr: `max by (state) (rate(chrony_clock_state_seconds_total{` + one + `}[$__rate_interval])) > 0`, legend: "{{state}}"}},
		overrides: stateTints(),
	})
	p.defaults["max"] = 1
	return p
}

func trackerHealth() []panel {
	return []panel{
		lines(panel{
			title: "Exchange with chronyd", width: 6, height: 7, unit: "s", see: "reference/metrics.md",
			about:   "How long chronyd took to answer a scrape. The timeout is 1 s by default (--chrony.timeout).",
			queries: []query{{expr: raw("chrony_tracker_exchange_duration_seconds"), legend: "exchange"}},
		}, logarithm),
		failures(panel{
			title: "Failures, dropped packets", width: 8, height: 7, unit: "short", none: "No failures", see: "runbooks/ClockTrackerUnhealthy.md",
			about: "Failed exchanges with chronyd, and dropped packets. Normally there are none.",
			queries: []query{
				{expr: growth("reason", "chrony_tracker_exchange_failures_total") + ` > 0`, legend: "failed: {{reason}}"},
				{expr: growth("reason", "chrony_tracker_dropped_packets_total") + ` > 0`, legend: "dropped: {{reason}}"},
			},
		}),
		fromZero(lines(panel{
			title: "Samples a second", width: 5, height: 7, unit: "short", see: "background/watch.md",
			about:   "The default is one (--sample.interval). Fewer samples mean that the tracker gets too little CPU time.",
			queries: []query{{expr: `max(rate(chrony_tracker_samples_total{` + one + `}[$__rate_interval]))`, legend: "samples"}},
		}, linear)),
		table(panel{
			title: "Refused reports", width: 5, height: 7, unit: "none", none: "None", see: "reference/metrics.md",
			about:   "Reports that chronyd refuses over this connection. Only their own series are missing. The tracker's page shows how to get them.",
			queries: []query{{expr: by("report", "chrony_tracker_report_readable") + ` == 0`}},
		}, column{"report", "Report", nil}),
	}
}
