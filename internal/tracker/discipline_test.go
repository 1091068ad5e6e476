package tracker

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

// TestBelievedSlew runs real daemons that believe they slew the clock (-x). Their
// reports must explain that the clock did not move.
func TestBelievedSlew(t *testing.T) {
	for _, test := range []struct {
		name  string
		drift string        // what chronyd corrects, in ppm
		move  time.Duration // of its source; none if zero
	}{
		{"a clock that would gain", "20.0", 0},
		{"a clock that would lose", "-20.0", 0},
		{"a clock that is behind", "20.0", 250 * time.Millisecond},
		{"a clock that is ahead", "20.0", -250 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			drift := filepath.Join(t.TempDir(), "drift")
			if err := os.WriteFile(drift, []byte(test.drift+" 0.1\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			lines := []string{"driftfile " + drift}
			source := chronytest.NewTimeSource(t)
			if test.move != 0 {
				lines = append(lines, source.Line+chronytest.Fast)
			}
			d := chronytest.New(t, chronytest.Config{Lines: lines})
			client, err := chrony.NewClient(d.Address)
			if err != nil {
				t.Fatal(err)
			}
			tr := New(Config{Client: client})
			defer tr.Close()
			if err := tr.Watch(WatchConfig{Interval: 50 * time.Millisecond}); err != nil {
				t.Fatal(err)
			}
			const some = 40
			await := func(samples uint64) {
				chronytest.Await(t, "samples", func() bool { return tr.Watched().Samples >= samples })
			}
			await(some)
			source.SetError(test.move)
			await(3 * some)
			w := tr.watch
			w.mu.Lock()
			defer w.mu.Unlock()
			if found := w.discipline; found.holds || found.times >= disciplineSamples || found.slewed() != 0 {
				t.Errorf("another program seems to slew the clock: %+v", found)
			}
		})
	}
}
