package doctor

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// A node is the part of the machine that is visible to this program. In a container,
// that is often not everything.
type node struct {
	uid          int
	capabilities uint64 // effective, as in capabilities(7)

	container   string // kind of container, or empty
	hostNetwork bool   // this is the machine's first network namespace
	nodeNetwork bool   // this is known to be the network namespace of the Kubernetes node
	hostPID     bool   // the same for the PID namespace: all processes are visible

	processes []process
	udp       []udpSocket // in this network namespace, after chronyd was asked
	sockets   []string    // paths of Unix sockets in this network namespace that programs hold
	mounts    []mount
	kernel    *tracker.Kernel // nil if the kernel doesn't report it
	hyperv    string          // the device of Hyper-V's time service, if its driver has it
	conf      *conf           // nil if chrony.conf can't be read
	installed bool            // there is a chronyd that can be started

	varRun      bool                  // /var/run is a link to /run, as on most machines
	directories map[string]*directory // of chronyd's sockets; nil for one that doesn't exist
}

type directory struct {
	mode  fs.FileMode
	owner string // user id, or empty if unknown
}

type process struct {
	id    int
	name  string // at most 15 bytes of it
	args  []string
	state byte // as in proc_pid_stat(5): T is stopped
	apart bool // it is known to be in another network namespace
}

type udpSocket struct {
	netip.AddrPort
	unread uint64 // bytes that its program has not read yet
}

type mount struct {
	point    string
	source   string // what was mounted: a path within its file system
	kind     string // of file system
	readOnly bool
	deleted  bool // the mounted file was removed in the meantime
}

// programs are where distributions install chronyd.
var programs = []string{"usr/sbin/chronyd", "usr/local/sbin/chronyd", "usr/bin/chronyd", "sbin/chronyd"}

// The inodes of the namespaces that the kernel itself starts in are fixed
// (linux/proc_ns.h).
const initialPID = "pid:[4026531836]"

// readNode reads everything visible of the machine. The address is chronyd's, if one is
// configured.
func readNode(root fs.FS, address string) node {
	n := node{
		uid:     os.Geteuid(),
		hyperv:  hypervTimeService(root),
		mounts:  readMounts(root),
		sockets: readUnix(root),
		// The kernel shows this one in the first network namespace only.
		hostNetwork: exists(root, "proc/sys/net/core/netdev_budget"),
	}
	if k, err := tracker.ReadKernel(); err == nil { // it fails if a seccomp profile forbids it
		n.kernel = &k
	}
	pid, _ := fs.ReadLink(root, "proc/self/ns/pid")
	n.hostPID = pid == initialPID
	n.nodeNetwork = hasAddress(os.Getenv("HOST_IP"))
	n.capabilities = readCapabilities(root)
	n.processes = readProcesses(root)
	n.container = containerSign(root, &n)
	link, _ := fs.ReadLink(root, "var/run")
	n.varRun = link == "/run" || link == "../run"
	n.directories = make(map[string]*directory)
	for _, e := range n.endpoints(address) {
		if dir := e.dir(); dir != "" {
			n.directories[dir] = readDirectory(root, dir)
		}
	}
	if n.container == "" {
		n.installed = slices.ContainsFunc(programs, func(file string) bool { return exists(root, file) })
		n.conf = readConf(root, n.confPath(root))
	}
	return n
}

// containerSign returns the kind of container, if it can be detected. Most have an
// overlay as root, or this program as first process.
func containerSign(root fs.FS, n *node) string {
	layered := slices.ContainsFunc(n.mounts, func(m mount) bool { return m.point == "/" && strings.Contains(m.kind, "overlay") })
	first := slices.ContainsFunc(n.processes, func(p process) bool { return p.id == 1 && p.name == filepath.Base(os.Args[0]) })
	switch {
	case os.Getenv("KUBERNETES_SERVICE_HOST") != "":
		return "a Kubernetes pod"
	case layered, first, os.Getenv("container") != "", exists(root, "run/.containerenv"):
		return "a container"
	default:
		return ""
	}
}

