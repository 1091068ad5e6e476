package status

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/witness"
)

// Witnesses are what others measure of this clock, without chronyd.
type Witnesses struct {
	UTC        *UTCWitnesses  `json:"utc"`   // null without UTC servers
	Peers      *PeerWitnesses `json:"peers"` // null without peers
	Actionable Actionable     `json:"actionable"`
}

// UTCWitnesses are NTP servers that chronyd does not use.
type UTCWitnesses struct {
	Verdict string          `json:"verdict"`
	Text    string          `json:"text"`
	Bound   *float64        `json:"bound_seconds"` // takes no chronyd
	By      *string         `json:"bound_by"`      // the server that proves it
	Far     *float64        `json:"far_seconds"`   // what the bound was raised to
	Servers []WitnessServer `json:"servers"`
}

// A WitnessServer is one of them. Its offset is above zero if this clock is ahead.
type WitnessServer struct {
	Name        string     `json:"name"`
	Result      *string    `json:"result"` // of the last probe
	Text        string     `json:"text"`
	Error       *string    `json:"error"` // of the last probe
	ResultTime  *time.Time `json:"result_time"`
	Contradicts bool       `json:"contradicts"`
	Offset      *float64   `json:"offset_seconds"`
	Uncertainty *float64   `json:"uncertainty_seconds"`
	Age         *float64   `json:"age_seconds"` // of the measurement
}

// PeerWitnesses are the trackers of other nodes.
type PeerWitnesses struct {
	Verdict      string         `json:"verdict"`
	Text         string         `json:"text"`
	Far          *float64       `json:"far_seconds"`
	Authentic    bool           `json:"authentic"`
	Counts       map[string]int `json:"peers"`     // by verdict
	Addresses    int            `json:"addresses"` // that the DNS has, without this node's own
	LookupError  *string        `json:"lookup_error"`
	Disagreement float64        `json:"disagreement_seconds"`
}

// Actionable is what programs act on, such as the readiness gate: without peers that do
// not prove who they are, unless these are trusted.
type Actionable struct {
	State string   `json:"state"`
	Bound *float64 `json:"bound_seconds"`
}

// newWitnesses returns nil without witnesses.
func newWitnesses(found *witness.Findings, at time.Time, actionable clockerror.Estimate) *Witnesses {
	if found == nil {
		return nil
	}
	w := &Witnesses{Actionable: Actionable{actionable.State.String(), finite(actionable.Bound)}}
	if f := found.UTC; f != nil {
		w.UTC = newUTCWitnesses(f, at)
	}
	if f := found.Peers; f != nil {
		w.Peers = newPeerWitnesses(f)
	}
	w.reword()
	return w
}

// UnmarshalJSON reads what a tracker has reported. The texts are this program's own,
// whatever the tracker wrote.
func (w *Witnesses) UnmarshalJSON(text []byte) error {
	type plain Witnesses
	if err := json.Unmarshal(text, (*plain)(w)); err != nil {
		return err
	}
	w.reword()
	return nil
}

// reword puts everything into words.
func (w *Witnesses) reword() {
	if w.UTC != nil {
		w.UTC.Text = w.utcText()
		for i := range w.UTC.Servers {
			w.UTC.Servers[i].Text = w.UTC.Servers[i].words()
		}
	}
	if w.Peers != nil {
		w.Peers.Text = w.peerText()
	}
}

func newUTCWitnesses(f *witness.ServerFindings, at time.Time) *UTCWitnesses {
	w := &UTCWitnesses{Verdict: f.Verdict.String(), Bound: finite(f.Bound), Far: aboveZero(f.Far), Servers: make([]WitnessServer, len(f.Servers))}
	least := math.Inf(1)
	for i, server := range f.Servers {
		w.Servers[i] = newWitnessServer(server, at)
		if proves := math.Abs(server.Offset) + server.Uncertainty; server.Measured && w.Bound != nil && proves < least {
			least, w.By = proves, &w.Servers[i].Name
		}
	}
	return w
}

func newWitnessServer(f witness.Server, at time.Time) WitnessServer {
	s := WitnessServer{Name: f.Name, ResultTime: timeOrNone(f.LastAt.UTC()), Contradicts: f.Contradicts}
	if f.Last != "" {
		result := string(f.Last)
		s.Result = &result
	}
	if f.Err != nil {
		text := f.Err.Error()
		s.Error = &text
	}
	if f.Measured {
		age := max(0, at.Sub(f.At).Seconds())
		s.Offset, s.Uncertainty, s.Age = &f.Offset, &f.Uncertainty, &age
	}
	return s
}

func newPeerWitnesses(f *witness.PeerFindings) *PeerWitnesses {
	w := &PeerWitnesses{
		Verdict: f.Verdict.String(), Far: aboveZero(f.Far), Authentic: f.Authentic,
		Counts: make(map[string]int), Addresses: f.Addresses, Disagreement: f.Disagreement,
	}
	for verdict, n := range f.Peers {
		w.Counts[verdict.String()] = n
	}
	if f.Lookup != nil {
		text := f.Lookup.Error()
		w.LookupError = &text
	}
	return w
}

