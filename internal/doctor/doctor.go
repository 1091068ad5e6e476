// Package doctor tells the person at a node what is wrong with its clock, what that
// costs and what mends it; and why the clock's bound is as large as it is.
//
// It looks first ([Examine]) and judges then: every check is a function of what was
// seen.
package doctor

import (
	"context"
	"io/fs"
	"math"
	"os"
	"slices"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// A Verdict is what a finding comes to.
type Verdict string

// The verdicts, the worst first.
const (
	Wrong     Verdict = "wrong"       // it must be mended
	Note      Verdict = "note"        // it could be better, or is worth knowing
	Unchecked Verdict = "not checked" // it can't be seen from here
	Fine      Verdict = "ok"
)

// Verdicts lists them, in that order.
var Verdicts = []Verdict{Wrong, Note, Unchecked, Fine}

// A Finding is the outcome of one check, in words.
type Finding struct {
	Verdict Verdict `json:"verdict"`
	Check   string  `json:"check"`           // what was looked at
	Says    string  `json:"says"`            // what was found
	Costs   string  `json:"costs,omitempty"` // what that costs
	Mend    string  `json:"mend,omitempty"`  // what to change
	Run     string  `json:"run,omitempty"`   // the command that does it, or that tells more, on the node
}

// An Examination is all that was seen, and what it comes to.
type Examination struct {
	Time     time.Time
	Estimate clockerror.Estimate
	Findings []Finding // the worst first
}

// Healthy reports whether nothing is wrong.
func (e *Examination) Healthy() bool { return e.count(Wrong) == 0 }

func (e *Examination) count(v Verdict) (n int) {
	for _, f := range e.Findings {
		if f.Verdict == v {
			n++
		}
	}
	return n
}

// sight is all that was seen.
type sight struct {
	*tracker.Snapshot // of the chronyd that the program uses
	assume            clockerror.Assumptions
	node              node
	ways              []way
}

// checks are what is looked at, in the order of their importance.
var checks = []func(*sight) []Finding{
	checkWays,
	checkState,
	checkEstimate,
	checkOffset,
	checkSources,
	checkReports,
	checkPTP,
	checkConfiguration,
	checkKernel,
	checkPrograms,
	checkPlace,
}

// Examine looks at everything and judges it. The configuration is that of the program
// that is examined, with the address that its client was made with. The client is
// closed.
func Examine(ctx context.Context, address string, config tracker.Config) *Examination {
	root := os.DirFS("/")
	if config.PHC == "" {
		config.PHC = look(root).conf.phc()
	}
	ways := make(chan []way)
	go func() { ways <- tryWays(ctx, address, config.Timeout) }()
	config.Want = chrony.WantAll
	t := tracker.New(config)
	s := &sight{Snapshot: t.Snapshot(ctx), assume: config.Assume}
	t.Close()
	s.ways = <-ways
	s.node = look(root) // what was asked and not read by a chronyd that hangs shows now
	return s.judge()
}

func (s *sight) judge() *Examination {
	e := &Examination{Time: s.At.UTC(), Estimate: s.Estimate}
	for _, check := range checks {
		e.Findings = append(e.Findings, check(s)...)
	}
	slices.SortStableFunc(e.Findings, func(a, b Finding) int {
		return slices.Index(Verdicts, a.Verdict) - slices.Index(Verdicts, b.Verdict)
	})
	return e
}

// exists reports whether there is something at a path of the root.
func exists(root fs.FS, path string) bool {
	_, err := fs.Stat(root, path)
	return err == nil
}

// abs is for the many numbers of which only the size matters.
func abs(v float64) float64 { return math.Abs(v) }
