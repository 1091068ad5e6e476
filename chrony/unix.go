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

// On a Unix socket, chronyd sends its answer to the path that the client is bound to. So
// the client needs its own socket file. Its path must be the same for chronyd, and
// chronyd must be able to reach it. It is directly in the directory of chronyd's socket,
// because AppArmor profiles confine chronyd to that directory (Debian's to one level).
//
// The client works there with the permissions of chronyd's user, who owns the directory.
// It gives no other user access.

const (
	replyPrefix   = "chrony-tracker."
	replySuffix   = ".sock"
	maxSocketPath = 107 // bytes of sun_path in unix(7), without the NUL
)

// replyPath returns a new path for the reply socket of a client.
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
		err = nil // the directory is removed when chronyd stops
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

// removeDeadSockets removes the sockets of killed clients. It ignores errors: if they
// matter, binding fails too.
func removeDeadSockets(ctx context.Context, dir string) {
	dead := deadSockets(dir)
	if len(dead) == 0 {
		return
	}
	// While another client binds its socket, the file exists shortly before the
	// socket works. So a socket is dead only if it is dead twice.
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

// deadSockets returns the reply sockets that no process has open.
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
