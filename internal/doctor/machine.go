package doctor

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

func isErr(err, target error) bool { return errors.Is(err, target) }

// checkPTP tells whether the PTP clock that chronyd follows is the right one.
func checkPTP(s *sight) []Finding {
	clocks, follows := s.PTP.Clocks, s.phcSource()
	var all []string
	for _, c := range clocks {
		all = append(all, c.Device+" "+c.Name)
	}
	f := Finding{Verdict: Fine, Check: "PTP clocks", Says: strings.Join(all, ", ")}
	host := slices.IndexFunc(clocks, func(c tracker.PTPClock) bool { return c.Name == "hyperv" })
	device := s.PTP.Configured
	switch {
	case len(clocks) == 0 && !follows && device == nil:
		f.Says = "none, and none is followed"
	case device != nil && device.Name == "":
		f.Verdict = Wrong
		f.Says = fmt.Sprintf("%s is not among them: %s", device.Device, orNone(f.Says))
		f.Costs = "chronyd gets no samples from it"
		f.Mend, f.Run = "name one that exists in chrony.conf", "ls -l /dev/ptp*; grep . /sys/class/ptp/*/clock_name"
	case device != nil && host >= 0 && device.Name != "hyperv":
		f.Verdict = Wrong
		f.Says = fmt.Sprintf("chrony.conf names %s, which is %s, a network card's; the host's clock is %s", device.Device, device.Name, clocks[host].Device)
		f.Costs = "the node follows a clock that nobody sets"
		f.Mend = `in chrony.conf, say "refclock PHC /dev/ptp_hyperv poll 3 dpoll -2 offset 0 stratum 2": the link always leads to the host's clock, while the numbers may change with each boot`
		f.Run = runStart
	case device != nil:
		f.Says = fmt.Sprintf("chrony.conf names %s, which is %s", device.Device, device.Name)
	case follows && len(clocks) > 1:
		f.Verdict = Unchecked
		f.Says = fmt.Sprintf("there are several: %s. Which of them chronyd follows, only chrony.conf tells; the numbers may change with each boot", f.Says)
		f.Mend = "tell this program the device in chrony.conf with --phc.device; on Azure, name /dev/ptp_hyperv in both"
		f.Run = "grep -rhs ^refclock /etc/chrony/ /etc/chrony.conf; ls -l /dev/ptp*"
	case follows && len(clocks) == 1 && host < 0:
		f.Says += ": is that the one to follow? On Azure it would be hyperv"
	case host >= 0 && !follows && s.Report != nil:
		f.Verdict = Note
		f.Says = fmt.Sprintf("chronyd does not follow the host's clock, %s", clocks[host].Device)
		f.Costs = "nothing, if its NTP servers are near"
		f.Mend = `Azure advises "refclock PHC /dev/ptp_hyperv poll 3 dpoll -2 offset 0 stratum 2" in chrony.conf`
	}
	return []Finding{f}
}

func orNone(s string) string {
	if s == "" {
		return "there is none"
	}
	return s
}

// phcSource reports whether a source is a PTP clock: chronyd names those PHC0, PHC1
// and so on, unless chrony.conf says otherwise.
func (s *sight) phcSource() bool {
	return s.Report != nil && s.any(func(c chrony.Source) bool {
		return c.Mode == chrony.ModeReferenceClock && strings.HasPrefix(c.Name(), "PHC")
	})
}

// checkConfiguration tells what chrony.conf says that will do harm.
func checkConfiguration(s *sight) (findings []Finding) {
	c := s.node.conf
	if c == nil {
		return []Finding{{
			Verdict: Unchecked,
			Check:   "chrony.conf",
			Says:    "it can't be read from here. See that it has a makestep and rtcsync, and no local, and that cmdport is not 0",
			Run:     runConf,
		}}
	}
	findings = append(findings, Finding{Verdict: Fine, Check: "chrony.conf", Says: fmt.Sprintf("%s: %d sources", c.path, len(c.sources()))})
	if c.last("makestep") == nil {
		findings = append(findings, Finding{
			Verdict: Note,
			Check:   "makestep",
			Says:    "not in " + c.path,
			Costs:   "a clock that is far off is slewed, for hours or days, instead of stepped",
			Mend:    `add "makestep 1.0 3" (at the start only) or, as on AKS, "makestep 1.0 -1" (at any time)`,
			Run:     runStart,
		})
	}
	if d := c.last("local"); d != nil && s.Estimate.State != clockerror.Local {
		findings = append(findings, Finding{
			Verdict: Note,
			Check:   "local",
			Says:    fmt.Sprintf("%q in %s", d, d.where),
			Costs:   "when all sources are lost, chronyd follows the clock itself and reports no error at all; the state is then local",
			Mend:    "remove it, unless this node serves time to an isolated network",
			Run:     runStart,
		})
	}
	return findings
}

