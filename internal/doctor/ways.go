package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// The ways to chronyd that are tried in any case.
var (
	usualUDP     = []string{"127.0.0.1:323", "[::1]:323"}
	usualSockets = []string{"/run/chrony/chronyd.sock", "/var/run/chrony/chronyd.sock"}
)

// A way is one address of chronyd, and what came of asking there.
type way struct {
	address string // as chrony.NewClient takes it
	used    bool   // by the program as it is configured
	took    time.Duration
	err     error
}

// socket returns the path of a Unix socket, or an empty string.
func (w way) socket() string {
	path, ok := strings.CutPrefix(w.address, "unix://")
	if !ok {
		return ""
	}
	return path
}

// tryWays asks at all addresses at once: one that is silent takes the whole timeout.
func tryWays(ctx context.Context, address string, timeout time.Duration) []way {
	ways := listWays(address)
	var all sync.WaitGroup
	for i := range ways {
		all.Go(func() { ways[i].try(ctx, timeout) })
	}
	all.Wait()
	return ways
}

// listWays lists the ways, those first that the program uses: the address if one is
// configured, else both of UDP.
func listWays(address string) (ways []way) {
	if address != "" {
		ways = append(ways, way{address: address, used: true})
	}
	for _, udp := range usualUDP {
		ways = append(ways, way{address: udp, used: address == ""})
	}
	for _, path := range usualSockets {
		ways = append(ways, way{address: "unix://" + path})
	}
	seen := make(map[string]bool)
	return slices.DeleteFunc(ways, func(w way) bool {
		key := w.address
		if path := w.socket(); path != "" {
			key = realPath(path) // /var/run is a link to /run, mostly
		}
		again := seen[key]
		seen[key] = true
		return again
	})
}

