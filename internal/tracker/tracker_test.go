package tracker_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// start starts a tracker. Without a timeout in the configuration, it waits as long as a
// busy machine needs.
func start(t testing.TB, address string, config tracker.Config) *tracker.Tracker {
	t.Helper()
	config.Timeout = cmp.Or(config.Timeout, chronytest.Patience)
	client, err := chrony.NewClient(address)
	if err != nil {
		t.Fatal(err)
	}
	config.Client = client
	tr := tracker.New(config)
	t.Cleanup(func() { tr.Close() })
	return tr
}

func want(t *testing.T, s *tracker.Snapshot, state clockerror.State) {
	t.Helper()
	if s.Estimate.State != state {
		t.Errorf("state %v, want %v: %+v, %v", s.Estimate.State, state, s.Report, s.Err)
	}
	if unknown := state != clockerror.Synchronized && state != clockerror.Holdover; unknown == s.Estimate.HasBound() {
		t.Errorf("%v: bound %v", state, s.Estimate.Bound)
	}
}

var background = context.Background()

// TestStates brings real daemons into every state.
func TestStates(t *testing.T) {
	t.Run("synchronized", func(t *testing.T) {
		d := chronytest.NewSynchronized(t, "")
		s := start(t, d.Address, tracker.Config{}).Snapshot(background)
		want(t, s, clockerror.Synchronized)
		if s.Estimate.Bound > 0.1 || s.Estimate.Bound <= 0 {
			t.Errorf("bound %v", s.Estimate.Bound)
		}
	})
	t.Run("unsynchronized", func(t *testing.T) {
		d := chronytest.New(t, chronytest.Config{})
		want(t, start(t, d.Address, tracker.Config{}).Snapshot(background), clockerror.Unsynchronized)
	})
	t.Run("local", func(t *testing.T) {
		d := chronytest.New(t, chronytest.Config{Lines: []string{"local stratum 10"}})
		want(t, start(t, d.Address, tracker.Config{}).Snapshot(background), clockerror.Local)
	})
	t.Run("dead, hung, and back", func(t *testing.T) {
		d := chronytest.New(t, chronytest.Config{})
		tr := start(t, d.Address, tracker.Config{Timeout: 2 * time.Second})
		d.Kill()
		want(t, tr.Snapshot(background), clockerror.Unreachable)
		if err := d.Restart(); err != nil {
			t.Fatal(err)
		}
		want(t, tr.Snapshot(background), clockerror.Unsynchronized)
		d.Pause()
		s := tr.Snapshot(background)
		want(t, s, clockerror.Unreachable)
		if !errors.Is(s.Err, context.DeadlineExceeded) {
			t.Errorf("hung: %v", s.Err)
		}
		d.Continue()
		s = tr.Snapshot(background)
		want(t, s, clockerror.Unsynchronized)
		if f := s.Health.Failures; f["no_answer"] == 0 || f["deadline"] == 0 || f["other"] != 0 {
			t.Errorf("failures: %v", f)
		}
	})
}

// TestHoldover kills the server of a chronyd that polls it each second. The clock is a
// quarter of a second off.
func TestHoldover(t *testing.T) {
	server, line := chronytest.NewServer(t)
	d := chronytest.New(t, chronytest.Config{Lines: []string{line + everySecond + " offset 0.25"}})
	if err := d.WaitSynchronized(t.Context()); err != nil {
		t.Fatal(err)
	}
	tr := start(t, d.Address, tracker.Config{})
	want(t, tr.Snapshot(background), clockerror.Synchronized)
	server.Kill()
	var s *tracker.Snapshot
	chronytest.Await(t, "holdover", func() bool {
		s = tr.Snapshot(background)
		return s.Estimate.State == clockerror.Holdover
	}, func() any { return s.Estimate })
	if s.Report.Tracking.Leap != chrony.LeapNormal {
		t.Errorf("chronyd itself noticed: %+v", s.Report.Tracking)
	}
	if e := s.Estimate; e.Bound < 0.25 || e.Growth < clockerror.DefaultMaxDrift*1e-6 {
		t.Errorf("%+v", e)
	}
}

// TestServerLocal follows a server that follows its own clock. chronyd reports that
// over its socket only.
func TestServerLocal(t *testing.T) {
	t.Parallel()
	d := chronytest.NewSynchronized(t, "")
	tr := watch(t, "unix://"+d.Socket, 100*time.Millisecond, slog.DiscardHandler)
	chronytest.Await(t, "the server to be known as local", func() bool {
		e := tr.Snapshot(t.Context()).Estimate
		return e.ServerLocal && e.Untraced && e.State == clockerror.Synchronized && tr.Now().Untraced
	}, func() any { return tr.Now() })
}

