package doctor

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// FuzzConf reads any chrony.conf, which includes any other file, as named by any
// arguments of chronyd. Reading must end soon, stay within the limits, and keep each
// directive of a file that it accepts.
func FuzzConf(f *testing.F) {
	for _, text := range []string{
		"server 127.0.0.1 iburst\nmakestep 1 3\nrtcsync\n", "refclock PHC /dev/ptp0:nocrossts poll 3\nLOCAL stratum 10\n", "include /etc/chrony/more.conf\n",
		"confdir /etc/chrony /etc/*\n", "sourcedir /etc/chrony\n", "include /etc/chrony/*\n", "include [\n", "include /[a-\\", "include /etc/chrony/****************a\n",
		"! comment\n# comment\n;x\n%x\n", "cmdport 0\n", "refclock PHC\n", "\x00\xff include\r\n", "include ../../../etc/chrony.conf include\n", "bindcmdaddress /\n", "INCLUDE /etc/chrony.conf",
	} {
		f.Add(text, "cmdport 323\n", "/usr/sbin/chronyd\x00-F\x001\x00-f\x00/etc/chrony/chrony.conf")
		f.Add("include /etc/chrony/more.conf\n", text, "chronyd\x00-xf/etc/chrony.conf")
	}
	f.Fuzz(func(t *testing.T, text, included, cmdline string) {
		root := fstest.MapFS{"etc/chrony.conf": {Data: []byte(text)}, "etc/chrony/more.conf": {Data: []byte(included)}}
		n := node{processes: []process{{id: 7, name: "chronyd", state: 'S', args: strings.Split(cmdline, "\x00")}}}
		n.processes[0].controlsClock()
		readConf(root, n.confPath(root))
		c := readConf(root, "/etc/chrony.conf")
		if c == nil {
			return
		}
		if c.files > mostFiles || c.bytes > mostBytes {
			t.Errorf("%d files, %d bytes", c.files, c.bytes)
		}
		for _, d := range c.directives {
			if d.name == "" || d.name != strings.ToLower(d.name) || strings.ContainsAny(d.name[:1], "#!;%") || d.where == "" {
				t.Errorf("%+v", d)
			}
			if last := c.last(d.name); last == nil || last.name != d.name {
				t.Errorf("%s was lost", d.name)
			}
		}
		s := &facts{Snapshot: &tracker.Snapshot{}}
		s.node.conf = c
		for _, finding := range slices.Concat(checkConfiguration(s), checkPrograms(s)) {
			if finding.Check == "" || finding.Summary == "" {
				t.Errorf("%+v", finding)
			}
		}
		c.phc()
	})
}
