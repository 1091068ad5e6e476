package chronytest

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

//go:embed debian.sh
var debian string

// Program returns the path of a program that tests need: the machine's own or,
// unpacked into a cache folder, the one in Debian's package. Nothing is
// installed. The environment may name another one, as CHRONYD=path does.
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
		return "", fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(problems.String()))
	}
	return strings.TrimSpace(string(path)), nil
}