func aboveZero(v float64) *float64 {
	if v > 0 {
		return finite(v)
	}
	return nil
}

// The verdicts, as the API has them.
var (
	consistent   = witness.Consistent.String()
	disputed     = witness.Disputed.String()
	contradicted = witness.Contradicted.String()
	unproven     = witness.Unproven.String()
)

// Testimony returns what the witnesses add to an observation of the clock.
func (w *Witnesses) Testimony() (all []clockerror.Testimony) {
	if w == nil {
		return nil
	}
	if w.UTC != nil && w.UTC.Far != nil {
		all = append(all, clockerror.Testimony{Far: *w.UTC.Far, Settled: w.UTC.Verdict == contradicted})
	}
	if w.Peers != nil && w.Peers.Far != nil {
		all = append(all, clockerror.Testimony{Far: *w.Peers.Far, Settled: w.Peers.Verdict == contradicted})
	}
	return all
}

// Contradicting names the witnesses that outvote the clock. It is empty if none do.
func (w *Witnesses) Contradicting() string {
	var names []string
	if w != nil && w.UTC != nil && w.UTC.Verdict == contradicted {
		names = append(names, kindNames[string(witness.UTC)])
	}
	if w != nil && w.Peers != nil && w.Peers.Verdict == contradicted {
		names = append(names, kindNames[string(witness.Peer)])
	}
	return strings.Join(names, " and ")
}

// kindNames are the kinds of witnesses, in words.
var kindNames = map[string]string{string(witness.UTC): "UTC servers", string(witness.Peer): "peers"}

// Disputes reports whether the only UTC server that answers contradicts the clock.
func (w *Witnesses) Disputes() bool { return w != nil && w.UTC != nil && w.UTC.Verdict == disputed }

// Proof is what a UTC server proves without chronyd: "within 14 ms", and by whom. It is
// empty if none does, and while servers contradict the clock or each other.
func (w *Witnesses) Proof() (within, by string) {
	if w == nil || w.UTC == nil || w.UTC.Bound == nil || w.UTC.By == nil {
		return "", ""
	}
	if w.UTC.Verdict != consistent && w.UTC.Verdict != unproven {
		return "", ""
	}
	return "within " + Seconds(*w.UTC.Bound), *w.UTC.By
}

// verdictTones are those of the verdicts. Without a proof, nothing is known.
var verdictTones = map[string]Tone{consistent: OK, disputed: Warning, contradicted: Bad}

// toneOf is also that of verdicts of another version.
func toneOf(verdict string) Tone {
	if tone, known := verdictTones[verdict]; known {
		return tone
	}
	return Unknown
}

// Tone is the color of the verdict.
func (u *UTCWitnesses) Tone() Tone { return toneOf(u.Verdict) }

// Tone is the color of the verdict.
func (p *PeerWitnesses) Tone() Tone { return toneOf(p.Verdict) }

// against counts the servers that contradict the bound.
func (u *UTCWitnesses) against() (n int, names []string) {
	for _, s := range u.Servers {
		if s.Contradicts {
			n, names = n+1, append(names, s.Name)
		}
	}
	return n, names
}

const noBoundToCheck = "this clock has no bound to check"

// utcText is the verdict of the UTC servers, in words.
func (w *Witnesses) utcText() string {
	n, names := w.UTC.against()
	who, all := strings.Join(names, ", "), len(w.UTC.Servers)
	switch w.UTC.Verdict {
	case contradicted:
		return fmt.Sprintf("%d of %d UTC servers contradict the bound: %s", n, all, who)
	case disputed:
		return "the only UTC server that answers contradicts the bound: " + who + ". It is unknown which one is wrong"
	case consistent:
		if n > 0 {
			return fmt.Sprintf("most UTC servers agree with the bound. A minority of %d contradicts it: %s", n, who)
		}
		return "the UTC servers that answer agree with the bound"
	}
	if w.Actionable.Bound == nil {
		return noBoundToCheck
	}
	return "no UTC server gives a measurement: nothing confirms this clock but chronyd"
}

// peerText is the verdict of the peers, in words.
func (w *Witnesses) peerText() string {
	p := w.Peers
	agreeing, against := p.Counts[consistent], p.Counts[contradicted]
	answering, asked := agreeing+against, 0
	for _, n := range p.Counts {
		asked += n
	}
	switch {
	case p.Verdict == contradicted:
		text := fmt.Sprintf("%d of the %d peers that answer contradict the bound", against, answering)
		if !p.Authentic {
			text += ". They do not prove who they are: they have no key"
		}
		return text
	case p.Verdict == consistent && against > 0:
		return fmt.Sprintf("%d of the %d peers that answer agree with the bound, and %d contradict it", agreeing, answering, against)
	case p.Verdict == consistent:
		return fmt.Sprintf("%d of %d peers answer, and agree with the bound. This does not show that they are close to UTC", agreeing, asked)
	case p.Addresses == 0 && p.LookupError != nil:
		return "the peers can't be looked up: " + *p.LookupError
	case p.Addresses == 0:
		return "the DNS has no address of a peer"
	case w.Actionable.Bound == nil:
		return noBoundToCheck
	case against > 0:
		return fmt.Sprintf("%d of %d peers contradict the bound, but too few have answered to decide", against, asked)
	case answering == 0:
		return fmt.Sprintf("none of %d peers answers with a measurement", asked)
	default:
		return fmt.Sprintf("%d of %d peers answer: too few to judge this clock", answering, asked)
	}
}

