package witness

import (
	"math"
	"strings"
	"testing"
)

// votes returns standings: c contradicts, a agrees, - has no vote. Those that contradict
// find the clock 0.3 s off ± 0.1 s.
func votes(text string) []*standing {
	var all []*standing
	for _, c := range text {
		s := &standing{measurement: measurement{offset: 0.001, uncertainty: 0.001, boot: 1}}
		switch c {
		case 'a':
			s.vote = agrees
		case 'c':
			s.vote, s.offset, s.uncertainty = contradicts, -0.3, 0.1
		}
		all = append(all, s)
	}
	return all
}

func TestJudgeServers(t *testing.T) {
	for _, test := range []struct {
		votes string
		want  Verdict
	}{
		{"", Unproven}, {"-", Unproven}, {"--", Unproven},
		{"a", Consistent}, {"aa", Consistent}, {"a-", Consistent},
		{"c", Disputed}, {"c-", Disputed}, {"c--", Disputed},
		{"ac", Consistent}, {"cc", Contradicted}, {"cc-", Contradicted},
		{"acc", Contradicted}, {"aac", Consistent}, {"aacc", Consistent}, {"accc", Contradicted},
	} {
		verdict, far := judgeServers(Reading{Boot: 1}, 0, votes(test.votes))
		if against := test.want == Contradicted || test.want == Disputed; verdict != test.want || (far > 0) != against || against && math.Abs(far-0.4) > 1e-9 {
			t.Errorf("%q: %v, %v s", test.votes, verdict, far)
		}
	}
}

func TestJudgePeers(t *testing.T) {
	for _, test := range []struct {
		votes string
		want  Verdict
	}{
		{"", Unproven}, {"c", Unproven}, {"cc-", Unproven}, {"cc------", Unproven}, {"aa------", Unproven},
		{"cc", Contradicted}, {"ac", Consistent}, // a fleet of three
		{"ccc", Contradicted}, {"acc", Contradicted}, {"aac", Consistent},
		{"aaaacccc", Consistent}, {"aaaccccc", Contradicted}, {"acc-----", Contradicted}, {"aaaaaaac", Consistent},
	} {
		p := newPanel()
		p.members = votes(test.votes)
		p.judge(Reading{Boot: 1}, 0)
		if against := test.want == Contradicted; p.verdict != test.want || (p.far > 0) != against {
			t.Errorf("%q: %v, %v s", test.votes, p.verdict, p.far)
		}
		counts := p.counts(Reading{Boot: 1})
		if counts[Consistent] != strings.Count(test.votes, "a") || counts[Contradicted] != strings.Count(test.votes, "c") || counts[Unproven] != strings.Count(test.votes, "-") {
			t.Errorf("%q: %v", test.votes, counts)
		}
	}
}

// TestOneNodeOneVote wants a node with two addresses not to outvote this one.
func TestOneNodeOneVote(t *testing.T) {
	p := newPanel()
	p.members = votes("ccaa")
	for i, node := range []uint32{7, 7, 8, 9} {
		p.members[i].node = node
	}
	if against, all, _ := count(Reading{Boot: 1}, 0, 0, p.members); against != 1 || all != 3 {
		t.Errorf("%d of %d", against, all)
	}
	p.members = p.members[:2]
	if p.judge(Reading{Boot: 1}, 0); p.verdict != Unproven {
		t.Error(p.verdict)
	}
}

// TestStanding plays what one UTC witness answers, and wants its vote after each.
func TestStanding(t *testing.T) {
	results := map[rune]Result{
		'a': Agrees, 'c': Contradicts, '-': NoAnswer, 'm': Mismatched, 'u': Unsynchronized, 'r': RateLimited, 'b': NoBound, 'l': LeapSecond, 'j': Jumped,
	}
	for _, test := range []struct{ heard, votes string }{
		{"aaa", "aaa"},
		{"cccc", "--cc"},
		{"ccacc", "--aaa"},
		{"acccca", "aaacca"},
		{"a---a", "aa" + "a-a"},
		{"ammm", "aaa-"},
		{"ccc---", "--ccc-"},
		{"au", "a-"}, {"cccu", "--c-"}, {"ar", "a-"}, {"ab", "a-"}, {"al", "a-"}, {"aj", "aa"},
		{"cclcc", "-----"},
		{"aJ", "a-"}, {"aJa", "a-a"}, {"aJcc", "a---"}, {"aJccc", "a---c"}, {"cccJccc", "--c---c"}, // J: this clock jumps
	} {
		now := Reading{Boot: 1}
		var s standing
		var got strings.Builder
		for _, c := range test.heard {
			now.Boot++
			if c == 'J' {
				now.Jumps++
			} else {
				s.hear(&report{result: results[c], measurement: measurement{boot: now.Boot, jumps: now.Jumps}}, confirmations)
			}
			vote := s.vote
			if !s.valid(now, 0) {
				vote = none
			}
			got.WriteByte("-ac"[vote])
		}
		if got.String() != test.votes {
			t.Errorf("%s: %s, want %s", test.heard, got.String(), test.votes)
		}
	}
}

