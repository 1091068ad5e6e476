package exporter

import (
	"fmt"
	"slices"
	"strings"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// selectMetrics are fields of chronyd's report SELECT_DATA.
var selectMetrics = []metric{selection()}

// selection makes the line of the table for chronyd's verdict: a number, so that
// the series stays the same when the verdict changes.
func selection() metric {
	var names []string
	for i, state := range chrony.SelectStates {
		names = append(names, fmt.Sprintf("%d %s", i, state.Name))
	}
	m := perSource("selection", "", "Whether chronyd would select the source, and why not, the better the higher: "+strings.Join(names, ", ")+". The letters of chronyc selectdata in its order.",
		func(s *chrony.Source) (float64, bool) {
			if s.Select == nil {
				return 0, false
			}
			i := slices.IndexFunc(chrony.SelectStates, func(state struct {
				chrony.SelectState
				Name string
			}) bool {
				return state.SelectState == s.Select.State
			})
			return float64(i), i >= 0
		})
	m.from, m.since = chrony.WantSelectData, "4.0"
	return m
}
