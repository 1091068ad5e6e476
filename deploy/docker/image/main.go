// Image builds the container image of Chrony Tracker without an engine and without a
// registry. It writes an OCI archive for several platforms. The same commit and the
// same Go give the same bytes.
//
//	image archive -version V -revision R -created SECONDS -out FILE PLATFORM=BINARY...
//	image roots
package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "roots":
		_, err := os.Stdout.Write(roots())
		return err
	case len(args) > 1 && args[0] == "archive":
		return archive(args[1:])
	default:
		return errors.New("usage: image archive … | image roots")
	}
}

// roots are Mozilla's root certificates. They come from a module with a fixed version,
// not from the machine, so every build has the same ones. Certificates that Mozilla
// trusts only under a condition are left out, because a file can't express the
// condition.
func roots() []byte {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
	}
	return b.Bytes()
}

// An image is what the images of all platforms have in common.
type image struct {
	name, version, revision string
	created                 time.Time
}

func archive(args []string) error {
	flags := flag.NewFlagSet("archive", flag.ContinueOnError)
	reference := flags.String("name", "", "name of the image after loading: registry/name:tag")
	version := flags.String("version", "", "version of the program")
	revision := flags.String("revision", "", "commit of the source")
	created := flags.Int64("created", 0, "time of the source, in seconds since 1970")
	out := flags.String("out", "", "the archive to write")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if _, err := name.NewTag(*reference); err != nil {
		return err
	}
	i := image{*reference, *version, *revision, time.Unix(*created, 0).UTC()}

	index := v1.ImageIndex(empty.Index)
	for _, arg := range flags.Args() {
		platform, binary, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("%q is not PLATFORM=BINARY", arg)
		}
		p, err := v1.ParsePlatform(platform)
		if err != nil {
			return err
		}
		built, err := i.build(p, binary)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: untyped{built}, Descriptor: v1.Descriptor{Platform: p}})
	}
	return i.write(index, *out)
}

// An untyped image has no artifactType in the index. The library would write the type
// of its config there. skopeo 1.9 drops that field when it copies an index, so a
// registry would hold another digest than the one that is printed here.
type untyped struct{ v1.Image }

func (untyped) ArtifactType() (string, error) { return "", nil }

// build builds the image of one platform: only the roots and the program.
func (i image) build(p *v1.Platform, binary string) (v1.Image, error) {
	program, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	built := mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1)
	for _, content := range []struct {
		path string
		data []byte
		mode fs.FileMode
	}{
		{"etc/ssl/certs/ca-certificates.crt", roots(), 0o644},
		{"chrony-tracker", program, 0o755},
	} {
		layer, err := i.layer(content.path, content.data, content.mode)
		if err != nil {
			return nil, err
		}
		built, err = mutate.Append(built, mutate.Addendum{
			Layer:   layer,
			History: v1.History{Created: v1.Time{Time: i.created}, CreatedBy: "/" + content.path},
		})
		if err != nil {
			return nil, err
		}
	}
	return mutate.ConfigFile(built, i.config(built, p))
}

func (i image) config(built v1.Image, p *v1.Platform) *v1.ConfigFile {
	config, err := built.ConfigFile()
	if err != nil {
		panic(err) // the path was built above
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = p.OS, p.Architecture, p.Variant
	config.Created = v1.Time{Time: i.created}
	config.Config = v1.Config{
		User:         "65532:65532",
		ExposedPorts: map[string]struct{}{"9123/tcp": {}},
		Entrypoint:   []string{"/chrony-tracker"},
		Labels: map[string]string{
			"org.opencontainers.image.title":       "chrony-tracker",
			"org.opencontainers.image.description": "How far off can this node's clock be right now?",
			"org.opencontainers.image.source":      "https://github.com/chrony-tracker/chrony-tracker",
			"org.opencontainers.image.licenses":    "Apache-2.0",
			"org.opencontainers.image.version":     i.version,
			"org.opencontainers.image.revision":    i.revision,
		},
	}
	return config
}

// layer holds one file, and the directories above it.
func (i image) layer(path string, data []byte, mode fs.FileMode) (v1.Layer, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for at, c := range path {
		if c == '/' {
			if err := i.add(w, path[:at+1], tar.TypeDir, 0o755, nil); err != nil {
				return nil, err
			}
		}
	}
	if err := i.add(w, path, tar.TypeReg, mode, data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(9))
}

func (i image) add(w *tar.Writer, name string, kind byte, mode fs.FileMode, data []byte) error {
	header := &tar.Header{Name: name, Typeflag: kind, Mode: int64(mode), Size: int64(len(data)), ModTime: i.created}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

// write writes the archive: an OCI layout in a tar file, with sorted files.
func (i image) write(index v1.ImageIndex, out string) error {
	dir, err := os.MkdirTemp("", "image")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	tag, _ := name.NewTag(i.name)
	if err := path.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": tag.TagStr(),
		"io.containerd.image.name":          i.name,
	})); err != nil {
		return err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error { // in lexical order
		if err != nil || file == dir {
			return err
		}
		relative, _ := filepath.Rel(dir, file)
		if entry.IsDir() {
			return i.add(w, relative+"/", tar.TypeDir, 0o755, nil)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return i.add(w, relative, tar.TypeReg, 0o644, data)
	}); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := os.WriteFile(out, b.Bytes(), 0o644); err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	fmt.Printf("%s\n%s %s\n", out, i.name, digest)
	return nil
}
