package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/status"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// The endpoints that are always tried.
var (
	usualUDP     = []string{"127.0.0.1:323", "[::1]:323"}
	usualSockets = []string{"/run/chrony/chronyd.sock", "/var/run/chrony/chronyd.sock"}
)

// An endpoint is an address of chronyd, and what happened when it was asked there.
type endpoint struct {
	address string // as chrony.NewClient takes it
	used    bool   // by the program as it is configured
	took    time.Duration
	err     error
}

// socket returns the path of a Unix socket, or an empty string.
func (e endpoint) socket() string {
	file, ok := strings.CutPrefix(e.address, "unix://")
	if !ok {
		return ""
	}
	return file
}

// dir returns the directory of a Unix socket, or an empty string.
func (e endpoint) dir() string {
	if e.socket() == "" {
		return ""
	}
	return path.Dir(e.socket())
}

func (e endpoint) answers() bool { return e.err == nil }

// endpoints lists the endpoints. The ones that the program uses come first: the
// configured address, or by default both UDP addresses.
func (n *node) endpoints(address string) (endpoints []endpoint) {
	if address != "" {
		endpoints = append(endpoints, endpoint{address: address, used: true})
	}
	for _, udp := range usualUDP {
		endpoints = append(endpoints, endpoint{address: udp, used: address == ""})
	}
	for _, socket := range usualSockets {
		endpoints = append(endpoints, endpoint{address: "unix://" + socket})
	}
	seen := make(map[string]bool)
	return slices.DeleteFunc(endpoints, func(e endpoint) bool {
		key := e.address
		if n.varRun {
			key = strings.Replace(key, "unix:///var/run/", "unix:///run/", 1)
		}
		again := seen[key]
		seen[key] = true
		return again
	})
}

// tryEndpoints asks all addresses concurrently, because a silent one takes the whole
// timeout.
func tryEndpoints(ctx context.Context, endpoints []endpoint, timeout time.Duration) []endpoint {
	var all sync.WaitGroup
	for i := range endpoints {
		all.Go(func() { endpoints[i].try(ctx, timeout) })
	}
	all.Wait()
	return endpoints
}

func (e *endpoint) try(ctx context.Context, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	client, err := chrony.Dial(ctx, e.address)
	if e.err, e.took = err, time.Since(start); err == nil {
		client.Close()
	}
}

// checkEndpoints reports where chronyd answers. The verdict is wrong only if chronyd
// answers at none of the endpoints that the program uses.
func checkEndpoints(s *facts) (findings []Finding) {
	works := slices.ContainsFunc(s.endpoints, func(e endpoint) bool { return e.used && e.answers() })
	failed := -1 // the finding about an endpoint that should work
	for _, e := range s.endpoints {
		switch {
		case e.answers():
			summary := fmt.Sprintf("chronyd answers in %v", e.took.Round(10*time.Microsecond))
			findings = append(findings, Finding{Verdict: Fine, Check: e.address, Summary: summary})
		case !e.used:
			findings = append(findings, s.unusedEndpoint(e, works))
		case works:
			findings = append(findings, Finding{Verdict: Fine, Check: e.address, Summary: status.Cause(e.err) + notNeeded})
		case failed >= 0:
			findings[failed].Check += ", " + e.address
		default:
			failed = len(findings)
			findings = append(findings, s.failedEndpoint(e))
		}
	}
	return findings
}

const notNeeded = "; it is not needed"

// noAnswer is the impact if chronyd does not answer.
const noAnswer = "the clock's error is unknown: its state is unreachable and its bound +Inf"

// failedEndpoint describes a failed endpoint that the program uses.
func (s *facts) failedEndpoint(e endpoint) Finding {
	o, _ := s.obstacle(e)
	f := Finding{Wrong, e.address, o.why, noAnswer, o.fix, o.command}
	if i := slices.IndexFunc(s.endpoints, func(e endpoint) bool { return e.answers() && !e.used }); i >= 0 {
		f.Fix += "; or use --chrony.address=" + s.endpoints[i].address + ", where chronyd answers"
	}
	return f
}

// unusedEndpoint describes an endpoint that the program doesn't use. It is a note if it
// is broken, or if no endpoint that the program uses works.
func (s *facts) unusedEndpoint(e endpoint, works bool) Finding {
	f := Finding{Verdict: Note, Check: e.address, Summary: status.Cause(e.err)}
	o, known := s.obstacle(e)
	absent := errors.Is(e.err, fs.ErrNotExist) && s.node.directories[e.dir()] == nil
	switch broken := known && e.socket() != "" && !absent; {
	case broken && works:
		f.Impact = "nothing while this endpoint isn't used"
		fallthrough
	case broken:
		f.Summary, f.Fix, f.Command = o.why, o.fix, o.command
	case works:
		f.Verdict = Fine
		f.Summary += notNeeded
	}
	return f
}

// obstacle finds why an endpoint doesn't work. If the reason is unknown, it returns only
// the error.
func (s *facts) obstacle(e endpoint) (o obstacle, known bool) {
	obstacles := s.socketObstacles
	if e.socket() == "" {
		obstacles = s.udpObstacles
	}
	if o = first(obstacles(e)); !o.when {
		o = obstacle{why: status.Cause(e.err), fix: tracker.Hint(e.err)}
		return o, false
	}
	return o, true
}

