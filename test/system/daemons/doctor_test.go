//go:build system

package daemons

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

// TestDoctor breaks a chronyd in every known way, and checks the cause and the fix that
// doctor reports. It runs in new namespaces with its own network, processes and /run,
// so that chronyd has its usual port and socket.
func TestDoctor(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make namespaces")
	}
	if os.Getenv(machineVariable) == "" {
		ownMachine(t)
		return
	}
	becomeMachine(t)
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) { s.play(t) })
	}
}

const machineVariable = "ON_A_MACHINE_OF_ITS_OWN"

// ownMachine runs the test that calls it again, in new namespaces.
func ownMachine(t *testing.T) {
	t.Helper()
	chronyd, err := chronytest.Program("chrony", "chronyd")
	if err != nil {
		t.Fatal(err)
	}
	self := exec.Command(os.Args[0], "-test.v", "-test.run=^"+t.Name()+"$")
	self.Env = append(os.Environ(), machineVariable+"=1", "CHRONYD="+chronyd)
	self.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	out, err := self.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		t.Skip("no namespaces can be made here")
	}
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}

// becomeMachine prepares the new namespaces.
func becomeMachine(t *testing.T) {
	t.Helper()
	chronytest.Must(t, syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
	chronytest.Must(t, syscall.Mount("proc", "/proc", "proc", 0, "hidepid=2")) // so that a pod sees none of the node's processes
	chronytest.Must(t, syscall.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"))
	chronytest.Must(t, os.Chmod(filepath.Dir(programtest.Path), 0o755))
	loopbackUp(t)
}

func loopbackUp(t *testing.T) {
	t.Helper()
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	chronytest.Must(t, err)
	defer syscall.Close(socket)
	chronytest.Must(t, setInterfaceUp(socket, "lo"))
}

// A scenario is a machine with a fault.
type scenario struct {
	name  string
	setUp func(t *testing.T)
	args  []string
	only  string // "node" or "pod"; empty for both

	status int      // exit status
	says   []string // regular expressions, found in the words of one finding of the worst kind
}

// play examines the machine from the node, as root, and from a pod without permissions.
func (s *scenario) play(t *testing.T) {
	s.setUp(t)
	for _, place := range []string{"node", "pod"} {
		if s.only != "" && s.only != place {
			continue
		}
		t.Run(place, func(t *testing.T) {
			text, status := examine(t, place, s.args...)
			if status != s.status {
				t.Errorf("exit status %d, want %d", status, s.status)
			}
			for _, pattern := range s.says {
				if !findingWith(text, pattern) {
					t.Errorf("no finding says %q", pattern)
				}
			}
			if t.Failed() {
				t.Log(text)
			}
		})
	}
}

// examine runs doctor.
func examine(t *testing.T, place string, args ...string) (text string, status int) {
	t.Helper()
	cmd := programtest.Tool(t, programtest.Path, append([]string{"doctor"}, args...)...)
	if place == "pod" {
		cmd.Env = append(os.Environ(), "KUBERNETES_SERVICE_HOST=10.0.0.1")
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65532, Gid: 65532}
	}
	out, err := cmd.CombinedOutput()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// findingWith returns a finding with its lines joined.
func findingWith(text, pattern string) bool {
	for finding := range strings.SplitSeq(text, "\n\n") {
		if regexp.MustCompile(pattern).MatchString(strings.Join(strings.Fields(finding), " ")) {
			return true
		}
	}
	return false
}

// usual starts a chronyd with its usual port and socket.
func usual(t *testing.T, user string, lines ...string) *chronytest.Chronyd {
	t.Helper()
	t.Cleanup(func() { os.RemoveAll("/run/chrony") })
	return chronytest.New(t, chronytest.Config{Usual: true, User: user, Lines: lines})
}

func awaitReport(t *testing.T, d *chronytest.Chronyd, condition func(*chrony.Report) bool) {
	t.Helper()
	_, err := d.Wait(condition)
	chronytest.Must(t, err)
}

func hang(t *testing.T) {
	t.Helper()
	chronytest.Must(t, usual(t, "").Pause())
}

const socketFlag = "--chrony.address=unix:///run/chrony/chronyd.sock"

var scenarios = []scenario{
	{
		name: "all is well",
		setUp: func(t *testing.T) {
			_, line := chronytest.NewServer(t)
			d := usual(t, "", "rtcsync", "makestep 1 3", line+chronytest.Fast)
			chronytest.Must(t, d.WaitSynchronized(t.Context()))
		},
		says: []string{
			`^Nothing is wrong: `,
			`ok 127.0.0.1:323: chronyd answers in`,
			`ok state: synchronized: at most .* off, follows 127.0.0.1`,
			`^(ok|not checked) other time programs: `,
			`note number of sources: one impact .* fix use at least three`,
		},
	},
	{
		name:   "not running",
		setUp:  func(*testing.T) {},
		only:   "node",
		status: 1,
		says:   []string{`^wrong 127.0.0.1:323, \[::1\]:323: no program listens there.* chronyd is not running.* impact .* fix .* command (systemctl enable --now chrony|apt-get install chrony)`},
	},
	{
		name:   "in a pod without the host's network",
		setUp:  func(*testing.T) {},
		only:   "pod",
		status: 1,
		says:   []string{`^wrong 127.0.0.1:323.* either a Kubernetes pod has its own network.* fix .*hostNetwork: true`},
	},
	{
		name:   "hung, seen from the node",
		setUp:  hang,
		only:   "node",
		status: 1,
		says:   []string{`^wrong 127.0.0.1:323.* no answer: chronyd hangs, because process \d+ was stopped \(SIGSTOP\) impact .* fix resume it command kill -CONT \d+`},
	},
	{
		name:   "hung, seen from a pod",
		setUp:  hang,
		only:   "pod",
		status: 1,
		says:   []string{`^wrong 127.0.0.1:323.* no answer: chronyd hangs. It has not read \d+ bytes .*impact .* fix restart chronyd.* kill -CONT .*command ps -C chronyd`},
	},
	{
		name:   "cmdport 0, seen from the node",
		setUp:  func(t *testing.T) { usual(t, "", "cmdport 0") },
		only:   "node",
		status: 1,
		says:   []string{`^wrong 127.0.0.1:323.* "cmdport 0" in /.*/chrony.conf:\d+ closes its port .* fix remove that line and restart chronyd; or use ` + socketFlag},
	},
	{
		name:   "cmdport 0, seen from a pod",
		setUp:  func(t *testing.T) { usual(t, "", "cmdport 0") },
		only:   "pod",
		status: 1,
		says:   []string{`^wrong 127.0.0.1:323.* chronyd runs .* /run/chrony/chronyd.sock.* fix remove "cmdport 0" from chrony.conf`},
	},
	{
		name:   "another bindcmdaddress",
		setUp:  func(t *testing.T) { usual(t, "", "bindcmdaddress 127.0.0.2") },
		args:   []string{"--chrony.address=127.0.0.1:323"},
		status: 1,
		says:   []string{`^wrong 127.0.0.1:323.* port 323 is open at 127.0.0.2 only .* fix add "bindcmdaddress 127.0.0.1"`},
	},
	{
		name:   "no permission",
		setUp:  func(t *testing.T) { usual(t, "nobody") },
		args:   []string{socketFlag},
		only:   "pod",
		status: 1,
		says:   []string{`^wrong unix:///run/chrony/chronyd.sock: no permission for user id 65532: /run/chrony belongs to user id 65534, .* fix .* user id 65534 .*; or use --chrony.address=127.0.0.1:323`},
	},
	{
		name: "a stale socket directory",
		setUp: func(t *testing.T) {
			// The pod has mounted a directory, and chronyd's unit then replaces the
			// directory.
			const host = "/run/of-the-host"
			chronytest.Must(t, os.Mkdir(host, 0o755))
			chronytest.Must(t, os.Mkdir("/run/chrony", 0o755))
			chronytest.Must(t, syscall.Mount(host, "/run/chrony", "", syscall.MS_BIND, ""))
			t.Cleanup(func() { syscall.Unmount("/run/chrony", 0); os.Remove("/run/chrony") })
			chronytest.Must(t, os.Remove(host))
		},
		args:   []string{socketFlag},
		status: 1,
		says:   []string{`^wrong unix:///run/chrony/chronyd.sock: /run/chrony is a dead directory: .* fix restart this container`},
	},
	{
		name: "a socket directory that other users can enter",
		setUp: func(t *testing.T) {
			chronytest.Must(t, os.Mkdir("/run/chrony", 0o755)) // as a mount of type DirectoryOrCreate makes it
			t.Cleanup(func() { os.RemoveAll("/run/chrony") })
		},
		args:   []string{socketFlag},
		only:   "node",
		status: 1,
		says:   []string{`^wrong unix:///run/chrony/chronyd.sock: there is no socket in /run/chrony, and its mode is 755.* Disabled command socket.* fix remove the directory and restart chronyd.*, never DirectoryOrCreate command rmdir /run/chrony`},
	},
	{
		name: "replies that fail a test",
		setUp: func(t *testing.T) {
			_, line := chronytest.NewServer(t)
			d := usual(t, "", line+chronytest.Fast+" maxdelay 0.0000001")
			awaitReport(t, d, func(r *chrony.Report) bool { return len(r.Sources) == 1 && r.Sources[0].Reach != 0 })
		},
		args:   []string{socketFlag},
		only:   "node",
		status: 1,
		says:   []string{`^wrong state: unsynchronized: .* no source has given a valid sample, although some answer; 127.0.0.1: its replies fail the test max_delay`},
	},
	{
		name: "a socket left behind",
		setUp: func(t *testing.T) {
			d := usual(t, "")
			d.Kill()
		},
		args:   []string{socketFlag},
		only:   "node",
		status: 1,
		says:   []string{`^wrong unix:///run/chrony/chronyd.sock: the socket was left behind: .* chronyd is not running .* fix start chronyd`},
	},
	{
		name: "a read-only mount",
		setUp: func(t *testing.T) {
			usual(t, "")
			chronytest.Must(t, syscall.Mount("/run/chrony", "/run/chrony", "", syscall.MS_BIND, ""))
			chronytest.Must(t, syscall.Mount("", "/run/chrony", "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
			t.Cleanup(func() { syscall.Unmount("/run/chrony", 0) })
		},
		args:   []string{socketFlag},
		only:   "node",
		status: 1,
		says:   []string{`^wrong unix:///run/chrony/chronyd.sock: /run/chrony is mounted read-only.* fix mount it writable`},
	},
	{
		name:   "the socket is not mounted",
		setUp:  func(*testing.T) {},
		args:   []string{socketFlag},
		only:   "pod",
		status: 1,
		says:   []string{`^wrong unix:///run/chrony/chronyd.sock: there is no /run/chrony in a Kubernetes pod .* fix mount the host's /run/chrony at the same path, type Directory, writable`},
	},
	{
		name:   "never synchronized: no source",
		setUp:  func(t *testing.T) { usual(t, "") },
		status: 1,
		says:   []string{`^wrong state: unsynchronized: chronyd follows no source: it has no source at all .* fix add at least one source to chrony.conf`},
	},
	{
		name: "never synchronized: no source answers",
		setUp: func(t *testing.T) {
			usual(t, "", "server 127.0.0.1 port 9 iburst"+chronytest.Fast)
		},
		status: 1,
		says: []string{
			`^wrong state: unsynchronized: chronyd follows no source: none of its sources answers .* fix let UDP port 123 through`,
			`^wrong source 127.0.0.1: not used.*none of its last eight polls was answered; it never`,
		},
	},
	{
		name: "never synchronized: no address",
		setUp: func(t *testing.T) {
			usual(t, "", "server no.such.name.invalid")
		},
		status: 1,
		says:   []string{`^wrong state: unsynchronized: .* the names of its sources have no addresses .* command getent hosts (no.such.name.invalid|NAME)`},
	},
	{
		name: "never synchronized: two that disagree",
		setUp: func(t *testing.T) {
			_, line := chronytest.NewServer(t)
			d := usual(t, "", line+chronytest.Fast, strings.Replace(line, "127.0.0.1", "127.0.0.2", 1)+chronytest.Fast+" offset 0.5")
			awaitReport(t, d, func(r *chrony.Report) bool { return countStates(r, chrony.StateFalseticker) == 2 })
		},
		status: 1,
		says:   []string{`^wrong state: unsynchronized: .* its sources disagree by (499|50\d) ms, and there is no majority: 127.0.0.1 says that the clock is .*, 127.0.0.2 says that the clock is .* fix compare them`},
	},
	{
		name:   "local",
		setUp:  func(t *testing.T) { usual(t, "", "local stratum 10") },
		status: 1,
		says:   []string{`^wrong state: local: chronyd follows the clock itself \("local" in chrony.conf\): it has no source at all impact .* fix remove "?local`},
	},
	{
		name: "a falseticker",
		setUp: func(t *testing.T) {
			_, line := chronytest.NewServer(t)
			d := usual(t, "",
				line+chronytest.Fast,
				strings.Replace(line, "127.0.0.1", "127.0.0.2", 1)+chronytest.Fast,
				strings.Replace(line, "127.0.0.1", "127.0.0.3", 1)+chronytest.Fast+" offset 0.5")
			chronytest.Must(t, d.WaitSynchronized(t.Context()))
			awaitReport(t, d, func(r *chrony.Report) bool { return countStates(r, chrony.StateFalseticker) == 1 })
		},
		status: 1,
		says: []string{
			`^wrong source 127.0.0.3: not used: it disagrees with the majority: the clock is 50\d ms behind \(± .*\), 50\d ms from the time of 127.0.0.[12] .* remove 127.0.0.3 from chrony.conf`,
			`ok state: synchronized`,
		},
	},
	{
		name: "holdover",
		setUp: func(t *testing.T) {
			server, line := chronytest.NewServer(t)
			d := usual(t, "", line+chronytest.Fast)
			chronytest.Must(t, d.WaitSynchronized(t.Context()))
			server.Kill()
			chronytest.Await(t, "holdover", func() bool {
				text, _ := examine(t, "node")
				return strings.Contains(text, "holdover: ")
			})
		},
		status: 1,
		says:   []string{`^wrong state: holdover: (the last sample of 127.0.0.1 is \d+ s old|chronyd has selected no source: none of its sources answers).* fix let UDP port 123 through`},
	},
	{
		name: "a clock that is left as it is",
		setUp: func(t *testing.T) {
			_, line := chronytest.NewServer(t)
			d := usual(t, "", line+chronytest.Fast+" offset 0.25")
			chronytest.Must(t, d.WaitSynchronized(t.Context()))
		},
		only:   "node",
		status: 1,
		says:   []string{`^wrong offset: the clock is 25\d ms behind, .* -x`},
	},
	{
		name: "another time program",
		setUp: func(t *testing.T) {
			_, line := chronytest.NewServer(t)
			d := usual(t, "", line+chronytest.Fast)
			chronytest.Must(t, d.WaitSynchronized(t.Context()))
			sleep, err := os.ReadFile("/bin/sleep")
			chronytest.Must(t, err)
			rival := filepath.Join(t.TempDir(), "systemd-timesyncd")
			chronytest.Must(t, os.WriteFile(rival, sleep, 0o755))
			cmd := chronytest.Command(rival, "600")
			chronytest.Must(t, cmd.Start())
			t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		},
		only:   "node",
		status: 1,
		says:   []string{`^wrong other time programs: process \d+ is systemd-timesyncd, .* fix .* command systemctl disable --now systemd-timesyncd`},
	},
	{
		name: "reports that are refused",
		setUp: func(t *testing.T) {
			usual(t, "", "local stratum 10")
		},
		status: 1,
		says:   []string{`^note reports: refused over 127.0.0.1:323: .*selectdata.* fix with chrony 4.7 or later, add "opencommands `},
	},
}

func countStates(r *chrony.Report, state chrony.SourceState) (n int) {
	for _, s := range r.Sources {
		if s.State == state {
			n++
		}
	}
	return n
}

// setInterfaceUp does what "ip link set lo up" does.
func setInterfaceUp(socket int, name string) error {
	var request struct { // ifreq of netdevice(7)
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(request.name[:], name)
	request.flags = syscall.IFF_UP
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(socket), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return errno
	}
	return nil
}
