package doctor

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/status"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// checkPTP reports whether chronyd follows the right PTP clock.
func checkPTP(s *facts) []Finding {
	clocks, follows := s.PTP.Clocks, s.phcSource()
	var all []string
	for _, c := range clocks {
		all = append(all, c.Device+" "+c.Name)
	}
	f := Finding{Verdict: Fine, Check: "PTP clocks", Summary: strings.Join(all, ", ")}
	host := slices.IndexFunc(clocks, func(c tracker.PTPClock) bool { return c.Name == "hyperv" })
	device := s.PTP.Configured
	switch {
	case len(clocks) == 0 && !follows && device == nil:
		f.Summary = "there is none, and chronyd follows none"
	case device != nil && device.Name == "":
		f.Verdict = Wrong
		if f.Summary == "" {
			f.Summary = "there is none"
		}
		f.Summary = fmt.Sprintf("%s is not among them: %s", device.Device, f.Summary)
		f.Impact = "chronyd gets no samples from it"
		f.Fix, f.Command = "in chrony.conf, name a PTP clock that exists", "ls -l /dev/ptp*; grep . /sys/class/ptp/*/clock_name"
	case device != nil && host >= 0 && device.Name != "hyperv":
		f.Verdict = Wrong
		f.Summary = fmt.Sprintf("chrony.conf names %s, which is %s, the clock of a network card. The host's clock is %s", device.Device, device.Name, clocks[host].Device)
		f.Impact = "the node follows a clock that no program sets"
		f.Fix = "add " + azureRefclock + " to chrony.conf. The link always leads to the host's clock; the numbers may change with each boot"
		f.Command = runStart
	case device != nil:
		f.Summary = fmt.Sprintf("chrony.conf names %s, which is %s", device.Device, device.Name)
	case follows && len(clocks) > 1:
		f.Verdict = Unchecked
		f.Summary = fmt.Sprintf("there are several: %s. Only chrony.conf says which one chronyd follows, and the numbers may change with each boot", f.Summary)
		f.Fix = "set --phc.device to the device in chrony.conf. On Azure, use /dev/ptp_hyperv in both"
		f.Command = "grep -rhs ^refclock /etc/chrony/ /etc/chrony.conf; ls -l /dev/ptp*"
	case follows && len(clocks) == 1 && host < 0:
		f.Summary += ". Is that the one to follow? On Azure it is hyperv"
	case host >= 0 && !follows && s.Report != nil:
		f.Verdict = Note
		f.Summary = fmt.Sprintf("chronyd does not follow the host's clock, %s", clocks[host].Device)
		f.Impact = "nothing, if its NTP servers are near"
		f.Fix = "as Azure advises, add " + azureRefclock + " to chrony.conf"
	}
	return []Finding{f}
}

// azureRefclock is how Azure's virtual machines follow their host's clock.
const azureRefclock = `"refclock PHC /dev/ptp_hyperv poll 3 dpoll -2 offset 0 stratum 2"`

// phcSource reports whether a source is a PTP clock: chronyd names those PHC0, PHC1
// and so on, unless chrony.conf says otherwise.
func (s *facts) phcSource() bool {
	return s.Report != nil && s.any(func(c chrony.Source) bool {
		return c.Mode == chrony.ModeReferenceClock && strings.HasPrefix(c.Name(), "PHC")
	})
}

// checkConfiguration finds harmful and missing directives in chrony.conf.
func checkConfiguration(s *facts) (findings []Finding) {
	c := s.node.conf
	if c == nil {
		return []Finding{{
			Verdict: Unchecked,
			Check:   "chrony.conf",
			Summary: "not visible from here. Check that it has makestep and rtcsync, that it does not have local, and that cmdport is not 0",
			Command: runConf,
		}}
	}
	findings = append(findings, Finding{Verdict: Fine, Check: "chrony.conf", Summary: fmt.Sprintf("%s: %d sources", c.path, len(c.sources()))})
	if c.last("makestep") == nil {
		findings = append(findings, Finding{
			Verdict: Note, Check: "makestep", Summary: "not in " + c.path,
			Impact:  "if the clock is far off, chronyd slews it for hours or days instead of stepping it",
			Fix:     `add "makestep 1.0 3" (only after its start) or, as on AKS, "makestep 1.0 -1" (at any time)`,
			Command: runStart,
		})
	}
	if d := c.last("local"); d != nil && s.Estimate.State != clockerror.Local {
		findings = append(findings, Finding{
			Verdict: Note, Check: "local", Summary: fmt.Sprintf("%q in %s", d, d.where),
			Impact:  "if all sources are lost, chronyd follows the clock itself and reports an error of zero. The state is then local",
			Fix:     "remove it, unless this node serves time to an isolated network",
			Command: runStart,
		})
	}
	return findings
}

