package evidence

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/status"
)

// A Verdict is the result of a report, or of a node in it.
type Verdict string

// The verdicts. Insufficient: the data proves neither.
const (
	Pass         Verdict = "pass"
	Fail         Verdict = "fail"
	Insufficient Verdict = "insufficient"
)

// Schema names the format of report.json.
const Schema = "chrony-tracker/evidence/v1"

// A Report is what is known about the clocks of a fleet in a period.
type Report struct {
	Schema      string      `json:"schema"`
	Program     string      `json:"program"`
	Verdict     Verdict     `json:"verdict"`
	Summary     string      `json:"summary"`
	Reasons     []string    `json:"reasons"` // for each verdict other than pass
	Requirement Requirement `json:"requirement"`
	From        time.Time   `json:"from"`
	To          time.Time   `json:"to"`
	Store       string      `json:"store"`
	Cluster     string      `json:"cluster"`  // the filter; empty: all
	Selected    []string    `json:"selected"` // the filter of nodes; empty: all
	Target      float64     `json:"target"`
	MinCoverage float64     `json:"min_coverage"`
	Scrape      float64     `json:"scrape_interval_seconds"` // 0 if it is unknown
	Tolerance   float64     `json:"tolerance_seconds"`       // of each node-day

	Totals   Account   `json:"totals"`
	Coverage float64   `json:"coverage"`
	Largest  *float64  `json:"max_bound_seconds"`
	Witness  *float64  `json:"max_witness_bound_seconds"`
	Counts   NodeCount `json:"node_count"`

	Nodes      []Node      `json:"nodes"`
	Days       []NodeDay   `json:"-"` // nodes.csv has them
	Excursions []Excursion `json:"excursions"`
	Sources    []Share     `json:"sources"`
	Versions   []Share     `json:"versions"`
	Failures   []Failure   `json:"failures"`
	SiteInfo   string      `json:"site_info"`
	Queries    []string    `json:"queries"`
}

// NodeCount is how many nodes have each verdict.
type NodeCount struct {
	All          int `json:"all"`
	Pass         int `json:"pass"`
	Fail         int `json:"fail"`
	Insufficient int `json:"insufficient"`
}

// A Node is a node in the whole period.
type Node struct {
	Cluster string  `json:"cluster"`
	Node    string  `json:"node"`
	Verdict Verdict `json:"verdict"`
	Account
	Coverage   float64        `json:"coverage"`
	Largest    *float64       `json:"max_bound_seconds"`
	Witness    *float64       `json:"max_witness_bound_seconds"`
	Traced     float64        `json:"traced_seconds"` // claimed on days when it was traced to UTC
	ExpectedBy string         `json:"expected_by"`    // nodes or tracker
	Starts     int            `json:"tracker_starts"`
	Events     map[string]int `json:"events"`
	Excursions int            `json:"excursions"`
}

// How a node's expected time is known.
const (
	byNodes = "nodes"   // the store lists nodes
	bySeen  = "tracker" // from the first to the last sample of its tracker
)

// A NodeDay is a node on a day.
type NodeDay struct {
	Day           time.Time
	Cluster, Node string
	Account
	Largest, Witness *float64
	Untraced         bool // or unknown
	Starts           int
	Events           map[string]float64
}

// A Share is on how many node-days something was seen.
type Share struct {
	Name     string  `json:"name"`
	NodeDays float64 `json:"node_days"`
}

// Make reads a period and reports on it.
func Make(ctx context.Context, store *Store, request Request, o Options) (*Report, error) {
	r := &reader{Request: request, store: store, selection: selection(request.Cluster, request.Nodes)}
	all, err := r.read(ctx, o)
	if err != nil {
		return nil, err
	}
	return newReport(r.Request, store.Address(), r.queries(), all)
}

func newReport(r Request, store string, queries []string, all []*day) (*Report, error) {
	report := &Report{
		Schema: Schema, Program: r.Version, Requirement: requirementOf(r), From: r.From.UTC(), To: r.To.UTC(), Store: store,
		Cluster: r.Cluster, Selected: append([]string{}, r.Nodes...), Target: r.Target, MinCoverage: r.Coverage,
		SiteInfo: r.SiteInfo, Queries: queries,
		Failures: []Failure{}, Reasons: []string{}, Nodes: []Node{}, Excursions: []Excursion{},
	}
	h := newHistory(all, unix(r.From))
	if len(h.keys) == 0 && len(h.failures) == 0 {
		return nil, hinted{errNoData, "check --from, --to, --cluster and --node, and how long the store keeps data"}
	}
	report.Failures = append(report.Failures, h.failures...)
	report.Excursions = append(report.Excursions, joinExcursions(h.excursions, 2*time.Minute)...)
	for _, e := range report.Excursions {
		h.excursionsOf[e.key()]++
	}
	report.Sources, report.Versions = shares(all, func(d *day) map[string]float64 { return d.Sources }), shares(all, func(d *day) map[string]float64 { return d.Versions })
	for _, d := range all {
		report.Scrape = max(report.Scrape, d.Scrape)
	}
	report.Tolerance = max(report.Scrape, 60) + 1
	if report.Scrape > 0 {
		report.Tolerance = report.Scrape + 1
	}
	for _, key := range h.keys {
		report.addNode(r, h, key)
	}
	report.Coverage = report.Totals.Coverage()
	report.judge(h)
	return report, nil
}

