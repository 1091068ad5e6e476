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

// Program returns the path of a program that tests need. It is the machine's own or, if
// there is none, the one in Debian's package, unpacked into a cache folder. Nothing is
// installed. An environment variable can set another path, such as CHRONYD=path.
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