// unsynchronizedError is the kernel's error when no program has updated it for hours,
// in seconds (NTP_PHASE_LIMIT in linux/timex.h).
const unsynchronizedError = 16

// checkKernel compares the kernel's view of the clock with chronyd's.
func checkKernel(s *facts) []Finding {
	k := s.node.kernel
	if k == nil {
		return []Finding{{Verdict: Unchecked, Check: "kernel's clock", Summary: "adjtimex is forbidden here", Command: "adjtimex --print || chronyc tracking"}}
	}
	f := Finding{Verdict: Fine, Check: "kernel's clock", Summary: fmt.Sprintf("synchronized, at most %s off, its frequency corrected by %+.3g ppm", status.Seconds(k.MaxError), k.Frequency)}
	followed := s.Estimate.State == clockerror.Synchronized || s.Estimate.State == clockerror.Contradicted
	switch {
	case !k.Synchronized && followed:
		f.Verdict = Note
		f.Summary = fmt.Sprintf("marked as unsynchronized (maximum error %s), although chronyd is synchronized", status.Seconds(k.MaxError))
		f.Impact = "programs that ask the kernel distrust the clock (node_exporter's node_timex_sync_status is 0), and the hardware clock is not set"
		f.Fix, f.Command = `add "rtcsync" to chrony.conf and restart chronyd`, runStart
		if p := s.node.chronyd(); p != nil && !p.apart && !p.controlsClock() {
			f.Fix, f.Command = "start chronyd without -x: with it, chronyd does not correct the clock", "systemctl cat chrony chronyd"
		}
	case !k.Synchronized || k.MaxError >= unsynchronizedError:
		f.Summary = fmt.Sprintf("marked as unsynchronized (maximum error %s), as expected", status.Seconds(k.MaxError))
	case !followed:
		f.Verdict = Note
		f.Summary = fmt.Sprintf("synchronized, at most %s off, although chronyd is not synchronized", status.Seconds(k.MaxError))
		f.Impact = "another program steers the clock, or chronyd did until recently"
		f.Fix, f.Command = "find that program", runProcess
	}
	return []Finding{f}
}

// otherPrograms are other programs that set the clock, by process name. The kernel
// shortens these names.
var otherPrograms = []struct {
	name, is string
	verdict  Verdict
	fix      string
	command  string
}{
	{"ntpd", "an NTP daemon, which steers the clock, too", Wrong, "run only one of the two", "systemctl disable --now ntp ntpsec ntpd openntpd"},
	{"systemd-timesyn", "systemd-timesyncd, which steers the clock, too", Wrong, "run only one of the two", "systemctl disable --now systemd-timesyncd"},
	{"phc2sys", "phc2sys, which makes the clock follow a PTP clock, or the other way round", Wrong, `run only one of the two: chronyd can follow the PTP clock itself ("refclock PHC /dev/ptp0")`, "systemctl cat phc2sys"},
	{"timemaster", "timemaster, which starts a chronyd or ntpd of its own", Note, "check that only one chronyd steers the clock", "systemctl status timemaster"},
	{"ptp4l", "ptp4l, which steers a PTP clock, and the system clock if there is none", Note, "configure it to steer only the PTP clock, and chronyd to follow that clock", "systemctl cat ptp4l"},
	{"vmtoolsd", "VMware's guest service, which can set the clock", Note, "switch its time synchronization off while chronyd runs", "vmware-toolbox-cmd timesync disable"},
	{"VBoxService", "VirtualBox's guest service, which can set the clock", Note, "switch its time synchronization off while chronyd runs (--disable-timesync)", "systemctl cat vboxservice vboxadd-service"},
}

