// Package objective defines limits for a clock's bound, and counts how long each limit
// was kept. Limits come from software, from regulations, and from the operator.
package objective

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// An Objective is a limit for the clock's bound.
type Objective struct {
	Name   string
	Limit  float64 // seconds
	Source string  // who sets the limit; empty if the operator does
}

// Profiles are the limits that software and regulations set, each with the document
// that contains it. They apply to the bound of a single node. If a document limits the
// distance between two nodes, each node gets at most half of it.
var Profiles = []Objective{
	{"mifid2-100us", 100e-6, "MiFID II, RTS 25 (EU 2017/574, annex): trading venues, and members that use high-frequency trading"},
	{"mifid2-1ms", 1e-3, "MiFID II, RTS 25 (EU 2017/574, annex): other electronic trading, and venues whose gateways take more than 1 ms"},
	{"mifid2-1s", 1, "MiFID II, RTS 25 (EU 2017/574, annex): voice trading"},
	{"finra-cat", 50e-3, "FINRA rules 6820 (CAT) and 4590: within 50 ms of NIST's time, including transmission and drift"},
	{"cockroachdb", 175e-3, "CockroachDB (cockroachlabs.com/docs, --max-offset, 500 ms): a node stops if it is 400 ms (80 %) from half of the others. 175 ms for each of two nodes leaves 50 ms for the measurement, as in Oxide's omicron"},
	{"yugabytedb", 250e-3, "YugabyteDB (docs.yugabyte.com, max_clock_skew_usec, 500 ms): a server stops if it is further from another"},
	{"ceph", 25e-3, "Ceph (docs.ceph.com, mon_clock_drift_allowed, 0.05 s): HEALTH_WARN if a monitor is further from the leader"},
	{"etcd", 500e-3, "etcd: it logs a warning if the clock of a peer is 1 s off"},
	{"kudu", 10, "Apache Kudu (kudu.apache.org/docs, max_clock_sync_error_usec, 10 s)"},
	{"kerberos", 300, "Kerberos (RFC 4120, clock skew, 5 minutes): compared with the KDC. Its clock is assumed to be accurate"},
	{"aws-api", 300, "AWS: a request whose signature is 5 minutes off is rejected"},
}

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

// Parse reads the name of one of the Profiles, or another objective such as
// orders=20ms.
func Parse(text string) (Objective, error) {
	name, limitText, own := strings.Cut(text, "=")
	if !validName.MatchString(name) {
		return Objective{}, fmt.Errorf("%q is not a name: use letters, digits, dots, hyphens and underscores, as in orders=20ms", name)
	}
	if !own {
		return profile(name)
	}
	limit, err := time.ParseDuration(limitText)
	if err != nil {
		return Objective{}, fmt.Errorf("%q is not a limit: write a duration, as in %s=500ms", limitText, name)
	}
	if limit <= 0 {
		return Objective{}, errors.New("the limit must be above zero")
	}
	return Objective{Name: name, Limit: limit.Seconds()}, nil
}

func profile(name string) (Objective, error) {
	names := make([]string, len(Profiles))
	for i, p := range Profiles {
		if p.Name == name {
			return p, nil
		}
		names[i] = p.Name
	}
	return Objective{}, fmt.Errorf("there is no such profile: choose one of %s, or set a limit, as in %s=500ms", strings.Join(names, ", "), name)
}

// A Class is what is known of the clock in a second.
type Class int

// The classes. Where several apply, the first one counts.
const (
	Contradicted Class = iota // measurements contradict what chronyd claims
	Outside                   // the bound is above the limit, or there is none
	Proven                    // the bound is within the limit, and so is what a UTC witness proves
	Claimed                   // the bound is within the limit
)

// Classes lists all classes.
var Classes = []Class{Contradicted, Outside, Proven, Claimed}

var classNames = [...]string{"contradicted", "outside", "proven", "claimed"}

// String returns the class's name, as in the label of chrony_objective_class_seconds_total.
func (c Class) String() string {
	if c < 0 || int(c) >= len(classNames) {
		return "invalid"
	}
	return classNames[c]
}

// Progress is how long an objective was kept since the watch began.
type Progress struct {
	Objective
	Good    float64    // seconds that had a bound within the limit
	Total   float64    // all seconds
	Classes [4]float64 // observed seconds, by class: each is in one
}

// A Sample is what is known of the clock at one time.
type Sample struct {
	Bound        float64 // seconds; +Inf if there is none
	Witness      float64 // what a UTC witness proves, in seconds; +Inf if there is none
	Contradicted bool    // the state is contradicted
}

// class returns the class of a sample.
func (o *Objective) class(s Sample) Class {
	switch {
	case s.Contradicted:
		return Contradicted
	case !(s.Bound <= o.Limit):
		return Outside
	case s.Witness <= o.Limit:
		return Proven
	default:
		return Claimed
	}
}

// Begin returns the progress of each objective before the first sample: zero.
func Begin(objectives []Objective) []Progress {
	all := make([]Progress, len(objectives))
	for i, o := range objectives {
		all[i].Objective = o
	}
	return all
}

// Add counts the seconds that a sample covers, and the unobserved seconds before it.
func (p *Progress) Add(s Sample, seconds, unobserved float64) {
	if s.Bound <= p.Limit {
		p.Good += seconds
	}
	p.Classes[p.class(s)] += seconds
	p.Total += seconds + unobserved
}
