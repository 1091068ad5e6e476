package test

import (
	"errors"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

// TestWitnessCommands wants each command to hear the witnesses of the tracker: three NTP
// servers, which then find the clock 300 ms behind.
func TestWitnessCommands(t *testing.T) {
	sources := []*chronytest.TimeSource{chronytest.NewTimeSource(t), chronytest.NewTimeSource(t), chronytest.NewTimeSource(t)}
	d := chronytest.NewSynchronized(t, "")
	s := programtest.Start(t, "--chrony.address="+d.Address, "--witness.interval=1s",
		"--witness.ntp="+sources[0].Address, "--witness.ntp="+sources[1].Address, "--witness.ntp="+sources[2].Address)
	run := func(want int, args ...string) string {
		t.Helper()
		out, err := programtest.Tool(t, programtest.Path, append(args, "--chrony.address="+d.Address, "--url="+s.URL)...).CombinedOutput()
		status := 0
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			status = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if status != want && want >= 0 {
			t.Errorf("%v: exit status %d, want %d:\n%s", args, status, want, out)
		}
		return strings.Join(strings.Fields(string(out)), " ") // without line breaks
	}
	expect := func(text string, patterns ...string) {
		t.Helper()
		for _, pattern := range patterns {
			if !regexp.MustCompile(pattern).MatchString(text) {
				t.Errorf("no %s in\n%s", pattern, text)
			}
		}
	}
	verdict := func(want string) {
		t.Helper()
		chronytest.Await(t, want, func() bool { // the gate answers from the latest sample
			scrape := s.MustScrape(t)
			return scrape["chrony_witness_verdict/utc/"+want] == 1 && scrape["chrony_witness_state_seconds_total/utc/"+want] > 0
		})
	}
	address := regexp.QuoteMeta(sources[0].Address)

	verdict("consistent")
	expect(run(0, "status"), `traced to UTC within [\d.]+ \S+ by 127\.`, `witnesses UTC servers consistent`, `server `+address+` [+−]\d.* ago; agrees`)
	expect(run(0, "explain"), `Traced to UTC: within [\d.]+ \S+, by 127\.`)
	expect(run(0, "explain", "--json"), `"witnesses": "Traced`)
	expect(run(0, "check", "--warning=20s", "--critical=20s"), `^CLOCK OK - synchronized: `, ` \| bound=\d+\.\d{9}s;`)
	doctor := run(-1, "doctor")
	expect(doctor, `ok UTC server `+address, `only the tracker's witnesses would detect`)

	for _, source := range sources {
		source.SetError(300 * time.Millisecond)
	}
	verdict("contradicted")
	expect(run(0, "status"), `^The clock is at most 3\d\d ms off\. UTC servers contradict`, `state contradicted UTC servers`, `UTC servers contradicted 3 of 3`, `disagreement [23]\d\d`)
	expect(run(0, "status", "--json"), `"state": "contradicted"`, `"bound_seconds": 0\.3`, `"far_seconds": 0\.3`)
	expect(run(0, "explain"), `The largest term is disagreement`, address+` measured [23]\d\d ms behind`)
	expect(run(1, "doctor"), `wrong state: contradicted: chronyd claims .*`+address+` measured [23]\d\d ms behind`)
	expect(run(1, "check", "--warning=1s", "--critical=2s"), `^CLOCK WARNING - contradicted: at most 3\d\d ms off`, `bound=0\.3\d+s;`)
	expect(run(2, "check"), `^CLOCK CRITICAL - contradicted`)
	expect(run(0, "check", "--critical=1s", "--format=npd"), `^clock contradicted`)
	expect(run(1, "waitsync", "--max-error=10ms", "--timeout=1500ms"), `may be 3\d\d ms off, more than 10 ms; UTC servers contradict`)
}

// TestWitnessTrouble wants the doctor to find witnesses that do not work.
func TestWitnessTrouble(t *testing.T) {
	port, err := chronytest.FreePort()
	chronytest.Must(t, err)
	d := chronytest.NewSynchronized(t, "")
	doctor := func(t *testing.T, s *programtest.Server, args ...string) string {
		out, _ := programtest.Tool(t, programtest.Path, append([]string{"doctor", "--chrony.address=" + d.Address, "--url=" + s.URL}, args...)...).Output()
		return strings.Join(strings.Fields(string(out)), " ")
	}
	key := filepath.Join(t.TempDir(), "none")
	for _, test := range []struct {
		name   string
		serve  []string
		doctor []string
		want   string
	}{
		{"no witnesses", nil, nil, `note number of sources: one .*--witness\.ntp=SERVER`},
		{"nobody answers", []string{"--witness.ntp=127.0.0.1:" + strconv.Itoa(port)}, nil,
			`wrong UTC server 127\.0\.0\.1:\d+: does not answer: .*UDP port 123 .*NetworkPolicy .*chronyd -Q -t 5 'server 127\.0\.0\.1 iburst'`},
		{"an unknown name", []string{"--witness.ntp=nowhere.invalid"}, nil, `wrong UTC server nowhere\.invalid: can't be asked: .*getent hosts nowhere\.invalid`},
		{"no other peer", []string{"--witness.peers=127.0.0.1", "--witness.listen-address=127.0.0.1:" + strconv.Itoa(port)}, nil,
			`note peers: the DNS has no address of a peer, or only this node's own .*clusterIP: None`},
		{"peers without a name", []string{"--witness.peers=nowhere.invalid", "--witness.listen-address=127.0.0.1:" + strconv.Itoa(port)}, nil,
			`wrong peers: the peers can't be looked up: .*ClusterFirstWithHostNet`},
		{"a key file that is not there", nil, []string{"--witness.key-file=" + key}, `wrong witness keys: open .*none: no such file .*user id \d+`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := programtest.Start(t, append(test.serve, "--chrony.address="+d.Address)...)
			pattern := regexp.MustCompile(test.want)
			said := ""
			chronytest.Await(t, test.want, func() bool {
				said = doctor(t, s, test.doctor...)
				return pattern.MatchString(said)
			}, func() any { return said })
		})
	}
}