// checkPrograms looks for other programs that set the clock.
func checkPrograms(s *facts) (findings []Finding) {
	for _, p := range s.node.processes {
		for _, r := range otherPrograms {
			if p.name == r.name {
				findings = append(findings, Finding{
					Verdict: r.verdict,
					Check:   "other time programs",
					Summary: fmt.Sprintf("%v is %s", p, r.is),
					Impact:  "two programs that steer the clock make it jump and wander. Each treats the other's corrections as drift",
					Fix:     r.fix,
					Command: r.command,
				})
			}
		}
	}
	findings = append(findings, s.hyperv()...)
	findings = append(findings, s.secondChronyd()...)
	switch {
	case !s.node.seesAll():
		return append(findings, Finding{
			Verdict: Unchecked,
			Check:   "other time programs",
			Summary: "the node's processes are not visible from here. ntpd, systemd-timesyncd, phc2sys and guest services also steer the clock",
			Command: runProcess,
		})
	case findings == nil:
		findings = append(findings, Finding{Verdict: Fine, Check: "other time programs", Summary: "there are none"})
	}
	return findings
}

// secondChronyd finds several chronyds that steer the clock: usually one on the node and
// one in a container. A chronyd with -x doesn't count: it does not correct the clock.
func (s *facts) secondChronyd() []Finding {
	var steering []string
	for _, p := range s.node.chronyds() {
		if p.controlsClock() {
			steering = append(steering, p.String())
		}
	}
	if len(steering) < 2 {
		return nil
	}
	return []Finding{{
		Verdict: Wrong, Check: "other time programs", Summary: "several chronyds steer the clock: " + strings.Join(steering, ", "),
		Impact:  "each treats the other's corrections as drift, and reports a wrong error",
		Fix:     "run only one; start those in containers with -x",
		Command: runProcess,
	}}
}

// seesAll reports whether all processes of the machine are visible. They are not
// visible in a PID namespace, or if /proc hides the processes of other users.
func (n *node) seesAll() bool {
	return n.hostPID && slices.ContainsFunc(n.processes, func(p process) bool { return p.id == 1 })
}

// hyperv finds a host that sets the clock while chronyd follows other sources.
func (s *facts) hyperv() []Finding {
	if s.node.hyperv == "" || s.Report == nil || s.phcSource() || len(s.Report.Sources) == 0 {
		return nil
	}
	return []Finding{{
		Verdict: Note, Check: "other time programs", Summary: "Hyper-V's time service is in use: the host can set the clock, although chronyd follows other sources",
		Impact:  "after a pause or a migration the host sets the clock to its own time, and chronyd corrects it afterwards",
		Fix:     "follow the host's PTP clock, or stop the host from setting the clock",
		Command: "echo " + s.node.hyperv + " >/sys/bus/vmbus/drivers/hv_utils/unbind",
	}}
}

// checkPlace reports where this program runs, and with which permissions.
func checkPlace(s *facts) (findings []Finding) {
	n := &s.node
	where := "on the node itself"
	if n.container != "" {
		where = "in " + n.container
	}
	switch {
	case n.hostNetwork:
		where += ", in the machine's network namespace"
	case n.nodeNetwork:
		where += ", in the node's network namespace"
	default:
		where += ", in its own network namespace, or in that of a node that is a container (kind, LXC)"
	}
	if n.hostPID {
		where += ", in the machine's process namespace"
	} else {
		where += ", with a process namespace that is not the machine's"
	}
	findings = append(findings, Finding{Verdict: Fine, Check: "this program", Summary: "it runs " + where})

	usesUDP := slices.ContainsFunc(s.endpoints, func(e endpoint) bool { return e.used && e.answers() && e.socket() == "" })
	f := Finding{Verdict: Fine, Check: "rights", Summary: fmt.Sprintf("user id %d, %d capabilities", n.uid, bits.OnesCount64(n.capabilities))}
	if n.container != "" && (n.uid == 0 || n.capabilities != 0) && usesUDP {
		f.Verdict = Note
		f.Impact = "an attacker in the container would have these permissions, and UDP needs none of them"
		f.Fix = "runAsUser: 65532, capabilities: {drop: [ALL]}, allowPrivilegeEscalation: false"
	}
	return append(findings, f)
}
