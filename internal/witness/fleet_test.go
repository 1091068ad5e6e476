package witness

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// A simulatedNode has a clock that is off by error, and claims a bound. A liar claims
// the bound all the same.
type simulatedNode struct {
	panel
	peers      []int32
	error      float64 // seconds
	bound      float64
	liar       bool
	contradict int // rounds in which it was contradicted
}

// A simulatedFleet is one where packets get lost and delays are lopsided.
type simulatedFleet struct {
	nodes     []simulatedNode
	loss      float64 // of each exchange
	lopsided  float64 // seconds that one direction may take longer
	exchanges [2]uint64
}

const simulatedTolerance = 1e-3

// newSimulatedFleet makes a share of the nodes liars, each by 300 ms or more.
func newSimulatedFleet(n int, liars float64, random *rand.Rand) *simulatedFleet {
	f := &simulatedFleet{nodes: make([]simulatedNode, n), loss: 0.3, lopsided: 50e-3}
	for i := range f.nodes {
		node := &f.nodes[i]
		node.panel = newPanel()
		node.bound = 50e-6 * math.Pow(100, random.Float64()) // up to 5 ms
		node.error = node.bound * (2*random.Float64() - 1)
		if random.Float64() < liars {
			node.lie(random)
		}
		for len(node.peers) < mostPeers {
			if peer := int32(random.IntN(n)); int(peer) != i && !contains(node.peers, peer) {
				node.peers = append(node.peers, peer)
				node.members = append(node.members, &standing{})
			}
		}
	}
	return f
}

func (n *simulatedNode) lie(random *rand.Rand) {
	n.liar, n.error = true, 0.3+random.Float64()
	if random.IntN(2) == 0 {
		n.error = -n.error
	}
}

func contains(all []int32, one int32) bool {
	for _, v := range all {
		if v == one {
			return true
		}
	}
	return false
}

// ask is one exchange of a node with a peer, with its retries.
func (f *simulatedFleet) ask(n *simulatedNode, peer int32, now int64, random *rand.Rand) report {
	to := &f.nodes[peer]
	for range peerAttempts {
		if random.Float64() < f.loss {
			continue
		}
		there, back := 100e-6+1e-3*random.Float64(), 100e-6+1e-3*random.Float64()
		if random.IntN(2) == 0 {
			there += f.lopsided * random.Float64()
		} else {
			back += f.lopsided * random.Float64()
		}
		m := measurement{boot: now, offset: n.error - to.error - (there-back)/2, uncertainty: (there+back)/2 + to.bound}
		r := report{result: Agrees, measurement: m}
		if clockerror.Measured(m.offset, m.uncertainty).Excludes(n.bound + simulatedTolerance) {
			r.result = Contradicts
		}
		return r
	}
	return report{result: NoAnswer}
}

// round lets each node ask one peer, and all of them if there is news. The nodes are
// shared by two goroutines; nobody changes what others read.
func (f *simulatedFleet) round(number int, randoms [2]*rand.Rand) {
	var work sync.WaitGroup
	half := len(f.nodes) / 2
	for part, nodes := range [][]simulatedNode{f.nodes[:half], f.nodes[half:]} {
		work.Go(func() {
			for i := range nodes {
				f.exchanges[part] += nodes[i].round(f, number, randoms[part])
			}
		})
	}
	work.Wait()
}

func (n *simulatedNode) round(f *simulatedFleet, number int, random *rand.Rand) (exchanges uint64) {
	now := int64(number+1) * int64(peerSpacing)
	i := number % mostPeers
	r := f.ask(n, n.peers[i], now, random)
	exchanges = 1
	if n.hear(i, &r) {
		round := make(map[int]*report, mostPeers)
		for i, peer := range n.peers {
			r := f.ask(n, peer, now+1, random)
			round[i] = &r
		}
		n.hearAll(now+1, round)
		exchanges += mostPeers
	}
	n.judge(Reading{Boot: now + 2}, 50e-6)
	if n.verdict == Contradicted {
		n.contradict++
	}
	return exchanges
}

