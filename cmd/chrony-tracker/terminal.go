package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/chrony-tracker/chrony-tracker/internal/screen"
)

// isTerminal reports whether somebody is looking at it.
func isTerminal(out any) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// hasColour reports whether the output is the terminal of somebody who has nothing
// against colours (no-color.org).
func hasColour(out io.Writer) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(out)
}

// size is how many columns and rows a terminal has.
func size(out io.Writer) (columns, rows int) {
	if file, ok := out.(*os.File); ok {
		if w, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ); err == nil && w.Col > 0 && w.Row > 0 {
			return int(w.Col), int(w.Row)
		}
	}
	return screen.DefaultWidth, 24
}

// The sequences that a terminal is told what to do with (ECMA-48, and xterm's own for
// the other screen).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // and hide the cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// refresh shows what draw writes, again and again, in the same place, until the
// context ends or somebody types q.
func refresh(ctx context.Context, out io.Writer, interval time.Duration, draw func(io.Writer)) error {
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	restore, err := readKeys(os.Stdin)
	if err == nil {
		defer restore()
		go awaitQuit(os.Stdin, quit)
	}
	io.WriteString(out, enterScreen)
	defer io.WriteString(out, leaveScreen)

	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		var b bytes.Buffer
		draw(&b)
		if _, err := io.WriteString(out, frame(b.String(), out)); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// frame overwrites the last one line by line, which does not flicker. What is too much
// for the terminal is left out.
func frame(text string, out io.Writer) string {
	columns, rows := size(out)
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	lines = lines[:min(len(lines), rows)]
	for i, line := range lines {
		lines[i] = screen.Cut(line, columns) + clearLine
	}
	return home + strings.Join(lines, "\n") + clearBelow
}

// readKeys makes a terminal give each key at once, and not show it. Ctrl-C still ends
// the program.
func readKeys(in *os.File) (restore func(), err error) {
	fd := int(in.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	after := *before
	after.Lflag &^= unix.ICANON | unix.ECHO
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &after); err != nil {
		return nil, err
	}
	return func() { unix.IoctlSetTermios(fd, unix.TCSETS, before) }, nil
}

func awaitQuit(in io.Reader, quit func()) {
	keys := bufio.NewReader(in)
	for {
		key, err := keys.ReadByte()
		if err != nil {
			return
		}
		if key == 'q' || key == 'Q' {
			quit()
			return
		}
	}
}
