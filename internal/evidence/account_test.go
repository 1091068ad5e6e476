package evidence

import (
	"math"
	"testing"
	"time"
)

var october = time.Date(2025, 10, 1, 0, 0, 0, 0, time.UTC)

// at is a time in October, in seconds since 1970: day 1 at 0:00 is at(1, 0).
func at(day int, hours float64) float64 { return unix(october) + float64(day-1)*86400 + hours*3600 }

func request(days int) Request {
	return Request{Objective: "finra-cat", From: october, To: october.AddDate(0, 0, days), Expected: ExpectedNodes, Target: 1, Coverage: 0.99, UTC: true, Version: "test"}
}

func lives(spans ...span) (all []simLife) {
	for _, s := range spans {
		all = append(all, simLife{span: s})
	}
	return all
}

// TestKnownHistories wants every second in the right class.
func TestKnownHistories(t *testing.T) {
	const day = 86400.0
	whole := []span{{at(-1, 0), at(9, 0)}}
	for _, test := range []struct {
		name     string
		node     simNode
		outages  []span
		replicas int
		want     Account // of three days
		within   float64
	}{
		{"a calm node", simNode{exists: whole, lives: lives(whole...)}, nil, 1,
			Account{Expected: 3 * day, Claimed: 3 * day}, 1},
		{"a node without a list of nodes", simNode{lives: lives(whole...)}, nil, 1,
			Account{Expected: 3 * day, Claimed: 3 * day}, 31},
		{"a restart in the same series", simNode{exists: whole, lives: lives(span{at(-1, 0), at(2, 10)}, span{at(2, 10) + 5, at(9, 0)})}, nil, 1,
			Account{Expected: 3 * day, Claimed: 3*day - 5, Uncovered: 5}, 31},
		{"a pod replaced", simNode{pod: true, exists: whole, lives: lives(span{at(-1, 0), at(2, 10)}, span{at(2, 10) + 5, at(9, 0)})}, nil, 1,
			Account{Expected: 3 * day, Claimed: 3*day - 5, Uncovered: 5}, 31},
		{"a pod replaced right after midnight", simNode{pod: true, exists: whole, lives: lives(span{at(-1, 0), at(2, 0) + 7}, span{at(2, 0) + 9, at(9, 0)})}, nil, 1,
			Account{Expected: 3 * day, Claimed: 3*day - 2, Uncovered: 2}, 31},
		{"a restart in each hour", simNode{exists: whole, lives: hourly()}, nil, 1,
			Account{Expected: 3 * day, Claimed: 3*day - 72*10, Uncovered: 72 * 10}, 72 * 31},
		{"two scrapers", simNode{exists: whole, lives: lives(span{at(-1, 0), at(2, 10)}, span{at(2, 10) + 5, at(9, 0)})}, nil, 2,
			Account{Expected: 3 * day, Claimed: 3*day - 5, Uncovered: 5}, 31},
		{"the store is down for two hours", simNode{exists: whole, lives: lives(whole...)}, []span{{at(2, 5), at(2, 7)}}, 1,
			Account{Expected: 3 * day, Claimed: 3 * day}, 1},
		{"the store is down at midnight", simNode{exists: whole, lives: lives(whole...)}, []span{{at(2, -1), at(2, 1)}}, 1,
			Account{Expected: 3 * day, Claimed: 3 * day}, 1},
		{"the store is down at the beginning", simNode{exists: whole, lives: lives(whole...)}, []span{{at(1, -1), at(1, 1)}}, 1,
			Account{Expected: 3 * day, Claimed: 3 * day}, 1},
		{"the store is down at the end", simNode{exists: whole, lives: lives(whole...)}, []span{{at(4, -1), at(4, 1)}}, 1,
			Account{Expected: 3 * day, Claimed: 3 * day}, 1},
		{"the tracker is down for three hours", simNode{exists: whole, lives: lives(span{at(-1, 0), at(2, 10)}, span{at(2, 13), at(9, 0)})}, nil, 1,
			Account{Expected: 3 * day, Claimed: 3*day - 10800, Uncovered: 10800}, 31},
		{"the tracker dies", simNode{exists: whole, lives: lives(span{at(-1, 0), at(2, 10)})}, nil, 1,
			Account{Expected: 3 * day, Claimed: day + 36000, Uncovered: 2*day - 36000}, 31},
		{"a node joins at noon", simNode{exists: []span{{at(2, 12), at(9, 0)}}, lives: lives(span{at(2, 12) + 40, at(9, 0)})}, nil, 1,
			Account{Expected: 1.5 * day, Claimed: 1.5*day - 40, Uncovered: 40}, 91},
		{"a node of two hours without a tracker", simNode{exists: []span{{at(2, 12.2), at(2, 14.4)}}}, nil, 1,
			Account{Expected: 2.2 * 3600, Uncovered: 2.2 * 3600}, 121},
		{"a node of half an hour without a tracker", simNode{exists: []span{{at(2, 12.2), at(2, 12.7)}}}, nil, 1,
			Account{Expected: 1800, Uncovered: 1800}, 121},
		{"three seconds outside", simNode{exists: whole, lives: []simLife{{whole[0], []spell{{span{at(2, 10) + 5, at(2, 10) + 8}, outside}}}}}, nil, 1,
			Account{Expected: 3 * day, Claimed: 3*day - 3, Outside: 3}, 1},
		{"three seconds outside before a restart", simNode{exists: whole, lives: []simLife{
			{span{at(-1, 0), at(2, 10)}, []spell{{span{at(2, 9.99), at(2, 9.99) + 3}, outside}}}, {span: span{at(2, 10), at(9, 0)}}}}, nil, 1,
			Account{Expected: 3 * day, Claimed: 3*day - 3, Outside: 3}, 31},
		{"every class", simNode{exists: whole, lives: []simLife{{whole[0], []spell{
			{span{at(1, 1), at(1, 2)}, contradicted}, {span{at(1, 2), at(1, 4)}, outside}, {span{at(2, 0), at(3, 0)}, proven}, {span{at(3, 1), at(3, 1.5)}, classes}}}}}, nil, 1,
			Account{Expected: 3 * day, Claimed: 2*day - 3.5*3600, Proven: day, Contradicted: 3600, Outside: 7200, Uncovered: 1800}, 31},
		{"a leap second", simNode{exists: whole, lives: lives(whole...)}, nil, 1,
			Account{Expected: 3 * day, Claimed: 3 * day}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			var f fakeStore
			test.node.name, test.node.cluster = "node-1", "prod"
			steady := simNode{name: "steady", cluster: "prod", exists: whole, lives: lives(whole...)}
			for replica := range test.replicas {
				s := scraper{interval: 30, phase: 11 + 13*float64(replica), outages: test.outages, replica: string(rune('a' + replica))}
				s.record(&f, test.node, at(0, 0), at(5, 0))
				s.record(&f, steady, at(0, 0), at(5, 0))
			}
			report, err := Make(t.Context(), f.start(t), request(3), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if len(report.Failures) > 0 {
				t.Fatal(report.Failures)
			}
			got := nodeOf(t, report, "node-1")
			compareAccounts(t, got.Account, test.want, test.within)
			if bad := test.want.Bad() > 0; bad != (got.Verdict == Fail) || bad != (report.Verdict == Fail) {
				t.Errorf("verdict %s", got.Verdict)
			}
			compareAccounts(t, nodeOf(t, report, "steady").Account, Account{Expected: 3 * day, Claimed: 3 * day}, 1)
			checkSums(t, report)
		})
	}
}

