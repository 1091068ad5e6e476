package doctor

import (
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// hostFiles are the files of the machine. Opening one never blocks, not even a FIFO.
type hostFiles struct{}

func (hostFiles) Open(name string) (fs.File, error) {
	return os.OpenFile("/"+name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}
func (hostFiles) Stat(name string) (fs.FileInfo, error)  { return os.Stat("/" + name) }
func (hostFiles) Lstat(name string) (fs.FileInfo, error) { return os.Lstat("/" + name) }
func (hostFiles) ReadLink(name string) (string, error)   { return os.Readlink("/" + name) }

// inRoot converts a path to the form that package fs needs.
func inRoot(file string) string { return strings.TrimPrefix(path.Clean("/"+file), "/") }

// exists reports whether a path exists in the root.
func exists(root fs.FS, file string) bool {
	_, err := fs.Stat(root, inRoot(file))
	return err == nil
}

// readRegular reads a regular file up to a maximum size in bytes. A path from another
// program may also be a device or a FIFO.
func readRegular(root fs.FS, file string, most int64) (text []byte, ok bool) {
	file = inRoot(file)
	if info, err := fs.Stat(root, file); err != nil || !info.Mode().IsRegular() {
		return nil, false // a device is not even opened
	}
	f, err := root.Open(file)
	if err != nil {
		return nil, false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, false
	}
	if info.Size() == 0 {
		return nil, true // to read some files of the kernel, such as /proc/kmsg, changes them
	}
	text, err = io.ReadAll(io.LimitReader(f, most+1))
	return text, err == nil && int64(len(text)) <= most
}
