package evidence

import (
	"context"
	"math"
	"time"
)

func noPause(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// A simNode is the known history of a node.
type simNode struct {
	name    string
	cluster string
	exists  []span // in the list of nodes; none if that does not list it
	lives   []simLife
	pod     bool // each tracker is a pod of its own; else the series go on
}

// A simLife is a run of a tracker: what it counted, second by second.
type simLife struct {
	span
	spells []spell // all other seconds are claimed
}

// A spell is a time in which the clock was in another class.
type spell struct {
	span
	class int // classes: not observed
}

// A scraper stores what trackers say at a fixed interval, except during outages.
type scraper struct {
	interval, phase float64
	outages         []span
	replica         string
}

// counted returns the seconds in each class that a life has counted at a time, and all.
func (l simLife) counted(t float64) (class [classes]float64, up float64) {
	w := span{l.From, math.Floor(t-l.From) + l.From}
	w.To = min(max(w.To, w.From), l.To)
	up = w.length()
	class[claimed] = up
	for _, s := range l.spells {
		n := s.within(w).length()
		class[claimed] -= n
		if s.class < classes {
			class[s.class] += n
		}
	}
	return class, up
}

const simLimit = 0.05 // seconds

// record fills a store with what a scraper sees of a node in a period.
func (s scraper) record(f *fakeStore, n simNode, from, to float64) {
	base := map[string]string{"node": n.name, "cluster": n.cluster, "instance": n.name + ":9123", "job": "chrony"}
	if s.replica != "" {
		base["prometheus_replica"] = s.replica
	}
	all := make(map[string][]sample)
	flush := func(pod string) {
		for name, samples := range all {
			metric, labels := name, map[string]string{}
			for k, v := range base {
				labels[k] = v
			}
			if pod != "" {
				labels["pod"] = pod
			}
			for _, label := range []string{"class", "window", "state"} {
				if before, value, ok := cutLabel(name, label); ok {
					metric, labels[label] = before, value
				}
			}
			if metric == classMetric || metric == totalMetric || metric == "chrony_objective_limit_seconds" {
				labels["objective"] = "finra-cat"
			}
			f.add(metric, labels, samples)
		}
		clear(all)
	}
	put := func(name string, at, value float64) { all[name] = append(all[name], sample{at, value}) }
	for i, l := range n.lives {
		first := math.Ceil((max(l.From, from)-s.phase)/s.interval)*s.interval + s.phase
		for at := first; at < min(l.To, to); at += s.interval {
			if s.out(at) {
				continue
			}
			class, up := l.counted(at)
			for c, v := range class {
				put(classMetric+"/class="+classNames[c], at, v)
			}
			put(totalMetric, at, up)
			put("chrony_objective_limit_seconds", at, simLimit)
			put("chrony_clock_untraced", at, 0)
			bound, unbounded := 0.001, 0.0
			for _, x := range l.spells {
				if overlap := x.within(span{at - 60, at}).length(); overlap > 0 {
					switch x.class {
					case contradicted, outside:
						bound = 0.2
					case classes:
						unbounded += overlap
					}
				}
			}
			put("chrony_clock_error_bound_max_seconds/window=1m", at, bound)
			put("chrony_clock_unbounded_seconds/window=1m", at, unbounded)
		}
		if n.pod {
			flush(n.name + "-" + string(rune('a'+i)))
		}
	}
	if !n.pod {
		flush("")
	}
	info := map[string]string{"node": n.name, "cluster": n.cluster, "os_image": "Debian"}
	var seen []sample
	for _, w := range n.exists {
		for at := math.Ceil((max(w.From, from)-s.phase)/s.interval)*s.interval + s.phase; at < min(w.To, to); at += s.interval {
			if !s.out(at) {
				seen = append(seen, sample{at, 1})
			}
		}
		if len(seen) > 0 {
			seen = append(seen, sample{w.To, math.NaN()})
		}
	}
	if seen != nil {
		f.add("kube_node_info", info, seen)
	}
}

func cutLabel(name, label string) (metric, value string, ok bool) {
	i := len(name)
	for j := range name {
		if name[j] == '/' {
			i = j
			break
		}
	}
	if i == len(name) || len(name) <= i+len(label)+1 || name[i+1:i+1+len(label)] != label {
		return name, "", false
	}
	return name[:i], name[i+2+len(label):], true
}

func (s scraper) out(at float64) bool {
	for _, o := range s.outages {
		if at >= o.From && at < o.To {
			return true
		}
	}
	return false
}
