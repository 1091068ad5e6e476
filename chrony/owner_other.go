//go:build !linux

package chrony

import "syscall"

// asOwnerOf calls do. Only Linux can give a thread another user's permissions.
func asOwnerOf(_ string, do func() error) error { return do() }

// restrictSocket does nothing. Only on Linux is the mode of a socket's file that of the
// socket.
func restrictSocket(_, _ string, _ syscall.RawConn) error { return nil }
