package clockerror_test

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/chrony-tracker/chrony-tracker/clockerror"
)

// Traces are recorded from runs of a simulator:
//
//	go test ./clockerror -run TestTraces -record 'RUNS/*/*' -keep 16
//
// A run is a folder. Its report.csv.gz has a line for each report of chronyd: the true
// time and the clock's true error in seconds, the tracking report, then each source
// with its sourcestats and selectdata. The traces leave out these two. Its
// offset.log.gz has the true error of all clocks for each second. Its meta.json names
// the scenario, chronyd's version, the seed, the start in Unix time, when a leap second
// is inserted, and which clock the scenario's server is.
var (
	record = flag.String("record", "", "record traces from the runs that match this pattern")
	keep   = flag.Int("keep", 16, "how many update intervals to keep of a run, per rule; also how many parts of it")
)

type recordedRun struct {
	Scenario, Version string
	Seed              int
	Start             int64    `json:"start_date"`
	Leap              *float64 // a second is inserted at this true time
	Reference         *int     // the server's column of the offsets, from 1

	reference []float64 // the server's true error at each second, if that counts as the truth
}

func recordTraces(t *testing.T, pattern string) {
	dirs, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	traces := map[string]*strings.Builder{}
	for _, dir := range dirs {
		var run recordedRun
		b, err := os.ReadFile(filepath.Join(dir, "meta.json"))
		if os.IsNotExist(err) {
			continue // not complete
		}
		if err == nil {
			err = json.Unmarshal(b, &run)
		}
		if err != nil {
			t.Fatal(dir, err)
		}
		if traces[run.Scenario] == nil {
			traces[run.Scenario] = &strings.Builder{}
			fmt.Fprintf(traces[run.Scenario], "%s,%s,...\n", traceColumns, sourceColumns)
		}
		for _, line := range run.hardest(t, dir) {
			fmt.Fprintln(traces[run.Scenario], line)
		}
	}
	for scenario, text := range traces {
		f, err := os.Create(filepath.Join(tracesDir, scenario+".csv.gz"))
		if err != nil {
			t.Fatal(err)
		}
		z, _ := gzip.NewWriterLevel(f, gzip.BestCompression)
		_, err = io.WriteString(z, text.String())
		if err := cmp.Or(err, z.Close(), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// hardest returns the lines in which the error is closest to the bound or furthest
// beyond it: by the bound, and by chrony's formula. Of each, it keeps the hardest
// update intervals of the run, and the hardest line of each part of the run. It
// also keeps the first line of each part.
func (r *recordedRun) hardest(t *testing.T, dir string) []string {
	if relative[r.Scenario] && r.Reference != nil {
		for _, line := range gunzip(t, filepath.Join(dir, "offset.log.gz")) {
			r.reference = append(r.reference, atof(t, strings.Split(line, "\t")[*r.Reference-1]))
		}
	}
	var lines []string
	var ratios [2][]float64
	var updates []time.Time
	for _, report := range gunzip(t, filepath.Join(dir, "report.csv.gz")) {
		line := r.line(t, strings.Split(report, ","))
		if line == nil {
			continue
		}
		m := parseMoment(t, line)
		lines, updates = append(lines, strings.Join(line, ",")), append(updates, m.Tracking.RefTime)
		ratios[0] = append(ratios[0], math.Abs(m.error)/Of(m.Observation, Assumptions{}).Bound)
		ratios[1] = append(ratios[1], math.Abs(m.error)/threeTerms(m.Tracking))
	}
	kept := map[int]bool{}
	for part := range *keep {
		kept[part*len(lines) / *keep] = true
	}
	for _, ratio := range ratios {
		harder := func(a, b int) int { return cmp.Compare(ratio[b], ratio[a]) }
		inPart, inUpdate := map[int]int{}, map[time.Time]int{}
		for i := range lines {
			part := i * *keep / len(lines)
			if j, ok := inPart[part]; !ok || harder(i, j) < 0 {
				inPart[part] = i
			}
			if j, ok := inUpdate[updates[i]]; !ok || harder(i, j) < 0 {
				inUpdate[updates[i]] = i
			}
		}
		hardest := slices.SortedFunc(maps.Values(inUpdate), func(a, b int) int { return cmp.Or(harder(a, b), cmp.Compare(a, b)) })
		for _, i := range slices.AppendSeq(hardest[:min(*keep, len(hardest))], maps.Values(inPart)) {
			kept[i] = true
		}
	}
	var thinned []string
	for _, i := range slices.Sorted(maps.Keys(kept)) {
		thinned = append(thinned, lines[i])
	}
	return thinned
}

// line turns a report into a line of a trace. It returns nil if chronyd did not
// answer, or if the report was cut off.
func (r *recordedRun) line(t *testing.T, f []string) []string {
	const tracking, source, recorded = 18, 22, 11
	if len(f) < tracking || (len(f)-tracking)%source != 0 {
		return nil
	}
	line := append([]string{
		fmt.Sprintf("%s-%d", r.Version, r.Seed), r.sinceStart(t, f[2]), strconv.FormatFloat(r.error(atof(t, f[0]), atof(t, f[1])), 'f', 10, 64),
		f[3], f[4], f[5], f[6], r.sinceStart(t, f[7]),
	}, f[8:17]...)
	for s := f[tracking:]; len(s) > 0; s = s[source:] {
		line = append(line, s[:recorded]...)
		if age := &line[len(line)-4]; *age == "-1" {
			*age = "" // no sample
		}
	}
	for i := range line {
		if line[i] == "-" {
			line[i] = "" // no address
		}
	}
	return line
}

// error returns the clock's true error, in seconds, at a true time.
func (r *recordedRun) error(at, offset float64) float64 {
	if r.Leap != nil && at >= *r.Leap {
		// While the second is inserted, two answers are correct.
		if later := offset + 1; at >= *r.Leap+1 || math.Abs(later) < math.Abs(offset) {
			offset = later
		}
	}
	if int(at) < len(r.reference) {
		offset -= r.reference[int(at)]
	}
	return offset
}

// sinceStart converts a Unix time to a time since the start. Unix time 0 becomes empty.
func (r *recordedRun) sinceStart(t *testing.T, unix string) string {
	seconds, fraction, _ := strings.Cut(unix, ".")
	s, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if s == 0 {
		return ""
	}
	if s -= r.Start; s < 0 {
		return strconv.FormatFloat(float64(s)+atof(t, "0."+fraction), 'f', 9, 64)
	}
	return fmt.Sprintf("%d.%s", s, fraction)
}

func atof(t *testing.T, s string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func gunzip(t *testing.T, path string) []string {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		t.Fatal(path, err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(path, err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}
