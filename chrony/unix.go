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
//
// Everything there is done with the rights of chronyd's user, to whom the
// directory belongs, and nobody else is given any.

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
	err := asOwnerOf(filepath.Dir(c.path), func() error { return os.Remove(c.path) })
	if errors.Is(err, os.ErrNotExist) {
		err = nil // chronyd's directory goes when chronyd is stopped
	}
	return errors.Join(c.Conn.Close(), err)
}

func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	var socket net.Conn
	err := asOwnerOf(filepath.Dir(path), func() error {
		removeDeadSockets(ctx, filepath.Dir(path))
		if _, err := os.Stat(path); err != nil {
			return err
		}
		reply := replyPath(path)
		dialer := net.Dialer{
			LocalAddr: &net.UnixAddr{Name: reply, Net: "unixgram"},
			Control:   restrictSocket,
		}
		conn, err := dialer.DialContext(ctx, "unixgram", path)
		if err != nil {
			os.Remove(reply) // bound, perhaps, but not connected
			return err
		}
		socket = &unixConn{conn, reply}
		return nil
	})
	return socket, err
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
			os.Remove(path)
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
