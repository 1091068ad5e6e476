// Generate writes the Grafana dashboards, for import and for the chart.
//
//	go run ./deploy/grafana/generate
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	root := flag.String("C", ".", "root of the repository")
	flag.Parse()
	if err := write(*root); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// dashboards lists all dashboards by file name.
var dashboards = []struct {
	name string
	make func() dashboard
}{
	{"fleet", fleet},
	{"node", node},
	{"objectives", objectives},
}

// folders are the output folders.
var folders = []string{"deploy/grafana", "deploy/helm/chrony-tracker/files/dashboards"}

func write(root string) error {
	for _, d := range dashboards {
		text, err := render(d.make())
		if err != nil {
			return err
		}
		for _, folder := range folders {
			folder = filepath.Join(root, folder)
			if err := os.MkdirAll(folder, 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(folder, d.name+".json"), text, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

func render(d dashboard) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(d.model())
	return b.Bytes(), err
}
