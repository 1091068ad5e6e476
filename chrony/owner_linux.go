package chrony

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"syscall"
)

// asOwnerOf calls do with the file-system permissions of the user who owns the
// directory. A process of another user needs CAP_SETUID for that, and no other
// capability. The files that do creates belong to the owner, so no other user needs
// access. It changes no mode or owner at a path that the owner could replace by a link.
func asOwnerOf(dir string, do func() error) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	owner, self := int(info.Sys().(*syscall.Stat_t).Uid), os.Geteuid()
	if owner == self {
		return do()
	}
	// The file-system user ID belongs to the thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if setFSUID(owner); setFSUID(-1) != owner {
		return fmt.Errorf("%w: %s belongs to user id %d, and this is %d", fs.ErrPermission, dir, owner, self)
	}
	defer setFSUID(self)
	return do()
}

// setFSUID sets the thread's file-system user ID, if that is permitted, and returns the
// previous one (setfsuid(2)). -1 changes nothing.
func setFSUID(uid int) int {
	call := uintptr(syscall.SYS_SETFSUID)
	if runtime.GOARCH == "386" || runtime.GOARCH == "arm" {
		call = 215 // SYS_SETFSUID32: on this architecture, the other call takes 16 bits
	}
	previous, _, _ := syscall.RawSyscall(call, uintptr(uid), 0, 0)
	return int(int32(previous))
}

// restrictSocket allows only the owner to send to a socket, before the socket is bound.
// On Linux the mode of the socket's file is that of the socket.
func restrictSocket(_, _ string, socket syscall.RawConn) error {
	var err error
	control := socket.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), 0o600) })
	return errors.Join(control, err)
}