// liars returns how many of its peers lie.
func (n *simulatedNode) liars(f *simulatedFleet) (liars int) {
	for _, peer := range n.peers {
		if f.nodes[peer].liar {
			liars++
		}
	}
	return liars
}

// binomial returns the probability of at least so many of all.
func binomial(least, all int, each float64) (p float64) {
	for k := least; k <= all; k++ {
		ways := 1.0
		for i := range k {
			ways *= float64(all-i) / float64(i+1)
		}
		p += ways * math.Pow(each, float64(k)) * math.Pow(1-each, float64(all-k))
	}
	return p
}

// TestOneLiar wants a single liar to be named by its own node within three rounds, and
// nobody else, whatever the size of the fleet.
func TestOneLiar(t *testing.T) {
	for _, size := range []int{9, 100, 5000} {
		late := 0
		fleets := uint64(max(1, 5000/size/20))
		for seed := range fleets {
			randoms := [2]*rand.Rand{rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))}
			f := newSimulatedFleet(size, 0, randoms[0])
			for n := range 16 {
				f.round(n, randoms)
			}
			liar := &f.nodes[randoms[0].IntN(size)]
			liar.lie(randoms[0])
			for n := 16; n < 19; n++ {
				f.round(n, randoms)
			}
			if liar.contradict == 0 {
				late++
			}
			for i := range f.nodes {
				if n := &f.nodes[i]; n != liar && n.contradict > 0 {
					t.Errorf("%d nodes: the honest node %d is contradicted", size, i)
				}
			}
		}
		if late > 0 {
			t.Errorf("%d nodes: in %d fleets, the liar is not named after three rounds", size, late)
		}
	}
}

// TestManyLiars wants honest nodes to be contradicted only if most of their peers lie.
func TestManyLiars(t *testing.T) {
	const nodes, liars = 5000, 0.05
	rounds := 10_000
	if testing.Short() || raceEnabled {
		rounds = 100
	}
	randoms := [2]*rand.Rand{rand.New(rand.NewPCG(1, 1)), rand.New(rand.NewPCG(1, 2))}
	f := newSimulatedFleet(nodes, liars, randoms[0])
	for n := range rounds {
		f.round(n, randoms)
	}
	var honest, majority, half, contradicted, wrongly, named, lying int
	for i := range f.nodes {
		n := &f.nodes[i]
		facing := n.liars(f)
		switch {
		case n.liar:
			lying++
			if n.contradict > 0 {
				named++
			}
			continue
		case 2*facing > mostPeers:
			majority++
		case 2*facing == mostPeers:
			half++
		}
		honest++
		if n.contradict > 0 {
			contradicted++
			if 2*facing < mostPeers {
				wrongly++
			}
		}
	}
	rate := float64(f.exchanges[0]+f.exchanges[1]) / float64(nodes*rounds) / peerSpacing.Seconds()
	t.Logf("%d rounds of %d nodes, %d of them liars, %d named by their own node", rounds, nodes, lying, named)
	t.Logf("%d of %d honest nodes were contradicted", contradicted, honest)
	t.Logf("%d face a lying majority; the binomial distribution expects %.2f", majority, nodes*(1-liars)*binomial(mostPeers/2+1, mostPeers, liars))
	t.Logf("%d face liars in half of their peers; it expects %.2f", half, nodes*(1-liars)*(binomial(mostPeers/2, mostPeers, liars)-binomial(mostPeers/2+1, mostPeers, liars)))
	t.Logf("%.4f exchanges per second and node", rate)
	if wrongly > 0 {
		t.Errorf("%d honest nodes were contradicted though most of their peers are honest", wrongly)
	}
	if named < lying*99/100 {
		t.Errorf("%d of %d liars are not named", lying-named, lying)
	}
	if rate > 0.26 {
		t.Errorf("%.3f exchanges per second and node", rate)
	}
}
