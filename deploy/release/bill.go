package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
)

// bill writes the software bill of materials of a binary, from the build information
// that Go stores in it. So it lists exactly the modules in the program.
func (r release) bill(platform, binary string) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	program := cyclonedx.Component{
		Type:       cyclonedx.ComponentTypeApplication,
		BOMRef:     purl(info.Main.Path, r.version),
		Name:       name,
		Version:    r.version,
		PackageURL: purl(info.Main.Path, r.version),
		Licenses:   &cyclonedx.Licenses{{License: &cyclonedx.License{ID: "Apache-2.0"}}},
		Hashes:     &[]cyclonedx.Hash{},
	}
	if *program.Hashes, err = hashes(binary); err != nil {
		return err
	}
	goVersion := strings.TrimPrefix(info.GoVersion, "go")
	components := []cyclonedx.Component{{
		Type: cyclonedx.ComponentTypeLibrary, BOMRef: purl("std", goVersion),
		Name: "std", Version: goVersion, PackageURL: purl("std", goVersion), Description: "Go's standard library",
	}}
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		components = append(components, cyclonedx.Component{
			Type: cyclonedx.ComponentTypeLibrary, BOMRef: purl(module.Path, module.Version),
			Name: module.Path, Version: module.Version, PackageURL: purl(module.Path, module.Version),
			Hashes: moduleHash(module.Sum),
		})
	}
	var parts []string
	for _, c := range components {
		parts = append(parts, c.BOMRef)
	}
	bom := cyclonedx.NewBOM()
	bom.Metadata = &cyclonedx.Metadata{
		Timestamp: r.created.Format(time.RFC3339),
		Component: &program,
		Properties: &[]cyclonedx.Property{
			{Name: "platform", Value: platform},
		},
	}
	bom.Components = &components
	bom.Dependencies = &[]cyclonedx.Dependency{{Ref: program.BOMRef, Dependencies: &parts}}
	var b bytes.Buffer
	if err := cyclonedx.NewBOMEncoder(&b, cyclonedx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cyclonedx.SpecVersion1_6); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, name+"-"+r.version+"-"+platform+".cdx.json"), b.Bytes(), 0o644)
}

func purl(module, version string) string { return "pkg:golang/" + module + "@" + version }

// moduleHash returns the hash from go.sum (h1:…), a SHA-256 of the module's files.
func moduleHash(sum string) *[]cyclonedx.Hash {
	encoded, ok := strings.CutPrefix(sum, "h1:")
	if !ok {
		return nil
	}
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil
	}
	return &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: hex.EncodeToString(data)}}
}

func hashes(file string) ([]cyclonedx.Hash, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return []cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: fmt.Sprintf("%x", sha256.Sum256(data))}}, nil
}
