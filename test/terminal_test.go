package test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/creack/pty"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

// A terminal is a pseudo-terminal on which the program runs.
type terminal struct {
	*os.File
	cmd *exec.Cmd

	mu    sync.Mutex
	shown string
	done  chan struct{} // closed when the output has ended
}

// onTerminal runs the program on a terminal of 80 columns.
func onTerminal(t *testing.T, rows uint16, environment []string, args ...string) *terminal {
	t.Helper()
	cmd := chronytest.Command(programtest.Path, args...)
	cmd.Env = append(append(os.Environ(), "TERM=xterm"), environment...)
	file, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: 80, Rows: rows})
	chronytest.Must(t, err)
	term := &terminal{File: file, cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(term.done)
		for b := make([]byte, 4096); ; {
			n, err := file.Read(b)
			if err != nil {
				return // the program has ended
			}
			term.mu.Lock()
			term.shown += string(b[:n])
			term.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		file.Close()
		<-term.done
		if t.Failed() {
			t.Logf("%q", term.all())
		}
	})
	return term
}

func (t *terminal) all() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.shown
}

const frameBegins = "\x1b[H"

// frames returns the complete screens that were shown, without colors.
func (t *terminal) frames() []string {
	text := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(t.all(), "")
	frames := strings.Split(text, frameBegins)
	if len(frames) < 3 {
		return nil
	}
	return frames[1 : len(frames)-1] // the last one may be incomplete
}

func (t *terminal) await(tt *testing.T, text string) {
	tt.Helper()
	chronytest.Await(tt, text, func() bool {
		frames := t.frames()
		return len(frames) > 0 && strings.Contains(frames[len(frames)-1], text)
	})
}

// end checks that the program ends with status 0 and restores the terminal.
func (t *terminal) end(tt *testing.T, key string) {
	tt.Helper()
	_, err := t.WriteString(key)
	chronytest.Must(tt, err)
	if err := t.cmd.Wait(); err != nil {
		tt.Errorf("after %q: %v", key, err)
	}
	<-t.done
	if !strings.HasPrefix(t.all(), "\x1b[?1049h\x1b[?25l") || !strings.HasSuffix(t.all(), "\x1b[?25h\x1b[?1049l") {
		tt.Error("the terminal is not as it was")
	}
}

// TestWatch watches while chronyd dies and comes back.
func TestWatch(t *testing.T) {
	d := chronytest.NewSynchronized(t, " offset 0.25")
	term := onTerminal(t, 40, nil, "status", "--watch", "--interval=100ms", "--chrony.address="+d.Address)
	term.await(t, "The clock is at most 2")
	term.await(t, "*  127.0.0.1")
	d.Kill()
	term.await(t, "unknown: chronyd does not answer")
	chronytest.Must(t, d.Restart())
	chronytest.Must(t, d.WaitSynchronized(t.Context()))
	term.await(t, "The clock is at most 2")
	if !strings.Contains(term.all(), "\x1b[1m\x1b[32mThe clock") || !strings.Contains(term.all(), "\x1b[1m\x1b[31mThe clock") {
		t.Error("no colors")
	}
	term.end(t, "q")

	// Each screen is drawn over the last one, and fits.
	for _, frame := range term.frames() {
		lines := strings.Split(strings.TrimSuffix(frame, "\x1b[J"), "\x1b[K\r\n")
		for _, line := range lines {
			if n := len([]rune(strings.ReplaceAll(line, "\x1b[K", ""))); n > 80 {
				t.Errorf("%d columns: %q", n, line)
			}
		}
		if len(lines) > 40 || strings.Count(frame, "\n") != len(lines)-1 {
			t.Errorf("%d lines: %q", len(lines), frame)
		}
	}
}

// TestWatchSmall uses a terminal that is too small and has no colors. It ends with
// Ctrl-C.
func TestWatchSmall(t *testing.T) {
	d := chronytest.New(t, chronytest.Config{})
	term := onTerminal(t, 4, []string{"NO_COLOR=1"}, "status", "-w", "-n", "100ms", "--chrony.address="+d.Address)
	term.await(t, "unknown: chronyd follows no source.")
	for _, frame := range term.frames() {
		if strings.Count(frame, "\n") != 3 {
			t.Errorf("it does not fit: %q", frame)
		}
	}
	if regexp.MustCompile("\x1b\\[[0-9;]*m").MatchString(term.all()) {
		t.Error("colors")
	}
	term.end(t, "\x03")
}
