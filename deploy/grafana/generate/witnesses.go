package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/chrony-tracker/chrony-tracker/internal/witness"
)

// verdicts are those of witnesses. The dashboards number them in this order.
var verdicts = []tint{
	{witness.Consistent.String(), "green"},
	{witness.Unproven.String(), grey},
	{witness.Disputed.String(), "orange"},
	{witness.Contradicted.String(), pink},
}

// verdictNames maps the numbers of the verdicts to names and colors.
func verdictNames() list {
	options := object{}
	for i, v := range verdicts {
		options[strconv.Itoa(i)] = object{"text": v.name, "color": v.color, "index": i}
	}
	return list{object{"type": "value", "options": options}, inWords(nothing, "no witnesses", grey)}
}

const aboutVerdicts = "consistent: the measurements allow the bound. unproven: too few witnesses answer. disputed: the only UTC witness that answers contradicts the bound. contradicted: most witnesses contradict it. "

const howToSet = "Witnesses are off by default: --witness.ntp and --witness.peers."

func fleetWitnesses() []panel {
	counts := `cluster:chrony_witness_verdicts:count{` + of + `}`
	disagreement := `cluster:chrony_witness_peer_disagreement_seconds:max{` + of + `}`
	blamed := ` and on (cluster, node) ` + perNode(`chrony_witness_contradicts{`+of+`}`) + ` == 1`
	tile := tile(panel{
		title: "Verdicts of witnesses", width: 12, unit: "none", see: "runbooks/ClockUnproven.md",
		about:    "Number of nodes by verdict. A node with NTP servers and peers counts for each. " + aboutVerdicts + howToSet,
		defaults: object{"decimals": 0, "mappings": list{inWords(nothing, "no witnesses", grey)}},
	}, "value_and_name")
	for _, v := range verdicts {
		tile.queries = append(tile.queries, query{expr: `sum(cluster:chrony_witness_verdicts:count{` + of + `,verdict="` + v.name + `"})` + orNothing, legend: v.name})
	}
	tile.overrides = []object{
		byName(witness.Consistent.String(), property("thresholds", steps(grey, 1, "blue"))),
		byName(witness.Unproven.String(), property("thresholds", steps(grey, 0, "green", 1, "orange"))),
		byName(witness.Disputed.String(), property("thresholds", steps(grey, 0, "green", 1, "orange"))),
		byName(witness.Contradicted.String(), property("thresholds", steps(grey, 0, "green", 1, "red"))),
	}
	return []panel{
		tile,
		largestFirst(table(panel{
			title: "Contradicted by witnesses", width: 12, height: 8, unit: "s", none: "None, or no witnesses are configured", see: "runbooks/ClockContradicted.md",
			about: "The clocks that most of their witnesses contradict: at most twenty. Disagreement: what the witnesses add to the bound. " + howToSet,
			queries: []query{
				{expr: `topk(20, ` + perNode(`chrony_clock_error_bound_term_seconds{`+of+`,term="disagreement"}`) + blamed + `)`},
				{expr: bound + blamed},
			},
		},
			column{"cluster", "Cluster", nil},
			column{"node", "Node", []object{toNode()}},
			column{"Value #A", "Disagreement", nil},
			column{"Value #B", "Bound", []object{property("mappings", list{noBound})}},
		), "Disagreement"),
		lines(panel{
			title: "Disagreement of the fleet", width: 12, height: 8, unit: "s", none: "No peers are configured (--witness.peers)", see: "runbooks/ClockPeersDisagree.md",
			about: "How far the clock of a node and those of at least two peers differ beyond their bounds: the largest in each cluster. If it is above zero, a bound is too small. " +
				"Agreement does not prove that the clocks are right: all of them can follow one wrong source.",
			queries: []query{{expr: `max by (cluster) (` + worst(disagreement) + `)`, legend: "{{cluster}}"}},
		}, linear),
		areas(panel{
			title: "Verdicts of witnesses over time", width: 12, height: 8, unit: "none", none: "No witnesses are configured (--witness.ntp, --witness.peers)", see: "runbooks/ClockUnproven.md",
			about:     "Number of nodes by verdict. A node with NTP servers and peers counts for each. " + aboutVerdicts + howToSet,
			queries:   []query{{expr: `sum by (verdict) (` + counts + `) > 0`, legend: "{{verdict}}"}},
			overrides: tints(verdicts...),
		}),
	}
}

func nodeWitnesses() []panel {
	const offset, uncertainty = "chrony_witness_offset_seconds", "chrony_witness_uncertainty_seconds"
	const measured = ` and on () group(` + offset + `{` + one + `})`
	var each []string
	for i, v := range verdicts {
		each = append(each, fmt.Sprintf(`%d * (chrony_witness_verdict{%s,verdict="%s"} == 1)`, i, one, v.name))
	}
	return []panel{
		lines(panel{
			title: "Offset from UTC witnesses, and the bound", width: 24, height: 9, unit: "s", none: "No UTC witness is configured (--witness.ntp), or none has answered", see: "runbooks/ClockContradicted.md",
			about: "How far the clock is ahead of each NTP server that chronyd does not use. Dashed: plus and minus the uncertainty. Red: plus and minus the bound. " +
				"If the dashed band of a witness is outside of the red band, the bound is too small, or that server is wrong.",
			queries: []query{
				{expr: by("witness", offset), legend: "{{witness}}"},
				{expr: by("witness", offset) + ` + ` + by("witness", uncertainty), legend: "{{witness}} at most"},
				{expr: by("witness", offset) + ` - ` + by("witness", uncertainty), legend: "{{witness}} at least"},
				{expr: raw("chrony_clock_error_bound_seconds") + ` < +Inf` + measured, legend: "bound"},
				{expr: `-(` + raw("chrony_clock_error_bound_seconds") + ` < +Inf)` + measured, legend: "-bound"},
			},
			overrides: append([]object{byQuery("B", dashed()), byQuery("C", dashed())}, tints(tint{"bound", "red"}, tint{"-bound", "red"})...),
		}, linear),
		timeline(panel{
			title: "Verdicts of the witnesses", width: 12, height: 6, unit: "none", see: "runbooks/ClockUnproven.md",
			about:   aboutVerdicts + howToSet,
			queries: []query{{expr: `max by (kind) (` + strings.Join(each, " or ") + `) or on () label_replace(vector(` + nothing + `), "kind", "witnesses", "", "")`, legend: "{{kind}}"}},
		}, verdictNames()),
		areas(panel{
			title: "Peers", width: 12, height: 6, unit: "none", none: "No peers are configured (--witness.peers)", see: "runbooks/ClockPeersDisagree.md",
			about:     "Number of peers by their last answer. A minority that contradicts the clock changes nothing.",
			queries:   []query{{expr: by("verdict", "chrony_witness_peers") + ` > 0`, legend: "{{verdict}}"}},
			overrides: tints(verdicts...),
		}),
	}
}
