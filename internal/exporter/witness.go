package exporter

import (
	"github.com/chrony-tracker/chrony-tracker/internal/objective"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
	"github.com/chrony-tracker/chrony-tracker/internal/witness"
)

// witnessMetrics are what independent measurements say of the clock. All are absent
// without --witness.ntp and --witness.peers, except for the classes.
var witnessMetrics = []metric{
	{
		name: "chrony_witness_contradicts", kind: gauge,
		help: "1 if witnesses of either kind contradict the clock (verdict contradicted), else 0. The bound then includes what they measured.",
		values: witnessed(func(w *tracker.Witnessed, f *family) {
			f.add(boolean(w.Contradict()))
		}),
	},
	{
		name: "chrony_witness_verdict", kind: gauge,
		help: "1 for the current verdict of each kind of witnesses, 0 for the others. Kinds: utc (--witness.ntp) and peer (--witness.peers). " +
			"consistent: the measurements allow the bound. unproven: too few witnesses answer, or there is no bound to judge; this is no evidence. " +
			"disputed: only one UTC witness answers, and it contradicts the bound. contradicted: most of them contradict the bound. " +
			"A measurement contradicts the bound if |offset| > bound + uncertainty + --witness.tolerance. " +
			"Peers contradict a clock that is not traced to UTC only by more than 1 s: hosts can differ.",
		labels: []string{"kind", "verdict"},
		values: kinds(func(w *tracker.Witnessed, kind witness.Kind, verdict witness.Verdict, f *family) {
			for _, v := range witness.Verdicts {
				f.add(boolean(v == verdict), string(kind), v.String())
			}
		}),
	},
	{
		name: "chrony_witness_state_seconds_total", kind: counter, unit: seconds,
		help:   "Time that each verdict of chrony_witness_verdict has lasted, in seconds. Time without samples does not count.",
		labels: []string{"kind", "verdict"},
		values: kinds(func(w *tracker.Witnessed, kind witness.Kind, _ witness.Verdict, f *family) {
			for _, v := range witness.Verdicts {
				if seconds := w.Seconds[kind]; seconds != nil {
					f.add(seconds[v], string(kind), v.String())
				}
			}
		}),
	},
	{
		name: "chrony_witness_offset_seconds", kind: gauge, unit: seconds,
		help:   "Offset of this clock from each UTC witness, in seconds. Positive if this clock is ahead. It is the last measurement, plus what the clock was slewed since. Absent before the first measurement, and after a step until the next one.",
		labels: []string{"witness"},
		values: servers(func(s witness.Server, f *family) {
			if s.Measured {
				f.add(s.Offset, s.Name)
			}
		}),
	},
	{
		name: "chrony_witness_uncertainty_seconds", kind: gauge, unit: seconds,
		help: "Uncertainty of chrony_witness_offset_seconds, in seconds: (network delay + root delay) / 2 + root dispersion + precision + 100 ppm of the duration, plus --clock.max-drift since the measurement. " +
			"Absent if the offset is.",
		labels: []string{"witness"},
		values: servers(func(s witness.Server, f *family) {
			if s.Measured {
				f.add(s.Uncertainty, s.Name)
			}
		}),
	},
	{
		name: "chrony_witness_bound_seconds", kind: gauge, unit: seconds,
		help: "The least |offset| + uncertainty of all UTC witnesses, in seconds: a bound of the clock's error that needs no chronyd, if that witness is right. " +
			"+Inf if none has answered since the last step. Absent without UTC witnesses.",
		values: witnessed(func(w *tracker.Witnessed, f *family) {
			if w.UTC != nil {
				f.add(w.UTC.Bound)
			}
		}),
	},
	{
		name: "chrony_witness_peers", kind: gauge,
		help: "Number of peers that this node asks, by what they last said. consistent: their measurement allows the bound. contradicted: it contradicts the bound. unproven: no measurement. " +
			"A minority that contradicts changes nothing else. Absent without --witness.peers.",
		labels: []string{"verdict"},
		values: witnessed(func(w *tracker.Witnessed, f *family) {
			if w.Peers == nil {
				return
			}
			for _, v := range []witness.Verdict{witness.Consistent, witness.Unproven, witness.Contradicted} {
				f.add(float64(w.Peers.Peers[v]), v.String())
			}
		}),
	},
	{
		name: "chrony_witness_peer_disagreement_seconds", kind: gauge, unit: seconds,
		help: "How far this clock and at least two of its peers differ beyond all their bounds, in seconds: the second largest max(|offset| - uncertainty - bound, 0). " +
			"For clocks that are not traced to UTC, this is the error of the reference that the fleet demonstrates. Absent without --witness.peers.",
		values: witnessed(func(w *tracker.Witnessed, f *family) {
			if w.Peers != nil {
				f.add(w.Peers.Disagreement)
			}
		}),
	},
	{
		name: "chrony_witness_probes_total", kind: counter,
		help: "Probes of witnesses, by result. consistent and contradicting are measurements. no_bound: a measurement, but there is no bound to judge. leap_second: a contradiction of at most 1 s around a leap second. " +
			"All others are dropped and have no vote: no_answer, failed (DNS or network), malformed, mismatched (not the reply to this request: forged or replayed), unauthentic, unsynchronized, rate_limited (RATE), denied (DENY, RSTR), " +
			"distant (uncertain by more than 1 s), other_era, impossible (a negative delay), jumped (this clock jumped during the exchange), self (the reply came from this tracker).",
		labels: []string{"kind", "result"},
		values: witnessed(func(w *tracker.Witnessed, f *family) {
			for _, kind := range witness.Kinds {
				if probes := w.Probes(kind); probes != nil {
					for _, result := range witness.Results {
						f.add(float64(probes[result]), string(kind), string(result))
					}
				}
			}
		}),
	},
	{
		name: "chrony_witness_requests_total", kind: counter,
		help:   "NTP requests that this tracker received, by result. answered. limited: a rate limit. dropped: not a valid request, a wrong authentication code, or a public source address. Absent if the tracker does not answer.",
		labels: []string{"result"},
		values: witnessed(func(w *tracker.Witnessed, f *family) {
			if w.Requests == nil {
				return
			}
			for _, result := range witness.RequestResults {
				f.add(float64(w.Requests[result]), string(result))
			}
		}),
	},
	{
		name: "chrony_objective_class_seconds_total", kind: counter, unit: seconds,
		help: "Observed time of each --objective, by class, in seconds. contradicted: the clock's state is contradicted. outside: the bound is above the limit, or unknown. " +
			"proven: the bound and chrony_witness_bound_seconds are within the limit. claimed: the bound is within the limit, and no UTC witness proves it. " +
			"Each second is in the first class that applies. The sum is the observed time. Time without samples is in no class.",
		labels: []string{"class", "objective"},
		values: watched(func(w *tracker.Watched, f *family) {
			for _, p := range w.Objectives {
				for _, class := range objective.Classes {
					f.add(p.Classes[class], class.String(), p.Name)
				}
			}
		}),
	},
}

// witnessed returns the values function of a metric that needs witnesses.
func witnessed(values func(*tracker.Witnessed, *family)) func(*view, *family) {
	return func(v *view, f *family) {
		if v.Witnesses != nil {
			values(v.Witnesses, f)
		}
	}
}

func kinds(values func(*tracker.Witnessed, witness.Kind, witness.Verdict, *family)) func(*view, *family) {
	return witnessed(func(w *tracker.Witnessed, f *family) {
		for _, kind := range witness.Kinds {
			if verdict, known := w.Of(kind); known {
				values(w, kind, verdict, f)
			}
		}
	})
}

func servers(values func(witness.Server, *family)) func(*view, *family) {
	return witnessed(func(w *tracker.Witnessed, f *family) {
		if w.UTC == nil {
			return
		}
		for _, s := range w.UTC.Servers {
			values(s, f)
		}
	})
}
