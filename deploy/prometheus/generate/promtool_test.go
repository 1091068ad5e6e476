//go:build system

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

// TestRules has promtool try every alert: it fires when it should, and stays
// silent at what happens in every cluster.
func TestRules(t *testing.T) {
	program := chronytest.Need(t, "prometheus", "promtool")
	if out, err := programtest.Tool(t, program, "check", "rules", filepath.Join(root, forms[0].file)).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	tests, err := filepath.Glob("../tests/*.yaml")
	if err != nil || tests == nil {
		t.Fatal("no tests", err)
	}
	for _, test := range tests {
		t.Run(filepath.Base(test), func(t *testing.T) {
			if out, err := programtest.Tool(t, program, "test", "rules", test).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// TestFasterIsValid wants the rules to be valid still when all their times are shortened.
func TestFasterIsValid(t *testing.T) {
	s := defaults()
	s.faster = 60
	made, err := prometheus(readSource(t), s)
	chronytest.Must(t, err)
	file := filepath.Join(t.TempDir(), "rules.yaml")
	chronytest.Must(t, os.WriteFile(file, []byte(made), 0o644))
	if out, err := programtest.Tool(t, chronytest.Need(t, "prometheus", "promtool"), "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
