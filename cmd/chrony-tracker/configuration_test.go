package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var (
	helpFlag     = regexp.MustCompile(`(?m)^ *(?:-\w, )?--(?:\[no-\])?([a-z][a-z.-]*)`)
	helpVariable = regexp.MustCompile(`\$(CHRONY_TRACKER_[A-Z_]+)`)
	pageFlag     = regexp.MustCompile("(?m)^\\| `--([a-z][a-z.-]*)`")
	pageVariable = regexp.MustCompile("`(CHRONY_TRACKER_[A-Z_]+)`")
)

// TestConfigurationPage checks that docs/reference/configuration.md has the flags and
// variables of each command, and no others.
func TestConfigurationPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := make(map[string]string) // by heading
	for _, section := range strings.Split(string(page), "\n## ") {
		heading, text, _ := strings.Cut(section, "\n")
		sections[heading] = text
	}
	const shared = "Every command"
	for _, command := range []string{"serve", "status", "doctor", "explain", "check", "waitsync", "prepare", "report", "fleet"} {
		help, _, _ := program(t, nil, command, "--help")
		own, every, found := strings.Cut(help, "\nFlags of every command:\n")
		if !found {
			t.Fatalf("%s: no flags of every command", command)
		}
		_, own, _ = strings.Cut(own, "\nFlags:\n")
		compare(t, command, own, sections[command])
		compare(t, shared, every, sections[shared])
	}
}

func compare(t *testing.T, heading, help, section string) {
	t.Helper()
	for _, find := range []struct{ help, page *regexp.Regexp }{{helpFlag, pageFlag}, {helpVariable, pageVariable}} {
		inHelp, inPage := names(find.help, help), names(find.page, section)
		for name := range inHelp {
			if !inPage[name] {
				t.Errorf("section %q lacks %s", heading, name)
			}
		}
		for name := range inPage {
			if !inHelp[name] {
				t.Errorf("section %q has %s, which the program lacks", heading, name)
			}
		}
	}
}

func names(find *regexp.Regexp, text string) map[string]bool {
	found := make(map[string]bool)
	for _, match := range find.FindAllStringSubmatch(text, -1) {
		found[match[1]] = true
	}
	return found
}
