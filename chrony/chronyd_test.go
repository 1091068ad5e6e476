package chrony_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

// TestAgreesWithChronyc reads a real chronyd over all transports, and compares every
// field with chronyc. Between samples, only the system time, the root dispersion and
// ages change.
func TestAgreesWithChronyc(t *testing.T) {
	_, line := chronytest.NewServer(t)
	d := chronytest.New(t, chronytest.Config{Lines: []string{
		line,
		"server 127.0.0.77 port 9", // no server is there
		"refclock SOCK " + filepath.Join(t.TempDir(), "gps.sock") + " refid GPS",
	}})
	// After the initial burst of samples, the dispersion is small.
	if _, err := d.Wait(func(r *chrony.Report) bool {
		for _, s := range r.Sources {
			if s.State == chrony.StateSelected && s.Reach >= 0o17 {
				return true
			}
		}
		return false
	}); err != nil {
		t.Fatal(err)
	}
	for _, address := range d.Addresses() {
		client := dial(t, address)
		var report *chrony.Report
		var err error
		said, steady := d.Steady(func() {
			report, err = client.Report(within(t, chronytest.Patience), chrony.WantTracking|chrony.WantActivity|chrony.WantSources)
		})
		if steady != nil || err != nil || report.Refused != nil {
			t.Fatalf("%s: %v, %v, refused: %+v", address, steady, err, report)
		}
		if report.Address != address {
			t.Errorf("asked %s, answered by %s", address, report.Address)
		}
		var rows []string
		for _, s := range report.Sources {
			rows = append(rows, sourceRow(s))
		}
		c := comparison{make(map[string]int), make(map[string]int)}
		c.compare(t, "tracking", trackingRow(*report.Tracking), said["tracking"])
		c.compare(t, "activity", activityRow(*report.Activity), said["activity"])
		c.compare(t, "sources", strings.Join(rows, "\n"), said["sources"])
	}
}

// TestManySources reads more sources than a window holds, over both transports.
// No packet may get lost, because a retry takes time.
func TestManySources(t *testing.T) {
	var lines []string
	for i := range 200 {
		lines = append(lines, fmt.Sprintf("server 127.0.2.%d port 9", i+1))
	}
	d := chronytest.New(t, chronytest.Config{Lines: lines})
	for _, address := range []string{d.Address, "unix://" + d.Socket} {
		client := dial(t, address)
		for range 20 {
			sources, err := client.Sources(within(t, chronytest.Patience))
			if err != nil || len(sources) != 200 {
				t.Fatalf("%s: %d sources, %v", address, len(sources), err)
			}
			seen := make(map[string]bool)
			for _, s := range sources {
				seen[s.Name()] = true
			}
			if len(seen) != 200 {
				t.Errorf("%s: only %d are different", address, len(seen))
			}
		}
		if stats := client.Stats(); stats.Retries > stats.Requests/100 {
			t.Errorf("%s: many requests had to be repeated: %+v", address, stats)
		}
	}
}

// TestSigns reads a server that is 250 ms ahead, without following it. The signs of all
// offsets must be as documented.
func TestSigns(t *testing.T) {
	_, line := chronytest.NewServer(t)
	d := chronytest.New(t, chronytest.Config{Lines: []string{line + chronytest.Fast + " offset 0.25 noselect"}})
	if _, err := d.Wait(func(r *chrony.Report) bool { return len(r.Sources) == 1 && r.Sources[0].Reach == 0xff }); err != nil {
		t.Fatal(err)
	}
	report, err := dial(t, "unix://"+d.Socket).Report(within(t, chronytest.Patience), chrony.WantAll)
	if err != nil || len(report.Sources) != 1 {
		t.Fatalf("%v, %+v", err, report)
	}
	s := report.Sources[0]
	if s.Stats == nil || s.NTP == nil {
		t.Fatalf("refused: %v", report.Refused)
	}
	for name, behind := range map[string]float64{
		"measured offset": -s.MeasuredOffset,
		"statistics":      -s.Stats.Offset,
		"ntpdata":         s.NTP.Offset,
	} {
		if behind < 0.2 || behind > 0.3 {
			t.Errorf("by its %s the clock is behind by %v", name, behind)
		}
	}
}

// TestDial checks that Dial reports whether a chronyd answers.
func TestDial(t *testing.T) {
	d := chronytest.New(t, chronytest.Config{})
	client, err := chrony.Dial(within(t, chronytest.Patience), d.Address)
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	d.Kill()
	_, err = chrony.Dial(within(t, chronytest.Patience), d.Address)
	wantError(t, err, chrony.ErrNoAnswer)
}

func ExampleDial() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	client, err := chrony.Dial(ctx, "") // the chronyd on this machine
	if errors.Is(err, chrony.ErrNoAnswer) {
		fmt.Println("chronyd is not running")
		return
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	tracking, err := client.Tracking(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(tracking.Stratum, tracking.Leap)
}

func ExampleClient_Report() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	client, err := chrony.NewClient("unix:///run/chrony/chronyd.sock")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	report, err := client.Report(ctx, chrony.WantTracking|chrony.WantSources)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, source := range report.Sources {
		fmt.Println(source.Name(), source.State, source.SampleAge)
	}
}
