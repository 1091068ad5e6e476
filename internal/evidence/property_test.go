package evidence

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
)

var histories = flag.Int("histories", 5, "how many random histories to try")

// randomNode makes a history of four days, and one that may begin before the period.
func randomNode(r *rand.Rand, name string) simNode {
	n := simNode{name: name, cluster: "prod", pod: r.IntN(2) == 0}
	born := at(1, r.Float64()*60-24)
	dies := born + 3600 + r.Float64()*5*86400
	if r.IntN(2) == 0 {
		dies = at(9, 0)
	}
	if r.IntN(4) > 0 {
		n.exists = []span{{born, dies}}
	}
	begin := born + r.Float64()*100
	for begin < dies {
		l := simLife{span: span{begin, min(dies, begin+r.ExpFloat64()*86400)}}
		if r.IntN(5) == 0 {
			l.To = min(dies, begin+r.Float64()*600) // it crashes
		}
		at := l.From
		for range r.IntN(4) {
			at += r.ExpFloat64() * 20000
			length := []float64{3, 100, 5000}[r.IntN(3)]
			if at+length > l.To {
				break
			}
			l.spells = append(l.spells, spell{span{float64(int(at-l.From)) + l.From, float64(int(at-l.From+length)) + l.From}, r.IntN(classes + 1)})
			at += length
		}
		n.lives = append(n.lives, l)
		begin = l.To + 1 + r.ExpFloat64()*[]float64{1, 10000}[r.IntN(2)]
	}
	return n
}

// truth sums up what really happened in the period, of what was counted.
func (n simNode) truth(w span) (a Account) {
	for _, l := range n.lives {
		from, to := l.From, l.To
		if from < w.From {
			from = w.From
		}
		to = min(to, w.To)
		if to <= from {
			continue
		}
		begin, _ := l.counted(from)
		end, _ := l.counted(to)
		a.Add(Account{
			Claimed: end[claimed] - begin[claimed], Proven: end[proven] - begin[proven],
			Contradicted: end[contradicted] - begin[contradicted], Outside: end[outside] - begin[outside],
		})
	}
	return a
}

// TestRandomHistories wants, whatever happened: the classes of each node-day to sum up,
// no more good time than there was, no bad time that did not happen, and none lost except
// between the last scrape and the end of a tracker or of the period.
func TestRandomHistories(t *testing.T) {
	for seed := range *histories {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed)+21, 1))
			scrapes := scraper{interval: []float64{15, 30, 60}[r.IntN(3)], phase: float64(r.IntN(15))}
			for range r.IntN(3) {
				from := at(1, r.Float64()*90-5)
				scrapes.outages = append(scrapes.outages, span{from, from + r.Float64()*4*3600})
			}
			var f fakeStore
			nodes := make(map[string]simNode)
			for i := range 3 {
				n := randomNode(r, fmt.Sprintf("node-%d", i))
				nodes[n.name] = n
				scrapes.record(&f, n, at(-1, 0), at(7, 0))
				if r.IntN(4) == 0 { // a second scraper
					other := scrapes
					other.phase, other.replica = scrapes.phase+7, "b"
					other.record(&f, n, at(-1, 0), at(7, 0))
				}
			}
			anchor := span{at(-1, 0), at(9, 0)}
			scrapes.record(&f, simNode{name: "anchor", cluster: "prod", exists: []span{anchor}, lives: lives(anchor)}, at(-1, 0), at(7, 0))
			report := makeReport(t, &f, request(4))
			checkSums(t, report)
			period := span{at(1, 0), at(5, 0)}
			for _, got := range report.Nodes {
				n := nodes[got.Node]
				if got.Node == "anchor" {
					continue
				}
				want := n.truth(period)
				slack := scrapes.interval + 2
				if good, most := got.Claimed+got.Proven, want.Claimed+want.Proven+slack; good > most {
					t.Errorf("%s: %.0f s good, of %.0f s", n.name, good, most)
				}
				if got.Outside > want.Outside+1 || got.Contradicted > want.Contradicted+1 {
					t.Errorf("%s: %.1f s outside, %.1f s contradicted; %.1f s and %.1f s happened", n.name, got.Outside, got.Contradicted, want.Outside, want.Contradicted)
				}
				lost := want.Bad() - got.Bad()
				if unseen := got.Uncovered; lost > unseen+1 {
					t.Errorf("%s: %.1f s bad are missing, and only %.1f s are uncovered", n.name, lost, unseen)
				}
			}
		})
	}
}
