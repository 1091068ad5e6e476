package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/chrony-tracker/chrony-tracker/internal/objective"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// watchConfig returns the configuration of the watch that results from arguments and
// environment, and the log.
func watchConfig(t *testing.T, environment map[string]string, args ...string) (config tracker.WatchConfig, log string, err error) {
	t.Helper()
	for name, value := range environment {
		t.Setenv(name, value)
	}
	app := kingpin.New(name, "").DefaultEnvars()
	flags := addWatchFlags(app.Command("serve", "").Default())
	if _, err := app.Parse(args); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	config, err = flags.config(slog.New(slog.NewTextHandler(&b, nil)))
	return config, b.String(), err
}

func TestWatchConfig(t *testing.T) {
	config, log, err := watchConfig(t, map[string]string{"SLEEP_INTERVAL": ""})
	if err != nil || config.Interval != time.Second || config.History != time.Hour || config.Objectives != nil || log != "" {
		t.Errorf("%+v, %v, %s", config, err, log)
	}
	config, _, err = watchConfig(t, nil, "--sample.interval=100ms", "--sample.history=2h", "--objective=ceph", "--objective=crdb=500ms")
	if err != nil || config.Interval != 100*time.Millisecond || config.History != 2*time.Hour || len(config.Objectives) != 2 ||
		config.Objectives[0].Limit != 0.025 || config.Objectives[1] != (objective.Objective{Name: "crdb", Limit: 0.5}) {
		t.Errorf("%+v, %v", config, err)
	}
	config, _, err = watchConfig(t, map[string]string{"CHRONY_TRACKER_OBJECTIVE": "ceph\ncrdb=500ms"})
	if err != nil || len(config.Objectives) != 2 {
		t.Errorf("by the environment: %+v, %v", config, err)
	}
}

// TestSleepInterval sets the variable of Azure's chrony-tracker, alone and together
// with the flag.
func TestSleepInterval(t *testing.T) {
	for _, test := range []struct {
		environment map[string]string
		args        []string
		want        time.Duration
		says        string
	}{
		{map[string]string{"SLEEP_INTERVAL": "30"}, nil, 30 * time.Second, "SLEEP_INTERVAL sets"},
		{map[string]string{"SLEEP_INTERVAL": "30"}, []string{"--sample.interval=1s"}, time.Second, "SLEEP_INTERVAL has no effect"},
		{map[string]string{"SLEEP_INTERVAL": "30", "CHRONY_TRACKER_SAMPLE_INTERVAL": "2s"}, nil, 2 * time.Second, "SLEEP_INTERVAL has no effect"},
	} {
		config, log, err := watchConfig(t, test.environment, test.args...)
		if err != nil || config.Interval != test.want || strings.Count(log, "\n") != 1 || !strings.Contains(log, test.says) {
			t.Errorf("%v %v: %v, %v, %s", test.environment, test.args, config.Interval, err, log)
		}
	}
}

// TestWatchErrors checks that each error is a usage error and names the wrong value.
func TestWatchErrors(t *testing.T) {
	for _, test := range []struct{ sleep, args, error string }{
		{"", "--sample.interval=99ms", "--sample.interval=99ms: must be from 100ms"},
		{"", "--sample.interval=61m", "to 1h"},
		{"", "--sample.history=0s", "--sample.history=0s: must be above zero"},
		{"", "--sample.history=8760h", "27h46m40s"},
		{"", "--objective=unknown", "choose one of mifid2-100us, "},
		{"", "--objective=a=soon", `"soon" is not a limit`},
		{"", "--objective=a=1s --objective=a=2s", "--objective=a=2s: "},
		{"0", "", `SLEEP_INTERVAL="0": must be whole seconds`},
		{"0.5", "", `SLEEP_INTERVAL="0.5"`},
		{"30s", "", `SLEEP_INTERVAL="30s"`},
		{"-1", "", `SLEEP_INTERVAL="-1"`},
		{"3601", "", "from 1 to 3600"},
		{"9223372036854775807", "", "from 1 to 3600"},
	} {
		stdout, stderr, status := program(t, []string{"SLEEP_INTERVAL=" + test.sleep}, strings.Fields(test.args)...)
		if status != 2 || stdout != "" || !strings.Contains(stderr, "error: ") || !strings.Contains(stderr, test.error) || !strings.Contains(stderr, "hint: ") {
			t.Errorf("%+v: status %d: %s", test, status, stderr)
		}
	}
}
