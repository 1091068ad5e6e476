//go:build system

package deploy

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

// TestContainer builds the image twice, and runs it as the pods do.
func TestContainer(t *testing.T) {
	if _, err := exec.LookPath("podman"); err != nil || os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("CI needs podman, and to be root")
		}
		t.Skip("needs podman, and to be root")
	}
	engine := newEngine(t)
	archive, digest := makeImage(t, "../../..")
	// In another folder and with other Go settings, the result must be the same.
	if _, again := makeImage(t, copyOfTree(t), "GOFLAGS=-buildvcs=true", "GOAMD64=v2"); again != digest {
		t.Errorf("made twice: %s, %s", digest, again)
	}
	wantSmall(t, archive)
	engine.podman(t, "load", "--input", archive)

	t.Run("inspect", func(t *testing.T) { engine.inspect(t) })
	t.Run("udp", func(t *testing.T) {
		d := chronytest.NewSynchronized(t, "")
		engine.run(t, "65532:65532", nil, d.Address)
	})
	t.Run("bounded time", func(t *testing.T) { engine.publishes(t) })
	t.Run("socket", func(t *testing.T) {
		_, line := chronytest.NewServer(t)
		d := chronytest.New(t, chronytest.Config{Lines: []string{line + chronytest.Fast}, User: "nobody"})
		if err := d.WaitSynchronized(t.Context()); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Dir(d.Socket)
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		owner := strconv.Itoa(int(info.Sys().(*syscall.Stat_t).Uid))
		engine.run(t, owner+":65532", []string{"--volume=" + dir + ":" + dir}, "unix://"+d.Socket)
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 {
			t.Errorf("left next to chronyd's socket: %v, %v", entries, err)
		}
	})
}

// publishes checks the directory for shared memory as the pods mount it: an init
// container hands it over, the tracker writes, and others can only read.
func (e *engine) publishes(t *testing.T) {
	const shm = "/var/run/clockbound/shm0"
	dir := filepath.Join(t.TempDir(), "clockbound")
	chronytest.Must(t, os.Mkdir(dir, 0o755)) // as the kubelet does, for root
	once := func(more ...string) *exec.Cmd {
		flags := []string{"run", "--rm", "--read-only", "--read-only-tmpfs=false", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=host"}
		return e.command(t, append(flags, more...)...)
	}
	volume := "--volume=" + dir + ":/var/run/clockbound"
	if out, err := once("--user=0:0", "--cap-add=CHOWN", volume, imageName, "prepare", "--clockbound.shm="+shm, "--owner=65532").CombinedOutput(); err != nil {
		t.Fatalf("prepare: %v: %s", err, out)
	}
	d := chronytest.NewSynchronized(t, "")
	e.run(t, "65532:65532", []string{volume, "--env=CHRONY_TRACKER_CLOCKBOUND_SHM=" + shm}, d.Address)
	info, err := os.Stat(filepath.Join(dir, "shm0"))
	if err != nil || info.Mode() != 0o644 || info.Sys().(*syscall.Stat_t).Uid != 65532 {
		t.Errorf("%v, %v", info, err)
	}
	out, err := once("--user=65532:65532", volume+":ro", imageName, "doctor", "--chrony.address="+d.Address, "--clockbound.shm="+shm).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "read-only file system") {
		t.Errorf("doctor, with a directory that can only be read: %v: %s", err, out)
	}
}

const imageName = "localhost/chrony-tracker:test"

// makeImage makes the image of a source tree and returns the archive and the
// digest that make image prints.
func makeImage(t *testing.T, tree string, environment ...string) (archive, digest string) {
	t.Helper()
	cmd := programtest.Tool(t, "make", "-s", "-C", tree, "image", "IMAGE="+imageName, "VERSION=v1.2.3", "REVISION=0123abc", "CREATED=1795000000")
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(out))
	if digest = fields[len(fields)-1]; !strings.HasPrefix(digest, "sha256:") {
		t.Fatalf("no digest: %s", out)
	}
	return filepath.Join(tree, "dist/chrony-tracker.oci.tar"), digest
}

// copyOfTree copies the source tree, including uncommitted changes.
func copyOfTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := programtest.Tool(t, "sh", "-c", `git ls-files -z --cached --others --exclude-standard | xargs -0 ls -d 2>/dev/null | tar -cT - | tar -xC "$0"`, dir)
	cmd.Dir = "../../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

