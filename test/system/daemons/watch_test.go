//go:build system

package daemons

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

// state returns the seconds that the clock has been in a state.
func state(values map[string]float64, name string) float64 {
	return values["chrony_clock_state_seconds_total/"+name]
}

// notGood returns the seconds in which an objective was missed.
func notGood(values map[string]float64, objective string) float64 {
	return values["chrony_objective_seconds_total/"+objective] - values["chrony_objective_good_seconds_total/"+objective]
}

// upTo returns how many samples had a bound up to a limit.
func upTo(t *testing.T, s *programtest.Server, limit string) float64 {
	t.Helper()
	text, err := s.Fetch()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), `chrony_clock_error_bound_distribution_seconds_bucket{le="`+limit+`"} `)
	number, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseFloat(number, 64)
	if !found || err != nil {
		t.Fatalf("no bucket %s: %v", limit, err)
	}
	return n
}

// TestSpikeBetweenScrapes lets a time source jump by 200 ms for five seconds, and then
// restarts chronyd. The current values of the scrapes before and after show neither,
// but the watch must have recorded both.
func TestSpikeBetweenScrapes(t *testing.T) {
	source := chronytest.NewTimeSource(t)
	d := chronytest.New(t, chronytest.Config{Lines: []string{source.Line + chronytest.Fast}})
	chronytest.Must(t, d.WaitSynchronized(t.Context()))
	s := programtest.Start(t, "--chrony.address="+d.Address, "--objective=finra-cat", "--objective=lax=1s")
	chronytest.Await(t, "a sample", func() bool { return s.MustScrape(t)["chrony_tracker_samples_total"] > 0 })
	before := s.MustScrape(t)

	spike := faultFor(5*time.Second, func() { source.SetError(200 * time.Millisecond) }, func() { source.SetError(0) }).Seconds()
	chronytest.Must(t, d.WaitSynchronized(t.Context()))
	absent := faultFor(2*time.Second, d.Kill, func() { chronytest.Must(t, d.Restart()) }).Seconds()
	chronytest.Must(t, d.WaitSynchronized(t.Context()))
	var after map[string]float64
	chronytest.Await(t, "a good sample", func() bool {
		after = s.MustScrape(t)
		return state(after, "synchronized") > state(before, "synchronized")+spike+1
	})

	for when, values := range map[string]map[string]float64{"before": before, "after": after} {
		if bound := values["chrony_clock_error_bound_seconds"]; !(bound < 0.05) {
			t.Errorf("%s: the bound is %v", when, bound)
		}
	}
	for _, window := range []string{"1m", "5m"} {
		if largest := after["chrony_clock_error_bound_max_seconds/"+window]; !(largest >= 0.2 && largest < 0.25) {
			t.Errorf("the largest bound of %s is %v", window, largest)
		}
		if without := after["chrony_clock_unbounded_seconds/"+window]; math.Abs(without-state(after, "unreachable")-state(after, "unsynchronized")-state(after, "unobserved")) > 0.01 || without < 1 {
			t.Errorf("%s was without a bound for %v s, chronyd was away for %v s", window, without, absent)
		}
	}
	unobserved := state(after, "unobserved") // above zero only on a busy machine
	spiked := upTo(t, s, "0.25") - upTo(t, s, "0.175")
	if spiked > spike+1 || spiked+unobserved < spike-1 {
		t.Errorf("%v samples above 175 ms, %v s unobserved", spiked, unobserved)
	}
	if missed := notGood(after, "finra-cat"); math.Abs(missed-spiked-state(after, "unreachable")-state(after, "unsynchronized")-unobserved) > 1.5 {
		t.Errorf("the objective was missed for %v s", missed)
	}
	if missed := notGood(after, "lax"); missed < 1 || missed > absent+unobserved+1.5 {
		t.Errorf("the lax objective was missed for %v s, chronyd was away for %v s", missed, absent)
	}
	if n := after["chrony_clock_events_total/chronyd_restarted"]; n != 1 {
		t.Errorf("%v restarts", n)
	}
	historyShows(t, s, 0.2)
}

// faultFor keeps up a fault for a time, and returns how long it lasted.
func faultFor(duration time.Duration, begin, end func()) time.Duration {
	start := time.Now()
	begin()
	<-time.After(duration)
	end()
	return time.Since(start)
}

// historyShows checks that a history with long steps has the largest bound, and that
// the events show the restart.
func historyShows(t *testing.T, s *programtest.Server, bound float64) {
	t.Helper()
	var history struct {
		Bound []*float64 `json:"bound_seconds"`
	}
	get(t, s, "/api/v1/history?step=1m", &history)
	largest := 0.0
	for _, b := range history.Bound {
		if b != nil {
			largest = max(largest, *b)
		}
	}
	if largest < bound {
		t.Errorf("the history knows of no more than %v s", largest)
	}
	var events struct{ Events []struct{ Event string } }
	get(t, s, "/api/v1/events", &events)
	kinds := ""
	for _, e := range events.Events {
		kinds += e.Event + " "
	}
	if !strings.Contains(kinds, "chronyd_restarted") || !strings.Contains(kinds, "state_changed") {
		t.Errorf("events: %s", kinds)
	}
}

