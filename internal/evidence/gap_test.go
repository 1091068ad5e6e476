package evidence

import "testing"

// TestWholeDaysWithoutData wants days that the store knows nothing about to be gaps: the
// nodes did not cease to exist because nothing was recorded.
func TestWholeDaysWithoutData(t *testing.T) {
	const day = 86400.0
	whole := span{at(-9, 0), at(9, 0)}
	restarted := lives(span{at(-9, 0), at(2, 12)}, span{at(2, 13), at(9, 0)})
	for _, test := range []struct {
		name      string
		outage    span
		lives     []simLife
		listed    bool
		expected  float64
		uncovered float64
	}{
		{"the store begins on the third day", span{at(-9, 0), at(3, 0)}, lives(whole), true, 4 * day, 2 * day},
		{"it begins on the third day, without a list of nodes", span{at(-9, 0), at(3, 0)}, lives(whole), false, 4 * day, 2 * day},
		{"the store ends on the second day", span{at(3, 0), at(9, 0)}, lives(whole), true, 4 * day, 2 * day},
		{"a day is missing, and the tracker restarted", span{at(2, 0), at(3, 0)}, restarted, true, 4 * day, day / 2},
		{"a day is missing, and the tracker ran", span{at(2, 0), at(3, 0)}, lives(whole), true, 4 * day, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			var f fakeStore
			n := simNode{name: "node-1", cluster: "prod", lives: test.lives}
			if test.listed {
				n.exists = []span{whole}
			}
			scraper{interval: 30, phase: 11, outages: []span{test.outage}}.record(&f, n, at(-8, 0), at(7, 0))
			r := request(4)
			r.UTC = false
			report := makeReport(t, &f, r)
			got := nodeOf(t, report, "node-1").Account
			if got.Expected < test.expected-61 || got.Uncovered < test.uncovered-61 || got.Uncovered > test.uncovered+3661 {
				t.Errorf("expected %.0f s, uncovered %.0f s; want %.0f s and %.0f s", got.Expected, got.Uncovered, test.expected, test.uncovered)
			}
			if pass := test.uncovered == 0; pass != (report.Verdict == Pass) {
				t.Errorf("verdict %s: %s", report.Verdict, report.Summary)
			}
			checkSums(t, report)
		})
	}
}
