package clockbound

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/chrony-tracker/chrony-tracker/internal/segment"
)

// An Inspection is what can be seen of a segment without writing to it.
type Inspection struct {
	Path string
	Err  error // why a tracker could not write it, or nil
	Held bool  // a tracker has it open for writing

	Exists  bool // as a valid segment
	Status  string
	Bound   time.Duration // at the last write
	Age     time.Duration // of the record; negative if it is of before the last boot
	Lasts   time.Duration // how long the record is valid after that
	Written bool          // during the inspection
}

// foreignLifetime is longer than any record of a tracker lasts. Amazon's daemon writes
// records that last for 1000 s.
const foreignLifetime = time.Minute

// Foreign reports whether a program other than a tracker has written the record.
func (i *Inspection) Foreign() bool { return i.Exists && i.Lasts > foreignLifetime }

// inspects is how long an inspection takes: a tracker, like Amazon's daemon, writes
// once a second.
const inspects = 1500 * time.Millisecond

// Inspect looks at the segment at a path.
func Inspect(path string) *Inspection {
	i := &Inspection{Path: path}
	i.Err = writable(path)
	i.Held = isHeld(path)
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return i
	}
	defer file.Close()
	mapping, err := segment.Map(file, false)
	if err != nil {
		if errors.Is(err, segment.ErrVersion) || !isSmall(file) {
			i.Err = foreign(fmt.Errorf("%s: %w", path, err), path)
		}
		return i
	}
	i.watch(mapping)
	return i
}

// watch looks at a segment for a while. Amazon's daemon truncates the file when it starts.
func (i *Inspection) watch(mapping *segment.Mapping) {
	before := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(before)
		if fault := recover(); fault == nil {
			return
		} else if _, ok := fault.(interface{ Addr() uintptr }); !ok {
			panic(fault)
		}
		i.Exists, i.Written = false, true
	}()
	generation := mapping.Generation()
	for begin := time.Now(); time.Since(begin) < inspects && !i.Written; time.Sleep(attention / 5) {
		i.Written = mapping.Generation() != generation
	}
	r, _, ok := mapping.Read()
	i.Exists = ok
	i.Status, i.Bound, i.Age, i.Lasts = r.Status.String(), r.Bound, monotonic()-r.AsOf, r.VoidAfter-r.AsOf
}

// writable returns why this process could not write a segment.
func writable(path string) error {
	dir := filepath.Dir(path)
	access := func(file string, mode uint32) error {
		if err := unix.Access(file, mode); err != nil {
			return explain(&fs.PathError{Op: "access", Path: file, Err: err}, path)
		}
		return nil
	}
	if err := access(dir, unix.W_OK|unix.X_OK); err != nil {
		return err
	}
	for _, file := range []string{path, lockPath(path)} {
		if err := access(file, unix.R_OK|unix.W_OK); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// isHeld reports whether a tracker writes the segment.
func isHeld(path string) bool {
	lock, err := os.OpenFile(lockPath(path), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer lock.Close()
	return errors.Is(unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}
