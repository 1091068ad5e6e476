package doctor

import (
	"context"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// TestConfLimits runs a process that calls itself chronyd and names files that must not
// be read, or not completely. A partial configuration counts as none.
func TestConfLimits(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	const depth = mostDepth + 1
	deep, many := fstest.MapFS{}, fstest.MapFS{"conf": file("include /d/*\n")}
	for i := range depth + 1 {
		deep["conf"+strconv.Itoa(i)] = file("include /conf" + strconv.Itoa(i+1) + "\n")
	}
	for i := range mostFiles {
		many["d/"+strconv.Itoa(i)] = file("")
	}
	for _, test := range []struct {
		name string
		root fstest.MapFS
		file string
		ok   bool
	}{
		{"usual", fstest.MapFS{"conf": file("include /d/*.conf\n"), "d/a.conf": file("makestep 1 3\n")}, "/conf", true},
		{"nothing to include", fstest.MapFS{"conf": file("confdir /none\nsourcedir /none\n")}, "/conf", true},
		{"as large as it may be", fstest.MapFS{"conf": file(strings.Repeat("\n", mostBytes))}, "/conf", true},
		{"larger", fstest.MapFS{"conf": file(strings.Repeat("\n", mostBytes+1))}, "/conf", false},
		{"larger together", fstest.MapFS{"conf": file("include /more\n"), "more": file(strings.Repeat("\n", mostBytes))}, "/conf", false},
		{"itself", fstest.MapFS{"conf": file("include /conf\n")}, "/conf", false},
		{"deep", deep, "/conf2", true},
		{"deeper", deep, "/conf0", false},
		{"many files", many, "/conf", false},
		{"patterns of folders", fstest.MapFS{"conf": file("include /*/*/*/*\n")}, "/conf", false},
		{"many patterns", fstest.MapFS{"conf": file(strings.Repeat("include /none/*\n", mostFiles+1))}, "/conf", false},
		{"a folder", fstest.MapFS{"d/conf": file("")}, "/d", false},
		{"a device", fstest.MapFS{"zero": {Mode: fs.ModeDevice | fs.ModeCharDevice}}, "/zero", false},
		{"no file", fstest.MapFS{}, "../../conf", false},
	} {
		if c := readConf(test.root, test.file); (c != nil) != test.ok {
			t.Errorf("%s: %v", test.name, c != nil)
		}
	}
}

// TestConfBlocks checks that nothing waits forever for a file.
func TestConfBlocks(t *testing.T) {
	dir := t.TempDir()
	fifo, including := filepath.Join(dir, "fifo"), filepath.Join(dir, "conf")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(including, []byte("include "+fifo+"\ninclude /dev/zero\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan string)
	go func() {
		for _, file := range []string{fifo, "/dev/zero", including} {
			if readConf(hostFiles{}, file) != nil {
				done <- file
			}
		}
		// A FIFO may also replace a file after the check.
		if f, err := (hostFiles{}).Open(inRoot(fifo)); err == nil {
			f.Close()
		}
		close(done)
	}()
	select {
	case file, read := <-done:
		if read {
			t.Errorf("%s was read", file)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it hangs")
	}
}

// TestConfKernel checks that a file of the kernel is not read. It shows no size, and may
// end only when the system does, or give its text only once, as /proc/kmsg.
func TestConfKernel(t *testing.T) {
	link := filepath.Join(t.TempDir(), "conf")
	if err := os.Symlink("/proc/self/stat", link); err != nil {
		t.Fatal(err)
	}
	if c := readConf(hostFiles{}, link); c == nil || len(c.directives) != 0 {
		t.Errorf("%+v", c)
	}
}

// opened counts the files that are opened.
type opened struct {
	fstest.MapFS
	times map[string]int
}

func (o opened) Open(name string) (fs.File, error) {
	o.times[name]++
	return o.MapFS.Open(name)
}

// TestReadsOnce checks that each file is read once, and the queues of the UDP sockets
// only after the request to chronyd.
func TestReadsOnce(t *testing.T) {
	client, err := chrony.NewClient("unix:///nowhere/chronyd.sock")
	if err != nil {
		t.Fatal(err)
	}
	root := opened{fstest.MapFS{
		"proc/1/stat":     {Data: []byte("1 (chronyd) S 0")},
		"proc/net/udp":    {Data: []byte("  10: 0100007F:0143 00000000:0000 07 00000000:00000300 00:00000000\n")},
		"etc/chrony.conf": {Data: []byte("refclock PHC /dev/ptp3\n")},
		"var/run":         {Data: []byte("/run"), Mode: fs.ModeSymlink | 0o777},
		"run/chrony/x":    {},
	}, make(map[string]int)}
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	t.Setenv("container", "")
	s := read(context.Background(), root, "unix:///nowhere/chronyd.sock", tracker.Config{Client: client, Timeout: time.Second})
	if len(s.node.listens(323)) != 1 || s.PTP.Configured == nil || s.PTP.Configured.Device != "ptp3" {
		t.Errorf("%+v", s)
	}
	if len(s.endpoints) != 4 || !s.endpoints[0].used || s.node.directories["/run/chrony"] == nil || s.node.directories["/nowhere"] != nil {
		t.Errorf("%+v, %+v", s.endpoints, s.node.directories)
	}
	before := maps.Clone(root.times)
	s.judge()
	for name, n := range root.times {
		if n > 1 && strings.HasPrefix(name, "proc") || n != before[name] {
			t.Errorf("%s was read %d times", name, n)
		}
	}
}
