package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Formats are what a report can be written as.
var Formats = []string{"html", "csv", "json"}

// A file is one that is written.
type file struct {
	name string
	data []byte
}

// CheckOutput reports whether a report can be written to a directory: it must not exist
// or be empty.
func CheckOutput(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(entries) > 0:
		return hinted{fmt.Errorf("--output=%s: the directory is not empty", dir), "choose another directory. A report is never overwritten"}
	}
	return nil
}

// Write writes the files of the report and SHA256SUMS to a new directory. It appears
// when all of it is written. The same data makes the same bytes: only SHA256SUMS has the
// time, in a comment.
func (r *Report) Write(dir string, formats []string, written time.Time) (err error) {
	if err := CheckOutput(dir); err != nil {
		return err
	}
	files, err := r.files(formats)
	if err != nil {
		return err
	}
	dir = filepath.Clean(dir)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	temporary, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(temporary)
		}
	}()
	sums := fmt.Appendf(nil, "# written %s by %s\n", written.UTC().Format(time.RFC3339), r.Program)
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(temporary, f.name), f.data, 0o644); err != nil {
			return err
		}
		sums = fmt.Appendf(sums, "%x  %s\n", sha256.Sum256(f.data), f.name)
	}
	if err := os.WriteFile(filepath.Join(temporary, "SHA256SUMS"), sums, 0o644); err != nil {
		return err
	}
	if err := os.Chmod(temporary, 0o755); err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(temporary, dir)
}

// files makes the files of the report. The page lists the hashes of the others.
func (r *Report) files(formats []string) (files []file, err error) {
	if slices.Contains(formats, "csv") {
		files = append(files, file{"excursions.csv", r.excursionsCSV()}, file{"nodes.csv", r.nodesCSV()})
	}
	if slices.Contains(formats, "json") {
		text, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return nil, err
		}
		files = append(files, file{"report.json", append(text, '\n')})
	}
	if slices.Contains(formats, "html") {
		text, err := r.html(files)
		if err != nil {
			return nil, err
		}
		files = append(files, file{"report.html", text})
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return files, nil
}

func (r *Report) nodesCSV() []byte {
	rows := [][]string{{"day", "cluster", "node", "expected_seconds", "claimed_seconds", "proven_seconds", "contradicted_seconds", "outside_seconds",
		"uncovered_seconds", "max_bound_seconds", "max_witness_bound_seconds", "traced_to_utc", "tracker_starts", "chronyd_restarts", "steps", "suspensions", "source_changes"}}
	for _, d := range r.Days {
		traced := "yes"
		if d.Untraced {
			traced = "no"
		}
		row := []string{d.Day.Format(time.DateOnly), cell(d.Cluster), cell(d.Node), seconds(d.Expected), seconds(d.Claimed), seconds(d.Proven),
			seconds(d.Contradicted), seconds(d.Outside), seconds(d.Uncovered), bound(d.Largest), bound(d.Witness), traced, strconv.Itoa(d.Starts)}
		for _, event := range []string{"chronyd_restarted", "clock_stepped", "suspended", "source_changed"} {
			row = append(row, strconv.Itoa(int(d.Events[event])))
		}
		rows = append(rows, row)
	}
	return table(rows)
}

func (r *Report) excursionsCSV() []byte {
	rows := [][]string{{"cluster", "node", "start", "end", "outside_seconds", "contradicted_seconds", "max_bound_seconds", "unbounded", "states"}}
	for _, e := range r.Excursions {
		rows = append(rows, []string{cell(e.Cluster), cell(e.Node), e.Start.Format(time.RFC3339), e.End.Format(time.RFC3339), seconds(e.Outside), seconds(e.Contradicted),
			bound(e.Largest), strconv.FormatBool(e.Unbounded), strings.Join(e.States, " ")})
	}
	return table(rows)
}

func table(rows [][]string) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.WriteAll(rows) // a buffer never fails
	return b.Bytes()
}

// cell keeps a spreadsheet from taking a name for a formula.
func cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

func seconds(v float64) string { return strconv.FormatFloat(v, 'f', 3, 64) }

// bound has nanoseconds. It is empty if there was none.
func bound(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'f', 9, 64)
}
