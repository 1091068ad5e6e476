package chrony

import (
	"os"
	"runtime"
	"syscall"
)

// asOwnerOf calls do with the file-system rights of the user who owns the file,
// which is chronyd's, if this process may have them (it is root). What do makes
// is then owned by that user, so that nobody else need be given access, and no
// mode or owner is changed at a path that chronyd could replace by a link.
func asOwnerOf(path string, do func() error) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	owner, self := int(info.Sys().(*syscall.Stat_t).Uid), os.Geteuid()
	if owner == self {
		return do()
	}
	// The file-system user id belongs to the thread. Where it may not be
	// changed, setfsuid(2) leaves it as it is.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	syscall.Setfsuid(owner)
	defer syscall.Setfsuid(self)
	return do()
}