const noListener = "no program listens there"

// The commands to run on the node.
const (
	runUnit    = "systemctl status chrony chronyd; journalctl -u chrony -u chronyd -n 20"
	runStart   = "systemctl restart chrony || systemctl restart chronyd"
	runConf    = "grep -rEhv '^ *([#!;%]|$)' /etc/chrony/ /etc/chrony.conf"
	runProcess = "ps -eo pid,args | grep -E '[c]hronyd|[n]tpd|[t]imesyncd|[p]tp4l|[p]hc2sys|[v]mtoolsd|[V]BoxService'"
	runHung    = "ps -C chronyd -o pid,stat,wchan:20,args; " + runStart
)

func (s *facts) udpObstacles(e endpoint) []obstacle {
	at, _ := netip.ParseAddrPort(e.address)
	loopback := at.Addr().IsLoopback()
	switch {
	case errors.Is(e.err, syscall.ECONNREFUSED) && loopback:
		return s.refused(at)
	case errors.Is(e.err, context.DeadlineExceeded):
		return s.silent(at)
	}
	return []obstacle{
		{errors.Is(e.err, syscall.ECONNREFUSED), noListener,
			"set bindcmdaddress and cmdallow in chrony.conf: chronyd answers other hosts only if both allow it", ""},
		{errors.Is(e.err, chrony.ErrUnauthorized), "chronyd answers, but refuses its report tracking",
			openTracking, ""},
	}
}

// refused handles a loopback address where no program listens.
func (s *facts) refused(at netip.AddrPort) []obstacle {
	n := &s.node
	p, socket, cmdport := n.chronyd(), n.chronydSocket(), n.conf.last("cmdport")
	closed := cmdport != nil && cmdport.String() == "cmdport 0"
	var other, where string // an address at which the port is open; the line that closes it
	if open := n.listens(at.Port()); open != nil {
		other = open[0].Addr().String()
	}
	if closed {
		where = cmdport.where
	}
	return []obstacle{
		{other != "", fmt.Sprintf("%s: port %d is open at %s only", noListener, at.Port(), other),
			fmt.Sprintf(`add "bindcmdaddress %v" to chrony.conf and restart chronyd`, at.Addr()),
			runStart},
		{closed && (p != nil || socket != ""), fmt.Sprintf(`%s: chronyd runs, but "cmdport 0" in %s closes its port`, noListener, where),
			"remove that line and restart chronyd",
			runStart},
		{socket != "", fmt.Sprintf("%s: chronyd runs and has the socket %s, but its port is closed or different. Look for cmdport and bindcmdaddress in chrony.conf", noListener, socket),
			fmt.Sprintf(`remove "cmdport 0" from chrony.conf and restart chronyd; or run this program as the user who owns %s, with --chrony.address=unix://%s`,
				path.Dir(socket), socket),
			runConf},
		{p != nil && p.apart, fmt.Sprintf("%s: chronyd runs (%v), but in another network namespace than this program", noListener, p),
			n.joinNetwork(), ""},
		{p != nil, fmt.Sprintf("%s: chronyd runs (%v), but has no port here. Either cmdport 0 is in chrony.conf, or chronyd is in another network namespace", noListener, p),
			`remove "cmdport 0" from chrony.conf and restart chronyd; or ` + n.joinNetwork(),
			runConf},
		{n.container != "" && !n.hostNetwork && !n.nodeNetwork, fmt.Sprintf("%s: either %s has its own network, and chronyd answers on the node's network; or the node itself is a container (kind, LXC), and chronyd does not run in it. Both look the same from here", noListener, n.container),
			n.joinNetwork() + ". If it is already there, start chronyd in the node", ""},
		{n.container == "" && !n.installed, noListener + ", no chronyd has a socket in this network namespace, and none is installed: chronyd is not running",
			"install chrony, and remove other programs that steer the clock",
			"apt-get install chrony || tdnf install chrony || dnf install chrony"},
		{true, noListener + ", and no chronyd has a socket in this network namespace: chronyd is not running",
			"start chronyd, and enable it at boot. Its log shows why it ended",
			"systemctl enable --now chrony || systemctl enable --now chronyd; journalctl -u chrony -u chronyd -n 20"},
	}
}

func (n *node) joinNetwork() string {
	if n.container != "" {
		return "run this program in the host's network: hostNetwork: true for a pod, --network=host for a container"
	}
	return "run this program in chronyd's network namespace"
}

// stopped handles a chronyd that hangs because it was stopped, as by SIGSTOP.
func (s *facts) stopped() obstacle {
	p := s.node.chronyd()
	if p == nil || p.state != 'T' {
		return obstacle{}
	}
	return obstacle{
		when:    true,
		why:     fmt.Sprintf("no answer: chronyd hangs, because %v was stopped (SIGSTOP)", p),
		fix:     "resume it",
		command: fmt.Sprintf("kill -CONT %d", p.id),
	}
}

