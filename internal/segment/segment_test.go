package segment_test

import (
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/segment"
)

// TestLayout pins every byte to the protocol, for a machine that is little-endian.
func TestLayout(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("a big-endian machine")
	}
	r := segment.Record{
		AsOf: 0x0102*time.Second + 0x03, VoidAfter: 0x0405*time.Second + 0x06,
		Bound: 0x0708, MaxDrift: 0x090a, Status: segment.FreeRunning,
	}
	want := []byte{
		0x4e, 0x5a, 0x4d, 0x41, 0x00, 0x02, 0x42, 0x43, // the magic number: 0x414D5A4E, 0x43420200
		80, 0, 0, 0, // the size
		2, 0, // the version
		2, 0, // the generation
		0x02, 0x01, 0, 0, 0, 0, 0, 0, 0x03, 0, 0, 0, 0, 0, 0, 0, // as of
		0x05, 0x04, 0, 0, 0, 0, 0, 0, 0x06, 0, 0, 0, 0, 0, 0, 0, // void after
		0x08, 0x07, 0, 0, 0, 0, 0, 0, // the bound
		0, 0, 0, 0, 0, 0, 0, 0, // the disruption marker
		0x0a, 0x09, 0, 0, // the largest drift
		2, 0, 0, 0, // the status
		0, 0, 0, 0, 0, 0, 0, 0, // no disruption support, padding
	}
	if got := segment.Encode(r); string(got) != string(want) {
		t.Errorf("got  % x\nwant % x", got, want)
	}
	m := mapFile(t, writeFile(t, want), false)
	if got, _, ok := m.Read(); !ok || got != r {
		t.Errorf("read %+v, %v", got, ok)
	}
}

func writeFile(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shm0")
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func mapFile(t *testing.T, path string, write bool) *segment.Mapping {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := segment.Map(f, write)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestGeneration lets the generation wrap around. It is never 0, and even after a write,
// also after one that was not finished.
func TestGeneration(t *testing.T) {
	for _, test := range []struct{ before, after uint16 }{{2, 4}, {3, 4}, {0xfffc, 0xfffe}, {0xfffe, 2}, {0xffff, 2}} {
		content := segment.Encode(segment.Record{})
		binary.NativeEndian.PutUint16(content[14:], test.before)
		path := writeFile(t, content)
		if got := mapFile(t, path, true).Write(segment.Record{}); got != test.after {
			t.Errorf("%d follows %d, want %d", got, test.before, test.after)
		}
		content, err := os.ReadFile(path)
		if got := binary.NativeEndian.Uint16(content[14:]); err != nil || got != test.after {
			t.Errorf("the file has %d, want %d", got, test.after)
		}
	}
}

// TestBroken wants no record of what is no segment.
func TestBroken(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func([]byte) []byte
		err    error
	}{
		{"empty", func([]byte) []byte { return nil }, segment.ErrNotSegment},
		{"another program's", func(b []byte) []byte { b[0] = 0; return b }, segment.ErrNotSegment},
		{"cut off", func(b []byte) []byte { return b[:segment.Size-1] }, segment.ErrNotSegment},
		{"too small by itself", func(b []byte) []byte { b[8] = 79; return b }, segment.ErrNotSegment},
		{"not yet written", func(b []byte) []byte { b[14] = 0; return b }, segment.ErrNotSegment},
		{"of version 1", func(b []byte) []byte { b[12] = 1; return b }, segment.ErrVersion},
	} {
		f, err := os.Open(writeFile(t, test.change(segment.Encode(segment.Record{}))))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := segment.Map(f, false); err != test.err {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// TestUnfinishedWrite wants no record while a write is under way.
func TestUnfinishedWrite(t *testing.T) {
	content := segment.Encode(segment.Record{})
	binary.NativeEndian.PutUint16(content[14:], 3)
	if _, _, ok := mapFile(t, writeFile(t, content), false).Read(); ok {
		t.Error("a record")
	}
}

// TestBoundAt rounds up.
func TestBoundAt(t *testing.T) {
	r := segment.Record{AsOf: time.Second, Bound: 100, MaxDrift: 50_000}
	for _, test := range []struct{ now, least, most time.Duration }{
		{time.Second, 100, 101},
		{2 * time.Second, 50_100, 50_101},
		{time.Second + 1, 101, 101},
		{0, 100, 101}, // by a clock that is late
	} {
		if got := r.BoundAt(test.now); got < test.least || got > test.most {
			t.Errorf("at %v: %v", test.now, got)
		}
	}
}

var tearing = flag.Duration("tearing", 2*time.Second, "how long TestTearing reads while the segment is written")

// TestTearing lets processes read as fast as they can while one writes: a thousand times
// a second, and then without a pause. In each record all fields say the same.
func TestTearing(t *testing.T) {
	if path := os.Getenv("SEGMENT_TO_READ"); path != "" {
		readAll(t, path)
		return
	}
	path := writeFile(t, segment.Encode(consistent(1)))
	var readers []*exec.Cmd
	for range 8 {
		c := exec.Command(os.Args[0], "-test.run=^TestTearing$", "-tearing="+tearing.String())
		c.Env = append(os.Environ(), "SEGMENT_TO_READ="+path)
		c.Stdout, c.Stderr = t.Output(), t.Output()
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		readers = append(readers, c)
	}
	m := mapFile(t, path, true)
	n := int64(1)
	for begin := time.Now(); time.Since(begin) < *tearing+time.Second; n++ {
		m.Write(consistent(n))
		if time.Since(begin) < *tearing/2 {
			time.Sleep(time.Millisecond)
		}
	}
	for _, c := range readers {
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
	t.Log(n, "writes")
}

func consistent(n int64) segment.Record {
	return segment.Record{
		AsOf: time.Duration(n) * 1_000_000_007, VoidAfter: time.Duration(n) * 2_000_000_011, Bound: time.Duration(n),
		MaxDrift: uint32(n % segment.MaxDrift), Status: segment.Status(n % 4),
	}
}

func readAll(t *testing.T, path string) {
	m := mapFile(t, path, false)
	reads, seen, last := 0, 0, segment.Record{}
	for begin := time.Now(); time.Since(begin) < *tearing; reads++ {
		r, _, ok := m.Read()
		if !ok {
			continue
		}
		if want := consistent(int64(r.Bound)); r != want {
			t.Fatalf("read %+v, want %+v", r, want)
		}
		if r != last {
			seen++
		}
		last = r
	}
	if seen < 2 {
		t.Errorf("the record never changed in %d reads", reads)
	}
	fmt.Printf("%d reads, %d records\n", reads, seen)
}
