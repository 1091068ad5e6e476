package clockbound

import (
	"os"
	"path/filepath"
	"testing"
)

// TestPrepare gives the directory of a segment to a user, and no other directory.
func TestPrepare(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory to another user")
	}
	const owner = 65532
	for _, test := range []struct {
		name   string
		make   func(dir string)
		given  bool
		reason string
	}{
		{"missing", func(string) {}, true, ""},
		{"made by the kubelet", func(dir string) { os.Mkdir(dir, 0o700) }, true, ""},
		{"used before", func(dir string) {
			os.Mkdir(dir, 0o755)
			for _, name := range []string{"shm0", "shm0.lock", ".shm0.123"} {
				os.WriteFile(filepath.Join(dir, name), nil, 0o644)
			}
		}, true, ""},
		{"of another program", func(dir string) { os.Mkdir(dir, 0o755); os.Chown(dir, 1000, 1000) }, false, ForeignFile},
		{"for other files as well", func(dir string) { os.Mkdir(dir, 0o755); os.Mkdir(filepath.Join(dir, "chrony"), 0o755) }, false, ForeignFile},
		{"no directory", func(dir string) { os.WriteFile(dir, nil, 0o600) }, false, Other},
	} {
		dir := filepath.Join(t.TempDir(), "clockbound")
		test.make(dir)
		before := ownerOf(dir)
		_, err := Prepare(filepath.Join(dir, "shm0"), owner)
		if test.given && (err != nil || ownerOf(dir) != owner) {
			t.Errorf("%s: %v, belongs to %d", test.name, err, ownerOf(dir))
		}
		if !test.given && (err == nil || reasonOf(err) != test.reason || ownerOf(dir) != before) {
			t.Errorf("%s: %v, belongs to %d", test.name, err, ownerOf(dir))
		}
		if info, err := os.Stat(dir); test.given && (err != nil || info.Mode().Perm() != 0o755) {
			t.Errorf("%s: %v, %v", test.name, info, err)
		}
	}
}
