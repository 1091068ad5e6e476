package chrony

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// chronyd answers on a Unix socket by sending to the path that the client has
// bound. So the client needs a socket file of its own, at a path that means the
// same to chronyd and where chronyd may reach it: directly in the directory of
// chronyd's socket, since AppArmor profiles confine chronyd to it (Debian's to
// one level of it).

const (
	replyPrefix   = "chrony-tracker."
	replySuffix   = ".sock"
	maxSocketPath = 107 // bytes of sun_path in unix(7), less the NUL
)

// replyPath returns a new path for the reply socket of a client of the socket.
func replyPath(socket string) string {
	var b [8]byte
	rand.Read(b[:])
	return filepath.Join(filepath.Dir(socket), fmt.Sprintf("%s%x%s", replyPrefix, b, replySuffix))
}

// A unixConn removes its reply socket when it is closed.
type unixConn struct {
	net.Conn
	path string
}

func (c *unixConn) Close() error {
	return errors.Join(c.Conn.Close(), removeSocket(c.path))
}

func removeSocket(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil // chronyd removes its directory when it is stopped
}

func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	removeDeadSockets(ctx, filepath.Dir(path))
	reply := replyPath(path)
	dialer := net.Dialer{
		LocalAddr: &net.UnixAddr{Name: reply, Net: "unixgram"},
		// On Linux a socket's file takes its mode from the socket. To send to
		// it chronyd must be able to write, nobody else.
		Control: func(_, _ string, socket syscall.RawConn) error {
			var err error
			control := socket.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), 0o600) })
			return errors.Join(control, err)
		},
	}
	var socket net.Conn
	err := asOwnerOf(path, func() (err error) {
		socket, err = dialer.DialContext(ctx, "unixgram", path)
		return err
	})
	if err != nil {
		removeSocket(reply) // bound, perhaps, but not connected
		return nil, err
	}
	return &unixConn{socket, reply}, nil
}

// removeDeadSockets removes what clients have left that were killed. That it
// can't is not worth an error: if it matters, binding fails as well.
func removeDeadSockets(ctx context.Context, dir string) {
	dead := deadSockets(dir)
	if len(dead) == 0 {
		return
	}
	// A socket that another client is just binding has a file an instant before
	// it can be reached. It is not dead if it is alive when looked at again.
	select {
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
		return
	}
	for path := range deadSockets(dir) {
		if dead[path] {
			removeSocket(path)
		}
	}
}

// deadSockets finds the reply sockets that no process holds any more.
func deadSockets(dir string) map[string]bool {
	entries, _ := os.ReadDir(dir)
	dead := make(map[string]bool)
	for _, entry := range entries {
		name := entry.Name()
		if !strings.HasPrefix(name, replyPrefix) || !strings.HasSuffix(name, replySuffix) {
			continue
		}
		path := filepath.Join(dir, name)
		probe, err := net.Dial("unixgram", path)
		if err == nil {
			probe.Close()
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			dead[path] = true
		}
	}
	return dead
}