// known is the report of the scripted daemons here.
var known = chrony.Report{
	Tracking: &chrony.Tracking{Stratum: 2, Address: chrony.Address{IP: netip.MustParseAddr("192.0.2.1")}, RefTime: time.Now(), LastUpdateInterval: 1024},
	Sources:  []chrony.Source{{State: chrony.StateSelected, Poll: 6}},
}

// TestSharedExchange lets many callers ask before chronyd answers. Callers that come in
// time share the exchange. Later ones get another one.
func TestSharedExchange(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	fake := chronytest.NewFake(t, func(r chronytest.Request) []chronytest.Packet {
		if r.Number == 0 {
			close(asked)
			<-answer
		}
		return []chronytest.Packet{{Data: chronytest.Reply(r, known)}}
	})
	tr := start(t, fake.Address, tracker.Config{Timeout: chronytest.Patience})
	const many = 50
	var coming, wg sync.WaitGroup
	coming.Add(many)
	for range many {
		wg.Go(func() {
			coming.Done()
			want(t, tr.Snapshot(background), clockerror.Synchronized)
		})
	}
	<-asked
	coming.Wait()
	close(answer)
	wg.Wait()
	before := tr.Snapshot(background).Health.Exchanges
	if before > many/2 {
		t.Errorf("%d exchanges for %d at the same time", before, many)
	}
	if after := tr.Snapshot(background).Health.Exchanges; after != before+1 {
		t.Errorf("the next one who asks gets an old snapshot: %d exchanges, then %d", before, after)
	}
}

// TestImpatientAsker cancels a request before chronyd's deadline.
func TestImpatientAsker(t *testing.T) {
	fake := chronytest.NewFake(t, func(chronytest.Request) []chronytest.Packet { return nil })
	tr := start(t, fake.Address, tracker.Config{Timeout: time.Hour})
	chronytest.Limit(t, chronytest.Patience)
	ctx, cancel := context.WithTimeout(background, 20*time.Millisecond)
	defer cancel()
	s := tr.Snapshot(ctx)
	want(t, s, clockerror.Unreachable)
	if s.Took != 0 || s.Health.Failures["abandoned"] != 1 {
		t.Errorf("took %v, failures: %v", s.Took, s.Health.Failures)
	}
	tr.Close() // ends the exchange as well
}

// TestRefusals checks that the clock is still judged if chronyd refuses the sources,
// and not if it refuses tracking.
func TestRefusals(t *testing.T) {
	noSources := known
	noSources.Sources = nil
	fake := chronytest.NewFake(t, chronytest.Truthful(noSources))
	s := start(t, fake.Address, tracker.Config{}).Snapshot(background)
	want(t, s, clockerror.Synchronized)
	if s.Err != nil || len(s.Report.Refused) != 1 {
		t.Errorf("%v, refused: %v", s.Err, s.Report.Refused)
	}
	noTracking := known
	noTracking.Tracking = nil
	fake = chronytest.NewFake(t, chronytest.Truthful(noTracking))
	s = start(t, fake.Address, tracker.Config{}).Snapshot(background)
	want(t, s, clockerror.Unreachable)
	if !errors.Is(s.Err, chrony.ErrUnauthorized) || s.Health.Failures["unauthorized"] != 1 {
		t.Errorf("%v, %v", s.Err, s.Health.Failures)
	}
}

// A log can be read while it is written.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// watch starts a tracker that watches.
func watch(t *testing.T, address string, interval time.Duration, handler slog.Handler) *tracker.Tracker {
	t.Helper()
	tr := start(t, address, tracker.Config{Logger: slog.New(handler)})
	if err := tr.Watch(tracker.WatchConfig{Interval: interval}); err != nil {
		t.Fatal(err)
	}
	return tr
}

