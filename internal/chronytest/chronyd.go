package chronytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/chrony-tracker/chrony-tracker/chrony"
)

// Config says how a private chronyd is to be.
type Config struct {
	Lines []string // of chrony.conf, such as "local stratum 10"; none means never synchronised
	User  string   // to run as; by default the current one. Another one needs root
	Dir   string   // for all its files; by default a new one, removed by Close

	// Usual makes it answer where chronyd usually does: at port 323, and in
	// /run/chrony. That takes namespaces of one's own (network, mounts).
	Usual bool
}

// A Chronyd is a private chronyd that monitors everything and controls nothing:
// it runs with -x, which leaves the system clock alone.
type Chronyd struct {
	Address  string // for monitoring by UDP over IPv4
	Address6 string // the same over IPv6; empty where the machine has none
	Socket   string // the path of its Unix socket, in a directory of its own

	program string
	args    []string
	dir     string
	remove  bool   // dir
	ask     string // where Wait asks
	log     *os.File
	process *exec.Cmd

	changesUser bool
	unguard     func() // nil unless it does
}

// Start starts a chronyd and waits until it answers. It must be closed.
func Start(config Config) (*Chronyd, error) {
	program, err := Program("chrony", "chronyd")
	if err != nil {
		return nil, err
	}
	d := &Chronyd{program: program, dir: config.Dir}
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "chronytest"); err != nil {
			return nil, err
		}
		d.remove = true
	}
	if err := d.configure(config); err != nil {
		d.Close()
		return nil, err
	}
	if err := d.Restart(); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func (d *Chronyd) configure(config Config) error {
	name := config.User
	if name == "" {
		current, err := user.Current()
		if err != nil {
			return err
		}
		name = current.Username
	}
	account, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, _ := strconv.Atoi(account.Uid)
	gid, _ := strconv.Atoi(account.Gid)
	socketDir := filepath.Join(d.dir, "run")
	if config.Usual {
		socketDir = "/run/chrony"
	}
	if err := os.Mkdir(socketDir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if config.User != "" {
		d.changesUser = true
		// Of this directory chronyd demands to be the owner.
		if err := errors.Join(os.Chmod(d.dir, 0o755), os.Chown(socketDir, uid, gid)); err != nil {
			return err
		}
	}
	port, err := FreePort()
	if err != nil {
		return err
	}
	if config.Usual {
		port = 323
	}
	d.Address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	d.Socket = filepath.Join(socketDir, "chronyd.sock")
	d.ask = d.Address
	if config.Usual {
		d.ask = "unix://" + d.Socket // the lines may close the port
	}

	lines := append([]string{
		"cmdport " + strconv.Itoa(port),
		"bindcmdaddress 127.0.0.1",
		"bindcmdaddress " + d.Socket,
		"pidfile " + filepath.Join(d.dir, "chronyd.pid"),
	}, config.Lines...)
	if hasIPv6() {
		d.Address6 = net.JoinHostPort("::1", strconv.Itoa(port))
		lines = append(lines, "bindcmdaddress ::1")
	}
	if !hasPort(config.Lines) {
		lines = append(lines, "port 0")
	}
	conf := filepath.Join(d.dir, "chrony.conf")
	if err := os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		return err
	}
	d.args = []string{"-x", "-d", "-u", name, "-f", conf}
	if os.Geteuid() != 0 {
		d.args = append(d.args, "-U") // it need not be root: it has nothing to control
	}
	return nil
}

func hasPort(lines []string) bool {
	for _, line := range lines {
		if strings.HasPrefix(line, "port ") {
			return true
		}
	}
	return false
}

// Addresses are all ways to the daemon, as chrony.Dial takes them.
func (d *Chronyd) Addresses() []string {
	all := []string{d.Address, "unix://" + d.Socket}
	if d.Address6 != "" {
		all = append(all, d.Address6)
	}
	return all
}

// Restart starts chronyd again, after [Chronyd.Kill] or while it runs, and waits
// until it answers.
func (d *Chronyd) Restart() error {
	d.Kill()
	if err := d.Launch(); err != nil {
		return err
	}
	_, err := d.Wait(func(*chrony.Report) bool { return true })
	return err
}

// Launch starts chronyd again without waiting for anything.
func (d *Chronyd) Launch() error {
	if d.log == nil {
		log, err := os.Create(filepath.Join(d.dir, "log"))
		if err != nil {
			return err
		}
		d.log = log
	}
	process := Command(d.program, d.args...)
	process.Stdout, process.Stderr = d.log, d.log
	if err := process.Start(); err != nil {
		return err
	}
	d.process = process
	if !d.changesUser {
		return nil
	}
	var err error
	d.unguard, err = guard(process.Process.Pid)
	return err
}

// Wait reads tracking and sources until they satisfy the condition.
func (d *Chronyd) Wait(condition func(*chrony.Report) bool) (*chrony.Report, error) {
	return d.wait(context.Background(), condition)
}

func (d *Chronyd) wait(ctx context.Context, condition func(*chrony.Report) bool) (*chrony.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	client, err := chrony.NewClient(d.ask)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var report *chrony.Report
	var problem error
	if err := Poll(ctx, func() bool {
		report, problem = client.Report(ctx, chrony.WantTracking|chrony.WantSources)
		return problem == nil && condition(report)
	}); err != nil {
		return nil, fmt.Errorf("chronyd is not as it should be: %w: %+v, %v\n%s", err, report, problem, d.Log())
	}
	return report, nil
}

