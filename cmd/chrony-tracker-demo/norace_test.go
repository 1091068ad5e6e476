//go:build !race

package main

// simulatedFleet is how long TestWitnesses watches: one pause, and its end.
const simulatedFleet = cycle