// TestLog checks that there is a line for each change, and none without a change.
func TestLog(t *testing.T) {
	log := &log{}
	d := chronytest.NewSynchronized(t, "")
	watch(t, d.Address, 100*time.Millisecond, slog.NewTextHandler(log, nil))
	log.awaitText(t, "the clock is watched")
	d.Kill()
	log.awaitText(t, "to=unreachable")
	if err := d.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := d.WaitSynchronized(t.Context()); err != nil {
		t.Fatal(err)
	}
	text := log.awaitText(t, "from=unsynchronized to=synchronized", "from=unreachable to=synchronized")
	lines := slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool {
		return strings.Contains(line, "event=clock_stepped") // another test may set it to its own value
	})
	for i, parts := range [][]string{
		{"level=INFO", `msg="chronyd answers"`, d.Address},
		{"level=INFO", `msg="the clock is watched"`, "state=synchronized", "bound_seconds=", "reference=127.0.0.1"},
		{"level=WARN", "state=unreachable", "error=", "hint="},
		{"level=INFO", "event=state_changed", "from=synchronized to=unreachable"},
		{"level=INFO", `msg="chronyd answers"`, d.Address},
		{"level=INFO", "event=chronyd_restarted"},
	} {
		for _, part := range parts {
			if !strings.Contains(lines[i], part) {
				t.Errorf("line %d lacks %s: %s", i, part, lines[i])
			}
		}
	}
	if again := strings.Count(text, "chronyd answers"); again != 2 {
		t.Errorf("it says %d times that chronyd answers: %q", again, lines)
	}
}

// awaitText waits until the log has one of the texts, and returns it.
func (l *log) awaitText(t *testing.T, texts ...string) string {
	t.Helper()
	got := ""
	chronytest.Await(t, fmt.Sprintf("%q in the log", texts), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		got = strings.TrimSpace(l.text.String())
		return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(got, text) })
	}, func() any { return got })
	return got
}

// TestJSONLog logs a clock without a bound as JSON. JSON has no infinity.
func TestJSONLog(t *testing.T) {
	log := &log{}
	d := chronytest.New(t, chronytest.Config{})
	watch(t, d.Address, time.Second, slog.NewJSONHandler(log, nil))
	log.awaitText(t, `"state":"unsynchronized","bound_seconds":"none"`)
}

// TestNoSample checks that a snapshot and a judgement do not count as samples, and that
// both include what the watch has found.
func TestNoSample(t *testing.T) {
	fake := chronytest.NewFake(t, chronytest.Truthful(known))
	tr := watch(t, fake.Address, time.Hour, slog.DiscardHandler)
	chronytest.Await(t, "a sample", func() bool { return tr.Watched().Samples > 0 })
	for range 5 {
		for _, s := range []*tracker.Snapshot{tr.Snapshot(background), tr.Judge(background)} {
			want(t, s, clockerror.Synchronized)
			if s.Watched.Samples != 1 || s.Watched.State != clockerror.Synchronized {
				t.Errorf("%+v", s.Watched)
			}
		}
	}
}

// TestJudge checks that Judge reads only what is needed to judge the clock.
func TestJudge(t *testing.T) {
	var commands []uint16
	fake := chronytest.NewFake(t, func(r chronytest.Request) []chronytest.Packet {
		commands = append(commands, r.Command)
		return []chronytest.Packet{{Data: chronytest.Reply(r, known)}}
	})
	tr := start(t, fake.Address, tracker.Config{Want: chrony.WantAll})
	want(t, tr.Judge(background), clockerror.Synchronized)
	fake.Close()
	if !slices.Equal(commands, []uint16{33, 14, 15, 33}) {
		t.Errorf("asked for %v", commands)
	}
}

// stuck is a log that blocks forever.
type stuck chan struct{}

func (s stuck) Write(b []byte) (int, error) {
	<-s
	return len(b), nil
}

// TestStuckLog checks that there are samples and answers although the log blocks.
func TestStuckLog(t *testing.T) {
	log := make(stuck)
	defer close(log)
	d := chronytest.New(t, chronytest.Config{})
	tr := watch(t, d.Address, 10*time.Millisecond, slog.NewTextHandler(log, nil))
	for range 50 { // more than the log's queue holds
		want(t, tr.Snapshot(background), clockerror.Unsynchronized)
	}
}

// TestNeverOlderThanTheQuestion asks while a reading is under way that already has
// chronyd's answer.
func TestNeverOlderThanTheQuestion(t *testing.T) {
	told, rest := make(chan struct{}), make(chan struct{})
	fake := chronytest.NewFake(t, func(r chronytest.Request) []chronytest.Packet {
		reply := []chronytest.Packet{{Data: chronytest.Reply(r, known)}}
		switch {
		case r.Number == 1: // the source's data: this reply is held back
			return nil
		case r.Number == 2: // tracking
			close(told)
		case r.Command == 15 && r.Number == 3: // the source's data again
			<-rest
		}
		return reply
	})
	tr := start(t, fake.Address, tracker.Config{Timeout: chronytest.Patience})
	first := make(chan *tracker.Snapshot)
	go func() { first <- tr.Snapshot(background) }()
	<-told
	// The reply is on its way. A snapshot that shares this reading would be older than
	// the request.
	asked := time.Now().Add(50 * time.Millisecond)
	for time.Now().Before(asked) {
		time.Sleep(time.Millisecond)
	}
	second := make(chan *tracker.Snapshot)
	go func() { second <- tr.Snapshot(background) }()
	close(rest)
	want(t, <-first, clockerror.Synchronized)
	s := <-second
	want(t, s, clockerror.Synchronized)
	if s.Report.At.Before(asked) {
		t.Errorf("asked at %v, read at %v", asked, s.Report.At)
	}
}

