package clockbound

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/chrony-tracker/chrony-tracker/internal/segment"
)

// The reasons why nothing is written.
const (
	DirectoryMissing = "directory_missing"
	Permission       = "permission"
	ReadOnly         = "read_only"
	ForeignFile      = "foreign_file"
	AnotherWriter    = "another_writer"
	Other            = "other"
)

// Reasons lists them.
var Reasons = []string{DirectoryMissing, Permission, ReadOnly, ForeignFile, AnotherWriter, Other}

// An Error says why a segment can't be written.
type Error struct {
	Reason string // one of Reasons
	Err    error
	hint   string
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Hint says how to fix it.
func (e *Error) Hint() string { return e.hint }

func reasonOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return Other
}

func hintOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.hint
	}
	return ""
}

func anotherWriter(path string) error {
	return &Error{AnotherWriter, fmt.Errorf("%s: another program writes to it", path),
		"stop Amazon's clockbound or the other tracker, or choose another path with --clockbound.shm"}
}

// explain returns an error of a system call with its reason. The file is the one that
// the call was about.
func explain(err error, file string) error {
	dir := filepath.Dir(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &Error{DirectoryMissing, err, fmt.Sprintf("create %s and let it belong to user id %d", dir, os.Geteuid())}
	case errors.Is(err, syscall.ENOSPC):
		return &Error{Other, err, "free space in " + dir}
	case errors.Is(err, syscall.ELOOP):
		return &Error{ForeignFile, err, "delete the symbolic link " + file + ", or name the file that it points to with --clockbound.shm"}
	case errors.Is(err, syscall.EROFS):
		return &Error{ReadOnly, err, "mount " + dir + " without readOnly for the tracker"}
	case errors.Is(err, fs.ErrPermission) && unix.Access(dir, unix.W_OK|unix.X_OK) == nil && ownerOf(file) >= 0:
		return foreign(fmt.Errorf("%w: the file belongs to user id %d", err, ownerOf(file)), file)
	case errors.Is(err, fs.ErrPermission):
		return &Error{Permission, fmt.Errorf("%w: %s belongs to user id %d, and this program runs as %d", err, dir, ownerOf(dir), os.Geteuid()),
			fmt.Sprintf("chown %d %s", os.Geteuid(), dir)}
	default:
		return &Error{Reason: Other, Err: err}
	}
}

// named returns an error with the name of the file that is wanted, instead of that of a
// temporary file. Otherwise each attempt would be logged as another error.
func named(err error, path string) error {
	var inner *fs.PathError
	if errors.As(err, &inner) {
		return &fs.PathError{Op: inner.Op, Path: path, Err: inner.Err}
	}
	return err
}

func foreign(err error, file string) error {
	return &Error{ForeignFile, err, "stop the program that made " + file + ", and delete the file"}
}

// ownerOf returns the user id of a file's owner, or -1.
func ownerOf(file string) int {
	var stat unix.Stat_t
	if unix.Stat(file, &stat) != nil {
		return -1
	}
	return int(stat.Uid)
}

// A claim is a segment's file that this process alone may write, as far as trackers
// are concerned.
type claim struct {
	path    string
	lock    *os.File
	file    *os.File
	mapping *segment.Mapping
	created bool // by this process
}

// open opens the segment at a path. It keeps a valid file, so that readers keep their
// mapping. It replaces one that is missing or broken.
func open(path string, first segment.Record) (*claim, error) {
	lock, err := takeLock(path)
	if err != nil {
		return nil, err
	}
	c := &claim{path: path, lock: lock}
	if err := c.open(); err == nil {
		return c, nil
	} else if !errors.Is(err, errReplace) {
		lock.Close()
		return nil, err
	}
	c.created = true
	if err = create(path, first); err == nil {
		err = c.open()
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	return c, nil
}

// lockPath is a file of its own: readers may open the segment, and could lock it.
func lockPath(path string) string { return path + ".lock" }

func takeLock(path string) (*os.File, error) {
	lock, err := os.OpenFile(lockPath(path), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, explain(err, lockPath(path))
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, anotherWriter(path)
		}
		return nil, explain(err, lockPath(path))
	}
	return lock, nil
}

var errReplace = errors.New("missing or broken")

// open opens the file, or reports that it has to be replaced.
func (c *claim) open() error {
	file, err := os.OpenFile(c.path, os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errReplace
	case err != nil:
		return explain(err, c.path)
	}
	c.mapping, err = segment.Map(file, true)
	if err == nil {
		file.Chmod(0o644) // readers may be any user; this fails on another user's file
		c.file = file
		return nil
	}
	defer file.Close()
	if errors.Is(err, segment.ErrNotSegment) && isSmall(file) {
		return errReplace
	}
	return foreign(fmt.Errorf("%s: %w", c.path, err), c.path)
}

// isSmall reports whether a regular file is so small that it may have been a segment.
func isSmall(file *os.File) bool {
	const most = 4096
	info, err := file.Stat()
	return err == nil && info.Mode().IsRegular() && info.Size() <= most
}

// create makes the file aside and renames it, so that no reader sees half of it.
func create(path string, first segment.Record) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return explain(named(err, path), path)
	}
	defer file.Close()
	_, err = file.Write(segment.Encode(first))
	err = errors.Join(err, file.Chmod(0o644))
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		os.Remove(file.Name())
		return explain(named(err, path), path)
	}
	return nil
}

// untilQuiet returns how long to wait, and see whether another program writes. A record
// shows when it was written.
func (c *claim) untilQuiet() time.Duration {
	r, _, ok := c.mapping.Read()
	if !ok {
		return quiet
	}
	age := monotonic() - r.AsOf
	if age < 0 {
		return 0 // of before the last boot
	}
	return max(0, quiet-age)
}

func monotonic() time.Duration { return read(unix.CLOCK_MONOTONIC) }

func read(clock int32) time.Duration {
	var t unix.Timespec
	unix.ClockGettime(clock, &t)
	return time.Duration(t.Nano())
}

// isCurrent reports whether the file is still the one at the path, and whole.
func (c *claim) isCurrent() bool {
	own, err := c.file.Stat()
	at, atErr := os.Lstat(c.path)
	return err == nil && atErr == nil && os.SameFile(own, at) && own.Size() >= segment.Size
}

func (c *claim) close() {
	c.file.Close()
	c.lock.Close()
}
