package status

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A Fleet is how the clocks of all nodes are now.
type Fleet struct {
	Time     time.Time      `json:"time"`
	Nodes    int            `json:"nodes"`
	Unknown  int            `json:"unknown"` // nodes without a bound
	States   map[string]int `json:"states"`  // number of nodes
	Worst    []FleetNode    `json:"worst"`   // those without a bound first
	Pairs    []Pair         `json:"pairs"`   // of each cluster
	Silent   []FleetNode    `json:"silent"`  // nodes without a tracker
	Excluded []FleetNode    `json:"contradicted"`
}

// A FleetNode is a node now.
type FleetNode struct {
	Cluster string             `json:"cluster"`
	Node    string             `json:"node"`
	State   string             `json:"state"`         // or silent, or unknown
	Bound   *float64           `json:"bound_seconds"` // null if there is none
	Terms   map[string]float64 `json:"terms"`         // seconds, by name
}

// A Pair is the two worst nodes of a cluster: how far apart their clocks can be.
type Pair struct {
	Cluster string   `json:"cluster"`
	Nodes   []string `json:"nodes"`
	Apart   float64  `json:"apart_seconds"`
	Unknown int      `json:"unknown"` // nodes without a bound, which may be farther off
}

// HasBound reports whether it is known how far off the clock can be.
func (n FleetNode) HasBound() bool { return n.Bound != nil }

// Tone is the color of the node.
func (n FleetNode) Tone() Tone {
	for state, known := range states {
		if state.String() == n.State {
			return known.tone
		}
	}
	return Unknown
}

// BoundText is the bound in words.
func (n FleetNode) BoundText() string {
	if n.Bound == nil {
		return "unknown"
	}
	return Seconds(*n.Bound)
}

// TermsText lists the terms of the bound that matter, the largest first.
func (n FleetNode) TermsText() string {
	terms := slices.SortedFunc(maps.Keys(n.Terms), func(a, b string) int {
		if d := n.Terms[b] - n.Terms[a]; d != 0 {
			return map[bool]int{true: 1, false: -1}[d > 0]
		}
		return strings.Compare(a, b)
	})
	var parts []string
	for _, term := range terms {
		if n.Bound != nil && n.Terms[term] >= *n.Bound/20 {
			parts = append(parts, term+" "+Seconds(n.Terms[term]))
		}
	}
	return strings.Join(parts, ", ")
}

// Verdict is the fleet in a few sentences.
func (f *Fleet) Verdict() string {
	text := fmt.Sprintf("%d nodes have a tracker", f.Nodes)
	if f.Nodes == 1 {
		text = "1 node has a tracker"
	}
	if n := f.Nodes - f.Unknown; n > 0 {
		for _, worst := range f.Worst {
			if worst.HasBound() {
				text += ". The largest bound is " + worst.BoundText()
				break
			}
		}
	}
	if f.Unknown > 0 {
		text += fmt.Sprintf(". Without a bound: %d", f.Unknown)
	}
	if len(f.Excluded) > 0 {
		text += fmt.Sprintf(". Contradicted: %d", len(f.Excluded))
	}
	if len(f.Silent) > 0 {
		text += fmt.Sprintf(". Without a tracker: %d", len(f.Silent))
	}
	return text + "."
}

// Tone is the color of the verdict.
func (f *Fleet) Tone() Tone {
	switch {
	case f.Unknown > 0 || len(f.Excluded) > 0:
		return Bad
	case len(f.Silent) > 0:
		return Warning
	default:
		return OK
	}
}

// Text says how far apart the clocks of a pair can be.
func (p Pair) Text() string {
	text := strings.Join(p.Nodes, " and ") + " can be " + Seconds(p.Apart) + " apart"
	if p.Cluster != "" {
		text = "Cluster " + p.Cluster + ": " + text
	}
	if p.Unknown > 0 {
		text += fmt.Sprintf("; %d without a bound can be farther off", p.Unknown)
	}
	return text + "."
}
