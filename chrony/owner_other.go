//go:build !linux

package chrony

import "syscall"

// asOwnerOf calls do. Only Linux can lend a thread another user's rights.
func asOwnerOf(_ string, do func() error) error { return do() }

// restrictSocket does nothing: only on Linux does a socket's file take its mode
// from the socket.
func restrictSocket(_, _ string, _ syscall.RawConn) error { return nil }
