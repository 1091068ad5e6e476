//go:build soak

package soak

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

// breakChronyd does something to chronyd every few seconds. The crowd comes first, so
// that the memory it takes is known from the beginning.
func (d *day) breakChronyd(stop <-chan struct{}) {
	r := random(1)
	faults := []struct {
		name string
		do   func(r *rand.Rand, stop <-chan struct{})
	}{
		{"300 sources added", d.addCrowd},
		{"killed", d.kill},
		{"stopped with SIGSTOP", d.stopAndContinue},
		{"restarted at once", d.restart},
		{"socket replaced", d.replaceSocket},
		{"configuration changed", d.changeConf},
	}
	for i := 0; ; i = 1 + r.IntN(len(faults)+2) {
		if fault := faults[i%len(faults)]; i < len(faults) || r.IntN(4) == 0 { // the crowd is slow
			d.report.count(fault.name)
			fault.do(r, stop)
		}
		if !pause(stop, between(r, 3*time.Second, 15*time.Second)) {
			return
		}
	}
}

func (d *day) kill(r *rand.Rand, stop <-chan struct{}) {
	d.chronyd.Kill()
	d.truth.leave()
	pause(stop, between(r, 0, 10*time.Second))
	d.launch()
}

// launch starts chronyd again. From then on it may answer.
func (d *day) launch() {
	d.truth.comeBack()
	if err := d.chronyd.Launch(); err != nil {
		d.report.fail("chronyd does not start: %v", err)
	}
}

func (d *day) stopAndContinue(r *rand.Rand, stop <-chan struct{}) {
	if err := d.chronyd.Pause(); err != nil {
		d.report.fail("SIGSTOP: %v", err)
	}
	d.truth.leave()
	pause(stop, between(r, 0, 10*time.Second))
	d.truth.comeBack()
	if err := d.chronyd.Continue(); err != nil {
		d.report.fail("SIGCONT: %v", err)
	}
}

func (d *day) restart(*rand.Rand, <-chan struct{}) {
	d.chronyd.Kill()
	d.launch()
}

// replaceSocket gives chronyd a new directory for its socket, as systemctl stop and start
// do.
func (d *day) replaceSocket(r *rand.Rand, stop <-chan struct{}) {
	d.chronyd.Kill()
	d.truth.leave()
	dir := filepath.Dir(d.chronyd.Socket)
	if err := os.RemoveAll(dir); err != nil {
		d.report.fail("%v", err)
	}
	pause(stop, between(r, 0, 5*time.Second))
	if err := os.Mkdir(dir, 0o700); err != nil {
		d.report.fail("%v", err)
	}
	d.launch()
}

// changeConf runs chronyd with another configuration for a while.
func (d *day) changeConf(r *rand.Rand, stop <-chan struct{}) {
	servers := strings.Join(d.truth.lines(), "\n")
	variants := []string{
		d.conf + "local stratum 10\n",
		d.conf + "minsources 2\nmakestep 1 3\n",
		strings.ReplaceAll(d.conf, servers, strings.Replace(servers, everySecond, everySecond+" prefer", 1)),
		strings.ReplaceAll(d.conf, everySecond, everyFourS),
		strings.ReplaceAll(d.conf, servers, ""),                   // follows nothing
		strings.ReplaceAll(d.conf, servers, "local stratum 10\n"), // follows itself
	}
	d.runWith(variants[r.IntN(len(variants))])
	pause(stop, between(r, 5*time.Second, 20*time.Second))
	d.runWith(d.conf)
}

func (d *day) runWith(conf string) {
	d.chronyd.Kill()
	d.truth.leave()
	if err := os.WriteFile(d.confFile(), []byte(conf), 0o644); err != nil {
		d.report.fail("%v", err)
	}
	d.launch()
}

// addCrowd adds 300 sources while chronyd runs, and deletes them later.
func (d *day) addCrowd(r *rand.Rand, stop <-chan struct{}) {
	add, remove := []string{"-m"}, []string{"-m"}
	for _, s := range d.truth.crowd {
		add = append(add, "add "+s.Line+everyFourS)
		remove = append(remove, "delete "+strings.Fields(s.Line)[1])
	}
	d.truth.setCrowded(true)
	_, added := d.chronyd.Chronyc(add...)
	pause(stop, between(r, 20*time.Second, 40*time.Second))
	_, removed := d.chronyd.Chronyc(remove...)
	d.truth.setCrowded(false)
	if added != nil || removed != nil { // chronyc gives up early on a busy machine
		d.report.count("chronyc failed")
		d.restart(r, stop)
	}
}

// errors are what the servers are wrong by, all of them or the one that lies.
var errors = []time.Duration{0, 5 * time.Millisecond, -20 * time.Millisecond, 60 * time.Millisecond, -200 * time.Millisecond, 500 * time.Millisecond, -3 * time.Second}

// breakServers does something to the servers every few seconds.
func (d *day) breakServers(stop <-chan struct{}) {
	r := random(2)
	for pause(stop, between(r, 3*time.Second, 15*time.Second)) {
		switch r.IntN(6) {
		default:
			d.report.count("all servers moved")
			d.truth.set(errors[r.IntN(len(errors))])
			pause(stop, 10*time.Second) // long enough to be told
		case 4:
			d.report.count("packets lost")
			d.truth.setLoss([]float64{0.3, 0.7, 1}[r.IntN(3)])
			pause(stop, between(r, 5*time.Second, 20*time.Second))
			d.truth.setLoss(0)
		case 5:
			d.report.count("one of three servers lies")
			d.truth.setLiar(d.truth.main[r.IntN(len(d.truth.main))], errors[1+r.IntN(len(errors)-1)])
			pause(stop, between(r, 10*time.Second, 40*time.Second))
			d.truth.setLiar((*chronytest.TimeSource)(nil), 0)
		}
	}
}
