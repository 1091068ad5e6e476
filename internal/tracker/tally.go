package tracker

import (
	"slices"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/objective"
)

// A tally summarizes all samples.
type tally struct {
	samples      uint64
	stateSeconds []float64 // by state
	unobserved   float64
	stateSince   time.Time
	history      history
	distribution Distribution
	objectives   []objective.Progress
}

func newTally(config WatchConfig, referenceError float64) tally {
	longest := windowLengths[len(windowLengths)-1]
	const spare = 2 // both ends of a window may fall on a sample
	return tally{
		stateSeconds: make([]float64, len(clockerror.States)),
		history:      newHistory(int(max(config.History, longest)/config.Interval)+spare, referenceError),
		distribution: newDistribution(),
		objectives:   objective.Begin(config.Objectives),
	}
}

// add adds a sample. It covers the time since the previous one, without suspensions.
// If that is more than one and a half intervals, ticks were missed. Then the sample
// covers one interval, and the rest counts as unobserved. It returns the seconds that
// the sample covers.
func (t *tally) add(o *observation, before Instant, interval float64) (stood float64) {
	elapsed := o.since(before)
	stood = elapsed
	if asleep := (o.Boot - o.Mono) - (before.Boot - before.Mono); asleep > leastJump+o.Uncertainty+before.Uncertainty {
		stood = max(0, elapsed-seconds(asleep))
	}
	if stood > 1.5*interval {
		stood = interval
	}
	t.samples++
	t.stateSeconds[o.estimate.State] += stood
	t.unobserved += elapsed - stood
	for i := range t.objectives {
		t.objectives[i].Add(objective.Sample{
			Bound: o.estimate.Bound, Witness: witnessBound(o.found), Contradicted: o.estimate.State == clockerror.Contradicted,
		}, stood, elapsed-stood)
	}
	if o.estimate.HasBound() {
		t.distribution.add(o.estimate.Bound)
	}
	t.history.add(newRecord(o, stood))
	return stood
}

// tell copies the tally. No window starts before the beginning, by CLOCK_BOOTTIME.
func (t *tally) tell(found *Watched, begin int64) {
	found.Samples = t.samples
	found.StateSeconds = slices.Clone(t.stateSeconds)
	found.Unobserved = t.unobserved
	found.StateSince = t.stateSince
	found.Distribution = t.distribution.clone()
	found.Windows = t.history.windows(begin)
	found.Objectives = slices.Clone(t.objectives)
}
