// Package doctor finds what is wrong with a node's clock, and shows how to fix it. It
// also explains why the clock's bound is as large as it is.
//
// [Examine] reads all facts first and then judges them. Each check is a function of
// these facts and reads nothing itself.
package doctor

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/clockbound"
	"github.com/chrony-tracker/chrony-tracker/internal/status"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// A Verdict is the result of a check.
type Verdict string

// The verdicts, the worst first.
const (
	Wrong     Verdict = "wrong"       // it must be fixed
	Note      Verdict = "note"        // could be better, or is good to know
	Unchecked Verdict = "not checked" // not visible from here
	Fine      Verdict = "ok"
)

// Verdicts lists them, in that order.
var Verdicts = []Verdict{Wrong, Note, Unchecked, Fine}

// A Finding is the result of one check, in words.
type Finding struct {
	Verdict Verdict `json:"verdict"`
	Check   string  `json:"check"`             // what was checked
	Summary string  `json:"summary"`           // what was found
	Impact  string  `json:"impact,omitempty"`  // the consequence
	Fix     string  `json:"fix,omitempty"`     // what to change
	Command string  `json:"command,omitempty"` // to run on the node: it fixes this, or shows more
}

// An Examination is the result of all checks.
type Examination struct {
	Time     time.Time        `json:"time"`
	Healthy  bool             `json:"healthy"` // nothing is wrong
	State    clockerror.State `json:"state"`
	Bound    *float64         `json:"bound_seconds"` // null if there is none
	Findings []Finding        `json:"findings"`      // the worst first
}

// Summary is the examination in a sentence.
func (e *Examination) Summary() string {
	var counts []string
	for _, v := range Verdicts {
		n := 0
		for _, f := range e.Findings {
			if f.Verdict == v {
				n++
			}
		}
		if n > 0 {
			count := fmt.Sprintf("%d %s", n, v)
			if v == Note && n > 1 {
				count += "s"
			}
			counts = append(counts, count)
		}
	}
	head := "Something is wrong"
	if e.Healthy {
		head = "Nothing is wrong"
	}
	return head + ": " + strings.Join(counts, ", ") + "."
}

// facts are the inputs of the checks.
type facts struct {
	*tracker.Snapshot // of the chronyd that the program uses
	assume            clockerror.Assumptions
	node              node
	endpoints         []endpoint
	tracked           Tracked
	clockBound        *clockbound.Inspection // nil if the bound is not published
}

// Tracked is what the tracker on this node says.
type Tracked struct {
	Answers   bool
	Err       error             // why a tracker that is there can't be asked, or nil
	Witnesses *status.Witnesses // nil without
	KeyFile   string            // of the tracker; empty if it is unknown
	KeyError  error             // why the key file can't be read, or nil
}

// hear makes the estimate include what the witnesses say.
func (s *facts) hear() {
	heard := *s.Snapshot
	heard.Estimate = s.Estimate.With(s.tracked.Witnesses.Testimony())
	s.Snapshot = &heard
}

// status is the snapshot's status, with the witnesses.
func (s *facts) status() status.Status { return status.Heard(s.Snapshot, s.tracked.Witnesses) }

// checks lists the checks, the most important first.
var checks = []func(*facts) []Finding{
	checkEndpoints,
	checkState,
	checkEstimate,
	checkOffset,
	checkSources,
	checkWitnesses,
	checkReports,
	checkPTP,
	checkConfiguration,
	checkKernel,
	checkPrograms,
	checkClockBound,
	checkPlace,
}

// Examine reads everything and judges it. It takes the configuration of the examined
// program, the address of its client, the file in which it publishes the bound, if it
// does, and what the tracker says. It closes the client.
func Examine(ctx context.Context, address, shm string, config tracker.Config, tracked Tracked) *Examination {
	s := read(ctx, hostFiles{}, address, config)
	if shm != "" {
		s.clockBound = clockbound.Inspect(shm)
	}
	s.tracked = tracked
	s.hear()
	return s.judge()
}

// read reads all facts. The checks judge them.
func read(ctx context.Context, root fs.FS, address string, config tracker.Config) *facts {
	s := &facts{assume: config.Assume, node: readNode(root, address)}
	if config.PHC == "" {
		config.PHC = s.node.conf.phc()
	}
	endpoints := make(chan []endpoint)
	go func() { endpoints <- tryEndpoints(ctx, s.node.endpoints(address), config.Timeout) }()
	config.Want = chrony.WantAll
	t := tracker.New(config)
	s.Snapshot = t.Snapshot(ctx)
	t.Close()
	s.endpoints = <-endpoints
	s.node.udp = readUDP(root) // a chronyd that hangs has not read what was just sent
	return s
}

func (s *facts) judge() *Examination {
	e := &Examination{Time: s.At.UTC(), State: s.Estimate.State, Bound: s.status().Bound}
	for _, check := range checks {
		e.Findings = append(e.Findings, check(s)...)
	}
	slices.SortStableFunc(e.Findings, func(a, b Finding) int {
		return slices.Index(Verdicts, a.Verdict) - slices.Index(Verdicts, b.Verdict)
	})
	e.Healthy = e.Findings[0].Verdict != Wrong
	return e
}

// An obstacle is a reason why something doesn't work, and the fix. In a table of
// obstacles, the most specific reason comes first.
type obstacle struct {
	when              bool
	why, fix, command string // the command is to be run on the node
}

// first returns the first obstacle that exists, or an empty one.
func first(obstacles []obstacle) obstacle {
	for _, o := range obstacles {
		if o.when {
			return o
		}
	}
	return obstacle{}
}

// hint returns the fix as one text.
func (o obstacle) hint() string { return o.fix + " (" + o.command + ")" }
