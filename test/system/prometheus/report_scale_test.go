//go:build system

package prometheus

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
	"github.com/chrony-tracker/chrony-tracker/internal/storetest"
)

// TestReportOfLargeFleet reports on 5,000 nodes in 30 days, within 500 MB and a minute
// of CPU time. Every second must be in the right class, and the same data must make the
// same bytes.
func TestReportOfLargeFleet(t *testing.T) {
	const nodes, days = 5000, 30
	begin := time.Date(2025, 11, 1, 0, 0, 0, 0, time.UTC)
	store := &storetest.Store{Nodes: nodes, Begin: begin, Rollout: 10, BadEvery: 500, RestartEvery: 250}
	url := store.Serve(t)
	dir := t.TempDir()
	args := []string{"report", "--prometheus.url=" + url, "--objective=finra-cat", "--from=2025-11-01", "--to=2025-12-01"}
	cmd := programtest.Tool(t, programtest.Path, append(args, "--output="+filepath.Join(dir, "one"))...)
	out, _ := cmd.CombinedOutput()
	if status := cmd.ProcessState.ExitCode(); status != 1 {
		t.Fatalf("exit status %d: %s", status, out)
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	page, err := os.Stat(filepath.Join(dir, "one", "report.html"))
	chronytest.Must(t, err)
	t.Logf("%v of CPU time, %d MB, the page has %d kB", cpu, usage.Maxrss/1024, page.Size()/1000)
	if cpu > time.Minute || usage.Maxrss/1024 > 500 || page.Size() > 2e6 {
		t.Error("too much")
	}

	var report struct {
		Totals map[string]float64
		Nodes  []struct {
			Node    string
			Outside float64 `json:"outside_seconds"`
			Claimed float64 `json:"claimed_seconds"`
		}
		Excursions []struct {
			Outside float64 `json:"outside_seconds"`
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "one", "report.json"))
	chronytest.Must(t, err)
	chronytest.Must(t, json.Unmarshal(text, &report))
	if len(report.Nodes) != nodes || len(report.Excursions) != nodes/store.BadEvery*days {
		t.Errorf("%d nodes, %d excursions", len(report.Nodes), len(report.Excursions))
	}
	for i, n := range report.Nodes {
		want, gone, slack := 0.0, storetest.ReplaceSeconds, 31.0
		if store.IsBad(i) {
			want = storetest.NoonSeconds * days
		}
		if store.Restarts(i) {
			gone += storetest.RestartSeconds * days
			slack *= days + 1
		}
		if math.Abs(n.Outside-want) > 1e-3 || math.Abs(n.Claimed-(days*86400-want-gone)) > slack {
			t.Errorf("%s: %.3f s outside, %.3f s claimed", n.Node, n.Outside, n.Claimed)
		}
	}

	programtest.Tool(t, programtest.Path, append(args, "--output="+filepath.Join(dir, "two"))...).Run()
	for _, name := range []string{"report.html", "report.json", "nodes.csv", "excursions.csv"} {
		one, err := os.ReadFile(filepath.Join(dir, "one", name))
		chronytest.Must(t, err)
		two, err := os.ReadFile(filepath.Join(dir, "two", name))
		chronytest.Must(t, err)
		if string(one) != string(two) {
			t.Errorf("%s differs", name)
		}
	}
}
