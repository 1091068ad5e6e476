package test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/chrony-tracker/chrony-tracker"

// A room is a package, and what it may import.
type room struct {
	ours       []string // of this project's packages
	thirdParty bool     // others than the standard library
	but        []string // third-party packages that it may import all the same
	never      []string // be it by way of another package
}

// rooms are all packages. Data flows one way: what stands further down knows what
// stands above it, never the reverse.
var rooms = map[string]room{
	"/chrony":                  {},
	"/clockerror":              {ours: []string{"/chrony"}},
	"/internal/tracker":        {ours: []string{"/chrony", "/clockerror"}, but: []string{"golang.org/x/sys/unix"}, never: []string{"net/http", "github.com/prometheus/"}}, // syscall lacks CLOCK_BOOTTIME and timerfd
	"/internal/exporter":       {ours: []string{"/chrony", "/clockerror", "/internal/tracker"}, thirdParty: true},
	"/internal/web":            {ours: []string{"/chrony", "/clockerror", "/internal/tracker"}},
	"/internal/doctor":         {ours: []string{"/chrony", "/clockerror", "/internal/tracker"}, never: []string{"net/http", "github.com/prometheus/"}},
	"/internal/screen":         {ours: []string{"/chrony", "/clockerror", "/internal/doctor", "/internal/tracker", "/internal/web"}, but: []string{"golang.org/x/text/width"}},
	"/internal/chronytest":     {ours: []string{"/chrony"}, never: []string{"testing"}}, // the demo uses it, too
	"/internal/programtest":    {ours: []string{"/internal/chronytest"}, thirdParty: true},
	"/internal/chronytest/try": {ours: []string{"/chrony", "/internal/chronytest"}},
	"/cmd/chrony-tracker-demo": {ours: []string{"/chrony", "/internal/chronytest", "/internal/exporter", "/internal/tracker", "/internal/web"}},
	"/cmd/chrony-tracker":      {ours: []string{"/chrony", "/clockerror", "/internal/doctor", "/internal/exporter", "/internal/screen", "/internal/tracker", "/internal/web"}, thirdParty: true},
	"/deploy/grafana/generate": {},
	"/test":                    {}, // tests only

	"/deploy/prometheus/generate": {thirdParty: true}, // makes files, and is no part of the program
}

// TestImports keeps the rules of docs/background/architecture.md.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}} | {{join .Deps " "}}`, module+"/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(string(out)) {
		direct, all, _ := strings.Cut(line, "|")
		imports := strings.Fields(direct)
		path := strings.TrimPrefix(imports[0], module)
		room, known := rooms[path]
		if !known {
			t.Errorf("%s: a room that this test doesn't know", path)
			continue
		}
		found++
		for _, imported := range imports[1:] {
			domain, _, _ := strings.Cut(imported, "/")
			if ours, ok := strings.CutPrefix(imported, module); ok {
				if !slices.Contains(room.ours, ours) {
					t.Errorf("%s must not import %s", path, ours)
				}
			} else if strings.Contains(domain, ".") && !room.thirdParty && !slices.Contains(room.but, imported) {
				t.Errorf("%s must do with the standard library, not import %s", path, imported)
			}
		}
		for _, dep := range strings.Fields(all) {
			for _, never := range room.never {
				if dep == never || strings.HasSuffix(never, "/") && strings.HasPrefix(dep, never) {
					t.Errorf("%s must know nothing of %s", path, dep)
				}
			}
		}
	}
	// The types of chrony are theirs to render; its client is not theirs to use.
	asks := exec.Command("grep", "-rnE", "chrony\\.(Dial|NewClient)", "--include=*.go", "--exclude=*_test.go", "../internal/exporter", "../internal/web")
	if out, err := asks.Output(); err == nil {
		t.Errorf("only the tracker talks to chronyd:\n%s", out)
	}
	if found != len(rooms) {
		t.Errorf("%d packages of %d", found, len(rooms))
	}
}