// history is what all days say together.
type history struct {
	days       []*day
	keys       []string // of the nodes
	lives      map[string][]*life
	existed    map[string][]span
	listed     map[string]bool // the store lists this node
	excursions []Excursion
	failures   []Failure
	limits     []float64
	traceable  bool // the store has data about traceability

	excursionsOf map[string]int // number of joined excursions by node
}

func newHistory(all []*day, from float64) *history {
	h := &history{days: all, lives: make(map[string][]*life), existed: make(map[string][]span), listed: make(map[string]bool), excursionsOf: make(map[string]int)}
	points := make(map[string][]point)
	for _, d := range all {
		for key, list := range d.Points {
			points[key] = append(points[key], list...)
		}
		for key, spans := range d.Present {
			h.existed[key] = append(h.existed[key], spans...)
			h.listed[key] = true
		}
		h.excursions = append(h.excursions, d.Excursions...)
		h.failures = append(h.failures, d.Failures...)
		h.traceable = h.traceable || len(d.Untraced) > 0
		if len(d.Limits) == 2 {
			h.limits = append(h.limits, d.Limits...)
		}
	}
	for key, list := range points {
		h.lives[key] = livesOf(list, from)
		if !h.listed[key] {
			h.existed[key] = []span{firstToLast(h.lives[key])}
		}
	}
	for key := range h.existed {
		h.existed[key] = union(h.existed[key])
		h.keys = append(h.keys, key)
	}
	slices.Sort(h.keys)
	return h
}

func firstToLast(lives []*life) span {
	s := span{math.Inf(1), math.Inf(-1)}
	for _, l := range lives {
		s.From, s.To = min(s.From, l.first().At), max(s.To, l.last().At)
	}
	return s
}

// addNode sums up a node.
func (r *Report) addNode(request Request, h *history, key string) {
	n := Node{ExpectedBy: bySeen, Events: make(map[string]int)}
	n.Cluster, n.Node = splitKey(key)
	if h.listed[key] {
		n.ExpectedBy = byNodes
	}
	for _, d := range h.days {
		a := account(h.lives[key], h.existed[key], d.Span)
		if a.Expected == 0 {
			continue
		}
		untraced, known := d.Untraced[key]
		nd := NodeDay{
			Day: fromUnix(d.Span.From), Cluster: n.Cluster, Node: n.Node, Account: a,
			Largest: valueOf(d.Worst, key), Witness: valueOf(d.Witness, key),
			Untraced: !known || untraced != 0, Starts: starts(h.lives[key], d.Span), Events: d.Events[key],
		}
		if !nd.Untraced {
			n.Traced += a.Claimed
		}
		n.Account.Add(a)
		n.Largest, n.Witness = larger(n.Largest, nd.Largest), larger(n.Witness, nd.Witness)
		n.Starts += nd.Starts
		for event, count := range nd.Events {
			n.Events[event] += int(count)
		}
		r.Days = append(r.Days, nd)
	}
	if n.Expected == 0 {
		return
	}
	n.Excursions = h.excursionsOf[key]
	n.Coverage = n.Account.Coverage()
	n.Verdict = judgeNode(request, n)
	r.Nodes = append(r.Nodes, n)
	r.Totals.Add(n.Account)
	r.Largest, r.Witness = larger(r.Largest, n.Largest), larger(r.Witness, n.Witness)
}

// judgeNode returns the verdict on a node. A second that was not recorded is never taken
// as good. Where UTC is asked for, neither is one that was only claimed while the clock
// was not traced to UTC.
func judgeNode(r Request, n Node) Verdict {
	const rounding = 1e-9
	switch {
	case n.Bad() > (1-r.Target)*n.Expected+countable:
		return Fail
	case n.Coverage < r.Coverage-rounding:
		return Insufficient
	case r.UTC && (n.Traced+n.Proven+n.Bad())/n.Expected < r.Coverage-rounding:
		return Insufficient
	default:
		return Pass
	}
}

