package evidence

import (
	"fmt"
	"math"
	"strings"
)

// otherTasks are the queries for what is not counted in seconds.
func (r *reader) otherTasks(d *day) []task {
	w, end := d.Span, fromUnix(d.Span.To)
	over := func(function, selected string) string { return function + "(" + selected + w.rangeText() + ")" }
	tasks := []task{
		{"largest bound", query{text: maxBy(byNode, over("max_over_time", selector("chrony_clock_error_bound_max_seconds", `window="1m"`))), at: end},
			func(all []series) { largest(d.Worst, all) }},
		{"largest limit", query{text: maxBy("objective", over("max_over_time", r.counter("chrony_objective_limit_seconds"))), at: end}, d.addLimits},
		{"smallest limit", query{text: "min by (objective) (" + over("min_over_time", r.counter("chrony_objective_limit_seconds")) + ")", at: end}, d.addLimits},
		{"events until the end of the day", query{text: maxBy(byTracker+",event", over("max_over_time", selector("chrony_clock_events_total", eventNames))) + " > 0", at: end},
			func(all []series) { d.addEvents(all, 1) }},
		{"events before the day", query{text: maxBy(byTracker+",event", selector("chrony_clock_events_total", eventNames)) + " > 0", at: fromUnix(w.From)},
			func(all []series) { d.addEvents(all, -1) }},
		{"traceability", query{text: maxBy(byNode, over("max_over_time", selector("chrony_clock_untraced"))), at: end},
			func(all []series) { largest(d.Untraced, all) }},
		{"largest bound by witnesses", query{text: maxBy(byNode, over("max_over_time", selector("chrony_witness_bound_seconds"))), at: end},
			func(all []series) { largest(d.Witness, all) }},
		{"versions", query{text: "count by (version, revision) (" + maxBy(byNode+",version,revision", over("last_over_time", selector("chrony_tracker_build_info"))) + ")", at: end},
			func(all []series) {
				for _, s := range all {
					sumInto(d.Versions, s.labels.Version+" "+s.labels.Revision, s)
				}
			}},
		{"sources", query{text: "count by (tracking_name, tracking_address, tracking_refid) (" +
			maxBy(byNode+",tracking_name,tracking_address,tracking_refid", over("last_over_time", selector("chrony_tracking_info"))) + ")", at: end},
			func(all []series) {
				for _, s := range all {
					sumInto(d.Sources, sourceName(s.labels), s)
				}
			}},
	}
	return tasks
}

func sourceName(l labels) string {
	name := l.SourceName
	if name == "" {
		name = l.Address
	}
	switch {
	case name == "" && l.SourceID == "":
		return "none"
	case l.Address != "" && l.Address != name:
		name += " (" + l.Address + ")"
	}
	return fmt.Sprintf("%s, reference ID %s", name, l.SourceID)
}

func sumInto(to map[string]float64, key string, s series) {
	for _, v := range s.samples {
		to[key] += v.value
	}
}

// largest keeps the largest value of each node. An infinite one means that there was no
// bound for a time.
func largest(to map[string]float64, all []series) {
	for _, s := range all {
		for _, v := range s.samples {
			if old, known := to[s.labels.key()]; (!known || v.value > old) && !math.IsInf(v.value, 0) {
				to[s.labels.key()] = v.value
			}
		}
	}
}

func (d *day) addLimits(all []series) {
	for _, s := range all {
		for _, v := range s.samples {
			if len(d.Limits) == 0 {
				d.Limits = []float64{v.value, v.value}
			}
			d.Limits[0], d.Limits[1] = min(d.Limits[0], v.value), max(d.Limits[1], v.value)
		}
	}
}

// addEvents adds the counters at the end of the day, or subtracts those before it. A
// tracker that ran before and not in this day would make it negative.
func (d *day) addEvents(all []series, sign float64) {
	for _, s := range all {
		key := s.labels.key() + " " + s.labels.id()
		if d.Events[key] == nil {
			d.Events[key] = make(map[string]float64)
		}
		for _, v := range s.samples {
			d.Events[key][s.labels.Event] += sign * v.value
		}
	}
}

// countEvents sums up by node what addEvents kept by tracker.
func (d *day) countEvents() {
	byNode := make(map[string]map[string]float64)
	for tracker, events := range d.Events {
		key, _, _ := strings.Cut(tracker, " ")
		for event, n := range events {
			if n > 0 {
				if byNode[key] == nil {
					byNode[key] = make(map[string]float64)
				}
				byNode[key][event] += n
			}
		}
	}
	d.Events = byNode
}
