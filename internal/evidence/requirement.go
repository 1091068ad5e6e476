package evidence

import (
	"github.com/chrony-tracker/chrony-tracker/internal/objective"
)

// A Requirement is where an objective comes from.
type Requirement struct {
	Objective string   `json:"objective"`
	Limit     float64  `json:"limit_seconds"` // 0 if it is unknown
	Source    string   `json:"source"`        // who sets the limit
	UTC       bool     `json:"utc"`           // it asks for traceability to UTC
	Notes     []string `json:"notes"`         // what else it asks for
}

const (
	rts25 = "Commission Delegated Regulation (EU) 2017/574 (RTS 25). Article 4 asks for a system of traceability to UTC, for the exact point at which a timestamp is applied, and for a review at least once a year."
	later = "Article 22c of MiFIR and Delegated Regulation (EU) 2025/1155 may have replaced RTS 25 for your firm. We could not confirm which one applies. Check this before you cite either."
	cat   = "FINRA Rule 6820: business clocks within 50 ms of NIST's time, including the difference between NIST and the provider, transmission delay and drift. Keep a log of synchronization events for at least five years, the first two in an accessible place."
)

// requirements are what the profiles ask for beyond a limit.
var requirements = map[string]struct {
	utc   bool
	notes []string
}{
	"mifid2-100us": {true, []string{rts25, later}},
	"mifid2-1ms":   {true, []string{rts25, later}},
	"mifid2-1s":    {true, []string{rts25, later}},
	"finra-cat":    {true, []string{cat, "FINRA Rule 4590: the same limit for other records, and synchronization each business day before the market opens."}},
}

// NeedsUTC reports whether an objective asks for traceability to UTC.
func NeedsUTC(name string) bool { return requirements[name].utc }

func requirementOf(r Request) Requirement {
	q := Requirement{Objective: r.Objective, UTC: r.UTC, Source: "set by the operator", Notes: requirements[r.Objective].notes}
	if q.Notes == nil {
		q.Notes = []string{}
	}
	for _, p := range objective.Profiles {
		if p.Name == r.Objective {
			q.Limit, q.Source = p.Limit, p.Source
		}
	}
	return q
}
