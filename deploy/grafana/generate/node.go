package main

// one names the node that is chosen.
const one = of + `,node="$node"`

// raw is a metric of that node, one series whoever scrapes it.
func raw(metric string) string { return `max(` + metric + `{` + one + `})` }

// by is that for each value of the labels.
func by(labels, metric string) string { return `max by (` + labels + `) (` + metric + `{` + one + `})` }

// growth is what was added in each interval.
func growth(labels, metric string) string {
	return `max by (` + labels + `) (increase(` + metric + `{` + one + `}[$__rate_interval]))`
}

func node() dashboard {
	const names = `label_values(chrony_clock_error_bound_seconds{` + of + `}, node)`
	return dashboard{
		uid: "chrony-tracker-node", title: "Clocks: node",
		about: "How wrong the clock of one node can be, why, and what has happened to it.",
		variables: []object{{
			"name": "node", "label": "Node", "type": "query", "datasource": datasource,
			"definition": names, "query": object{"query": names, "refId": "node"}, "current": object{},
			"includeAll": false, "multi": false, "refresh": 2, "sort": 1, "hide": 0, "regex": "",
		}},
		sections: []section{
			{"Now", nodeTiles()},
			{"How wrong, and why", []panel{boundTerms(), nodeState(), largestBounds()}},
			{"Sources", nodeSources()},
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
			about:   "The clock is off by no more than this. No bound: nothing confirms the clock.",
			queries: []query{{expr: raw("chrony_clock_error_bound_seconds")}},
		}, "value"),
		tile(panel{
			title: "Limit used", width: 4, unit: "percentunit", none: "unknown", see: "runbooks/ClockErrorLarge.md", defaults: object{"decimals": 0, "thresholds": limitColors()},
			about:   "The bound as a share of its tightest limit, an objective's or the rules' own.",
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
			about:   "How often the clock was set in the chosen range.",
			queries: []query{{expr: `round(max(increase(chrony_clock_steps_total{` + one + `}[$__range])))`}},
		}, "value"),
	}
}

// stateOfNode also has a number for when there is nothing to tell it, whatever there
// was before.
func stateOfNode(when func(series string) string) string {
	return `max(` + code(one, when) + `) and ` + raw("chrony_clock_state") + orNothing
}

func boundTerms() panel {
	return areas(panel{
		title: "The terms of the bound", width: 24, height: 10, unit: "s", none: "No bound: see the state below", see: "background/architecture.md#the-error-and-the-bound",
		about: "Their sum is the bound. offset: how far off the last sample found the clock, less what was slewed since. delay, dispersion: the error of that sample. " +
			"drift: how far the clock may have moved since that sample. reference: the error of the reference, as set. disagreement: what chrony's own terms or other sources demand beyond these. " +
			"A gap is a time without a bound, not a calm one: see the state below. Dashed: the objectives' limits.",
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
		about:   "Whether anything confirmed the clock. Each point shows the worst state since the point before, and of at least four scrapes.",
		queries: []query{{expr: stateOfNode(worst), legend: "state"}},
	}, stateNames())
}

func largestBounds() panel {
	const truth = "simulated truth (demo)"
	return lines(panel{
		title: "Between the scrapes", width: 24, height: 9, unit: "s", none: "No bound: see the state above", see: "background/watch.md",
		about: "The bound at each point, the largest since the point before and in the minute before that, though no scrape may have seen it, and the figure of Azure's chrony-tracker, which is no bound. Gaps: see the state above. " +
			"The real error of a clock is known only in make demo, which simulates it.",
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
			about: "What chronyd follows. A reference clock, such as PHC0, is that of the machine's host: the bound is relative to it. none: chronyd follows no source, or does not tell.",
			queries: []query{{
				expr: `max by (tracking_name) (chrony_tracking_info{` + one + `,tracking_name!=""}) or on () label_replace(` + there + `, "tracking_name", "none", "", "")` +
					` or on () label_replace(vector(` + nothing + `), "tracking_name", "unknown", "", "")`,
				legend: "{{tracking_name}}",
			}},
		}, "name"),
		tile(panel{
			title: "Sample age", width: 12, unit: "s", none: "none known", see: "background/architecture.md#the-states", defaults: object{"thresholds": steps("blue")},
			about:   "How long ago the last sample was taken by which the clock was steered.",
			queries: []query{{expr: raw("chrony_clock_sample_age_seconds")}},
		}, "value"),
		smallestFirst(table(panel{
			title: "Sources", width: 24, height: 7, unit: "s", none: "none is told", see: "runbooks/ClockSourceSuspicious.md",
			about: "What chronyd thinks of each source, how many of its last eight polls were answered, and by how much the clock is ahead of it, give or take the margin. " +
				"The verdict is only there if chronyd tells it: over its socket, or by opencommands from 4.7 on.",
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
			title: "Offset of the sources, and its bounds", width: 12, height: 8, unit: "s", none: "No sample known", see: "reference/metrics.md",
			about: "By how much the clock was ahead of each source at its last sample. Dashed: give or take the margin. Of two sources whose bands lie apart, one is wrong.",
			queries: []query{
				{expr: by(source, offset), legend: "{{source_name}}"},
				{expr: by(source, offset) + ` + ` + by(source, margin), legend: "{{source_name}} at most"},
				{expr: by(source, offset) + ` - ` + by(source, margin), legend: "{{source_name}} at least"},
			},
			overrides: []object{byQuery("B", dashed()), byQuery("C", dashed())},
		}, linear),
		areas(panel{
			title: "Sources by state", width: 12, height: 8, unit: "none", none: "No source known", see: "runbooks/ClockSourceSuspicious.md",
			about:   "How many sources are selected, combined with that one, good but not needed, jittery, falsetickers (they contradict the others), or not usable.",
			queries: []query{{expr: by("state", "chrony_sources_by_state") + ` > 0`, legend: "{{state}}"}},
			overrides: tints(tint{"selected", "green"}, tint{"combined", "light-green"}, tint{"selectable", "blue"},
				tint{"nonselectable", "yellow"}, tint{"jittery", "orange"}, tint{"falseticker", "red"}),
		}),
		timeline(panel{
			title: "Verdicts", width: 24, height: 6, unit: "none", see: "reference/metrics.md",
			about:   "Whether chronyd would select a source, and why not. It is told over chronyd's socket, or by opencommands from 4.7 on.",
			queries: []query{{expr: by(source, "chrony_sources_selection") + ` or on () label_replace(vector(` + nothing + `), "source_name", "sources", "", "")`, legend: "{{source_name}}"}},
		}, selectionNames()),
	}
}