// TestScrapeDelaysNoSample runs a chronyd that never answers one report. A scrape waits
// for it, and the watch does not.
func TestScrapeDelaysNoSample(t *testing.T) {
	truth := chronytest.Truthful(chrony.Report{Tracking: &chrony.Tracking{Stratum: 2, RefID: 0x50484330}, Sources: []chrony.Source{{Mode: chrony.ModeReferenceClock, RefID: 0x50484330, Poll: 6}}})
	fake := chronytest.NewFake(t, func(r chronytest.Request) []chronytest.Packet {
		if r.Command == 54 { // SERVER_STATS
			return nil
		}
		return truth(r)
	})
	tr := start(t, fake.Address, tracker.Config{Want: chrony.WantServerStats, Timeout: 3 * time.Second})
	if err := tr.Watch(tracker.WatchConfig{Interval: time.Second}); err != nil {
		t.Fatal(err)
	}
	s := tr.Snapshot(background)
	if s.Err != nil || s.Report.Refused[chrony.WantServerStats] == nil || s.Took < 2*time.Second {
		t.Errorf("after %v: %+v, %v", s.Took, s.Report, s.Err)
	}
	chronytest.Await(t, "two samples", func() bool { return tr.Watched().Samples >= 2 })
	if found := tr.Watched(); found.StateSeconds[clockerror.Unreachable] != 0 {
		t.Errorf("%+v", found)
	}
}

// An updating chronyd is off by 0.4 s. In an even update it has just measured that,
// and in an odd one it has begun to correct it.
type updating struct {
	mu     sync.Mutex
	asked  []uint16
	last   uint32                 // the sequence number of the last request
	update int                    // its number
	before func(request int) bool // reports whether an update comes before a request; never if nil
}

// answer is the script of this chronyd.
func (u *updating) answer(r chronytest.Request) []chronytest.Packet {
	u.mu.Lock()
	defer u.mu.Unlock()
	if r.Sequence != u.last { // otherwise it is a retry, because this machine is busy
		u.last, u.asked = r.Sequence, append(u.asked, r.Command)
		if u.before != nil && u.before(len(u.asked)-1) {
			u.update++
		}
	}
	tracking, source := *known.Tracking, known.Sources[0]
	source.Address = tracking.Address
	source.Select = &chrony.SelectData{Address: source.Address}
	tracking.RefTime = tracking.RefTime.Add(time.Duration(u.update) * time.Second)
	tracking.LastOffset = 0.4
	if u.update%2 == 0 {
		source.AdjustedOffset = 0.4
	} else {
		tracking.SystemTime = -0.4
	}
	return []chronytest.Packet{{Data: chronytest.Reply(r, chrony.Report{Tracking: &tracking, Sources: []chrony.Source{source}})}}
}

// says sets before, from the next request on.
func (u *updating) says(update int, before func(request int) bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked, u.update, u.before = nil, update, before
}

func (u *updating) wasAsked() []uint16 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.asked
}

// requests are the requests for one judgement.
var requests = []uint16{33, 14, 15, 33}

// TestOneObservation lets chronyd update the clock during an exchange. The adjusted
// offset and the system time would then add up to zero, or to twice the error.
func TestOneObservation(t *testing.T) {
	for _, test := range []struct {
		name        string
		before      func(request int) bool
		readings    int
		approximate bool
	}{
		{"no update", nil, 1, false},
		{"an update before the sources", func(request int) bool { return request == 1 }, 2, false},
		{"an update after the sources", func(request int) bool { return request == 3 }, 2, false},
		{"an update while they are read, each time", func(request int) bool { return request%4 == 3 }, 2, true},
		{"an update before each request", func(int) bool { return true }, 2, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			u := &updating{before: test.before}
			s := start(t, chronytest.NewFake(t, u.answer).Address, tracker.Config{}).Snapshot(background)
			if asked := u.wasAsked(); !slices.Equal(asked, slices.Repeat(requests, test.readings)) {
				t.Errorf("asked for %v", asked)
			}
			if e := s.Estimate; e.Bound < 0.4 || e.Bound > 0.5 || e.Approximate != test.approximate {
				t.Errorf("%+v", e)
			}
		})
	}
}