// realPath resolves the links of the part of a path that is there.
func realPath(path string) string {
	if path == "/" {
		return path
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return filepath.Join(realPath(filepath.Dir(path)), filepath.Base(path))
}

func (w *way) try(ctx context.Context, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	client, err := chrony.Dial(ctx, w.address)
	if w.err, w.took = err, time.Since(start); err == nil {
		client.Close()
	}
}

// checkWays tells of each way whether chronyd answers there. It is wrong only that
// none of those answers that the program uses.
func checkWays(s *sight) (findings []Finding) {
	works := slices.ContainsFunc(s.ways, func(w way) bool { return w.used && w.err == nil })
	first := -1 // of the findings, about a way that should work
	for _, w := range s.ways {
		switch {
		case w.err == nil:
			says := fmt.Sprintf("chronyd answers in %v", w.took.Round(10*time.Microsecond))
			findings = append(findings, Finding{Verdict: Fine, Check: w.address, Says: says})
		case !w.used:
			findings = append(findings, s.spare(w, works))
		case works:
			findings = append(findings, Finding{Verdict: Fine, Check: w.address, Says: plain(w.err) + "; it is not needed"})
		case first >= 0:
			findings[first].Check += ", " + w.address
		default:
			first = len(findings)
			findings = append(findings, s.barred(w))
		}
	}
	return findings
}

// barred is about the way that the program uses, when it doesn't work.
func (s *sight) barred(w way) Finding {
	f := s.obstacle(w)
	f.Verdict = Wrong
	f.Costs = "the clock's error is unknown: its state is unreachable and its bound +Inf"
	if other := s.otherWay(); other != "" {
		f.Mend += "; or use --chrony.address=" + other + ", where chronyd answers"
	}
	return f
}

// otherWay returns the address of a way that works and isn't used.
func (s *sight) otherWay() string {
	for _, w := range s.ways {
		if w.err == nil && !w.used {
			return w.address
		}
	}
	return ""
}

// spare is about a way that the program doesn't use. It is worth a note if it is
// broken, or would be a way out.
func (s *sight) spare(w way, works bool) Finding {
	f := s.obstacle(w)
	switch {
	case f.Verdict == Note && works:
		f.Costs = "nothing, while this way isn't used"
	case f.Verdict == Fine:
		f.Says, f.Mend, f.Run = plain(w.err), "", ""
		if works {
			f.Says += "; it is not needed"
		} else {
			f.Verdict = Note
		}
	}
	return f
}

// obstacle says why a way doesn't work, and what to do about it.
func (s *sight) obstacle(w way) Finding {
	f := Finding{Verdict: Fine, Check: w.address}
	if w.socket() != "" {
		s.socketObstacle(&f, w)
	} else {
		s.udpObstacle(&f, w)
	}
	if f.Says == "" {
		f.Says, f.Mend = plain(w.err), hint(w.err)
	}
	return f
}

// plain is an error without the address, which the finding names already.
func plain(err error) string {
	var op *chrony.OpError
	if errors.As(err, &op) {
		return op.Err.Error()
	}
	return err.Error()
}

func hint(err error) string {
	var op *chrony.OpError
	if errors.As(err, &op) {
		return op.Hint()
	}
	return ""
}

// The commands that a person at the node needs.
const (
	runUnit    = "systemctl status chrony chronyd; journalctl -u chrony -u chronyd -n 20"
	runStart   = "systemctl restart chrony || systemctl restart chronyd"
	runConf    = "grep -rEhv '^ *([#!;%]|$)' /etc/chrony/ /etc/chrony.conf"
	runProcess = "ps -eo pid,args | grep -E '[c]hronyd|[n]tpd|[t]imesyncd|[p]tp4l|[p]hc2sys|[v]mtoolsd|[V]BoxService'"
)

func (s *sight) udpObstacle(f *Finding, w way) {
	at, err := netip.ParseAddrPort(w.address)
	switch {
	case errors.Is(w.err, syscall.ECONNREFUSED) && err == nil && at.Addr().IsLoopback():
		s.refused(f, at)
	case errors.Is(w.err, syscall.ECONNREFUSED):
		f.Says, f.Mend = "nobody listens there", "chronyd answers other hosts only where bindcmdaddress and cmdallow in chrony.conf say so"
	case errors.Is(w.err, context.DeadlineExceeded):
		s.silent(f, at)
	case errors.Is(w.err, chrony.ErrUnauthorized):
		f.Says, f.Mend = "chronyd answers, but does not tell its tracking", openTracking
	}
}

// refused is about a loopback address at which nobody listens.
func (s *sight) refused(f *Finding, at netip.AddrPort) {
	const here = "nobody listens there"
	n := &s.node
	f.Run = runUnit
	switch p, socket, others := n.chronyd(), n.chronydSocket(), n.listens(at.Port()); {
	case others != nil:
		f.Says = fmt.Sprintf("%s: what has port %d listens at %v only", here, at.Port(), others[0].Addr())
		f.Mend = fmt.Sprintf(`add "bindcmdaddress %v" to chrony.conf and restart chronyd`, at.Addr())
		f.Run = runStart
	case n.conf.last("cmdport") != nil && n.conf.last("cmdport").String() == "cmdport 0" && (p != nil || socket != ""):
		f.Says = here + fmt.Sprintf(`: chronyd runs, and "cmdport 0" in %s closes its port`, n.conf.last("cmdport").where)
		f.Mend, f.Run = "remove that line and restart chronyd", runStart
	case socket != "":
		f.Says = here + fmt.Sprintf(": a chronyd runs, which holds the socket %s, but its port is closed or another one: chrony.conf says cmdport 0, or another cmdport or bindcmdaddress", socket)
		f.Mend = fmt.Sprintf(`remove "cmdport 0" from chrony.conf and restart chronyd, or run as the user to whom %s belongs, with --chrony.address=unix://%s`, filepath.Dir(socket), socket)
		f.Run = runConf
	case p != nil && p.apart:
		f.Says = here + fmt.Sprintf(": chronyd runs (%v), in another network namespace than this program", p)
		f.Mend, f.Run = n.joinNetwork(), ""
	case p != nil:
		f.Says = here + fmt.Sprintf(": chronyd runs (%v), but has no port here: chrony.conf says cmdport 0, or it is in another network namespace", p)
		f.Mend = `remove "cmdport 0" from chrony.conf and restart chronyd; or ` + n.joinNetwork()
		f.Run = runConf
	case n.container != "" && !n.hostNetwork:
		f.Says = here + ": this is " + n.container + " with a network of its own, and chronyd answers on the node's"
		f.Mend, f.Run = n.joinNetwork(), ""
	default:
		f.Says = here + ", and no chronyd has a socket in this network namespace: chronyd is not running"
		f.Mend = "start it, and have it started at boot; its log says why it ended"
		f.Run = "systemctl enable --now chrony || systemctl enable --now chronyd; journalctl -u chrony -u chronyd -n 20"
		if n.missing {
			f.Says += ", nor is it installed"
			f.Mend = "install it, and have nothing else steer the clock"
			f.Run = "apt-get install chrony || tdnf install chrony || dnf install chrony"
		}
	}
}

func (n *node) joinNetwork() string {
	if n.container != "" {
		return "run in the host's network: hostNetwork: true for a pod, --network=host for a container"
	}
	return "run this program in chronyd's network namespace"
}

// silent is about an address that takes requests and does not answer.
func (s *sight) silent(f *Finding, at netip.AddrPort) {
	unread := uint64(0)
	for _, socket := range s.node.listens(at.Port()) {
		unread += socket.unread
	}
	p := s.node.chronyd()
	switch {
	case p != nil && p.state == 'T':
		f.Says = fmt.Sprintf("no answer: chronyd hangs: %v is stopped (SIGSTOP)", p)
		f.Mend, f.Run = "let it go on", fmt.Sprintf("kill -CONT %d", p.id)
	case unread > 0:
		f.Says = fmt.Sprintf("no answer: chronyd hangs: it does not read its port, where %d bytes wait", unread)
		f.Mend, f.Run = "restart it; if it is stopped (state T), let it go on with kill -CONT", "ps -C chronyd -o pid,stat,wchan:20,args; "+runStart
	case at.IsValid() && !at.Addr().IsLoopback():
		f.Says = "no answer: chronyd ignores this host, or a firewall drops what is sent there"
		f.Mend = "name this host in cmdallow, and chronyd's own address in bindcmdaddress, in chrony.conf; better, ask on loopback"
	}
}

func (s *sight) socketObstacle(f *Finding, w way) {
	path := w.socket()
	dir := filepath.Dir(path)
	on := s.node.mountOf(dir)
	switch {
	case on.deleted && on.point != "/":
		f.Verdict = Note
		f.Says = dir + " is a dead directory: chronyd was stopped and started since it was mounted here, and has a new one"
		f.Mend = "restart this container (kubectl delete pod); without the mount, by UDP on the host's network, this can't happen"
	case errors.Is(w.err, fs.ErrNotExist) && !isDir(dir):
		f.Says = "there is no " + dir + s.node.orMount()
		f.Mend = s.node.mountHint(dir)
		f.Run = runUnit
	case errors.Is(w.err, fs.ErrNotExist):
		f.Verdict = Note
		s.noSocket(f, dir)
	case errors.Is(w.err, syscall.ECONNREFUSED):
		f.Verdict = Note
		f.Says = "the socket was left behind: no chronyd holds it, so chronyd is not running"
		f.Mend, f.Run = "start chronyd: it replaces the socket", runStart
	case errors.Is(w.err, syscall.EROFS):
		f.Verdict = Note
		f.Says = dir + " is mounted read-only, and a client needs a socket of its own there, to which chronyd answers"
		f.Mend = "mount it writable (readOnly: false), or ask by UDP on the host's network"
	case errors.Is(w.err, chrony.ErrPermission):
		s.forbidden(f, dir)
	case errors.Is(w.err, context.DeadlineExceeded):
		s.silentSocket(f, path)
	}
}

// noSocket is about a directory in which chronyd should have its socket.
func (s *sight) noSocket(f *Finding, dir string) {
	if slices.ContainsFunc(s.ways, func(w way) bool { return w.err == nil }) {
		f.Verdict = Fine // chronyd runs
		return
	}
	f.Says = "there is no socket in " + dir + ": chronyd is not running, or has no Unix socket"
	f.Mend, f.Run = "start chronyd", fmt.Sprintf("ls -ld %s; %s", dir, runUnit)
	// chronyd has no socket in a directory that others can enter (util.c,
	// UTI_CheckDirPermissions).
	if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o007 != 0 {
		f.Says = fmt.Sprintf("there is no socket in %s, and its mode is %o: chronyd has none in a directory that others can enter (its log: Disabled command socket), nor has the node's own chronyc then", dir, info.Mode().Perm())
		f.Mend = "remove the directory and restart chronyd, which makes it anew; mount it with type Directory, never DirectoryOrCreate"
		f.Run = fmt.Sprintf("rmdir %s; %s", dir, runStart)
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func (n *node) orMount() string {
	if n.container != "" {
		return " in " + n.container
	}
	return ""
}

func (n *node) mountHint(dir string) string {
	if n.container != "" {
		return fmt.Sprintf("mount the host's %s at the same path, type Directory, writable; or ask by UDP on the host's network", dir)
	}
	return "start chronyd; bindcmdaddress in chrony.conf says where its socket is"
}

// forbidden is about a socket that belongs to somebody else.
func (s *sight) forbidden(f *Finding, dir string) {
	f.Verdict = Note
	f.Says = fmt.Sprintf("no permission for user id %d", s.node.uid)
	f.Mend = "run as the user to whom " + dir + " belongs; being in its group is not enough"
	f.Run = "stat -c '%u %U %a' " + dir
	if info, err := os.Stat(dir); err == nil {
		owner := info.Sys().(*syscall.Stat_t).Uid
		f.Says += fmt.Sprintf(": %s belongs to user id %d, chronyd's own", dir, owner)
		f.Mend = fmt.Sprintf("run as user id %d (runAsUser: %[1]d in a pod, User= in a unit); being in its group is not enough", owner)
		f.Run = ""
	}
	f.Mend += ". Without any right, ask by UDP on loopback"
}

// silentSocket is about a socket that takes requests and brings no answers.
func (s *sight) silentSocket(f *Finding, path string) {
	f.Verdict = Note
	p, on := s.node.chronyd(), s.node.mountOf(filepath.Dir(path))
	answers := slices.ContainsFunc(s.ways, func(w way) bool { return w.err == nil })
	switch {
	case p != nil && p.state == 'T':
		f.Says = fmt.Sprintf("no answer: chronyd hangs: %v is stopped (SIGSTOP)", p)
		f.Mend, f.Run = "let it go on", fmt.Sprintf("kill -CONT %d", p.id)
	case s.node.container != "" && !strings.HasSuffix(on.point, on.source):
		f.Says = fmt.Sprintf("no answer: %s is not the host's directory of that name, but its %s: chronyd sends its answers to a path that is another one for it", on.point, on.source)
		f.Mend = "mount the directory at the path that it has on the host (mountPath equal to the hostPath)"
	case answers:
		f.Says = "no answer, though chronyd answers elsewhere: it can't reach this program's socket in " + filepath.Dir(path)
		f.Mend = "the directory must have the same path inside and outside of a container: mountPath equal to the host's path"
	default:
		f.Says = "no answer: chronyd hangs, or can't reach this program's socket in " + filepath.Dir(path)
		f.Mend = "restart chronyd; in a container, the directory must have the same path as outside (mountPath equal to the host's path)"
		f.Run = "ps -C chronyd -o pid,stat,wchan:20,args; " + runStart
	}
}
