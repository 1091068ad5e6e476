package doctor

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// usualConfs are the usual paths of chrony.conf: first in Debian and its derivatives,
// then in other distributions.
var usualConfs = []string{"/etc/chrony/chrony.conf", "/etc/chrony.conf"}

// A conf is the content of chrony.conf and of the files it includes. It is read only if
// this program sees the same files as chronyd.
type conf struct {
	path       string
	directives []directive
	files      int   // that were read, or searched for
	bytes      int64 // in them
}

// Any process can call itself chronyd and name any file. So files larger than any real
// configuration are not read.
const (
	mostDepth = 10 // of files that include others, as in chronyd (conf.c)
	mostFiles = 256
	mostBytes = 1 << 20
)

type directive struct {
	name  string // in lower case: chronyd does not distinguish
	args  []string
	where string // file:line
}

func (d directive) String() string { return strings.Join(append([]string{d.name}, d.args...), " ") }

// confPath returns the path of chronyd's configuration: from chronyd's arguments, or
// the usual path.
func (n *node) confPath(root fs.FS) string {
	if all := n.chronyds(); len(all) == 1 {
		if file := all[0].options()['f']; file != "" {
			return file
		}
	}
	for _, file := range usualConfs {
		if exists(root, file) {
			return file
		}
	}
	return ""
}

// readConf returns nil if it can't read chrony.conf and all included files. Half of the
// configuration would be misleading.
func readConf(root fs.FS, file string) *conf {
	c := &conf{path: file}
	if file == "" || !c.read(root, file, 0) {
		return nil
	}
	return c
}

func (c *conf) read(root fs.FS, file string, depth int) bool {
	c.files++
	if depth > mostDepth || c.files > mostFiles {
		return false
	}
	text, ok := readRegular(root, file, mostBytes-c.bytes)
	if !ok {
		return false
	}
	c.bytes += int64(len(text))
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.ContainsAny(fields[0][:1], "#!;%") {
			continue
		}
		d := directive{strings.ToLower(fields[0]), fields[1:], fmt.Sprintf("%s:%d", file, number)}
		c.directives = append(c.directives, d)
		included, ok := c.includedBy(root, d)
		if !ok {
			return false
		}
		for _, file := range included {
			if !c.read(root, file, depth+1) {
				return false
			}
		}
	}
	return true
}

// includedBy returns the files that a directive adds. It fails if a directory is a
// pattern, or if there are too many patterns: that search could take forever.
func (c *conf) includedBy(root fs.FS, d directive) (files []string, ok bool) {
	suffix := ""
	switch d.name {
	case "confdir":
		suffix = "/*.conf"
	case "sourcedir":
		suffix = "/*.sources"
	case "include":
	default:
		return nil, true
	}
	for _, pattern := range d.args {
		c.files++
		pattern = inRoot(pattern + suffix)
		if c.files > mostFiles || strings.ContainsAny(path.Dir(pattern), `*?[\`) {
			return nil, false
		}
		found, _ := fs.Glob(root, pattern)
		for _, file := range found {
			files = append(files, "/"+file)
		}
	}
	return files, true
}

// last returns the last directive with the name, or nil. The last one counts.
func (c *conf) last(name string) *directive {
	if c == nil {
		return nil
	}
	for i, d := range slices.Backward(c.directives) {
		if d.name == name {
			return &c.directives[i]
		}
	}
	return nil
}

// sources returns the directives that name time sources.
func (c *conf) sources() (sources []directive) {
	for _, d := range c.directives {
		switch d.name {
		case "server", "pool", "peer", "refclock":
			sources = append(sources, d)
		}
	}
	return sources
}

// phc returns the device of the PTP clock to follow, if there is one.
func (c *conf) phc() string {
	if c == nil {
		return ""
	}
	for _, d := range c.sources() {
		if d.name == "refclock" && len(d.args) >= 2 && d.args[0] == "PHC" {
			device, _, _ := strings.Cut(d.args[1], ":") // options follow
			return device
		}
	}
	return ""
}
