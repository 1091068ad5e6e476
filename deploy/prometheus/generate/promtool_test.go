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

// TestSettingsAreValid wants the rules to be valid with times that are shortened, and
// with those for a long scrape interval.
func TestSettingsAreValid(t *testing.T) {
	faster, rarely := defaults(), defaults()
	faster.faster, rarely.scrape = 60, longestScrape
	for _, s := range []settings{faster, rarely} {
		made, err := prometheus(readSource(t), s)
		chronytest.Must(t, err)
		file := filepath.Join(t.TempDir(), "rules.yaml")
		chronytest.Must(t, os.WriteFile(file, []byte(made), 0o644))
		if out, err := programtest.Tool(t, chronytest.Need(t, "prometheus", "promtool"), "check", "rules", file).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
}
