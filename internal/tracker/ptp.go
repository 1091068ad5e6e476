package tracker

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// A PTPClock is a PTP hardware clock of this node. A node can have several, such
// as that of the virtual machine's host and that of a network card, and the
// kernel may number them differently at each boot.
type PTPClock struct {
	Device string // the kernel's name for it, such as ptp0
	Name   string // its driver's name for it, such as hyperv; empty if there is no such clock
}

// PTP lists the node's PTP clocks.
type PTP struct {
	Clocks     []PTPClock
	Configured *PTPClock // the one that the configuration names, or nil
}

// sysfs is where the kernel lists its PTP clocks. Containers can read it too.
var sysfs = os.DirFS("/sys")

// readPTP lists the PTP clocks and looks the configured one up, if there is one.
func readPTP(sys fs.FS, configured string) PTP {
	names, _ := fs.Glob(sys, "class/ptp/*/clock_name")
	ptp := PTP{Clocks: make([]PTPClock, 0, len(names))}
	for _, file := range names {
		name, err := fs.ReadFile(sys, file)
		if err != nil {
			continue // it was removed in the meantime
		}
		ptp.Clocks = append(ptp.Clocks, PTPClock{
			Device: path.Base(path.Dir(file)),
			Name:   strings.ToValidUTF8(strings.TrimSpace(string(name)), "?"),
		})
	}
	if configured != "" {
		clock := ptp.find(configured)
		ptp.Configured = &clock
	}
	return ptp
}

// find returns the clock at a path such as /dev/ptp0. udev makes symbolic links such
// as /dev/ptp_hyperv in the node's /dev. Without the node's /dev, find takes the
// clock's name from the link's name.
func (p PTP) find(file string) PTPClock {
	device := filepath.Base(file)
	if target, err := filepath.EvalSymlinks(file); err == nil {
		device = filepath.Base(target)
	}
	linked, isLink := strings.CutPrefix(device, "ptp_")
	isLink = isLink && linked != ""
	for _, clock := range p.Clocks {
		if clock.Device == device || isLink && strings.HasPrefix(strings.ToLower(clock.Name), linked) {
			return clock
		}
	}
	return PTPClock{Device: strings.ToValidUTF8(device, "?")}
}