// TestPanelAsksAll wants a new contradiction to make old answers void, so that they do
// not outvote it.
func TestPanelAsksAll(t *testing.T) {
	p := newPanel()
	p.members = votes("aaaaaaaa")
	p.judge(Reading{Boot: 10}, 0)
	if p.verdict != Consistent {
		t.Fatal(p.verdict)
	}
	against := func(boot int64) *report {
		return &report{result: Contradicts, measurement: measurement{offset: 28, boot: boot}}
	}
	if !p.hear(3, against(20)) {
		t.Fatal("a contradiction is no news")
	}
	p.judge(Reading{Boot: 20}, 0)
	if p.verdict != Consistent {
		t.Errorf("%v before the others have answered", p.verdict)
	}
	round := map[int]*report{}
	for i := range 5 {
		round[i] = against(30)
	}
	p.hearAll(25, round) // three don't answer
	p.judge(Reading{Boot: 30}, 0)
	if p.verdict != Contradicted || p.far != 28 {
		t.Errorf("%v, %v", p.verdict, p.far)
	}
	if p.hear(7, against(40)) {
		t.Error("another contradiction is news")
	}
	agrees := &report{result: Agrees, measurement: measurement{boot: 50}}
	if !p.hear(0, agrees) || p.hear(0, agrees) {
		t.Error("the first answer that agrees again is no news, or the second one is")
	}
	for i := range 8 {
		round[i] = &report{result: Agrees, measurement: measurement{boot: 60}}
	}
	p.hearAll(55, round)
	p.judge(Reading{Boot: 60}, 0)
	if p.verdict != Consistent {
		t.Error(p.verdict)
	}
}

// TestLostAnswers wants lost packets neither to decide against the clock, nor to let old
// answers speak for it.
func TestLostAnswers(t *testing.T) {
	for _, test := range []struct {
		against, agree int // of eight that are asked again
		want           Verdict
	}{
		{8, 0, Contradicted}, {5, 0, Contradicted}, {5, 3, Contradicted},
		{4, 0, Unproven}, {2, 0, Unproven}, {1, 0, Unproven}, {3, 2, Unproven},
		{1, 2, Consistent}, {4, 4, Consistent}, {0, 0, Unproven},
	} {
		p := newPanel()
		p.members = votes("aaaaaaaa")
		p.judge(Reading{Boot: 10}, 0)
		if !p.hear(7, &report{result: Contradicts, measurement: measurement{offset: 28, boot: 20}}) {
			t.Fatal("no news")
		}
		p.members[7].boot = 10 // it does not answer again, unless all do
		round := map[int]*report{}
		for i := range test.against + test.agree {
			r := &report{result: Contradicts, measurement: measurement{offset: 28, boot: 30}}
			if i >= test.against {
				r.result = Agrees
			}
			round[i] = r
		}
		p.hearAll(25, round)
		if p.judge(Reading{Boot: 30}, 0); p.verdict != test.want {
			t.Errorf("%d against, %d agree: %v, want %v", test.against, test.agree, p.verdict, test.want)
		}
	}
}

// TestLiarIsNoNews wants a peer that always contradicts to cause one round only, and one
// that changes its mind all the time a limited number.
func TestLiarIsNoNews(t *testing.T) {
	for _, test := range []struct {
		says func(n int) Result
		most int
	}{
		{func(int) Result { return Contradicts }, 1},
		{func(n int) Result { return []Result{Agrees, Contradicts}[n%2] }, 4 + 3600/64 + 1},
	} {
		p := newPanel()
		p.members = votes("aaaaaaaa")
		rounds := 0
		for n := range 900 { // an hour
			now := int64(n+1) * int64(peerSpacing)
			if p.hear(0, &report{result: test.says(n), measurement: measurement{offset: 9, boot: now}}) {
				rounds++
				round := map[int]*report{}
				for i := 1; i < 8; i++ {
					round[i] = &report{result: Agrees, measurement: measurement{boot: now + 1}}
				}
				p.hearAll(now, round)
			}
			p.judge(Reading{Boot: now + 2}, 0)
			if p.verdict == Contradicted {
				t.Fatal("one of eight is enough")
			}
		}
		if rounds > test.most {
			t.Errorf("%d rounds in an hour", rounds)
		}
	}
}

// TestDisagreement wants two peers at least to show it.
func TestDisagreement(t *testing.T) {
	p := newPanel()
	p.members = votes("aaa-")
	for i, excess := range []float64{0, 0.3, 0.0002, 5} {
		p.members[i].excess = excess
	}
	if got := p.disagreement(Reading{Boot: 1}); got != 0.0002 {
		t.Error(got)
	}
	p.members = p.members[:1]
	if got := p.disagreement(Reading{Boot: 1}); got != 0 {
		t.Error(got)
	}
}

// TestLeastBound wants the bound to grow with age and slews, and to end with a jump.
func TestLeastBound(t *testing.T) {
	all := votes("ac-")
	all[2].boot = 0 // it never answered
	for _, test := range []struct {
		now  Reading
		want float64
	}{
		{Reading{Boot: 1}, 0.002},
		{Reading{Boot: 1 + 100e9}, 0.002 + 100*50e-6},
		{Reading{Boot: 1, Moved: 0.1}, 0.102},
		{Reading{Boot: 1, Moved: 0.3}, 0.1}, // the other one is better now
		{Reading{Boot: 1, Jumps: 1}, math.Inf(1)},
	} {
		if got := leastBound(test.now, 50e-6, all); math.Abs(got-test.want) > 1e-8 && got != test.want {
			t.Errorf("%+v: %v, want %v", test.now, got, test.want)
		}
	}
}

func TestNames(t *testing.T) {
	for _, v := range Verdicts {
		if text, err := v.MarshalText(); err != nil || string(text) != v.String() || v.String() == "invalid" {
			t.Error(v)
		}
	}
	if Verdict(-1).String() != "invalid" || Verdict(9).String() != "invalid" {
		t.Error("a verdict that does not exist has a name")
	}
}
