package test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

var (
	markdownLink  = regexp.MustCompile(`\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"`)
	repositoryURL = regexp.MustCompile(`https://github\.com/chrony-tracker/chrony-tracker/blob/main/([^\s"'#)` + "`" + `]+)(#[a-z0-9-]+)?`)
	heading       = regexp.MustCompile(`(?m)^#+ +(.+)$`)
)

// TestLinks checks the links in the documents to other files and their headings, and
// the links from alerts, dashboards and the chart to the documents.
func TestLinks(t *testing.T) {
	root := os.DirFS("..")
	err := fs.WalkDir(root, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch name := entry.Name(); {
		case entry.IsDir() && (name == ".git" || name == "bin" || name == "dist" || name == "node_modules"):
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		switch filepath.Ext(file) {
		case ".md":
			checkMarkdown(t, root, file)
			fallthrough
		case ".yaml", ".yml", ".json", ".go", ".tpl", ".txt":
			for _, url := range repositoryURL.FindAllStringSubmatch(read(t, root, file), -1) {
				checkTarget(t, root, file, url[1], strings.TrimPrefix(url[2], "#"))
			}
		}
		return nil
	})
	chronytest.Must(t, err)
}

func read(t *testing.T, root fs.FS, file string) string {
	t.Helper()
	text, err := fs.ReadFile(root, file)
	chronytest.Must(t, err)
	return string(text)
}

func checkMarkdown(t *testing.T, root fs.FS, file string) {
	for _, link := range markdownLink.FindAllStringSubmatch(read(t, root, file), -1) {
		target := link[1] + link[2]
		if strings.Contains(target, ":") { // https:, mailto:
			continue
		}
		name, anchor, _ := strings.Cut(target, "#")
		if name = path.Join(path.Dir(file), name); strings.HasPrefix(target, "#") {
			name = file
		}
		checkTarget(t, root, file, name, anchor)
	}
}

func checkTarget(t *testing.T, root fs.FS, from, name, anchor string) {
	name = strings.TrimSuffix(name, "/")
	if strings.ContainsAny(name, "{$%") {
		return // a template, filled in when it is used
	}
	if _, err := fs.Stat(root, name); err != nil {
		t.Errorf("%s leads to %s, which does not exist", from, name)
		return
	}
	if anchor == "" || path.Ext(name) != ".md" {
		return
	}
	for _, h := range heading.FindAllStringSubmatch(read(t, root, name), -1) {
		if slug(h[1]) == anchor {
			return
		}
	}
	t.Errorf("%s leads to #%s of %s, which has no such heading", from, anchor, name)
}

// slug returns the anchor that GitHub gives a heading.
func slug(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		default:
			return -1
		}
	}, heading)
}
