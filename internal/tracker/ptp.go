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
// kernel may number them anew at each boot.
type PTPClock struct {
	Device string // as the kernel calls it: ptp0
	Name   string // what it is, in its driver's word: hyperv; empty if there is no such clock
}

// PTP is what is known of the node's PTP clocks.
type PTP struct {
	Clocks     []PTPClock
	Configured *PTPClock // the one that the configuration names, or nil
}

// sysfs is where the kernel tells of its PTP clocks, to containers as well.
var sysfs = os.DirFS("/sys")

// readPTP lists the PTP clocks and looks the configured one up, if there is one.
func readPTP(sys fs.FS, configured string) PTP {
	names, _ := fs.Glob(sys, "class/ptp/*/clock_name")
	ptp := PTP{Clocks: make([]PTPClock, 0, len(names))}
	for _, file := range names {
		name, err := fs.ReadFile(sys, file)
		if err != nil {
			continue // it went meanwhile
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

// find returns the clock that a path such as /dev/ptp0 stands for. The symbolic
// links that udev makes, such as /dev/ptp_hyperv, are there only where the node's
// /dev is; elsewhere the link's name tells the clock's.
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
