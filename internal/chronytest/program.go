package chronytest

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

//go:embed debian.sh
var debian string

// ErrMissing means that a program is not installed and can't be downloaded.
var ErrMissing = errors.New("not found")

// Need returns the path of a program as [Program] does. If the program is missing, it
// skips the test. With CI=true, the test fails.
func Need(t TB, debianPackage, name string) string {
	t.Helper()
	path, err := Program(debianPackage, name)
	failOrSkip(t, err)
	return path
}

func failOrSkip(t TB, err error) {
	t.Helper()
	if errors.Is(err, ErrMissing) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	Must(t, err)
}

// Program returns the path of a program that tests need. It prefers an installed
// program. Otherwise it unpacks Debian's package into a cache folder, without
// installing it. An environment variable can set another path, such as CHRONYD=path.
func Program(debianPackage, name string) (string, error) {
	if path := os.Getenv(strings.ToUpper(name)); path != "" {
		return path, nil
	}
	cmd := exec.Command("sh", "-s", debianPackage, name)
	cmd.Stdin = strings.NewReader(debian)
	var problems strings.Builder
	cmd.Stderr = &problems
	path, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %v: %s", name, ErrMissing, err, strings.TrimSpace(problems.String()))
	}
	return strings.TrimSpace(string(path)), nil
}
