package exporter

import (
	"fmt"
	"strings"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// selectMetrics are fields of chronyd's selectdata report.
var selectMetrics = []metric{selection()}

// selection returns the metric for chronyd's selection of a source. The state is a
// number, so that the series stays the same when the state changes.
func selection() metric {
	var names []string
	for _, state := range chrony.SelectStates {
		names = append(names, fmt.Sprintf("%d %s", state.Code, state.Name))
	}
	m := perSource("selection", "", "chronyd's selection state of the source. A higher number is better: "+strings.Join(names, ", ")+". Absent if chronyd does not give the report.",
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