// A probed is how one probe of a witness ended, in words.
type probed struct {
	text string
	tone Tone
}

// results has the words of each result.
var results = map[witness.Result]probed{
	witness.Agrees:         {"agrees with the bound", OK},
	witness.Contradicts:    {"contradicts the bound", Bad},
	witness.NoAnswer:       {"does not answer", Warning},
	witness.Failed:         {"can't be asked", Warning},
	witness.Malformed:      {"does not send a valid NTP reply", Warning},
	witness.Mismatched:     {"its reply does not belong to the request: it is forged or replayed", Warning},
	witness.Unauthentic:    {"the authentication of its reply failed", Warning},
	witness.Unsynchronized: {"is not synchronized itself", Warning},
	witness.RateLimited:    {"wants fewer requests", Warning},
	witness.Denied:         {"refuses requests", Warning},
	witness.Distant:        {"the measurement is too uncertain: above 1 s", Warning},
	witness.OtherEra:       {"its time is in another era of NTP", Warning},
	witness.Impossible:     {"its timestamps are impossible", Warning},
	witness.Jumped:         {"this clock jumped during the exchange", Warning},
	witness.Self:           {"this tracker itself answered", Warning},
	witness.LeapSecond:     {"may smear a leap second: not counted", Warning},
	witness.NoBound:        {"answers, but " + noBoundToCheck, Unknown},
}

// Tone is the color of the server's last result.
func (s WitnessServer) Tone() Tone {
	switch {
	case s.Contradicts:
		return Bad
	case s.Result == nil:
		return Unknown
	}
	if known, ok := results[witness.Result(*s.Result)]; ok {
		return known.tone
	}
	return Unknown
}

// words are the last result with its cause.
func (s WitnessServer) words() string {
	if s.Result == nil {
		return "not asked yet"
	}
	known, ok := results[witness.Result(*s.Result)]
	if !ok { // of another version
		return fmt.Sprintf("unknown result %q", *s.Result)
	}
	if s.Error != nil {
		return known.text + ": " + *s.Error
	}
	return known.text
}

// Measurement is the offset with its uncertainty.
func (s WitnessServer) Measurement() string {
	if s.Offset == nil || s.Uncertainty == nil {
		return "unknown"
	}
	return Signed(*s.Offset) + " ± " + Seconds(*s.Uncertainty)
}

// MeasuredAgo is when that was measured.
func (s WitnessServer) MeasuredAgo() string {
	if s.Age == nil {
		return "never"
	}
	return Duration(*s.Age) + " ago"
}

// Rows are what the witnesses say.
func (w *Witnesses) Rows() (rows []Row) {
	if w == nil {
		return nil
	}
	if u := w.UTC; u != nil {
		rows = append(rows, Row{Label: "UTC servers", Value: u.Verdict, Note: u.Text})
		for _, s := range u.Servers {
			note := s.Text
			if s.Offset != nil {
				note = s.Measurement() + ", " + s.MeasuredAgo() + "; " + note
			}
			rows = append(rows, Row{Label: "server", Value: s.Name, Note: note})
		}
	}
	if w.Peers != nil {
		rows = append(rows, Row{Label: "peers", Value: w.Peers.Verdict, Note: w.Peers.Text})
	}
	return append(rows, w.PeerFacts()...)
}

// PeerFacts are the numbers behind the verdict of the peers.
func (w *Witnesses) PeerFacts() (rows []Row) {
	p := w.Peers
	if p == nil {
		return nil
	}
	if asked := p.Counts[consistent] + p.Counts[contradicted] + p.Counts[unproven]; asked > 0 {
		rows = append(rows, Row{
			Label: "asked", Value: fmt.Sprintf("%d peers", asked),
			Note: fmt.Sprintf("%d agree, %d contradict, %d without an answer that counts; %d known addresses",
				p.Counts[consistent], p.Counts[contradicted], p.Counts[unproven], p.Addresses),
		})
	}
	if p.Disagreement > 0 {
		rows = append(rows, Row{Label: "disagreement", Value: Seconds(p.Disagreement), Note: "at least two peers differ from this clock by that much more than all bounds allow"})
	}
	if acted := w.ignoredNote(); acted != "" {
		rows = append(rows, Row{Label: "gate", Value: w.Actionable.State, Note: acted})
	}
	return rows
}

// ignoredNote says that programs act on less than all witnesses say. It is empty if they
// don't.
func (w *Witnesses) ignoredNote() string {
	if w.Peers == nil || w.Peers.Authentic || w.Peers.Verdict != contradicted || w.Actionable.State == contradicted {
		return ""
	}
	return "programs that act on the clock, such as the gate, ignore peers without a key: see --witness.trust-peers"
}
