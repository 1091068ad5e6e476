package clockbound

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Prepare makes the directory of a segment, and gives it to a user. It needs root, or
// CAP_CHOWN as root. A directory that belongs to a third user, or that is not for a
// segment alone, is left as it is: a mistake must not give /run or / to that user.
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
		if err := onlySegment(path); err != nil {
			return dir, err
		}
		// The mode first: afterwards this process may no longer own the directory.
		return dir, errors.Join(os.Chmod(dir, 0o755), os.Chown(dir, owner, -1))
	default:
		return dir, &Error{ForeignFile, fmt.Errorf("%s belongs to user id %d", dir, now), "does another program, such as Amazon's clockbound, publish the bound there? Choose another directory, or delete this one"}
	}
}

// onlySegment returns an error if the directory of a segment contains anything else.
func onlySegment(path string) error {
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if own := e.Name() == name || e.Name() == name+".lock" || strings.HasPrefix(e.Name(), "."+name+"."); !own {
			return &Error{ForeignFile, fmt.Errorf("%s contains another file: %s", dir, e.Name()), "choose a directory for the segment alone, such as /var/run/clockbound"}
		}
	}
	return nil
}
