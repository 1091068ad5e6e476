package test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
	"github.com/chrony-tracker/chrony-tracker/internal/storetest"
)

// TestCommands runs the sessions in testdata/commands. They are also examples of how to
// use the program. In addition to testscript's own commands, they have
//
//	exits STATUS PROGRAM ARG…   checks the exit status
//	chronyd FILE                starts a private chronyd with the lines in the file,
//	                            where SERVER stands for a source that it can follow,
//	                            and sets ADDRESS and SOCKET
//	killchronyd
//	store bad|good              serves a fleet of three nodes in October 2025 as a
//	                            Prometheus would, and sets STORE to its URL
//	await PATTERN URL           waits until the page has the text
func TestCommands(t *testing.T) {
	chronytest.Need(t, "chrony", "chronyd")
	testscript.Run(t, testscript.Params{
		Dir: "testdata/commands",
		Setup: func(env *testscript.Env) error {
			port, err := chronytest.FreePort()
			if err != nil {
				return err
			}
			bin := filepath.Join(env.WorkDir, "bin")
			if err := os.Mkdir(bin, 0o755); err != nil {
				return err
			}
			variable, value, err := programtest.Alias(bin)
			env.Setenv(variable, value)
			env.Setenv("PATH", bin+":"+os.Getenv("PATH"))
			env.Setenv("PORT", strconv.Itoa(port))
			env.Setenv("CHRONY_TRACKER_CHRONY_TIMEOUT", chronytest.Patience.String()) // for a busy machine
			env.Values[theDaemon] = new(*chronytest.Chronyd)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":       exits,
			"chronyd":     startChronyd,
			"killchronyd": func(ts *testscript.TestScript, _ bool, _ []string) { (*daemon(ts)).Kill() },
			"await":       awaitPage,
			"store":       startStore,
		},
		Condition: func(condition string) (bool, error) {
			if condition != "root" {
				return false, errors.New("unknown condition " + condition)
			}
			return os.Geteuid() == 0, nil
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	status := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		status = exit.ExitCode()
	}
	if status != want || neg {
		ts.Fatalf("exit status %d, want %d", status, want)
	}
}

const theDaemon = "chronyd" // the key of the chronyd that a script has started

func daemon(ts *testscript.TestScript) **chronytest.Chronyd {
	return ts.Value(theDaemon).(**chronytest.Chronyd)
}

func startChronyd(ts *testscript.TestScript, _ bool, args []string) {
	lines := strings.Split(strings.TrimSpace(ts.ReadFile(args[0])), "\n")
	follows := slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "SERVER") })
	if follows {
		served, port, err := chronytest.Server()
		ts.Check(err)
		server, err := chronytest.Start(chronytest.Config{Lines: served})
		ts.Check(err)
		ts.Defer(server.Close)
		for i := range lines {
			lines[i] = strings.ReplaceAll(lines[i], "SERVER", chronytest.ServerLine(port)+chronytest.Fast)
		}
	}
	d, err := chronytest.Start(chronytest.Config{Lines: lines})
	ts.Check(err)
	ts.Defer(d.Close)
	if follows {
		ts.Check(d.WaitSynchronized(context.Background()))
		// From now on, no update comes while a command reads the sources. chronyd
		// changes the poll interval with its next sample.
		_, err := d.Chronyc("minpoll", "127.0.0.1", "6")
		ts.Check(err)
		_, err = d.Wait(func(r *chrony.Report) bool { return len(r.Sources) == 1 && r.Sources[0].Poll == 6 })
		ts.Check(err)
	} else {
		_, err := d.Wait(func(r *chrony.Report) bool { return r.Tracking != nil })
		ts.Check(err)
	}
	*daemon(ts) = d
	ts.Setenv("ADDRESS", d.Address)
	ts.Setenv("SOCKET", "unix://"+d.Socket)
}

func startStore(ts *testscript.TestScript, _ bool, args []string) {
	store := &storetest.Store{Nodes: 3, Begin: time.Date(2025, 10, 1, 0, 0, 0, 0, time.UTC)}
	if args[0] == "bad" {
		store.BadEvery, store.Troubled = 3, true
	}
	ts.Setenv("STORE", store.Serve(cleanup{ts}))
}

// cleanup lets a script clean up as a test does.
type cleanup struct{ ts *testscript.TestScript }

func (c cleanup) Cleanup(f func()) { c.ts.Defer(f) }

func awaitPage(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), chronytest.Patience)
	defer cancel()
	text := ""
	if chronytest.Poll(ctx, func() bool { text = page(args[1]); return strings.Contains(text, args[0]) }) != nil {
		ts.Fatalf("%s: %s", args[1], text)
	}
}

func page(url string) string {
	response, err := http.Get(url)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return string(text)
}
