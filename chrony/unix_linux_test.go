package chrony_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

// wantOnly checks that a directory has only the given files.
func wantOnly(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	if strings.Join(found, " ") != strings.Join(names, " ") {
		t.Errorf("in %s: %v, want %v", dir, found, names)
	}
}

// TestSocketFile checks the client's socket file while it is in use and after that.
func TestSocketFile(t *testing.T) {
	d := chronytest.New(t, chronytest.Config{})
	client := dial(t, "unix://"+d.Socket)
	if _, err := client.Tracking(within(t, chronytest.Patience)); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(d.Socket)
	files, _ := filepath.Glob(dir + "/chrony-tracker.*.sock")
	if len(files) != 1 {
		t.Fatalf("reply sockets: %v", files)
	}
	info, err := os.Stat(files[0])
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	wantOnly(t, dir, "chronyd.sock")
}

// TestSocketOfAnotherUser runs chronyd as another user than the client, as usual in
// production. Only chronyd's user may write to the client's socket.
func TestSocketOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can run chronyd as another user")
	}
	d := chronytest.New(t, chronytest.Config{User: "nobody"})
	client := dial(t, "unix://"+d.Socket)
	if _, err := client.Tracking(within(t, chronytest.Patience)); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Dir(d.Socket) + "/chrony-tracker.*.sock")
	if len(files) != 1 {
		t.Fatalf("reply sockets: %v", files)
	}
	info, err := os.Stat(files[0])
	if err != nil {
		t.Fatal(err)
	}
	server, err := os.Stat(d.Socket)
	if err != nil {
		t.Fatal(err)
	}
	owner, want := info.Sys().(*syscall.Stat_t).Uid, server.Sys().(*syscall.Stat_t).Uid
	if owner != want || info.Mode().Perm() != 0o600 {
		t.Errorf("owner %d, want %d, mode %v", owner, want, info.Mode())
	}
	// The client had the other user's permissions only for a moment.
	var wg sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			name := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(name, nil, 0o600); err != nil {
				t.Error(err)
			} else if info, err := os.Stat(name); err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
				t.Error("a file of root's is not root's", err)
			}
		})
	}
	wg.Wait()
}