// TestScrapeJudgesByTheWatchesList checks that a scrape reads the sources only if the
// watch's list belongs to another update.
func TestScrapeJudgesByTheWatchesList(t *testing.T) {
	u := &updating{}
	tr := watch(t, chronytest.NewFake(t, u.answer).Address, time.Hour, slog.DiscardHandler)
	chronytest.Await(t, "a sample", func() bool { return tr.Watched().Samples > 0 })
	for _, test := range []struct {
		name   string
		update int
		before func(request int) bool
		asked  []uint16
	}{
		{"the same update", 0, nil, []uint16{33}},
		{"another one", 1, nil, slices.Concat([]uint16{33}, requests)},
		{"another one, and one more then", 1, func(request int) bool { return request == 2 }, slices.Concat([]uint16{33}, requests, requests)},
		{"the same again", 0, nil, []uint16{33}},
	} {
		u.says(test.update, test.before)
		s := tr.Scrape(background)
		if asked := u.wasAsked(); !slices.Equal(asked, test.asked) {
			t.Errorf("%s: asked for %v, want %v", test.name, asked, test.asked)
		}
		if e := s.Estimate; e.Bound < 0.4 || e.Bound > 0.5 || e.Approximate {
			t.Errorf("%s: %+v", test.name, e)
		}
	}
	u.says(0, nil)
	if s := tr.Snapshot(background); s.Estimate.Approximate || !slices.Equal(u.wasAsked(), requests) {
		t.Errorf("a scrape of the sources gets an old list: asked for %v", u.wasAsked())
	}
}

// TestScrapeKeepsTheReports lets chronyd update the clock before a scrape that wants
// reports about the sources, but not the sources. The sources are read to judge the
// clock, and the reports must stay.
func TestScrapeKeepsTheReports(t *testing.T) {
	u := &updating{}
	tr := start(t, chronytest.NewFake(t, u.answer).Address, tracker.Config{Want: chrony.WantSelectData})
	if err := tr.Watch(tracker.WatchConfig{Interval: time.Hour}); err != nil {
		t.Fatal(err)
	}
	chronytest.Await(t, "a sample", func() bool { return tr.Watched().Samples > 0 })
	for update := range 2 {
		u.says(update, nil)
		s := tr.Scrape(background)
		if s.Err != nil || s.Report.Given&chrony.WantSelectData == 0 || len(s.Report.Sources) != 1 || s.Report.Sources[0].Select == nil {
			t.Errorf("update %d: %+v, %v", update, s.Report, s.Err)
		}
	}
}

// TestSharedAnswer asks a hundred times, one after the other. An answer that is not too
// old is shared, also with those who want less.
func TestSharedAnswer(t *testing.T) {
	fake := chronytest.NewFake(t, chronytest.Truthful(known))
	tr := start(t, fake.Address, tracker.Config{MaxAge: time.Hour, Want: chrony.WantActivity})
	first := tr.Snapshot(background)
	want(t, first, clockerror.Synchronized)
	requests := fake.Requests()
	for range 100 {
		for _, s := range []*tracker.Snapshot{tr.Snapshot(background), tr.Scrape(background), tr.Judge(background)} {
			if s != first || s.Report.At.After(s.At) {
				t.Fatal("another answer")
			}
		}
	}
	if again := fake.Requests(); again != requests {
		t.Errorf("%d requests for shared answers", again-requests)
	}
}

// TestFewExchanges asks for different reports in turns, for a chronyd that answers, and for
// one that does not. At most one exchange begins in the time of MaxAge.
func TestFewExchanges(t *testing.T) {
	gone := chronytest.NewFake(t, chronytest.Truthful(known))
	gone.Close()
	for address, state := range map[string]clockerror.State{
		chronytest.NewFake(t, chronytest.Truthful(known)).Address: clockerror.Synchronized,
		gone.Address: clockerror.Unreachable,
	} {
		const maxAge = 50 * time.Millisecond
		tr := start(t, address, tracker.Config{MaxAge: maxAge, Want: chrony.WantActivity})
		begin := time.Now()
		exchanges := uint64(0)
		for range 10 {
			for _, ask := range []func(context.Context) *tracker.Snapshot{tr.Judge, tr.Scrape, tr.Snapshot, tr.Scrape, tr.Judge} {
				s := ask(background)
				want(t, s, state)
				exchanges = max(exchanges, s.Health.Exchanges)
			}
		}
		if most := uint64(1 + time.Since(begin)/maxAge); exchanges > most {
			t.Errorf("%v: %d exchanges, want %d at most", state, exchanges, most)
		}
	}
}
