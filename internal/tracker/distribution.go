package tracker

import (
	"slices"
	"sort"
)

// bucketLimits, in seconds, are the upper limits of the distribution's buckets.
// They include the limits of regulations and software: see objective.Profiles.
var bucketLimits = []float64{
	1e-6, 2.5e-6, 5e-6, 10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6,
	1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 175e-3, 250e-3, 500e-3,
	1, 10, 300,
}

// A Distribution counts the bounds of all samples that have one.
type Distribution struct {
	Limits []float64 // seconds, in ascending order; they never change
	Counts []uint64  // of the bounds up to each limit and above the previous one; the last one is for bounds above all limits
	Sum    float64   // seconds
}

func newDistribution() Distribution {
	return Distribution{Limits: bucketLimits, Counts: make([]uint64, len(bucketLimits)+1)}
}

func (d *Distribution) add(bound float64) {
	d.Counts[sort.SearchFloat64s(d.Limits, bound)]++
	d.Sum += bound
}

func (d Distribution) clone() Distribution {
	d.Counts = slices.Clone(d.Counts)
	return d
}