// hasAddress reports whether an address is one of this network namespace. If the node's
// address is, the namespace is the node's. That shows it where the node is a container.
func hasAddress(address string) bool {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	own, _ := net.InterfaceAddrs()
	return slices.ContainsFunc(own, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr() == ip
	})
}

func readDirectory(root fs.FS, dir string) *directory {
	info, err := fs.Stat(root, inRoot(dir))
	if err != nil || !info.IsDir() {
		return nil
	}
	d := &directory{mode: info.Mode().Perm()}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		d.owner = strconv.Itoa(int(stat.Uid))
	}
	return d
}

func readCapabilities(root fs.FS) (effective uint64) {
	status, _ := fs.ReadFile(root, "proc/self/status")
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "CapEff:"); ok {
			effective, _ = strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		}
	}
	return effective
}

// readMounts reads proc_pid_mountinfo(5).
func readMounts(root fs.FS) (mounts []mount) {
	text, _ := fs.ReadFile(root, "proc/self/mountinfo")
	for line := range strings.Lines(string(text)) {
		// number, parent, device, root, point, options, …, -, type, …
		before, after, _ := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if len(fields) < 6 || len(kind) < 1 {
			continue
		}
		mounts = append(mounts, mount{
			point:    unescape(fields[4]),
			source:   unescape(fields[3]),
			kind:     kind[0],
			readOnly: slices.Contains(strings.Split(fields[5], ","), "ro"),
			deleted:  strings.HasSuffix(fields[3], "//deleted"),
		})
	}
	return mounts
}

// unescape reverts the kernel's escapes of blanks in paths.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// mountOf returns the mount that a path lies on.
func (n *node) mountOf(file string) (on mount) {
	for _, m := range n.mounts {
		within := m.point == "/" || file == m.point || strings.HasPrefix(file, m.point+"/")
		if within && len(m.point) >= len(on.point) {
			on = m // the later of two mounts at the same point hides the other
		}
	}
	return on
}

// readUDP reads /proc/net/udp and udp6.
func readUDP(root fs.FS) (sockets []udpSocket) {
	text, _ := fs.ReadFile(root, "proc/net/udp")
	text6, _ := fs.ReadFile(root, "proc/net/udp6")
	for line := range strings.Lines(string(text) + string(text6)) {
		// number, local and remote address, state, send and receive queue, …
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		local, ok := parseHexAddress(fields[1])
		if !ok {
			continue // the heading
		}
		_, queue, _ := strings.Cut(fields[4], ":")
		unread, _ := strconv.ParseUint(queue, 16, 64)
		sockets = append(sockets, udpSocket{local, unread})
	}
	return sockets
}