func get(t *testing.T, s *programtest.Server, path string, value any) {
	t.Helper()
	response, err := http.Get(s.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(value); err != nil {
		t.Fatal(err)
	}
}

// TestTenSecondsWithoutChronyd checks that these seconds are counted, and no others.
func TestTenSecondsWithoutChronyd(t *testing.T) {
	kill := func(d *chronytest.Chronyd) error { d.Kill(); return nil }
	for _, test := range []struct {
		name      string
		end, back func(*chronytest.Chronyd) error
		args      []string
	}{
		{"killed", kill, (*chronytest.Chronyd).Restart, nil},
		{"hung", (*chronytest.Chronyd).Pause, (*chronytest.Chronyd).Continue, nil},
		{"hung until the timeout", (*chronytest.Chronyd).Pause, (*chronytest.Chronyd).Continue, []string{"--chrony.timeout=4s"}},
		{"hung, and soon given up", (*chronytest.Chronyd).Pause, (*chronytest.Chronyd).Continue, []string{"--chrony.timeout=200ms"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := chronytest.NewSynchronized(t, "")
			s := programtest.Start(t, append(test.args, "--chrony.address="+d.Address, "--objective=kerberos", "--objective=mifid2-1s")...)
			chronytest.Await(t, "samples", func() bool { return s.MustScrape(t)["chrony_tracker_samples_total"] > 1 })
			before := s.MustScrape(t)
			begin := time.Now()
			absent := faultFor(10*time.Second, func() { chronytest.Must(t, test.end(d)) }, func() { chronytest.Must(t, test.back(d)) }).Seconds()
			chronytest.Must(t, d.WaitSynchronized(t.Context()))
			var after map[string]float64
			chronytest.Await(t, "chronyd to be seen again", func() bool {
				after = s.MustScrape(t)
				return state(after, "synchronized") >= state(before, "synchronized")+2
			})
			unreachable := state(after, "unreachable") - state(before, "unreachable")
			unobserved := state(after, "unobserved") // none, but on a busy machine
			if unreachable > absent+1.1 || unreachable+unobserved < absent-1.1 {
				t.Errorf("%v s unreachable, %v s unobserved; chronyd was away for %v s", unreachable, unobserved, absent)
			}
			other := state(after, "unsynchronized") + unobserved // while it comes back
			for _, objective := range []string{"kerberos", "mifid2-1s"} {
				if missed := notGood(after, objective); math.Abs(missed-unreachable-other) > 0.01 {
					t.Errorf("%s was missed for %v s: %v s unreachable, %v s otherwise", objective, missed, unreachable, other)
				}
			}
			if elapsed := time.Since(begin).Seconds(); after["chrony_clock_unbounded_seconds/1m"] > elapsed {
				t.Errorf("%v s without a bound in %v", after["chrony_clock_unbounded_seconds/1m"], elapsed)
			}
			restarts := 0.0
			if test.name == "killed" {
				restarts = 1
			}
			if n := after["chrony_clock_events_total/chronyd_restarted"]; n != restarts {
				t.Errorf("%v restarts", n)
			}
		})
	}
}

// TestClockIsSet sets the clock to its own value, which changes nothing.
func TestClockIsSet(t *testing.T) {
	d := chronytest.New(t, chronytest.Config{})
	s := programtest.Start(t, "--chrony.address="+d.Address, "--sample.interval=1h") // so that only the kernel reports the step
	chronytest.Await(t, "a sample", func() bool { return s.MustScrape(t)["chrony_tracker_samples_total"] == 1 })
	if err := setToItself(); errors.Is(err, os.ErrPermission) {
		t.Skip("this takes CAP_SYS_TIME")
	} else if err != nil {
		t.Fatal(err)
	}
	var values map[string]float64
	chronytest.Await(t, "the step", func() bool {
		values = s.MustScrape(t)
		return values["chrony_clock_steps_total"] == 1
	})
	if size := values["chrony_clock_last_step_seconds"]; math.Abs(size) > 0.001 {
		t.Errorf("a step of %v s", size)
	}
	if age := float64(time.Now().Unix()) - values["chrony_clock_last_step_timestamp_seconds"]; math.Abs(age) > 60 {
		t.Errorf("stepped %v s ago", age)
	}
}

func setToItself() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
		return err
	}
	return unix.ClockSettime(unix.CLOCK_REALTIME, &now)
}