// wantSmall checks that no platform's image is larger than 8 MB: the program and the
// certificates.
func wantSmall(t *testing.T, archive string) {
	t.Helper()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	const certificates = 200_000
	for reader := tar.NewReader(file); ; {
		header, err := reader.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Size > 8_000_000-certificates {
			t.Errorf("%s has %d bytes", header.Name, header.Size)
		}
	}
}

// An engine is a podman with storage of its own.
type engine struct {
	env   []string
	flags []string
}

func newEngine(t *testing.T) *engine {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "containers.conf")
	// crun refuses hybrid cgroups, and some machines to raise limits.
	text := "[engine]\nruntime = \"runc\"\n[containers]\ndefault_ulimits = [\"nofile=4096:4096\", \"nproc=4096:4096\"]\n"
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return &engine{
		env:   append(os.Environ(), "CONTAINERS_CONF="+config),
		flags: []string{"--root=" + filepath.Join(dir, "root"), "--runroot=" + filepath.Join(dir, "run"), "--storage-driver=vfs"},
	}
}

func (e *engine) command(t *testing.T, args ...string) *exec.Cmd {
	cmd := programtest.Tool(t, "podman", append(append([]string{}, e.flags...), args...)...)
	cmd.Env = e.env
	return cmd
}

func (e *engine) podman(t *testing.T, args ...string) string {
	t.Helper()
	var problems bytes.Buffer
	cmd := e.command(t, args...)
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("podman %v: %v: %s", args, err, problems.String())
	}
	return strings.TrimSpace(string(out))
}

// inspect checks that the image contains only the program and the certificates.
func (e *engine) inspect(t *testing.T) {
	var images []struct {
		User   string
		Config struct {
			Entrypoint []string
			Labels     map[string]string
		}
	}
	if err := json.Unmarshal([]byte(e.podman(t, "image", "inspect", imageName)), &images); err != nil || len(images) != 1 {
		t.Fatalf("%v: %v", err, images)
	}
	image := images[0]
	if image.User != "65532:65532" || len(image.Config.Entrypoint) != 1 || image.Config.Entrypoint[0] != "/chrony-tracker" {
		t.Errorf("%+v", image)
	}
	dockerfile, err := os.ReadFile("../../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, label := range []string{"version", "revision", "source", "licenses", "title", "description"} {
		name := "org.opencontainers.image." + label
		if image.Config.Labels[name] == "" || !strings.Contains(string(dockerfile), name+"=") {
			t.Errorf("no label %s, here or in the Dockerfile", label)
		}
	}
	for _, line := range []string{"USER 65532:65532", `ENTRYPOINT ["/chrony-tracker"]`, "EXPOSE 9123", "FROM scratch"} {
		if !strings.Contains(string(dockerfile), "\n"+line+"\n") {
			t.Errorf("the Dockerfile lacks %s", line)
		}
	}
	id := e.podman(t, "create", imageName)
	mount := e.podman(t, "mount", id)
	defer e.podman(t, "rm", "--force", id)
	var files []string
	filepath.WalkDir(mount, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			files = append(files, strings.TrimPrefix(path, mount))
		}
		return err
	})
	if got := strings.Join(files, " "); got != "/chrony-tracker /etc/ssl/certs/ca-certificates.crt" {
		t.Errorf("files: %s", got)
	}
}

// run runs the program as in a pod. It checks that the program reads chronyd, and ends
// at once on SIGTERM.
func (e *engine) run(t *testing.T, user string, mounts []string, address string) {
	t.Helper()
	port, err := chronytest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	listen := "127.0.0.1:" + strconv.Itoa(port)
	args := append([]string{
		"run", "--detach", "--timeout=300", "--read-only", "--read-only-tmpfs=false", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=host", "--user=" + user,
	}, mounts...)
	id := e.podman(t, append(args, imageName, "--chrony.address="+address, "--web.listen-address="+listen)...)
	defer func() {
		if t.Failed() {
			log, _ := e.command(t, "logs", id).CombinedOutput()
			t.Log(string(log))
		}
		e.command(t, "rm", "--force", id).Run()
	}()
	s := &programtest.Server{URL: "http://" + listen}
	var values map[string]float64
	chronytest.Await(t, "the container to serve", func() bool {
		values, err = s.Scrape()
		return err == nil
	})
	if programtest.StateOf(values) != "synchronized" || values["chrony_up"] != 1 {
		t.Errorf("state %s", programtest.StateOf(values))
	}
	e.podman(t, "stop", "--time=20", id) // after that, podman kills it, and the exit status shows that
	if status := e.podman(t, "inspect", "--format={{.State.ExitCode}}", id); status != "0" {
		t.Errorf("exit status %s", status)
	}
}
