package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../../.."

// TestFiles checks that the generated files are current.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	if err := write(dir); err != nil {
		t.Fatal(err)
	}
	for _, d := range dashboards {
		for _, folder := range folders {
			file := filepath.Join(folder, d.name+".json")
			want, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(filepath.Join(root, file)); err != nil || string(got) != string(want) {
				t.Errorf("%s is not current (%v): run make dashboards", file, err)
			}
		}
	}
}

// TestNames wants each state and term of a clock to have a color of its own.
func TestNames(t *testing.T) {
	for _, all := range [][]tint{states, terms} {
		colors := make(map[string]bool)
		for _, tint := range all {
			if tint.color == "" || colors[tint.color] {
				t.Errorf("%s lacks a color of its own", tint.name)
			}
			colors[tint.color] = true
		}
	}
}

// A found panel is one as Grafana reads it.
type found struct {
	ID                       int
	Type, Title, Description string
	Datasource               struct{ UID string }
	GridPos                  struct{ X, Y, W, H int }
	FieldConfig              struct {
		Defaults struct {
			Unit, NoValue string
			Color         struct{ Mode string }
			Thresholds    thresholds
			Mappings      json.RawMessage
		}
		Overrides []struct {
			Matcher    struct{ ID, Options string }
			Properties []foundProperty
		}
	}
	Options struct {
		SortBy []struct{ DisplayName string }
	}
	Transformations []struct {
		Options struct{ RenameByName map[string]string }
	}
	Links   []struct{ URL string }
	Targets []struct {
		RefID, Expr string
		Datasource  struct{ UID string }
	}
}

type foundProperty struct {
	ID    string
	Value json.RawMessage
}

type thresholds struct {
	Steps []struct{ Color string }
}

// base is the color of a missing value, and of values below all thresholds. Grafana's
// default is green.
func (t thresholds) base() string {
	if len(t.Steps) == 0 {
		return "green"
	}
	return t.Steps[0].Color
}

type file struct {
	UID, Title string
	Templating struct {
		List []struct {
			Name, Type, Definition string
			AllValue               string
		}
	}
	Panels []found
}

func read(t *testing.T, name string) file {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "deploy/grafana", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var f file
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestLint checks that each panel has a title, an explanation, a link and a unit.
func TestLint(t *testing.T) {
	uids := make(map[string]bool)
	for _, d := range dashboards {
		t.Run(d.name, func(t *testing.T) {
			f := read(t, d.name)
			if f.UID == "" || uids[f.UID] {
				t.Errorf("uid %q", f.UID)
			}
			uids[f.UID] = true
			if v := f.Templating.List; v[0].Name != "datasource" || v[0].Type != "datasource" || v[1].Name != "cluster" || v[1].AllValue != ".*" {
				t.Errorf("variables %+v", v)
			}
			ids, titles := make(map[int]bool), make(map[string]bool)
			for _, p := range f.Panels {
				if p.ID == 0 || ids[p.ID] {
					t.Errorf("%s: id %d", p.Title, p.ID)
				}
				ids[p.ID] = true
				if p.Type != "row" {
					if titles[p.Title] {
						t.Errorf("two panels have the title %s", p.Title)
					}
					titles[p.Title] = true
					lintPanel(t, p)
					lintAbsence(t, p)
					lintNames(t, p)
				}
			}
			lintLayout(t, f.Panels)
		})
	}
}

var (
	rates  = regexp.MustCompile(`\b(i?rate|increase|deriv|delta)\(`)
	window = regexp.MustCompile(`\[\$__(rate_interval|range)\]`)
)

func lintPanel(t *testing.T, p found) {
	if p.Title == "" || len(p.Description) < 20 || !strings.HasSuffix(p.Description, ".") {
		t.Errorf("%q has no explanation: %q", p.Title, p.Description)
	}
	const letter, icons, column = 8, 105, 50 // pixels, on a screen of 1,280
	if letter*len(p.Title)+icons > column*p.GridPos.W {
		t.Errorf("%s: the title is too long", p.Title)
	}
	if p.FieldConfig.Defaults.Unit == "" {
		t.Errorf("%s: no unit", p.Title)
	}
	if len(p.Links) == 0 || !leadsSomewhere(p.Links[0].URL) {
		t.Errorf("%s: bad link %v", p.Title, p.Links)
	}
	if p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
		t.Errorf("%s: no datasource or no query", p.Title)
	}
	for _, q := range p.Targets {
		if q.Datasource.UID != "${datasource}" {
			t.Errorf("%s: query %s has the datasource %s", p.Title, q.RefID, q.Datasource.UID)
		}
		if !strings.Contains(q.Expr, "$cluster") {
			t.Errorf("%s: query %s has no cluster: %s", p.Title, q.RefID, q.Expr)
		}
		if n := len(rates.FindAllString(q.Expr, -1)); len(window.FindAllString(q.Expr, -1)) < n {
			t.Errorf("%s: query %s has a rate with a fixed window: %s", p.Title, q.RefID, q.Expr)
		}
		if p.Type == "heatmap" && !strings.Contains(q.Expr, "_bucket") && !strings.Contains(q.Expr, "< +Inf") {
			t.Errorf("%s: Grafana fails on +Inf: %s", p.Title, q.Expr)
		}
	}
}