func offsets() panel {
	return lines(panel{
		title: "Offset", width: 8, height: 8, unit: "s", none: "Nothing known", see: "reference/metrics.md",
		about: "What is still to be corrected (above zero: the clock is behind), what the last update found (above zero: it was ahead), and the long-term average.",
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
		about: "By how much the clock would gain, as chronyd says and corrects; what the kernel was told; and how the clock was really steered, slewing included. The last two are the first one's mirror, or somebody else steers, too.",
		queries: []query{
			{expr: raw("chrony_tracking_frequency_ppms"), legend: "gains"},
			{expr: `1e6 * ` + raw("chrony_clock_kernel_frequency_ratio"), legend: "kernel"},
			{expr: `1e6 * max(deriv(chrony_clock_steering_seconds{` + one + `}[$__rate_interval]))`, legend: "steered"},
		},
	}, linear)
}

func skew() panel {
	return lines(panel{
		title: "Skew", width: 8, height: 8, unit: "ppm", none: "Nothing known", see: "reference/metrics.md",
		about: "How uncertain the frequency is. Between two samples the bound grows by this and by --clock.max-wander. residual: how far the source's frequency is from the one in use.",
		queries: []query{
			{expr: raw("chrony_tracking_skew_ppms"), legend: "skew"},
			{expr: `abs(` + raw("chrony_tracking_residual_frequency_ppms") + `)`, legend: "residual"},
		},
	}, linear)
}

func events() panel {
	return bars(panel{
		title: "Events", width: 8, height: 8, unit: "short", none: "None counted", see: "background/watch.md#what-happens-to-the-clocks",
		about:   "Steps of the clock, suspensions of the machine, restarts of chronyd, changes of source, leap status and state. /api/v1/events of the tracker has the last hundred with their times.",
		queries: []query{{expr: growth("event", "chrony_clock_events_total") + ` > 0`, legend: "{{event}}"}},
	})
}

func stepSizes() panel {
	return lines(panel{
		title: "Last step", width: 8, height: 8, unit: "s", none: "No step known", see: "runbooks/ClockStepped.md",
		about:   "By how much the clock was last set: above zero, forward.",
		queries: []query{{expr: raw("chrony_clock_last_step_seconds"), legend: "last step"}},
	}, linear)
}

func stateShares() panel {
	p := areas(panel{
		title: "Share of the time in each state", width: 8, height: 8, unit: "percentunit", none: "Nothing known", see: "background/watch.md",
		about:     "Of all time, second by second, also what no scrape has seen. unobserved: nobody looked, as the tracker or the machine was asleep.",
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
			about:   "How long chronyd took to answer a scrape. It has a second (--chrony.timeout).",
			queries: []query{{expr: raw("chrony_tracker_exchange_duration_seconds"), legend: "exchange"}},
		}, logarithm),
		failures(panel{
			title: "Failures, dropped packets", width: 8, height: 7, unit: "short", none: "None counted", see: "runbooks/ClockTrackerUnhealthy.md",
			about: "What went wrong between the tracker and chronyd. None is as it should be.",
			queries: []query{
				{expr: growth("reason", "chrony_tracker_exchange_failures_total") + ` > 0`, legend: "failed: {{reason}}"},
				{expr: growth("reason", "chrony_tracker_dropped_packets_total") + ` > 0`, legend: "dropped: {{reason}}"},
			},
		}),
		fromZero(lines(panel{
			title: "Samples a second", width: 5, height: 7, unit: "short", see: "background/watch.md",
			about:   "One is usual (--sample.interval). Fewer: the tracker is starved.",
			queries: []query{{expr: `max(rate(chrony_tracker_samples_total{` + one + `}[$__rate_interval]))`, legend: "samples"}},
		}, linear)),
		table(panel{
			title: "Refused reports", width: 5, height: 7, unit: "none", none: "None known", see: "reference/metrics.md",
			about:   "What chronyd does not tell over this connection. Each costs its own series and no others. The tracker's page says how to get them.",
			queries: []query{{expr: by("report", "chrony_tracker_report_readable") + ` == 0`}},
		}, column{"report", "Report", nil}),
	}
}
