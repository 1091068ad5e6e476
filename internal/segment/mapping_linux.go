package segment

import (
	"io"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// A Mapping is a segment in this process's memory. All accesses are atomic, so they are
// safe for concurrent use. The memory is released when the mapping is no longer used.
type Mapping struct {
	words *[Size / 8]atomic.Uint64
}

const headWord, recordWord = 1, headSize / 8

// Map maps an open file for reading, or for writing as well. The file may be closed
// afterwards.
func Map(f *os.File, write bool) (*Mapping, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, ErrNotSegment
	}
	var beginning [headSize]byte
	if _, err := f.ReadAt(beginning[:], 0); err == io.EOF {
		return nil, ErrNotSegment
	} else if err != nil {
		return nil, err
	}
	if err := check(beginning[:], info.Size()); err != nil {
		return nil, err
	}
	access := syscall.PROT_READ
	if write {
		access |= syscall.PROT_WRITE
	}
	data, err := syscall.Mmap(int(f.Fd()), 0, Size, access, syscall.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	m := &Mapping{(*[Size / 8]atomic.Uint64)(unsafe.Pointer(unsafe.SliceData(data)))}
	runtime.AddCleanup(m, func(data []byte) { syscall.Munmap(data) }, data)
	return m, nil
}

// attempts to read a record while it is being written. A write takes some 50 ns, unless
// its program is interrupted. Then the reader must not wait.
const attempts = 200

// Read returns the record, and a mark for Unchanged. It fails if the writer has not
// finished a write in time, or if the segment is void.
func (m *Mapping) Read() (r Record, mark uint64, ok bool) {
	var w words
	for range attempts {
		mark = m.words[headWord].Load()
		h := headOf(mark)
		if h.version != version || h.generation == 0 {
			break
		}
		if h.generation&1 != 0 {
			continue
		}
		for i := range w {
			w[i] = m.words[recordWord+i].Load()
		}
		if m.Unchanged(mark) {
			return w.decode(), mark, true
		}
	}
	return Record{}, 0, false
}

// Unchanged reports whether nothing was written since Read returned the mark.
func (m *Mapping) Unchanged(mark uint64) bool {
	same := m.words[headWord].Load() == mark
	runtime.KeepAlive(m)
	return same
}

// Generation returns the number of the last write. It is odd during one.
func (m *Mapping) Generation() uint16 {
	word := m.words[headWord].Load()
	runtime.KeepAlive(m)
	return headOf(word).generation
}

// Write writes a record. There must be one writer only.
func (m *Mapping) Write(r Record) (generation uint16) {
	w := r.encode()
	during, after := next(m.Generation())
	m.words[headWord].Store(head{Size, version, during}.word())
	for i := range w {
		m.words[recordWord+i].Store(w[i])
	}
	m.words[headWord].Store(head{Size, version, after}.word())
	runtime.KeepAlive(m)
	return after
}