func hourly() (all []simLife) {
	all = lives(span{at(-1, 0), at(1, 0) + 1000})
	for begin := at(1, 0) + 1010; begin < at(9, 0); begin += 3600 {
		all = append(all, simLife{span: span{begin, begin + 3590}})
	}
	return all
}

func nodeOf(t testing.TB, r *Report, name string) Node {
	t.Helper()
	for _, n := range r.Nodes {
		if n.Node == name {
			return n
		}
	}
	t.Fatalf("no node %s in %v", name, r.Nodes)
	return Node{}
}

func compareAccounts(t *testing.T, got, want Account, within float64) {
	t.Helper()
	for _, x := range []struct {
		name      string
		got, want float64
	}{
		{"expected", got.Expected, want.Expected}, {"claimed", got.Claimed, want.Claimed}, {"proven", got.Proven, want.Proven},
		{"contradicted", got.Contradicted, want.Contradicted}, {"outside", got.Outside, want.Outside}, {"uncovered", got.Uncovered, want.Uncovered},
	} {
		limit := within
		if x.name == "contradicted" || x.name == "outside" {
			limit = 1
		}
		if math.Abs(x.got-x.want) > limit {
			t.Errorf("%s: %.3f s, want %.3f s", x.name, x.got, x.want)
		}
	}
}

// checkSums wants the classes of each node-day to sum up, and the excursions to have all
// bad seconds.
func checkSums(t *testing.T, r *Report) {
	t.Helper()
	for _, d := range r.Days {
		if sum := d.Claimed + d.Proven + d.Contradicted + d.Outside + d.Uncovered; math.Abs(sum-d.Expected) > 1e-6 {
			t.Errorf("%s %v: the classes sum up to %.6f, want %.6f", d.Node, d.Day, sum, d.Expected)
		}
	}
	var bad float64
	for _, e := range r.Excursions {
		bad += e.Seconds()
	}
	if math.Abs(bad-r.Totals.Bad()) > 1 {
		t.Errorf("the excursions have %.3f s, want %.3f s", bad, r.Totals.Bad())
	}
}