// unsynchronizedError is the kernel's error when nobody has told it better for hours,
// in seconds (NTP_PHASE_LIMIT in linux/timex.h).
const unsynchronizedError = 16

// checkKernel compares the kernel's view of the clock with chronyd's.
func checkKernel(s *sight) []Finding {
	k := s.node.kernel
	if k == nil {
		return []Finding{{Verdict: Unchecked, Check: "kernel's clock", Says: "adjtimex is forbidden here", Run: "adjtimex --print || chronyc tracking"}}
	}
	f := Finding{Verdict: Fine, Check: "kernel's clock", Says: fmt.Sprintf("synchronised, with an error of %s at most, its frequency corrected by %+.3g ppm", clockerror.Format(k.MaxError), k.Frequency)}
	followed := s.Estimate.State == clockerror.Synchronized || s.Estimate.State == clockerror.Contradicted
	switch {
	case !k.Synchronized && followed:
		f.Verdict = Note
		f.Says = fmt.Sprintf("marked as unsynchronised (maximum error %s), though chronyd is synchronised", clockerror.Format(k.MaxError))
		f.Costs = "programs that ask the kernel take the clock for wrong (node_exporter's node_timex_sync_status is 0), and the hardware clock is not set"
		f.Mend, f.Run = `add "rtcsync" to chrony.conf and restart chronyd`, runStart
		if p := s.node.chronyd(); p != nil && !p.apart && hasFlag(p.args, 'x') {
			f.Mend, f.Run = "start chronyd without -x, which leaves the clock alone", "systemctl cat chrony chronyd"
		}
	case !k.Synchronized || k.MaxError >= unsynchronizedError:
		f.Says = fmt.Sprintf("marked as unsynchronised (maximum error %s), as is to be expected", clockerror.Format(k.MaxError))
	case !followed:
		f.Verdict = Note
		f.Says = fmt.Sprintf("synchronised, with an error of %s at most, though chronyd is not", clockerror.Format(k.MaxError))
		f.Costs = "another program steers the clock, or chronyd did until lately"
		f.Mend, f.Run = "find out which", runProcess
	}
	return []Finding{f}
}

// rivals are other programs that set the clock, by the names of their processes as
// the kernel cuts them.
var rivals = []struct {
	name, is string
	verdict  Verdict
	mend     string
	run      string
}{
	{"ntpd", "an NTP daemon, which steers the clock, too", Wrong, "have one of the two only", "systemctl disable --now ntp ntpsec ntpd openntpd"},
	{"systemd-timesyn", "systemd-timesyncd, which steers the clock, too", Wrong, "have one of the two only", "systemctl disable --now systemd-timesyncd"},
	{"phc2sys", "phc2sys, which steers the clock by a PTP clock, unless it is told to steer that one", Wrong, `have one of the two only: chronyd can follow the PTP clock itself ("refclock PHC /dev/ptp0")`, "systemctl cat phc2sys"},
	{"timemaster", "timemaster, which starts a chronyd or ntpd of its own", Note, "see that only one chronyd steers the clock", "systemctl status timemaster"},
	{"ptp4l", "ptp4l, which steers a PTP clock, and the system clock if there is none", Note, "with chronyd, let it steer the PTP clock only, and have chronyd follow that", "systemctl cat ptp4l"},
	{"vmtoolsd", "VMware's guest service, which can set the clock", Note, "switch its time synchronisation off while chronyd runs", "vmware-toolbox-cmd timesync disable"},
	{"VBoxService", "VirtualBox's guest service, which can set the clock", Note, "switch its time synchronisation off while chronyd runs (--disable-timesync)", "systemctl cat vboxservice vboxadd-service"},
}

