package clockbound

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Prepare makes the directory of a segment, and gives it to a user. It needs root, or
// CAP_CHOWN as root. A directory that belongs to a third user is left alone.
func Prepare(path string, owner int) (dir string, err error) {
	const root = 0
	dir = filepath.Dir(path)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return dir, err
	}
	switch now := ownerOf(dir); now {
	case owner:
		return dir, nil
	case root:
		// The mode first: afterwards this process may no longer own the directory.
		return dir, errors.Join(os.Chmod(dir, 0o755), os.Chown(dir, owner, -1))
	default:
		return dir, &Error{ForeignFile, fmt.Errorf("%s belongs to user id %d", dir, now), "does another program, such as Amazon's clockbound, publish the bound there? Choose another directory, or delete this one"}
	}
}
