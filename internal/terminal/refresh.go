package terminal

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// DefaultWidth is how many columns are filled where there is no terminal to ask.
const DefaultWidth = 80

// Style is how something is printed.
type Style struct {
	Width int // in columns; DefaultWidth if zero
	Color bool
}

// StyleOf suits an output: what is no terminal gets no colors, nor does somebody who
// objects to them (no-color.org).
func StyleOf(out io.Writer) Style {
	width, _ := size(out)
	return Style{Width: width, Color: IsTerminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// IsTerminal reports whether somebody is looking at it.
func IsTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// size is how many columns and rows a terminal has.
func size(out io.Writer) (width, height int) {
	if file, ok := out.(*os.File); ok {
		if width, height, err := term.GetSize(int(file.Fd())); err == nil && width > 0 && height > 0 {
			return width, height
		}
	}
	return DefaultWidth, 24
}

// What tells a terminal what to do (ECMA-48, and xterm's own for the other screen).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // and hide the cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// Refresh shows what draw writes, again and again, in the same place, until the
// context ends or somebody types q or Ctrl-C.
func Refresh(ctx context.Context, in *os.File, out io.Writer, interval time.Duration, draw func(io.Writer, Style)) error {
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	if before, err := term.MakeRaw(int(in.Fd())); err == nil {
		defer term.Restore(int(in.Fd()), before)
		go awaitQuit(in, quit)
	}
	io.WriteString(out, enterScreen)
	defer io.WriteString(out, leaveScreen)

	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		var b bytes.Buffer
		draw(&b, StyleOf(out))
		width, height := size(out)
		if _, err := io.WriteString(out, frame(b.String(), width, height)); err != nil {
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
func frame(text string, width, height int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	lines = lines[:min(len(lines), height)]
	for i, line := range lines {
		lines[i] = cut(line, width) + clearLine
	}
	return home + strings.Join(lines, "\r\n") + clearBelow
}

// awaitQuit reads keys. A raw terminal makes no signal of Ctrl-C.
func awaitQuit(in io.Reader, quit func()) {
	const ctrlC = 3
	keys := bufio.NewReader(in)
	for {
		switch key, err := keys.ReadByte(); {
		case err != nil:
			return
		case key == 'q', key == 'Q', key == ctrlC:
			quit()
			return
		}
	}
}
