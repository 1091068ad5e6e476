package test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

const (
	module    = "github.com/chrony-tracker/chrony-tracker"
	klauspost = "github.com/klauspost/compress"
)

// A room is a package, and what it may import.
type room struct {
	ours       []string // of this project's packages
	thirdParty bool     // packages outside of the standard library
	but        []string // third-party packages that it may import nevertheless
	offline    bool     // it does not import HTTP or Prometheus, not even indirectly
	asks       bool     // it creates clients of chronyd
}

// rooms lists all packages. Data flows one way: a package may import packages above it,
// never the reverse.
var rooms = map[string]room{
	"/chrony":                  {offline: true, asks: true},
	"/clockerror":              {ours: []string{"/chrony"}, offline: true},
	"/internal/objective":      {offline: true},
	"/internal/witness":        {ours: []string{"/clockerror"}, but: []string{"github.com/beevik/ntp", "golang.org/x/sys/unix"}, offline: true},                                           // syscall lacks SO_TIMESTAMPNS on some architectures
	"/internal/tracker":        {ours: []string{"/chrony", "/clockerror", "/internal/objective", "/internal/witness"}, but: []string{"golang.org/x/sys/unix"}, offline: true, asks: true}, // syscall lacks CLOCK_BOOTTIME and timerfd
	"/internal/segment":        {offline: true},
	"/internal/clockbound":     {ours: []string{"/clockerror", "/internal/segment", "/internal/tracker"}, but: []string{"golang.org/x/sys/unix"}, offline: true}, // syscall lacks CLOCK_MONOTONIC_COARSE
	"/boundedtime":             {ours: []string{"/internal/segment"}},
	"/internal/status":         {ours: []string{"/chrony", "/clockerror", "/internal/tracker", "/internal/witness"}, offline: true},
	"/internal/exporter":       {ours: []string{"/chrony", "/clockerror", "/internal/clockbound", "/internal/objective", "/internal/segment", "/internal/status", "/internal/tracker", "/internal/witness"}, thirdParty: true},
	"/internal/web":            {ours: []string{"/chrony", "/clockerror", "/internal/status", "/internal/tracker"}, but: []string{klauspost + "/gzhttp", klauspost + "/gzhttp/writer", klauspost + "/gzhttp/writer/gzkp", klauspost + "/gzip", "golang.org/x/sys/unix"}},
	"/internal/evidence":       {ours: []string{"/internal/objective", "/internal/status"}, but: []string{"github.com/prometheus/common/config"}},
	"/internal/doctor":         {ours: []string{"/chrony", "/clockerror", "/internal/clockbound", "/internal/status", "/internal/tracker", "/internal/witness"}, offline: true, asks: true},
	"/internal/terminal":       {ours: []string{"/internal/doctor", "/internal/status"}, but: []string{"golang.org/x/term", "golang.org/x/text/width"}, offline: true},
	"/internal/storetest":      {},
	"/internal/chronytest":     {ours: []string{"/chrony"}, asks: true},
	"/internal/programtest":    {ours: []string{"/internal/chronytest"}, thirdParty: true, asks: true},
	"/internal/chronytest/try": {ours: []string{"/chrony", "/internal/chronytest"}, asks: true},
	"/cmd/chrony-tracker-demo": {ours: []string{"/chrony", "/internal/chronytest", "/internal/exporter", "/internal/objective", "/internal/tracker", "/internal/web", "/internal/witness"}, thirdParty: true, asks: true},
	"/cmd/chrony-tracker": {
		ours:       []string{"/chrony", "/clockerror", "/internal/clockbound", "/internal/doctor", "/internal/evidence", "/internal/exporter", "/internal/objective", "/internal/segment", "/internal/status", "/internal/terminal", "/internal/tracker", "/internal/web", "/internal/witness"},
		thirdParty: true, asks: true,
	},
	"/deploy/kubernetes/bounded-time/example": {ours: []string{"/boundedtime"}},
	"/deploy/grafana/generate":                {ours: []string{"/chrony", "/clockerror", "/internal/status", "/internal/witness"}},
	"/deploy/prometheus/generate":             {thirdParty: true}, // generates files, not part of the program
}

// TestImports checks the rules of docs/background/architecture.md.
func TestImports(t *testing.T) {
	imports := make(map[string][]string) // of each package
	for path, files := range parseModule(t) {
		imports[path] = nil
		room, known := rooms[path]
		if !known {
			t.Errorf("%s: a room that this test doesn't know", path)
		}
		for _, file := range files {
			for _, spec := range file.Imports {
				imported, err := strconv.Unquote(spec.Path.Value)
				chronytest.Must(t, err)
				imports[path] = append(imports[path], imported)
				checkImport(t, path, room, imported)
			}
			if client := clientOf(file); client != "" && !room.asks {
				t.Errorf("%s must not talk to chronyd, as with %s", path, client)
			}
		}
	}
	for path, room := range rooms {
		if _, found := imports[path]; !found {
			t.Errorf("no %s", path)
		}
		for _, dep := range reachable(imports, path) {
			if room.offline && (dep == "net/http" || strings.HasPrefix(dep, "github.com/prometheus/")) {
				t.Errorf("%s must know nothing of %s", path, dep)
			}
		}
	}
}

func checkImport(t *testing.T, path string, room room, imported string) {
	t.Helper()
	domain, _, _ := strings.Cut(imported, "/")
	if ours, ok := strings.CutPrefix(imported, module); ok {
		if !slices.Contains(room.ours, ours) {
			t.Errorf("%s must not import %s", path, ours)
		}
	} else if strings.Contains(domain, ".") && !room.thirdParty && !slices.Contains(room.but, imported) {
		t.Errorf("%s must do with the standard library, not import %s", path, imported)
	}
}

// parseModule parses the program, without its tests, by package.
func parseModule(t *testing.T) map[string][]*ast.File {
	t.Helper()
	const root = ".."
	packages := make(map[string][]*ast.File)
	chronytest.Must(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			_, err := os.Stat(filepath.Join(path, "go.mod"))
			hidden := strings.HasPrefix(entry.Name(), ".") && path != root
			if another := err == nil && path != root; another || hidden || entry.Name() == "testdata" {
				return filepath.SkipDir
			}
			return nil
		case !strings.HasSuffix(path, ".go"), strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		name := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), root)
		packages[name] = append(packages[name], file)
		return err
	}))
	return packages
}

// clientOf returns the call with which a file creates a client of chronyd, or an empty
// string.
func clientOf(file *ast.File) (client string) {
	ast.Inspect(file, func(node ast.Node) bool {
		if selector, ok := node.(*ast.SelectorExpr); ok {
			from, _ := selector.X.(*ast.Ident)
			if from != nil && from.Name == "chrony" && slices.Contains([]string{"Dial", "NewClient"}, selector.Sel.Name) {
				client = "chrony." + selector.Sel.Name
			}
		}
		return true
	})
	return client
}

// reachable returns what a room imports, directly and through packages of this project.
func reachable(imports map[string][]string, path string) (all []string) {
	for _, imported := range imports[path] {
		all = append(all, imported)
		if ours, ok := strings.CutPrefix(imported, module); ok {
			all = append(all, reachable(imports, ours)...)
		}
	}
	return all
}
