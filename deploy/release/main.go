// Release writes the files of a release, except for the container image: an archive and
// a bill of materials for each platform, and the checksums of all files. The same
// commit gives the same bytes. It expects the chart from helm package in the output
// directory and makes it reproducible. `make release` runs both.
//
//	release -version v1.2.3 -created SECONDS -source DIR -out DIR PLATFORM=BINARY...
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const name = "chrony-tracker"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// A release is what all files of a release have in common.
type release struct {
	version string // such as v1.2.3
	created time.Time
	source  string // the root of the repository
	out     string
}

func run(args []string) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	version := flags.String("version", "", "version of the release: v and a semantic version")
	created := flags.Int64("created", 0, "time of the source, in seconds since 1970")
	source := flags.String("source", ".", "the repository's root")
	out := flags.String("out", "", "the directory to write to")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if !semantic.MatchString(*version) {
		return fmt.Errorf("-version=%s: must be v and a semantic version, such as v1.2.3", *version)
	}
	if flags.NArg() == 0 || *out == "" {
		return errors.New("usage: release -version V -out DIR PLATFORM=BINARY...")
	}
	r := release{*version, time.Unix(*created, 0).UTC(), *source, *out}
	for _, arg := range flags.Args() {
		platform, binary, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("%q is not PLATFORM=BINARY", arg)
		}
		platform = strings.ReplaceAll(platform, "/", "-")
		if err := r.archive(platform, binary); err != nil {
			return err
		}
		if err := r.bill(platform, binary); err != nil {
			return err
		}
	}
	if err := r.chart(); err != nil {
		return err
	}
	return r.checksums()
}

// semantic matches a version as on semver.org, with the v of Go's and git's tags.
var semantic = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)

// archive writes the files for a machine without Kubernetes.
func (r release) archive(platform, binary string) error {
	base := name + "-" + r.version + "-" + platform
	a := r.newArchive()
	for _, file := range []struct {
		name, from string
		mode       fs.FileMode
	}{
		{name, binary, 0o755},
		{name + ".service", filepath.Join(r.source, "deploy/systemd", name+".service"), 0o644},
		{"LICENSE", filepath.Join(r.source, "LICENSE"), 0o644},
	} {
		data, err := os.ReadFile(file.from)
		if err != nil {
			return err
		}
		a.add(base+"/"+file.name, data, file.mode)
	}
	return a.write(filepath.Join(r.out, base+".tar.gz"))
}

// prerelease is the only line of Chart.yaml that helm package can't set.
var prerelease = regexp.MustCompile(`(?m)^  artifacthub.io/prerelease: .*$`)

// chart makes the output of helm package reproducible. Helm gives every file the time
// at which it runs, and has no option for another time.
func (r release) chart() error {
	version := strings.TrimPrefix(r.version, "v")
	path := filepath.Join(r.out, name+"-"+version+".tgz")
	packaged, err := os.Open(path)
	if err != nil {
		return err
	}
	defer packaged.Close()
	unzipped, err := gzip.NewReader(packaged)
	if err != nil {
		return err
	}
	a := r.newArchive()
	for files := tar.NewReader(unzipped); ; {
		file, err := files.Next()
		if err == io.EOF {
			return a.write(path)
		}
		if err != nil {
			return err
		}
		data, err := io.ReadAll(files)
		if err != nil {
			return err
		}
		if file.Name == name+"/Chart.yaml" {
			line := fmt.Sprintf(`  artifacthub.io/prerelease: "%t"`, strings.Contains(version, "-"))
			data = prerelease.ReplaceAllLiteral(data, []byte(line))
		}
		a.add(file.Name, data, 0o644)
	}
}

// checksums writes the checksums of all files, as sha256sum reads them.
func (r release) checksums() error {
	entries, err := os.ReadDir(r.out) // in lexical order
	if err != nil {
		return err
	}
	var sums bytes.Buffer
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(r.out, entry.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(data), entry.Name())
	}
	os.Stdout.Write(sums.Bytes())
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), sums.Bytes(), 0o644)
}

// An archive is a compressed tar file that is being written. Its write method returns
// all earlier errors.
type archive struct {
	created time.Time
	buffer  bytes.Buffer
	gzip    *gzip.Writer
	tar     *tar.Writer
	err     error
}

func (r release) newArchive() *archive {
	a := &archive{created: r.created}
	a.gzip, _ = gzip.NewWriterLevel(&a.buffer, gzip.BestCompression)
	a.tar = tar.NewWriter(a.gzip)
	return a
}

func (a *archive) add(path string, data []byte, mode fs.FileMode) {
	header := &tar.Header{Name: path, Typeflag: tar.TypeReg, Mode: int64(mode), Size: int64(len(data)), ModTime: a.created}
	if err := a.tar.WriteHeader(header); err != nil && a.err == nil {
		a.err = err
	}
	if _, err := a.tar.Write(data); err != nil && a.err == nil {
		a.err = err
	}
}

func (a *archive) write(path string) error {
	if err := errors.Join(a.err, a.tar.Close(), a.gzip.Close()); err != nil {
		return err
	}
	return os.WriteFile(path, a.buffer.Bytes(), 0o644)
}