// WaitSynchronized waits until chronyd follows a source and knows its own
// frequency, so that the root dispersion has come down from seconds.
func (d *Chronyd) WaitSynchronized(ctx context.Context) error {
	_, err := d.wait(ctx, func(r *chrony.Report) bool {
		t := r.Tracking
		return t != nil && t.Leap != chrony.LeapNotSynchronized && t.Stratum > 0 && t.RootDispersion < 0.01
	})
	return err
}

// Log returns what chronyd has logged.
func (d *Chronyd) Log() string {
	text, err := os.ReadFile(filepath.Join(d.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Pause stops chronyd as a debugger would; Continue lets it go on.
func (d *Chronyd) Pause() error { return d.process.Process.Signal(syscall.SIGSTOP) }

// Continue ends a Pause.
func (d *Chronyd) Continue() error { return d.process.Process.Signal(syscall.SIGCONT) }

// Kill ends chronyd without giving it time to tidy up.
func (d *Chronyd) Kill() {
	if d.unguard != nil {
		d.unguard()
		d.unguard = nil
	}
	if d.process != nil {
		d.process.Process.Kill()
		d.process.Wait()
		d.process = nil
	}
}

// Close ends chronyd and removes its files.
func (d *Chronyd) Close() {
	d.Kill()
	if d.log != nil {
		d.log.Close()
		d.log = nil
	}
	if d.remove {
		os.RemoveAll(d.dir)
	}
}

// Chronyc returns what chronyc says over the socket, in its CSV form.
func (d *Chronyd) Chronyc(args ...string) (string, error) {
	program, err := Program("chrony", "chronyc")
	if err != nil {
		return "", err
	}
	out, err := Command(program, append([]string{"-h", d.Socket, "-n", "-c"}, args...)...).Output()
	if err != nil {
		return "", fmt.Errorf("chronyc %v: %w: %s", args, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// Steady calls read between two calls of chronyc and returns what chronyc said,
// in CSV, by report: tracking, sources, sourcestats and activity. It does so again until
// chronyd has taken no sample in the meantime, so that all saw the same.
func (d *Chronyd) Steady(read func()) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	var before, after map[string]string
	var problem error
	if Poll(ctx, func() bool {
		if before, problem = d.said(); problem != nil {
			return true
		}
		read()
		after, problem = d.said()
		return problem != nil || samples(before) == samples(after)
	}) != nil {
		return nil, errors.New("chronyd takes samples all the time")
	}
	return before, problem
}

func (d *Chronyd) said() (map[string]string, error) {
	said := make(map[string]string)
	for _, report := range []string{"tracking", "sources", "sourcestats", "activity"} {
		text, err := d.Chronyc(report)
		if err != nil {
			return nil, err
		}
		said[report] = text
	}
	return said, nil
}

// samples are what a new sample changes: tracking's reference time, and each
// source's offset as it was measured.
func samples(said map[string]string) string {
	seen := strings.Split(said["tracking"], ",")[3]
	for source := range strings.Lines(said["sources"]) {
		seen += "," + strings.Split(source, ",")[8]
	}
	return seen
}

// FreePort finds a port that nobody uses, neither by UDP nor by TCP. It is below
// those that the kernel hands out by itself, so that it stays free.
func FreePort() (int, error) {
	for range 100 {
		port := 10_000 + rand.IntN(20_000)
		if canListen(port) {
			return port, nil
		}
	}
	return 0, errors.New("no free port")
}

func canListen(port int) bool {
	hosts := []string{"127.0.0.1"}
	if hasIPv6() {
		hosts = append(hosts, "::1")
	}
	for _, host := range hosts {
		address := net.JoinHostPort(host, strconv.Itoa(port))
		packets, err := net.ListenPacket("udp", address)
		if err != nil {
			return false
		}
		packets.Close()
		stream, err := net.Listen("tcp", address)
		if err != nil {
			return false
		}
		stream.Close()
	}
	return true
}

func hasIPv6() bool {
	conn, err := net.ListenPacket("udp", "[::1]:0")
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// New starts a chronyd for a test and closes it at the test's end.
func New(t TB, config Config) *Chronyd {
	t.Helper()
	d, err := Start(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			io.WriteString(t.Output(), d.Log())
		}
		d.Close()
	})
	return d
}

// Server makes the lines of a chronyd that serves time at the returned port of
// 127.0.0.0/8, by the local clock, at stratum 1.
func Server() (lines []string, port int, err error) {
	if port, err = FreePort(); err != nil {
		return nil, 0, err
	}
	return []string{
		"port " + strconv.Itoa(port),
		"bindaddress 0.0.0.0", // so that it answers as 127.0.0.2 and so on, too
		"local stratum 1",
		"allow 127.0.0.0/8",
	}, port, nil
}

// NewServer starts a chronyd that serves time to others, and returns the line
// that makes others follow it, without its poll interval and further options.
func NewServer(t TB) (server *Chronyd, line string) {
	t.Helper()
	lines, port, err := Server()
	if err != nil {
		t.Fatal(err)
	}
	return New(t, Config{Lines: lines}), ServerLine(port)
}

// ServerLine is the line of chrony.conf that follows a [Server].
func ServerLine(port int) string { return fmt.Sprintf("server 127.0.0.1 port %d iburst", port) }

// Fast is a poll interval of 1/64 s, the shortest there is: with it a chronyd
// is synchronised within a second.
const Fast = " minpoll -6 maxpoll -6"

// NewSynchronized starts a chronyd that follows a server of its own, and waits
// until it does. Options are appended to the line that names the server.
func NewSynchronized(t TB, options string) *Chronyd {
	t.Helper()
	_, line := NewServer(t)
	d := New(t, Config{Lines: []string{line + Fast + options}})
	if err := d.WaitSynchronized(context.Background()); err != nil {
		t.Fatal(err)
	}
	return d
}