// silent handles an address that accepts requests and does not answer.
func (s *facts) silent(at netip.AddrPort) []obstacle {
	unread := uint64(0)
	for _, socket := range s.node.listens(at.Port()) {
		unread += socket.unread
	}
	return []obstacle{
		s.stopped(),
		{unread > 0, fmt.Sprintf("no answer: chronyd hangs. It has not read %d bytes at its port", unread),
			"restart chronyd. If it is stopped (state T), resume it with kill -CONT instead",
			runHung},
		{at.IsValid() && !at.Addr().IsLoopback(), "no answer: chronyd ignores this host, or a firewall drops the requests",
			"in chrony.conf, set cmdallow to this host's address, and bindcmdaddress to chronyd's. It is better to ask on loopback", ""},
	}
}

func (s *facts) socketObstacles(e endpoint) []obstacle {
	dir := e.dir()
	n, on, directory := &s.node, s.node.mountOf(dir), s.node.directories[dir]
	switch {
	case on.deleted && on.point != "/": // with any error
	case errors.Is(e.err, fs.ErrNotExist) && directory != nil:
		return s.noSocket(dir, directory)
	case errors.Is(e.err, context.DeadlineExceeded):
		return s.silentSocket(dir)
	}
	missing, mount := "there is no "+dir, "start chronyd. bindcmdaddress in chrony.conf has the path of its socket"
	if n.container != "" {
		missing += " in " + n.container
		mount = fmt.Sprintf("mount the host's %s at the same path, type Directory, writable; or ask by UDP on the host's network", dir)
	}
	return []obstacle{
		{on.deleted && on.point != "/", dir + " is a dead directory: after it was mounted here, chronyd was stopped and started, and has created a new one",
			"restart this container (kubectl delete pod). To avoid this, remove the mount and ask by UDP on the host's network", ""},
		{errors.Is(e.err, fs.ErrNotExist), missing, mount,
			runUnit},
		{errors.Is(e.err, syscall.ECONNREFUSED), "the socket was left behind: no chronyd has it open, so chronyd is not running",
			"start chronyd: it replaces the socket",
			runStart},
		{errors.Is(e.err, syscall.EROFS), dir + " is mounted read-only. The client must create a socket there, because chronyd answers to it",
			"mount it writable (readOnly: false), or ask by UDP on the host's network", ""},
		s.forbidden(e, dir, directory),
	}
}

// forbidden handles a socket that another user owns.
func (s *facts) forbidden(e endpoint, dir string, d *directory) obstacle {
	const orUDP = "Membership in its group is not enough. UDP on loopback needs no permission"
	o := obstacle{
		when:    errors.Is(e.err, chrony.ErrPermission),
		why:     fmt.Sprintf("no permission for user id %d", s.node.uid),
		fix:     "run this program as the user who owns " + dir + ". " + orUDP,
		command: "stat -c '%u %U %a' " + dir,
	}
	if d != nil && d.owner != "" {
		o.why += fmt.Sprintf(": %s belongs to user id %s, chronyd's own", dir, d.owner)
		o.fix = fmt.Sprintf("run this program as user id %s (runAsUser: %[1]s in a pod, User= in a unit). %s", d.owner, orUDP)
		o.command = ""
	}
	return o
}

func (s *facts) chronydAnswers() bool { return slices.ContainsFunc(s.endpoints, endpoint.answers) }

// noSocket handles a missing socket in chronyd's directory. chronyd makes no socket in
// a directory that others can enter (util.c, UTI_CheckDirPermissions).
func (s *facts) noSocket(dir string, d *directory) []obstacle {
	if s.chronydAnswers() {
		return nil // so chronyd runs
	}
	return []obstacle{
		{d.mode&0o007 != 0, fmt.Sprintf("there is no socket in %s, and its mode is %o. chronyd creates no socket in a directory that other users can enter (its log: Disabled command socket). So chronyc on the node has none either", dir, d.mode),
			"remove the directory and restart chronyd, which creates a new one. Mount it with type Directory, never DirectoryOrCreate",
			fmt.Sprintf("rmdir %s; %s", dir, runStart)},
		{true, "there is no socket in " + dir + ": chronyd is not running, or has no Unix socket",
			"start chronyd",
			fmt.Sprintf("ls -ld %s; %s", dir, runUnit)},
	}
}

// silentSocket handles a socket that accepts requests and does not answer.
func (s *facts) silentSocket(dir string) []obstacle {
	const samePath = "mount the directory at the path that it has on the host (mountPath equal to the hostPath)"
	on := s.node.mountOf(dir)
	return []obstacle{
		s.stopped(),
		{s.node.container != "" && !strings.HasSuffix(on.point, on.source), fmt.Sprintf("no answer: %s is the host's %s. The path is different for chronyd, so its answers do not arrive", on.point, on.source),
			samePath, ""},
		{s.chronydAnswers(), "no answer, although chronyd answers elsewhere: chronyd can't reach this program's socket in " + dir,
			"in a container: " + samePath, ""},
		{true, "no answer: chronyd hangs, or can't reach this program's socket in " + dir,
			"restart chronyd. In a container: " + samePath,
			runHung},
	}
}
