//go:build race

package main

import "time"

// simulatedFleet is how long TestWitnesses watches. The race detector makes it slow, so
// it leaves out the pause.
const simulatedFleet = 2 * time.Minute
