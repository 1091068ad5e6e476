package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fleet fills a store with three nodes: one calm, one with three seconds outside and a
// restart, one that joins at noon of the second day.
func fleet() *fakeStore {
	f := new(fakeStore)
	whole := span{at(-1, 0), at(9, 0)}
	s := scraper{interval: 30, phase: 11}
	for _, n := range []simNode{
		{name: "calm", cluster: "prod", exists: []span{whole}, lives: lives(whole)},
		{name: "=cmd", cluster: "prod", exists: []span{whole}, lives: []simLife{
			{span{at(-1, 0), at(2, 12)}, []spell{{span{at(2, 10) + 5, at(2, 10) + 8}, outside}}}, {span: span{at(2, 12) + 5, at(9, 0)}}}},
		{name: "late<b>", cluster: "prod", exists: []span{{at(2, 12), at(9, 0)}}, lives: lives(span{at(2, 12) + 20, at(9, 0)})},
	} {
		s.record(f, n, at(0, 0), at(5, 0))
	}
	return f
}

func makeReport(t *testing.T, f *fakeStore, r Request) *Report {
	t.Helper()
	report, err := Make(t.Context(), f.start(t), r, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestFiles wants every file to say the same, and the hashes to be right.
func TestFiles(t *testing.T) {
	report := makeReport(t, fleet(), request(3))
	parent := t.TempDir()
	dir := filepath.Join(parent, "report")
	written := time.Date(2025, 11, 1, 6, 0, 0, 0, time.UTC)
	if err := report.Write(dir, Formats, written); err != nil {
		t.Fatal(err)
	}
	sums := ""
	for _, name := range []string{"excursions.csv", "nodes.csv", "report.html", "report.json"} {
		sums += fmt.Sprintf("%x  %s\n", sha256.Sum256(read(t, dir, name)), name)
	}
	if got := string(read(t, dir, "SHA256SUMS")); got != "# written 2025-11-01T06:00:00Z by test\n"+sums {
		t.Errorf("SHA256SUMS: %s", got)
	}

	var document map[string]any
	if err := json.Unmarshal(read(t, dir, "report.json"), &document); err != nil {
		t.Fatal(err)
	}
	if document["schema"] != Schema || document["verdict"] != "fail" {
		t.Errorf("report.json: %v %v", document["schema"], document["verdict"])
	}
	rows, err := csv.NewReader(bytes.NewReader(read(t, dir, "nodes.csv"))).ReadAll()
	if err != nil || len(rows) != 1+3+3+2 {
		t.Errorf("nodes.csv has %d rows, %v", len(rows), err)
	}
	if rows[1][2] != "'=cmd" {
		t.Errorf("a spreadsheet would run %s", rows[1][2])
	}
	rows, err = csv.NewReader(bytes.NewReader(read(t, dir, "excursions.csv"))).ReadAll()
	if err != nil || len(rows) != 2 || rows[1][4] != "3.000" || rows[1][6] != "0.200000000" ||
		rows[1][2] > "2025-10-02T10:00:05Z" || rows[1][3] < "2025-10-02T10:00:08Z" {
		t.Errorf("excursions.csv: %q, %v", rows, err)
	}
	page := string(read(t, dir, "report.html"))
	for _, want := range []string{"fail", "1 of 3 clocks did not keep finra-cat (50 ms)", "data:image/png;base64,", "late&lt;b&gt;", "2025-10-02 10:0"} {
		if !strings.Contains(page, want) {
			t.Errorf("report.html lacks %q", want)
		}
	}
	for _, bad := range []string{"<script", "http://", "src=", "late<b>"} {
		if strings.Contains(strings.ReplaceAll(page, report.Store, ""), bad) {
			t.Errorf("report.html has %q", bad)
		}
	}
}

// TestSameBytes wants the same data to make the same bytes, also if the store gives it
// in another order.
func TestSameBytes(t *testing.T) {
	var all [2][]file
	for i := range all {
		report := makeReport(t, fleet(), request(3))
		report.Store = "http://store" // another port each time
		var err error
		if all[i], err = report.files(Formats); err != nil {
			t.Fatal(err)
		}
	}
	for i, f := range all[0] {
		if !bytes.Equal(f.data, all[1][i].data) {
			t.Errorf("%s differs", f.name)
		}
	}
}

// TestNothingHalfWritten wants a directory with something in it to stay as it is, and no
// other to be left behind.
func TestNothingHalfWritten(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "report")
	if err := os.MkdirAll(filepath.Join(dir, "mine"), 0o755); err != nil {
		t.Fatal(err)
	}
	report := makeReport(t, fleet(), request(1))
	var hint interface{ Hint() string }
	if err := report.Write(dir, Formats, time.Now()); err == nil || !errors.As(err, &hint) {
		t.Errorf("overwrites a directory: %v", err)
	}
	entries, err := os.ReadDir(parent)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// TestVerdicts wants what the data can't prove to be insufficient, never a pass.
func TestVerdicts(t *testing.T) {
	whole := span{at(-1, 0), at(9, 0)}
	calm := simNode{name: "calm", cluster: "prod", exists: []span{whole}, lives: lives(whole)}
	short := calm
	short.lives = lives(span{at(-1, 0), at(2, 23)}, span{at(3, 1), at(9, 0)})
	bad := calm
	bad.lives = []simLife{{whole, []spell{{span{at(2, 1), at(2, 1) + 60}, contradicted}}}}
	sure := calm
	sure.lives = []simLife{{whole, []spell{{whole, proven}}}}
	remove := func(metric string) func(*fakeStore) { return func(f *fakeStore) { delete(f.series, metric) } }
	set := func(metric string, value float64) func(*fakeStore) {
		return func(f *fakeStore) {
			for _, s := range f.series[metric] {
				for i := range s.samples {
					s.samples[i].value = value
				}
			}
		}
	}
	for _, test := range []struct {
		name   string
		node   simNode
		change func(*fakeStore)
		adjust func(*Request)
		want   Verdict
	}{
		{"all is well", calm, nil, nil, Pass},
		{"too little recorded", short, nil, nil, Insufficient},
		{"less is enough", short, nil, func(r *Request) { r.Coverage = 0.9 }, Pass},
		{"a minute contradicted", bad, nil, nil, Fail},
		{"a minute is allowed", bad, nil, func(r *Request) { r.Target = 0.999 }, Pass},
		{"not traced to UTC", calm, set("chrony_clock_untraced", 1), nil, Insufficient},
		{"traceability is unknown", calm, remove("chrony_clock_untraced"), nil, Insufficient},
		{"not traced, but proven", sure, set("chrony_clock_untraced", 1), nil, Pass},
		{"not traced, and nobody asks", calm, set("chrony_clock_untraced", 1), func(r *Request) { r.UTC = false }, Pass},
		{"another limit", calm, set("chrony_objective_limit_seconds", 1), nil, Insufficient},
		{"a stricter limit", calm, set("chrony_objective_limit_seconds", 0.001), nil, Pass},
		{"the limit is unknown", calm, remove("chrony_objective_limit_seconds"), nil, Insufficient},
		{"a class is missing", calm, func(f *fakeStore) {
			f.series[classMetric] = f.series[classMetric][1:]
		}, nil, Insufficient},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := new(fakeStore)
			scraper{interval: 30, phase: 11}.record(f, test.node, at(0, 0), at(6, 0))
			if test.change != nil {
				test.change(f)
			}
			r := request(4)
			if test.adjust != nil {
				test.adjust(&r)
			}
			report := makeReport(t, f, r)
			if report.Verdict != test.want {
				t.Errorf("%s, want %s: %s %q", report.Verdict, test.want, report.Summary, report.Reasons)
			}
			if (report.Verdict == Pass) != (len(report.Reasons) == 0) {
				t.Errorf("reasons %q", report.Reasons)
			}
			checkSums(t, report)
		})
	}
}
