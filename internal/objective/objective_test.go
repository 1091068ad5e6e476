package objective

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for text, limit := range map[string]float64{
		"finra-cat": 0.05, "mifid2-100us": 1e-4, "mifid2-1ms": 1e-3, "mifid2-1s": 1, "cockroachdb": 0.175, "yugabytedb": 0.25,
		"ceph": 0.025, "kerberos": 300, "crdb=500ms": 0.5, "finra-cat=10ms": 0.01, "a_b.c-1=100us": 1e-4,
	} {
		got, err := Parse(text)
		if err != nil || got.Limit != limit || (got.Source == "") != strings.Contains(text, "=") {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "=1s", "nothing", "a=", "a=5", "a=0s", "a=-1s", "a b=1s", `a"=1s`, "-a=1s", "ä=1s", "a=NaNs"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
	for _, p := range Profiles {
		if got, err := Parse(p.Name); err != nil || got != p || p.Source == "" {
			t.Errorf("%s: %+v, %v", p.Name, got, err)
		}
	}
}

// TestProfilesAreDocumented checks that each profile has a row in watch.md.
func TestProfilesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/background/watch.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range Profiles {
		limit := time.Duration(p.Limit * float64(time.Second))
		row := fmt.Sprintf("| `%s` | %v | %s |", p.Name, limit, p.Source)
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/background/watch.md lacks\n%s", row)
		}
	}
}
