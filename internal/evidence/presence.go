package evidence

import (
	"context"
	"slices"
	"strings"
	"time"
)

// readPresence finds out when each node existed: at each full hour and, where a node
// came or went, at each minute. Where the store knows of no node at all, nothing was
// recorded: a node then still existed if it did before or after.
func (r *reader) readPresence(ctx context.Context, d *day) {
	begin, end := fromUnix(d.Span.From), fromUnix(d.Span.To)
	present := make(map[string]map[float64]bool) // by node
	known := make(map[string]map[float64]bool)   // by cluster
	refs := make(map[string]nodeRef)
	take := func(all []series) {
		for _, s := range all {
			key := s.labels.key()
			refs[key] = s.labels.ref
			addTimes(present, key, s.samples)
			addTimes(known, s.labels.Cluster, s.samples)
		}
	}
	q := query{text: maxBy("cluster,node", r.expected("")), from: begin, to: end, step: time.Hour}
	r.run(ctx, d, task{"nodes, each hour", q, take},
		task{"nodes of the day", query{text: maxBy("cluster,node", "last_over_time("+r.expected("")+d.Span.rangeText()+")"), at: end}, func(all []series) {
			for _, s := range all {
				key := s.labels.key()
				refs[key] = s.labels.ref
				addTimes(present, key, nil)
			}
		}})
	var some []string
	for key, times := range present {
		cluster, _ := splitKey(key)
		if len(times) > 0 && len(times) == len(known[cluster]) {
			d.Present[key] = []span{d.Span}
		} else {
			some = append(some, key)
		}
	}
	slices.Sort(some)
	r.readMinutes(ctx, d, some, refs)
}

func addTimes(to map[string]map[float64]bool, key string, samples []sample) {
	if to[key] == nil {
		to[key] = make(map[float64]bool)
	}
	for _, s := range samples {
		to[key][s.at] = true
	}
}

func (r *reader) readMinutes(ctx context.Context, d *day, keys []string, refs map[string]nodeRef) {
	if len(keys) == 0 {
		return
	}
	q := query{from: fromUnix(d.Span.From), to: fromUnix(d.Span.To), step: time.Minute}
	present := make(map[string]map[float64]bool)
	known := make(map[string]map[float64]bool)
	q.text = maxBy("cluster", r.expected(""))
	tasks := []task{{"clusters, each minute", q, func(all []series) {
		for _, s := range all {
			addTimes(known, s.labels.Cluster, s.samples)
		}
	}}}
	var chosen []nodeRef
	for _, key := range keys {
		chosen = append(chosen, refs[key])
	}
	for _, nodes := range refMatchers(chosen) {
		q.text = maxBy("cluster,node", r.expected(nodes))
		tasks = append(tasks, task{"nodes, each minute", q, func(all []series) {
			for _, s := range all {
				addTimes(present, s.labels.key(), s.samples)
			}
		}})
	}
	r.run(ctx, d, tasks...)
	for _, key := range keys {
		cluster, _ := splitKey(key)
		if spans := presence(present[key], known[cluster], d.Span); len(spans) > 0 {
			d.Present[key] = spans
		}
	}
}

// presence makes spans of the minutes in which a node was seen. A minute in which no
// node was seen is like the one before, or at the beginning like the first known one.
func presence(seen, known map[float64]bool, w span) (spans []span) {
	const minute = 60.0
	exists, decided, unknown := false, false, w.From
	for t := w.From; t <= w.To; t += minute {
		switch {
		case seen[t]:
			if !exists {
				from := t
				if !decided {
					from = unknown
				}
				spans = append(spans, span{from, from})
			}
			exists, decided = true, true
		case known[t]:
			exists, decided = false, true
		}
		if exists {
			spans[len(spans)-1].To = min(t+minute, w.To)
		}
	}
	return spans
}

// expected selects the series of the nodes that must have a tracker.
func (r *reader) expected(nodes string) string {
	metric, rest, _ := strings.Cut(strings.TrimSpace(r.Expected), "{")
	rest = strings.Trim(strings.TrimSuffix(rest, "}"), " ,")
	return metric + "{" + rest + matchers + nodes + "}"
}
