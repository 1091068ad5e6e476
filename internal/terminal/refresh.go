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

// DefaultWidth is the width in columns if the output is not a terminal.
const DefaultWidth = 80

// Style sets width and colors of the output.
type Style struct {
	Width int // in columns; DefaultWidth if zero
	Color bool
}

// StyleOf returns the style for an output. There are no colors if it is not a terminal,
// if the terminal is dumb, or if NO_COLOR is set (no-color.org).
func StyleOf(out io.Writer) Style {
	width, _ := size(out)
	return Style{Width: width, Color: IsTerminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// IsTerminal reports whether the output is a terminal.
func IsTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// size returns the number of columns and rows of a terminal.
func size(out io.Writer) (width, height int) {
	if file, ok := out.(*os.File); ok {
		if width, height, err := term.GetSize(int(file.Fd())); err == nil && width > 0 && height > 0 {
			return width, height
		}
	}
	return DefaultWidth, 24
}

// Control sequences (ECMA-48; xterm's own for the alternate screen).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // and hide the cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// Refresh shows the output of draw in the same place and refreshes it, until the
// context ends or the user types q or Ctrl-C. Then the context of draw ends, too.
func Refresh(ctx context.Context, in *os.File, out io.Writer, interval time.Duration, draw func(context.Context, io.Writer, Style)) error {
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
		draw(ctx, &b, StyleOf(out))
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

// frame overwrites the previous frame line by line, which does not flicker. It omits
// what does not fit.
func frame(text string, width, height int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	lines = lines[:min(len(lines), height)]
	for i, line := range lines {
		lines[i] = cut(line, width) + clearLine
	}
	return home + strings.Join(lines, "\r\n") + clearBelow
}

// awaitQuit reads keys. In raw mode, Ctrl-C sends no signal.
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
