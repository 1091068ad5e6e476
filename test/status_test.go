package test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

// TestStatusAsksTheTracker checks that status shows what only a tracker can have seen.
func TestStatusAsksTheTracker(t *testing.T) {
	d := chronytest.NewSynchronized(t, "")
	s := programtest.Start(t, "--chrony.address="+d.Address, "--sample.interval=100ms")
	status := func(args ...string) string {
		t.Helper()
		out, err := programtest.Tool(t, programtest.Path, append([]string{"status", "--chrony.address=" + d.Address, "--url=" + s.URL}, args...)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	seconds := func(state string) float64 { return s.MustScrape(t)["chrony_clock_state_seconds_total/"+state] }
	chronytest.Await(t, "a good sample", func() bool { return seconds("synchronized") > 0 })
	d.Kill()
	chronytest.Await(t, "the tracker to see that chronyd has gone", func() bool { return seconds("unreachable") > 0 })
	if err := d.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := d.WaitSynchronized(t.Context()); err != nil {
		t.Fatal(err)
	}
	chronytest.Await(t, "the tracker to see that it is back", func() bool {
		return regexp.MustCompile(`chronyd was restarted.* state changed from \w+ to synchronized`).MatchString(strings.Join(strings.Fields(status()), " "))
	})
	said := status()
	for _, pattern := range []string{
		`\nSeen by the tracker at ` + regexp.QuoteMeta(s.URL) + ` since 20\d\d-`,
		`\nstate +synchronized +since 20\d\d-`,
		`\nlast 5 min +\d\S* \S+ +the largest known bound; it was unknown for `,
		`\n20.* UTC +chronyd was restarted\n`,
	} {
		if !regexp.MustCompile(pattern).MatchString(said) {
			t.Errorf("no %s in\n%s", pattern, said)
		}
	}
	var document struct {
		State   string
		Tracker string
		Watch   struct{ Samples int }
		Events  []struct{ Event string }
	}
	if err := json.Unmarshal([]byte(status("--json")), &document); err != nil {
		t.Fatal(err)
	}
	if document.State != "synchronized" || document.Tracker != s.URL || document.Watch.Samples == 0 || len(document.Events) < 3 {
		t.Errorf("%+v", document)
	}

	// If chronyd hangs, the tracker also answers slowly.
	if err := d.Pause(); err != nil {
		t.Fatal(err)
	}
	defer d.Continue()
	cmd := programtest.Tool(t, programtest.Path, "status", "--chrony.address="+d.Address, "--url="+s.URL)
	out, err := cmd.Output()
	if err == nil || !strings.Contains(string(out), "unknown: chronyd does not answer") || !strings.Contains(string(out), "Seen by the tracker at "+s.URL) {
		t.Errorf("%v: %s", err, out)
	}
}
