package chrony

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A target is the address of a chronyd. The zero target is the chronyd on this machine.
type target struct {
	path string // path of the Unix socket; empty for UDP
	host string // a name or an IP address
	port uint16
}

// loopback lists the addresses on which chronyd answers everyone's monitoring requests.
var loopback = []target{{host: "127.0.0.1", port: 323}, {host: "::1", port: 323}}

func parseAddress(address string) (target, error) {
	if address == "" {
		return target{}, nil
	}
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		if !filepath.IsAbs(path) {
			return target{}, addressError(address, "the path of a socket must begin with a slash")
		}
		path = filepath.Clean(path)
		if longest := max(len(path), len(replyPath(path))); longest > maxSocketPath {
			return target{}, addressError(address, "the path is too long: the reply socket in the same directory needs a longer one")
		}
		return target{path: path}, nil
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return target{}, addressError(address, "host and port expected")
	}
	if host == "" {
		return target{}, addressError(address, "the host is missing")
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || port == 0 {
		return target{}, addressError(address, "the port must be a number from 1 to 65535")
	}
	return target{host: host, port: uint16(port)}, nil
}

// String returns the target in the form that parseAddress takes.
func (t target) String() string {
	switch {
	case t.path != "":
		return "unix://" + t.path
	case t.host != "":
		return net.JoinHostPort(t.host, strconv.Itoa(int(t.port)))
	default:
		return loopback[0].String()
	}
}

// resolve returns one target for each IP address of the host name.
func (t target) resolve(ctx context.Context) ([]target, error) {
	if t == (target{}) {
		return loopback, nil
	}
	if _, err := netip.ParseAddr(t.host); t.path != "" || err == nil {
		return []target{t}, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", t.host)
	if err != nil {
		return nil, err
	}
	targets := make([]target, len(ips))
	for i, ip := range ips {
		targets[i] = target{host: ip.Unmap().String(), port: t.port}
	}
	return targets, nil
}

// silenceHint returns the hint for a target that accepts requests and does not answer.
func (t target) silenceHint() string {
	if t.path != "" {
		return "chronyd hangs, or cannot reach this client's socket: the directory must have the same path for both"
	}
	return "chronyd hangs, or ignores this host: see bindcmdaddress and cmdallow in chrony.conf"
}

// permissionHint returns the hint for a target that this process may not use.
func (t target) permissionHint() string {
	if t.path != "" {
		return "run as chronyd's user, or use the address 127.0.0.1:323, which answers everyone on this machine"
	}
	return "a firewall or a security profile blocks requests of this process"
}

// absenceHint returns the hint for a target where nothing listens.
func (t target) absenceHint(err error) string {
	switch {
	case t.path == "":
		return "is chronyd running, and is its cmdport open? A container needs the host's network to reach it"
	case !errors.Is(err, fs.ErrNotExist):
		return "is chronyd running? Its socket was left behind"
	case isEmptyDir(filepath.Dir(t.path)):
		return "is chronyd running? The directory is empty. In a container, chronyd may have created a new directory since the mount: restart the container"
	default:
		return "is chronyd running? A container needs chronyd's directory mounted at the same path"
	}
}

func isEmptyDir(path string) bool {
	entries, err := os.ReadDir(path)
	return err == nil && len(entries) == 0
}
