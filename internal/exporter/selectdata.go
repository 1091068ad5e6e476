package exporter

import (
	"fmt"
	"strings"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// selectMetrics are fields of chronyd's report SELECT_DATA.
var selectMetrics = []metric{selection()}

// selection makes the line of the table for chronyd's verdict: a number, so that
// the series stays the same when the verdict changes.
func selection() metric {
	var names []string
	for _, state := range chrony.SelectStates {
		names = append(names, fmt.Sprintf("%d %s", state.Code, state.Name))
	}
	m := perSource("selection", "", "Whether chronyd would select the source, and why not, the better the higher: "+strings.Join(names, ", ")+". The letters of chronyc selectdata in its order.",
		func(s *chrony.Source) (float64, bool) {
			if s.Select == nil {
				return 0, false
			}
			code := s.Select.State.Code()
			return float64(code), code >= 0
		})
	m.from, m.since = chrony.WantSelectData, "4.0"
	return m
}
