//go:build system

package deploy

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

// TestRelease makes a release twice, and checks the files that users download.
func TestRelease(t *testing.T) {
	t.Parallel()
	dir := makeRelease(t)
	sums, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	// In another folder and with other Go settings, the result must be the same.
	if again, err := os.ReadFile(filepath.Join(makeRelease(t, "GOFLAGS=-buildvcs=true", "GOAMD64=v2"), "SHA256SUMS")); err != nil || string(again) != string(sums) {
		t.Errorf("made twice: %s, %s, %v", sums, again, err)
	}

	var files []string
	for line := range strings.Lines(string(sums)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || fmt.Sprintf("%x", sha256.Sum256(data)) != sum {
			t.Errorf("%s: not its checksum, %v", name, err)
		}
		if strings.HasSuffix(name, ".oci.tar") && bytes.Contains(data, []byte("artifactType")) {
			t.Errorf("%s: skopeo drops artifactType, and a registry would hold another digest", name)
		}
		// If a name has no registry, a kubelet looks for docker.io/library/….
		if strings.HasSuffix(name, ".oci.tar") && !bytes.Contains(data, []byte(`"io.containerd.image.name": "ghcr.io/chrony-tracker/chrony-tracker:v1.2.3"`)) {
			t.Errorf("%s: not the name under which it is published", name)
		}
		files = append(files, name)
	}
	if got, want := strings.Join(files, " "), strings.Join([]string{
		"chrony-tracker-1.2.3.tgz",
		"chrony-tracker-v1.2.3-linux-amd64.cdx.json", "chrony-tracker-v1.2.3-linux-amd64.tar.gz",
		"chrony-tracker-v1.2.3-linux-arm64.cdx.json", "chrony-tracker-v1.2.3-linux-arm64.tar.gz",
		"chrony-tracker-v1.2.3.oci.tar",
	}, " "); got != want {
		t.Errorf("files %s, want %s", got, want)
	}

	t.Run("chart", func(t *testing.T) {
		packaged := filepath.Join(dir, "chrony-tracker-1.2.3.tgz")
		if out, problems, err := run(t, "", helm, "lint", "--strict", packaged, "--set=image.repository=r"); err != nil {
			t.Errorf("%v: %s%s", err, out, problems)
		}
		out, _, err := run(t, "", helm, "template", "x", packaged, "--set=image.repository=r")
		if err != nil || !strings.Contains(out, "image: r:v1.2.3\n") {
			t.Errorf("no image of the release: %v", err)
		}
		out, _, err = run(t, "", helm, "show", "chart", packaged)
		for _, want := range []string{"\nversion: 1.2.3\n", "appVersion: 1.2.3\n", `artifacthub.io/prerelease: "false"`} {
			if err != nil || !strings.Contains(out, want) {
				t.Errorf("no %q: %v: %s", want, err, out)
			}
		}
	})
	for _, platform := range []string{"linux-amd64", "linux-arm64"} {
		t.Run(platform, func(t *testing.T) { checkArchive(t, dir, "chrony-tracker-v1.2.3-"+platform) })
	}
}

func makeRelease(t *testing.T, environment ...string) string {
	t.Helper()
	tree := copyOfTree(t)
	if environment != nil { // files in .helmignore must not matter
		for _, stray := range []string{".DS_Store", "templates/service.yaml.swp", "files/rules.tmp"} {
			chronytest.Must(t, os.WriteFile(filepath.Join(tree, "deploy/helm/chrony-tracker", stray), nil, 0o644))
		}
	}
	cmd := programtest.Tool(t, "make", "-s", "-C", tree, "release", "VERSION=v1.2.3", "REVISION=0123abc", "CREATED=1795000000", "HELM="+tool(t, helm))
	cmd.Env = append(os.Environ(), environment...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return filepath.Join(tree, "dist/release")
}

// checkArchive checks a published program and its bill of materials.
func checkArchive(t *testing.T, dir, base string) {
	unpacked := t.TempDir()
	if out, err := programtest.Tool(t, "tar", "-xzf", filepath.Join(dir, base+".tar.gz"), "-C", unpacked).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	program := filepath.Join(unpacked, base, "chrony-tracker")
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"LICENSE", "chrony-tracker.service"} {
		if _, err := os.Stat(filepath.Join(unpacked, base, name)); err != nil {
			t.Error(err)
		}
	}
	if strings.HasSuffix(base, "amd64") {
		if out, err := programtest.Tool(t, program, "--version").Output(); err == nil && !strings.Contains(string(out), "version v1.2.3") {
			t.Errorf("--version: %s", out)
		}
	}

	var bill struct {
		BOMFormat string
		Metadata  struct {
			Component struct{ Name, Version string }
		}
		Components []struct{ Name, Version, PURL string }
	}
	text, err := os.ReadFile(filepath.Join(dir, base+".cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &bill); err != nil {
		t.Fatal(err)
	}
	if bill.BOMFormat != "CycloneDX" || bill.Metadata.Component.Name != "chrony-tracker" || bill.Metadata.Component.Version != "v1.2.3" {
		t.Errorf("%+v", bill.Metadata)
	}
	listed := make(map[string]bool)
	for _, c := range bill.Components {
		listed[c.PURL] = true
	}
	for _, module := range info.Deps {
		if purl := "pkg:golang/" + module.Path + "@" + module.Version; !listed[purl] {
			t.Errorf("the bill lacks %s", purl)
		}
	}
	if len(bill.Components) != len(info.Deps)+1 || !listed["pkg:golang/std@"+strings.TrimPrefix(info.GoVersion, "go")] {
		t.Errorf("%d components, %d modules", len(bill.Components), len(info.Deps))
	}
}

// TestSystemdUnit checks that systemd accepts the unit and rates its exposure as low.
func TestSystemdUnit(t *testing.T) {
	text, err := os.ReadFile("../../../deploy/systemd/chrony-tracker.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"DynamicUser=yes", "NoNewPrivileges=yes", "CapabilityBoundingSet=", "ProtectSystem=strict", "SystemCallFilter=@system-service"} {
		if !regexp.MustCompile(`(?m)^` + want + `$`).Match(text) {
			t.Errorf("no %s", want)
		}
	}
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("needs systemd-analyze to try the rest")
	}
	unit := filepath.Join(t.TempDir(), "chrony-tracker.service")
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(string(text), "/usr/local/bin/chrony-tracker", programtest.Path)), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := programtest.Tool(t, "systemd-analyze", "verify", "--man=no", unit).CombinedOutput(); err != nil || strings.Contains(string(out), "chrony-tracker.service") {
		t.Errorf("%v: %s", err, out)
	}
	// In tenths. Up to 2 is OK to systemd. A unit without any protection has 9.6.
	if out, err := programtest.Tool(t, "systemd-analyze", "security", "--offline=yes", "--threshold=17", unit).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