// parseHexAddress reads an address and a port as the kernel prints them: the
// address in words of the machine's byte order.
func parseHexAddress(s string) (netip.AddrPort, bool) {
	digits, service, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(digits)
	port, portErr := strconv.ParseUint(service, 16, 16)
	if err != nil || portErr != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(b, 4) {
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	ip, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(ip, uint16(port)), ok
}

// readUnix lists the paths that Unix sockets are bound to. A path is listed while a
// program holds the socket, even if the file was removed.
func readUnix(root fs.FS) (paths []string) {
	text, _ := fs.ReadFile(root, "proc/net/unix")
	for line := range strings.Lines(string(text)) {
		// address, references, protocol, flags, type, state, inode, path
		if fields := strings.Fields(line); len(fields) >= 8 && strings.HasPrefix(fields[7], "/") {
			paths = append(paths, fields[7])
		}
	}
	return paths
}

func readProcesses(root fs.FS) (processes []process) {
	entries, _ := fs.ReadDir(root, "proc")
	own, _ := fs.ReadLink(root, "proc/self/ns/net")
	for _, entry := range entries {
		id, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		dir := path.Join("proc", entry.Name())
		stat, err := fs.ReadFile(root, path.Join(dir, "stat"))
		if err != nil {
			continue // the process has ended, or is hidden
		}
		p, ok := parseStat(string(stat))
		if !ok {
			continue
		}
		args, _ := fs.ReadFile(root, path.Join(dir, "cmdline"))
		p.id, p.args = id, strings.Split(strings.TrimRight(string(args), "\x00"), "\x00")
		// Without permission to inspect a process, its namespaces are unknown.
		namespace, _ := fs.ReadLink(root, path.Join(dir, "ns/net"))
		p.apart = namespace != "" && own != "" && namespace != own
		processes = append(processes, p)
	}
	return processes
}

// parseStat reads the beginning of proc_pid_stat(5): 1 (name) S …, where the name may
// contain any characters.
func parseStat(stat string) (p process, ok bool) {
	begin, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if begin < 0 || end < begin || end+2 >= len(stat) {
		return p, false
	}
	return process{name: stat[begin+1 : end], state: stat[end+2]}, true
}

// chronyds returns the chronyds in this network namespace, as far as they are visible.
func (n *node) chronyds() (here []process) {
	for _, p := range n.processes {
		if p.name == "chronyd" && p.state != 'Z' && !p.apart {
			here = append(here, p)
		}
	}
	return here
}

// chronyd returns the chronyd that most likely should answer, or nil. It prefers one in
// this network namespace.
func (n *node) chronyd() *process {
	if here := n.chronyds(); here != nil {
		return &here[0]
	}
	for _, p := range n.processes {
		if p.name == "chronyd" && p.state != 'Z' {
			return &p
		}
	}
	return nil
}

// chronydSocket returns the path of a Unix socket that a chronyd holds here.
func (n *node) chronydSocket() string {
	for _, p := range slices.Concat(usualSockets, n.sockets) {
		if path.Base(p) == "chronyd.sock" && slices.Contains(n.sockets, p) {
			return p
		}
	}
	return ""
}

// listens returns the UDP sockets at a port.
func (n *node) listens(port uint16) (at []udpSocket) {
	for _, s := range n.udp {
		if s.Port() == port {
			at = append(at, s)
		}
	}
	return at
}

// hypervTimeService returns the device of Hyper-V's time service, if it is in use.
func hypervTimeService(root fs.FS) string {
	const class = "{9527e630-d0ae-497b-adce-e80ab0175caf}" // HV_TS_GUID in linux/hyperv.h
	files, _ := fs.Glob(root, "sys/bus/vmbus/drivers/hv_utils/*/class_id")
	for _, file := range files {
		if id, _ := fs.ReadFile(root, file); strings.TrimSpace(string(id)) == class {
			return path.Base(path.Dir(file))
		}
	}
	return ""
}

func (p process) String() string { return fmt.Sprintf("process %d", p.id) }

// controlsClock reports whether a chronyd corrects the clock.
func (p process) controlsClock() bool {
	_, found := p.options()['x']
	return !found
}

// options returns chronyd's options of one letter, with their values. Several may be in
// one argument, and a value may be attached to its option, as in -xf/etc/chrony.conf.
func (p process) options() map[byte]string {
	const withValue = "fFlLPtu" // main.c, getopt
	options := make(map[byte]string)
	for i := 1; i < len(p.args) && p.args[i] != "--"; i++ {
		letters, found := strings.CutPrefix(p.args[i], "-")
		if !found || strings.HasPrefix(letters, "-") {
			continue
		}
		for j := range len(letters) {
			if strings.IndexByte(withValue, letters[j]) < 0 {
				options[letters[j]] = ""
				continue
			}
			value := letters[j+1:]
			if value == "" && i+1 < len(p.args) {
				i++
				value = p.args[i]
			}
			options[letters[j]] = value
			break
		}
	}
	return options
}