// TestFiftyClients uses one socket with many clients at once.
func TestFiftyClients(t *testing.T) {
	d := chronytest.NewSynchronized(t, "")
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			client := dial(t, "unix://"+d.Socket)
			defer client.Close()
			for range 10 {
				if _, err := client.Report(within(t, chronytest.Patience), chrony.WantTracking|chrony.WantSources); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	wantOnly(t, filepath.Dir(d.Socket), "chronyd.sock")
}

// TestCrash kills a client that has its socket open. The next client removes that socket,
// but no socket in use.
func TestCrash(t *testing.T) {
	if address := os.Getenv("CRASH"); address != "" {
		client := dial(t, address)
		if _, err := client.Tracking(within(t, chronytest.Patience)); err != nil {
			t.Fatal(err)
		}
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	d := chronytest.New(t, chronytest.Config{})
	address, dir := "unix://"+d.Socket, filepath.Dir(d.Socket)

	living := dial(t, address)
	if _, err := living.Tracking(within(t, chronytest.Patience)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		crash := exec.Command(os.Args[0], "-test.run=^TestCrash$")
		crash.Env = append(os.Environ(), "CRASH="+address)
		if err := crash.Run(); err == nil {
			t.Fatal("the client was not killed")
		}
	}
	if files, _ := filepath.Glob(dir + "/chrony-tracker.*.sock"); len(files) < 2 {
		t.Fatalf("nothing was left behind: %v", files)
	}
	next := dial(t, address)
	if _, err := next.Tracking(within(t, chronytest.Patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := living.Tracking(within(t, chronytest.Patience)); err != nil {
		t.Error(err)
	}
	next.Close()
	living.Close()
	wantOnly(t, dir, "chronyd.sock")
}

// TestRestart restarts chronyd, with a new socket file, while a client is connected.
func TestRestart(t *testing.T) {
	d := chronytest.New(t, chronytest.Config{})
	for _, address := range d.Addresses() {
		client := dial(t, address)
		if _, err := client.Tracking(within(t, chronytest.Patience)); err != nil {
			t.Fatal(err)
		}
		if err := d.Restart(); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Tracking(within(t, chronytest.Patience)); err != nil {
			t.Errorf("the request after a restart: %v", err)
		}
		d.Kill()
		if _, err := client.Tracking(within(t, chronytest.Patience)); !errors.Is(err, chrony.ErrNoAnswer) {
			t.Errorf("chronyd is dead: %v", err)
		}
		if err := d.Restart(); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Tracking(within(t, chronytest.Patience)); err != nil {
			t.Errorf("the request after death and restart: %v", err)
		}
		client.Close()
	}
}

// TestHungSocket stops chronyd until its queue is full. Writing must not block.
func TestHungSocket(t *testing.T) {
	d := chronytest.New(t, chronytest.Config{})
	address := "unix://" + d.Socket
	if err := d.Pause(); err != nil {
		t.Fatal(err)
	}
	for range 15 {
		client := dial(t, address)
		_, err := client.Tracking(within(t, 50*time.Millisecond))
		wantError(t, err, chrony.ErrNoAnswer, context.DeadlineExceeded)
		client.Close()
	}
	if err := d.Continue(); err != nil {
		t.Fatal(err)
	}
	if _, err := dial(t, address).Tracking(within(t, chronytest.Patience)); err != nil {
		t.Error(err)
	}
}

// TestSocketErrors checks the errors for unusable sockets.
func TestSocketErrors(t *testing.T) {
	ask := func(t *testing.T, path string) error {
		t.Helper()
		_, err := dial(t, "unix://"+path).Tracking(within(t, chronytest.Patience))
		return err
	}
	t.Run("missing directory", func(t *testing.T) {
		err := ask(t, filepath.Join(t.TempDir(), "run/chronyd.sock"))
		wantError(t, err, chrony.ErrNoAnswer, fs.ErrNotExist)
	})
	t.Run("empty directory", func(t *testing.T) {
		dir := t.TempDir()
		err := ask(t, filepath.Join(dir, "chronyd.sock"))
		wantError(t, err, chrony.ErrNoAnswer, fs.ErrNotExist)
		var op *chrony.OpError
		if !errors.As(err, &op) || !strings.Contains(op.Hint(), "empty") {
			t.Errorf("the hint does not say that the directory is empty: %v", op.Hint())
		}
		wantOnly(t, dir)
	})
	t.Run("dead chronyd", func(t *testing.T) {
		d := chronytest.New(t, chronytest.Config{})
		d.Kill()
		wantError(t, ask(t, d.Socket), chrony.ErrNoAnswer, syscall.ECONNREFUSED)
		wantOnly(t, filepath.Dir(d.Socket), "chronyd.sock")
	})
	t.Run("other user", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("only root can become another user")
		}
		d := chronytest.New(t, chronytest.Config{User: "nobody"})
		for _, mode := range []fs.FileMode{0o700, 0o755} { // as in Debian; open to others, except for the socket
			if err := os.Chmod(filepath.Dir(d.Socket), mode); err != nil {
				t.Fatal(err)
			}
			var err error
			withoutRights(func() { err = ask(t, d.Socket) })
			wantError(t, err, chrony.ErrPermission, fs.ErrPermission)
		}
	})
}

// withoutRights calls do on a thread of an unprivileged user. The thread ends after that.
func withoutRights(do func()) {
	var wg sync.WaitGroup
	wg.Go(func() {
		runtime.LockOSThread()
		const id = 65432
		syscall.RawSyscall(syscall.SYS_SETRESGID, id, id, id)
		syscall.RawSyscall(syscall.SYS_SETRESUID, id, id, id)
		do()
	})
	wg.Wait()
}

// TestNoDescriptorLeft checks that no kind of failure leaves a file descriptor open.
func TestNoDescriptorLeft(t *testing.T) {
	d := chronytest.New(t, chronytest.Config{})
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(entries)
	}
	use := func(address string) {
		client := dial(t, address)
		client.Report(within(t, 20*time.Millisecond), chrony.WantTracking|chrony.WantSources)
		client.Close()
	}
	mute, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	addresses := []string{d.Address, "unix://" + d.Socket, "unix:///nowhere/chronyd.sock", "127.0.0.1:1", mute.LocalAddr().String()}
	for _, address := range addresses {
		use(address)
	}
	before := count()
	for range 20 {
		for _, address := range addresses {
			use(address)
		}
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
