package evidence

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/status"
)

// Now asks the store about the clocks of all nodes, and the most of the worst with
// their terms.
func (s *Store) Now(ctx context.Context, r Request, most int) (*status.Fleet, error) {
	reader := &reader{Request: r, store: s.quick(), selection: selection(r.Cluster, r.Nodes)}
	f := &status.Fleet{Time: time.Now().UTC(), States: make(map[string]int), Worst: []status.FleetNode{}, Pairs: []status.Pair{}, Silent: []status.FleetNode{}, Excluded: []status.FleetNode{}}
	nodes := make(map[string]*status.FleetNode)
	refs := make(map[string]nodeRef)
	get := func(l labels) *status.FleetNode {
		n := nodes[l.key()]
		if n == nil {
			n = &status.FleetNode{Cluster: l.Cluster, Node: l.Node, State: "unknown", Terms: make(map[string]float64)}
			nodes[l.key()], refs[l.key()] = n, l.ref
		}
		return n
	}
	listed := make(map[string]labels)
	excluded, unbounded := make(map[string]bool), make(map[string]bool)
	recent := func(text string) string { return "last_over_time(" + text + "[2m])" }
	err := reader.askAll(ctx,
		ask{maxBy(byNode, recent(selector("chrony_clock_error_bound_seconds"))), func(l labels, v float64) {
			if n := get(l); math.IsInf(v, 1) {
				unbounded[l.key()] = true
			} else if n.Bound == nil || v > *n.Bound {
				n.Bound = &v
			}
		}},
		ask{maxBy(byNode+",state", selector("chrony_clock_state")) + " == 1", func(l labels, _ float64) { get(l).State = l.State }},
		ask{maxBy(byNode, selector("chrony_witness_contradicts")) + " == 1", func(l labels, _ float64) { excluded[l.key()] = true }},
		ask{maxBy("cluster,node", reader.expected("")), func(l labels, _ float64) { listed[l.key()] = l }},
	)
	if err != nil {
		return nil, err
	}
	if len(nodes)+len(listed) == 0 {
		return nil, hinted{errors.New("the store has no tracker's data now"), "is a tracker scraped, and is --prometheus.url the right store?"}
	}
	for key, l := range listed {
		if nodes[key] == nil {
			f.Silent = append(f.Silent, status.FleetNode{Cluster: l.Cluster, Node: l.Node, State: "silent", Terms: map[string]float64{}})
		}
	}
	for key := range unbounded {
		nodes[key].Bound = nil
	}
	all := slices.SortedFunc(maps.Values(nodes), worseNow)
	for _, n := range all {
		f.Nodes++
		f.States[n.State]++
		if !n.HasBound() {
			f.Unknown++
		}
		if n.State == "contradicted" || excluded[n.Cluster+"/"+n.Node] {
			f.Excluded = append(f.Excluded, *n)
		}
	}
	f.Pairs = pairs(all)
	var shown []nodeRef
	for _, n := range first(all, most) {
		shown = append(shown, refs[n.Cluster+"/"+n.Node])
	}
	for _, chosen := range refMatchers(shown) {
		text := maxBy(byNode+",term", recent("chrony_clock_error_bound_term_seconds{"+chosen[1:]+matchers+"}"))
		if err := reader.askAll(ctx, ask{text, func(l labels, v float64) { get(l).Terms[l.Term] = v }}); err != nil {
			return nil, err
		}
	}
	for _, n := range first(all, most) {
		f.Worst = append(f.Worst, *n)
	}
	slices.SortFunc(f.Silent, func(a, b status.FleetNode) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Node, b.Node))
	})
	return f, nil
}

func worseNow(a, b *status.FleetNode) int {
	if a.HasBound() != b.HasBound() {
		if a.HasBound() {
			return 1
		}
		return -1
	}
	if a.HasBound() && *a.Bound != *b.Bound {
		return cmp.Compare(*b.Bound, *a.Bound)
	}
	return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Node, b.Node))
}

// pairs takes the two largest bounds of each cluster. The nodes are sorted.
func pairs(all []*status.FleetNode) []status.Pair {
	byCluster := make(map[string]*status.Pair)
	for _, n := range all {
		p := byCluster[n.Cluster]
		if p == nil {
			p = &status.Pair{Cluster: n.Cluster, Nodes: []string{}}
			byCluster[n.Cluster] = p
		}
		switch {
		case !n.HasBound():
			p.Unknown++
		case len(p.Nodes) < 2:
			p.Nodes = append(p.Nodes, n.Node)
			p.Apart += *n.Bound
		}
	}
	found := []status.Pair{}
	for _, cluster := range slices.Sorted(maps.Keys(byCluster)) {
		if p := byCluster[cluster]; len(p.Nodes) == 2 {
			found = append(found, *p)
		}
	}
	return found
}

// An ask is a query about now.
type ask struct {
	text string
	take func(labels, float64)
}

// askAll asks at the same time, and takes the answers one after the other.
func (r *reader) askAll(ctx context.Context, asks ...ask) error {
	var group sync.WaitGroup
	answers, errs := make([][]series, len(asks)), make([]error, len(asks))
	for i, a := range asks {
		group.Go(func() {
			answers[i], errs[i] = r.fetch(ctx, query{text: a.text, at: time.Now()})
		})
	}
	group.Wait()
	for i, a := range asks {
		if errs[i] != nil {
			return errs[i] // one is enough: they are alike
		}
		for _, s := range answers[i] {
			for _, v := range s.samples {
				a.take(s.labels, v.value)
			}
		}
	}
	return nil
}