// judge gives the verdict on the fleet: the worst of all nodes, and insufficient if
// anything is missing.
func (r *Report) judge(h *history) {
	untraced := 0
	for _, n := range r.Nodes {
		r.Counts.All++
		switch n.Verdict {
		case Pass:
			r.Counts.Pass++
		case Fail:
			r.Counts.Fail++
		default:
			r.Counts.Insufficient++
			if n.Coverage >= r.MinCoverage {
				untraced++
			}
		}
	}
	because := func(format string, args ...any) { r.Reasons = append(r.Reasons, fmt.Sprintf(format, args...)) }
	limitProblem := r.setLimit(h.limits)
	r.Verdict = Pass
	if r.Counts.Fail > 0 {
		r.Verdict = Fail
		because("%s outside the limit or contradicted for longer than the target allows.", count(r.Counts.Fail, "clock was", "clocks were"))
	}
	insufficient := func(format string, args ...any) {
		because(format, args...)
		if r.Verdict == Pass {
			r.Verdict = Insufficient
		}
	}
	if short := r.Counts.Insufficient - untraced; short > 0 {
		insufficient("%s less than %s of the time recorded.", count(short, "node has", "nodes have"), percent(r.MinCoverage))
	}
	if untraced > 0 {
		text := "%s not traced to UTC, and no witness confirmed them long enough."
		if !h.traceable {
			text = "%s not known to be traced to UTC (the store has no chrony_clock_untraced), and no witness confirmed them long enough."
		}
		insufficient(text, count(untraced, "clock is", "clocks are"))
	}
	if limitProblem != "" {
		insufficient("%s", limitProblem)
	}
	if n := len(r.Failures); n > 0 {
		insufficient("%s got no complete answer from the store.", count(n, "query", "queries"))
	}
	if r.Counts.All == 0 {
		insufficient("The store has no data.")
	}
	r.Summary = r.summary()
}

// setLimit takes the limit that the trackers counted against, and returns what is wrong
// with it.
func (r *Report) setLimit(limits []float64) (problem string) {
	if len(limits) == 0 {
		return "The limit that the trackers counted against is unknown (the store has no chrony_objective_limit_seconds)."
	}
	const rounding = 1e-9
	smallest, largest := slices.Min(limits), slices.Max(limits)
	required := r.Requirement.Limit
	if required == 0 {
		required = largest
		r.Requirement.Limit = largest
		if largest-smallest > rounding*largest {
			return fmt.Sprintf("The trackers counted against different limits, from %s to %s.", status.Seconds(smallest), status.Seconds(largest))
		}
	}
	if largest > required*(1+rounding) {
		return fmt.Sprintf("Some trackers counted against %s instead of %s.", status.Seconds(largest), status.Seconds(required))
	}
	return ""
}

// summary is the report in one sentence, after the verdict.
func (r *Report) summary() string {
	worst := "no bound was recorded"
	if r.Largest != nil {
		worst = "the largest bound was " + status.Seconds(*r.Largest)
	}
	var claim string
	switch r.Verdict {
	case Pass:
		claim = fmt.Sprintf("the clocks of %s kept %s", count(r.Counts.All, "node", "nodes"), r.limitText())
	case Fail:
		claim = fmt.Sprintf("%d of %s did not keep %s", r.Counts.Fail, count(r.Counts.All, "clock", "clocks"), r.limitText())
	default:
		claim = fmt.Sprintf("the data does not prove that the clocks of %s kept %s", count(r.Counts.All, "node", "nodes"), r.limitText())
	}
	return fmt.Sprintf("%s, %s: %s was recorded, %s, and there %s.", r.PeriodText(), claim, percent(r.Coverage)+" of the time", worst,
		count(len(r.Excursions), "was 1 excursion", "were excursions"))
}

func (r *Report) limitText() string {
	return fmt.Sprintf("%s (%s)", r.Requirement.Objective, status.Seconds(r.Requirement.Limit))
}

// PeriodText is the period in words. It ends before To.
func (r *Report) PeriodText() string {
	if r.From.Equal(r.From.Truncate(24*time.Hour)) && r.To.Equal(r.To.Truncate(24*time.Hour)) {
		last := r.To.Add(-time.Second)
		if r.From.Format(time.DateOnly) == last.Format(time.DateOnly) {
			return "On " + r.From.Format("2 January 2006") + " (UTC)"
		}
		return fmt.Sprintf("From %s to %s (UTC)", r.From.Format("2 January 2006"), last.Format("2 January 2006"))
	}
	return fmt.Sprintf("From %s to %s", status.Clock(r.From), status.Clock(r.To))
}

func count(n int, one, many string) string {
	if n == 1 && strings.HasPrefix(one, "was 1") {
		return one
	}
	if n != 1 && strings.HasPrefix(many, "were ") {
		return fmt.Sprintf("were %d %s", n, strings.TrimPrefix(many, "were "))
	}
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// percent never rounds up, so that 100 % means all.
func percent(share float64) string {
	text := fmt.Sprintf("%.3f", math.Floor(share*1e5+1e-6)/1e3)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text + " %"
}

func valueOf(m map[string]float64, key string) *float64 {
	if v, ok := m[key]; ok {
		return &v
	}
	return nil
}

func larger(a, b *float64) *float64 {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}

func shares(all []*day, of func(*day) map[string]float64) []Share {
	sum := make(map[string]float64)
	for _, d := range all {
		for name, n := range of(d) {
			sum[name] += n
		}
	}
	list := []Share{}
	for _, name := range slices.Sorted(maps.Keys(sum)) {
		list = append(list, Share{strings.TrimSpace(name), sum[name]})
	}
	slices.SortStableFunc(list, func(a, b Share) int { return cmp.Compare(b.NodeDays, a.NodeDays) })
	return list
}
