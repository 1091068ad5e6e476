package doctor

import (
	"errors"
	"fmt"
	"strings"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/status"
	"github.com/chrony-tracker/chrony-tracker/internal/witness"
)

// checkWitnesses reports how the tracker's witnesses are. Without any it says nothing.
func checkWitnesses(s *facts) (findings []Finding) {
	if s.tracked.KeyFile != "" {
		findings = append(findings, s.keys())
	}
	if err := s.tracked.Err; err != nil {
		f := Finding{Verdict: Unchecked, Check: "tracker", Summary: "asking it failed: " + err.Error(), Impact: "it is unknown whether it has witnesses, and what they say"}
		if hinted := interface{ Hint() string }(nil); errors.As(err, &hinted) {
			f.Fix = hinted.Hint()
		}
		findings = append(findings, f)
	}
	w := s.tracked.Witnesses
	if w == nil {
		return findings
	}
	if w.UTC != nil {
		findings = append(findings, s.utcServers(w.UTC)...)
	}
	if w.Peers != nil {
		findings = append(findings, s.peers(w.Peers)...)
	}
	return findings
}

// keys reports whether the key file can be read.
func (s *facts) keys() Finding {
	f := Finding{Verdict: Fine, Check: "witness keys", Summary: s.tracked.KeyFile + " can be read"}
	if err := s.tracked.KeyError; err != nil {
		f.Verdict, f.Summary = Wrong, err.Error()
		f.Impact = "a tracker with --witness.key-file does not start"
		f.Fix = fmt.Sprintf(`let user id %d read the file. In Kubernetes, set fsGroup in the pod's securityContext and defaultMode: 0440 in the secret's volume. Each line is "ID AES128 HEX:key"`, s.node.uid)
		f.Command = "ls -ln " + s.tracked.KeyFile
	}
	return f
}

// utcServers judges each UTC server, and what they say together.
func (s *facts) utcServers(u *status.UTCWitnesses) (findings []Finding) {
	lost := Note
	if u.Verdict == witness.Unproven.String() && s.Estimate.HasBound() {
		lost = Wrong // nothing but chronyd confirms the clock
	}
	for _, server := range u.Servers {
		findings = append(findings, utcServer(server, lost))
	}
	switch {
	case u.Verdict == witness.Disputed.String():
		o := s.outvoted()
		findings = append(findings, Finding{
			Verdict: Wrong, Check: "UTC servers", Summary: u.Text,
			Impact: "either the clock or the server is wrong. The bound includes the measurement", Fix: o.fix, Command: o.command,
		})
	case len(u.Servers) == 1:
		findings = append(findings, Finding{
			Verdict: Note, Check: "UTC servers", Summary: "one",
			Impact: "if it contradicts the clock, nobody can tell which one is wrong: the state stays as it is",
			Fix:    "use at least three: repeat --witness.ntp",
		})
	}
	return findings
}

// obstacles are the reasons why a server gives no measurement, by its last result.
var obstacles = map[witness.Result]obstacle{
	witness.NoAnswer: {fix: "let UDP port 123 out to it: check the firewall, the network security group and, on AKS, the outbound type of the cluster. A NetworkPolicy does not bind a pod on the host's network. Or use a server inside the network",
		command: "chronyd -Q -t 5 'server %s iburst'"},
	witness.Failed:      {fix: "check its name, the node's DNS and the route to it", command: "getent hosts %s"},
	witness.RateLimited: {fix: "raise --witness.interval, or use a server of your own: all nodes behind one address share its limit"},
	witness.Denied:      {fix: "use a server that answers this network, or let it through there (allow in chrony.conf)"},
	witness.Unauthentic: {fix: "use a server that answers without a key"},
	witness.Mismatched:  {fix: "find out who answers in its place", command: "tcpdump -ni any udp port 123 and host %s"},
}

// utcServer judges one server. A lost one is only a note while another answers.
func utcServer(server status.WitnessServer, lost Verdict) Finding {
	f := Finding{Verdict: Fine, Check: "UTC server " + server.Name, Summary: server.Text}
	if server.Offset != nil {
		f.Summary += ": " + server.Measurement() + ", " + server.MeasuredAgo()
	}
	result := witness.Result("")
	if server.Result != nil {
		result = witness.Result(*server.Result)
	}
	switch result {
	case "":
		f.Verdict = Unchecked
	case witness.Agrees:
	case witness.Contradicts:
		f.Verdict, f.Impact = Note, "it counts against the clock after three contradictions in a row"
		if server.Contradicts {
			f.Impact = "it counts against the clock"
		}
	case witness.Jumped, witness.LeapSecond, witness.NoBound:
		f.Verdict = Note
	default:
		o, known := obstacles[result]
		if !known {
			o.fix = "use another server: this one gives no usable time"
		}
		f.Verdict, f.Impact, f.Fix = lost, "it does not check this clock", o.fix
		if o.command != "" {
			host, _, _ := strings.Cut(server.Name, ":")
			f.Command = fmt.Sprintf(o.command, host)
		}
	}
	return f
}