// checkPrograms looks for others that set the clock.
func checkPrograms(s *sight) (findings []Finding) {
	for _, p := range s.node.processes {
		for _, r := range rivals {
			if p.name == r.name {
				findings = append(findings, Finding{
					Verdict: r.verdict,
					Check:   "other time programs",
					Says:    fmt.Sprintf("%v is %s", p, r.is),
					Costs:   "two that steer the clock make it jump and wander, and each takes the other's work for drift",
					Mend:    r.mend,
					Run:     r.run,
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
			Says:    "the node's processes can't be seen from here; ntpd, systemd-timesyncd, phc2sys and guest services steer the clock, too",
			Run:     runProcess,
		})
	case findings == nil:
		findings = append(findings, Finding{Verdict: Fine, Check: "other time programs", Says: "none runs here"})
	}
	return findings
}

// secondChronyd tells of several that steer the clock: on the node and in a container,
// mostly. One with -x leaves the clock alone.
func (s *sight) secondChronyd() []Finding {
	var steering []string
	for _, p := range s.node.chronyds() {
		if !hasFlag(p.args, 'x') {
			steering = append(steering, p.String())
		}
	}
	if len(steering) < 2 {
		return nil
	}
	return []Finding{{
		Verdict: Wrong,
		Check:   "other time programs",
		Says:    "several chronyds steer the clock: " + strings.Join(steering, ", "),
		Costs:   "each takes the other's work for drift, and what one reports is not true of the clock",
		Mend:    "have one only; give those in containers -x",
		Run:     runProcess,
	}}
}

// seesAll reports whether all processes of the machine can be seen: not in a process
// namespace, nor where /proc hides those of others.
func (n *node) seesAll() bool {
	return n.hostPID && slices.ContainsFunc(n.processes, func(p process) bool { return p.id == 1 })
}

// hyperv tells of a host that sets the clock while chronyd follows others.
func (s *sight) hyperv() []Finding {
	if s.node.hyperv == "" || s.Report == nil || s.phcSource() || len(s.Report.Sources) == 0 {
		return nil
	}
	return []Finding{{
		Verdict: Note,
		Check:   "other time programs",
		Says:    "Hyper-V's time service is in use: the host can set the clock, and chronyd follows others",
		Costs:   "after a pause or a migration the host's time is set, and chronyd corrects it",
		Mend:    "follow the host's PTP clock, or keep the host from setting the clock",
		Run:     "echo " + s.node.hyperv + " >/sys/bus/vmbus/drivers/hv_utils/unbind",
	}}
}

// checkPlace tells where this program runs, and with which rights.
func checkPlace(s *sight) (findings []Finding) {
	n := &s.node
	where := "on the node itself"
	if n.container != "" {
		where = "in " + n.container
	}
	for _, space := range []struct {
		name  string
		nodes bool
	}{{"network", n.hostNetwork}, {"process", n.hostPID}} {
		if space.nodes {
			where += fmt.Sprintf(", the %s namespace is the machine's", space.name)
		} else {
			where += fmt.Sprintf(", with a %s namespace of its own", space.name)
		}
	}
	findings = append(findings, Finding{Verdict: Fine, Check: "this program", Says: "it runs " + where})

	f := Finding{Verdict: Fine, Check: "rights", Says: fmt.Sprintf("user id %d, %d capabilities", n.uid, bits.OnesCount64(n.capabilities))}
	if n.container != "" && (n.uid == 0 || n.capabilities != 0) && s.usesUDP() {
		f.Verdict = Note
		f.Costs = "whoever breaks into the container has them; by UDP none is needed"
		f.Mend = "runAsUser: 65532, capabilities: {drop: [ALL]}, allowPrivilegeEscalation: false"
	}
	return append(findings, f)
}

func (s *sight) usesUDP() bool {
	return slices.ContainsFunc(s.ways, func(w way) bool { return w.used && w.err == nil && w.socket() == "" })
}