var (
	filters  = regexp.MustCompile(`[<>=] \S+$`)
	numbered = regexp.MustCompile(`\bor \(?vector\(-1\)`)
	answers  = regexp.MustCompile(`\bor (on \(\) label_replace)?\(?vector\(-1\)`)
)

// lintAbsence checks that missing data does not look like good data.
func lintAbsence(t *testing.T, p found) {
	d := p.FieldConfig.Defaults
	var filtered, answered int
	for _, q := range p.Targets {
		if numbered.MatchString(q.Expr) && !strings.Contains(string(d.Mappings), `"-1"`) {
			t.Errorf("%s: -1 has no text", p.Title)
		}
		if filters.MatchString(q.Expr) {
			filtered++
		}
		if answers.MatchString(q.Expr) {
			answered++
		}
	}
	if filtered == len(p.Targets) && d.NoValue == "" {
		t.Errorf("%s: no text for missing data", p.Title)
	}
	switch p.Type {
	case "stat":
		if answered < len(p.Targets) && (d.NoValue == "" || d.Thresholds.base() == "green") {
			t.Errorf("%s: without a value it shows %q in %s", p.Title, d.NoValue, d.Thresholds.base())
		}
	case "state-timeline":
		if answered == 0 {
			t.Errorf("%s: no series is an error to Grafana", p.Title)
		}
		if d.Color.Mode == "thresholds" {
			t.Errorf("%s: shows thresholds instead of names", p.Title)
		}
	case "table":
		for _, o := range p.FieldConfig.Overrides {
			lintColored(t, p, o.Properties)
		}
	}
}

// lintNames checks that columns and queries in references exist. Grafana ignores
// unknown names.
func lintNames(t *testing.T, p found) {
	queries, columns := make(map[string]bool), make(map[string]bool)
	for _, q := range p.Targets {
		queries["Value #"+q.RefID], queries[q.RefID] = true, true
	}
	for _, tr := range p.Transformations {
		for field, title := range tr.Options.RenameByName {
			columns[title] = true
			if strings.HasPrefix(field, "Value #") && !queries[field] {
				t.Errorf("%s: column %s has no query", p.Title, title)
			}
		}
	}
	for _, s := range p.Options.SortBy {
		if !columns[s.DisplayName] {
			t.Errorf("%s: is sorted by %s", p.Title, s.DisplayName)
		}
	}
	for _, o := range p.FieldConfig.Overrides {
		switch {
		case o.Matcher.ID == "byFrameRefID" && !queries[o.Matcher.Options], p.Type == "table" && !columns[o.Matcher.Options]:
			t.Errorf("%s: no column or query %s", p.Title, o.Matcher.Options)
		}
		for _, property := range o.Properties {
			if property.ID == "links" {
				lintLinks(t, p, property.Value)
			}
		}
	}
}

// lintLinks checks that the links of a field lead to a page or a dashboard.
func lintLinks(t *testing.T, p found, value json.RawMessage) {
	var links []struct{ URL string }
	if err := json.Unmarshal(value, &links); err != nil {
		t.Error(err)
	}
	for _, l := range links {
		uid, _, _ := strings.Cut(strings.TrimPrefix(l.URL, "/d/"), "?")
		if uid != node().uid && !leadsSomewhere(l.URL) {
			t.Errorf("%s: a field has the bad link %s", p.Title, l.URL)
		}
	}
}

// lintColored checks that a cell without a value is not green.
func lintColored(t *testing.T, p found, properties []foundProperty) {
	var colored bool
	var given thresholds
	for _, property := range properties {
		switch property.ID {
		case "custom.cellOptions":
			colored = strings.Contains(string(property.Value), "color-background")
		case "thresholds":
			if err := json.Unmarshal(property.Value, &given); err != nil {
				t.Error(err)
			}
		}
	}
	if colored && given.base() == "green" {
		t.Errorf("%s: cells without a value are green", p.Title)
	}
}

// leadsSomewhere reports whether a link's page and heading exist.
func leadsSomewhere(url string) bool {
	page, anchor, _ := strings.Cut(strings.TrimPrefix(url, docs), "#")
	text, err := os.ReadFile(filepath.Join(root, "docs", page))
	heading := "\n## " + strings.ReplaceAll(anchor, "-", " ") + "\n"
	return err == nil && (anchor == "" || strings.Contains(strings.ToLower(string(text)), heading))
}

// lintLayout checks that no panels overlap.
func lintLayout(t *testing.T, panels []found) {
	taken := make(map[[2]int]string)
	for _, p := range panels {
		g := p.GridPos
		if g.X+g.W > columns {
			t.Errorf("%s is too wide", p.Title)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%s overlaps %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}