// peers judges what the trackers of other nodes say.
func (s *facts) peers(p *status.PeerWitnesses) (findings []Finding) {
	answering := p.Counts[witness.Consistent.String()] + p.Counts[witness.Contradicted.String()]
	f := Finding{Verdict: Fine, Check: "peers", Summary: p.Text}
	const alone = "the fleet does not check this clock"
	switch {
	case p.Verdict == witness.Contradicted.String(): // checkState reports it
		f.Verdict = Note
	case p.Verdict == witness.Consistent.String() || !s.Estimate.HasBound():
	case p.Addresses == 0 && p.LookupError != nil:
		f.Verdict, f.Impact = Wrong, alone
		f.Fix = "create the headless Service that --witness.peers names, in the namespace that its name says. A pod on the host's network needs dnsPolicy: ClusterFirstWithHostNet to look it up"
		f.Command = "kubectl get services,endpointslices -A | grep chrony-tracker"
	case p.Addresses == 0:
		f.Verdict, f.Impact = Note, alone
		f.Summary += ", or only this node's own"
		f.Fix = "nothing, if this is the only node. Else check that the Service has clusterIP: None and publishNotReadyAddresses: true, and that its selector matches the trackers' pods"
		f.Command = "kubectl get services,endpointslices -A | grep chrony-tracker"
	case answering == 0:
		f.Verdict, f.Impact = Wrong, alone
		f.Fix = "let the trackers' UDP port through between the nodes (firewall, network security group). A NetworkPolicy does not bind pods on the host's network. All trackers must have --witness.peers, the same port, and the same key if there is one"
		f.Command = "chronyd -Q -t 5 'server NODE port 9123 iburst'"
	default:
		f.Verdict, f.Impact = Note, "it takes three peers that answer to judge this clock"
		f.Fix = "nothing, if there are no more nodes. Else check the trackers there"
	}
	findings = append(findings, f)
	if p.Disagreement > 0 {
		findings = append(findings, s.fleetDiffers(p))
	}
	return findings
}

// fleetDiffers finds honest clocks that differ by more than their bounds.
func (s *facts) fleetDiffers(p *status.PeerWitnesses) Finding {
	f := Finding{
		Verdict: Note, Check: "disagreement",
		Summary: fmt.Sprintf("at least two peers differ from this clock by %s more than all bounds allow", status.Seconds(p.Disagreement)),
		Impact:  "some bound in the fleet is too small",
		Fix:     "compare the nodes with UTC servers: --witness.ntp",
	}
	if s.Estimate.Untraced && !s.Estimate.ServerLocal {
		f.Impact = "the clocks of the nodes' hosts differ: the error of " + s.sourceName() + " is at least as large on some node"
		f.Fix = "set --clock.reference-error to at least that, or --witness.tolerance if the fleet can live with it"
	}
	return f
}

// adviseWitnesses adds witnesses to the finding of a single source.
func (s *facts) adviseWitnesses(f *Finding) {
	w := s.tracked.Witnesses
	switch {
	case w != nil && w.UTC != nil:
		f.Impact = "only the tracker's witnesses would detect an error of it. If it stops, the clock drifts"
	case w != nil:
		f.Impact = "if the fleet shares it, nothing would detect an error of it. If it stops, the clock drifts"
	case s.tracked.Answers:
		f.Fix += ". Or let the tracker compare the clock itself: --witness.ntp=SERVER"
	}
}

// contradicted returns who contradicts chronyd: its own measurements, or witnesses.
func (s *facts) contradicted() obstacle {
	if s.Estimate.OwnState == clockerror.Contradicted || s.tracked.Witnesses.Contradicting() == "" {
		return s.reconcile("chronyd claims " + s.contradiction())
	}
	return s.outvoted()
}

// outvoted is the obstacle if witnesses contradict chronyd.
func (s *facts) outvoted() obstacle {
	o := obstacle{
		why:     fmt.Sprintf("chronyd claims that the clock is at most %s off, but %s", status.Seconds(s.Estimate.OwnBound), s.testified()),
		fix:     "compare both with a clock that you trust. If the virtual machine was paused, chronyd notices at its next poll. Else its source is wrong: use other sources, and step the clock",
		command: "chronyc -n sources; chronyc makestep",
	}
	return o
}

// testified lists the witnesses that contradict the clock.
func (s *facts) testified() string {
	var all []string
	w := s.tracked.Witnesses
	if w.UTC != nil {
		for _, server := range w.UTC.Servers {
			if server.Contradicts && server.Offset != nil && server.Uncertainty != nil {
				all = append(all, fmt.Sprintf("%s measured %s (± %s)", server.Name, side(*server.Offset), status.Seconds(*server.Uncertainty)))
			}
		}
	}
	if p := w.Peers; p != nil && p.Far != nil {
		all = append(all, fmt.Sprintf("%s; by them it can be up to %s off", p.Text, size(*p.Far)))
	}
	return strings.Join(all, "; ")
}

// explainWitnesses says what the witnesses add to the bound's evidence. It is empty
// without any.
func (s *facts) explainWitnesses() string {
	w := s.tracked.Witnesses
	if w == nil {
		return ""
	}
	var all []string
	if within, by := w.Proof(); within != "" {
		all = append(all, "Traced to UTC: "+within+", by "+by+". That does not depend on chronyd.")
	}
	if w.UTC != nil {
		all = append(all, "UTC servers: "+w.UTC.Verdict+": "+w.UTC.Text+".")
	}
	if w.Peers != nil {
		all = append(all, "Peers: "+w.Peers.Verdict+": "+w.Peers.Text+".")
		if d := w.Peers.Disagreement; d > 0 {
			all = append(all, fmt.Sprintf("At least two peers differ from this clock by %s more than all bounds allow.", status.Seconds(d)))
		}
	}
	return strings.Join(all, " ")
}
