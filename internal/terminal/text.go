package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// sequences match what a terminal interprets as commands (ECMA-48): control sequences,
// control strings, and escape sequences. Each begins with ESC or with a C1 control.
var sequences = regexp.MustCompile(`(\x1b\[|\x{9b})[0-?]*[ -/]*[@-~]?` +
	`|(\x1b[PX\]^_]|[\x{90}\x{98}\x{9d}-\x{9f}])[^\x07\x1b\x{9c}]*(\x07|\x1b\\|\x{9c})?` +
	`|\x1b[ -/]*[0-~]?`)

// clean removes everything that could control a terminal. Names of sources and
// processes, and answers of other programs, may contain anything.
func clean(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, isUnsafe) {
		return s
	}
	s = sequences.ReplaceAllString(strings.ToValidUTF8(s, "�"), "")
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case isUnsafe(r):
			return -1
		default:
			return r
		}
	}, s)
}

func isUnsafe(r rune) bool {
	return r != ' ' && unicode.In(r, unicode.Cc, unicode.Bidi_Control, unicode.White_Space)
}

// Line turns a text into one line that is safe on a terminal.
func Line(s string) string { return strings.Join(strings.Fields(clean(s)), " ") }

// JSON prints a value for scripts. It escapes characters that could control a terminal
// and that package json leaves unchanged. They can only be in strings.
func JSON(w io.Writer, value any) error {
	var text, safe bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	for _, r := range text.String() {
		if r != '\n' && unicode.In(r, unicode.Cc, unicode.Bidi_Control) {
			fmt.Fprintf(&safe, `\u%04x`, r)
		} else {
			safe.WriteRune(r)
		}
	}
	_, err := w.Write(safe.Bytes())
	return err
}

// runeWidth returns the number of terminal columns of a character.
func runeWidth(r rune) int {
	if r >= ' ' && r < 0x7f {
		return 1
	}
	switch kind := width.LookupRune(r).Kind(); {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Cc):
		return 0
	case kind == width.EastAsianWide, kind == width.EastAsianFullwidth:
		return 2
	default:
		return 1
	}
}

// columns returns the number of terminal columns of a text.
func columns(s string) (n int) {
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

// pad fills a text with blanks up to a number of columns.
func pad(s string, n int) string { return s + strings.Repeat(" ", max(0, n-columns(s))) }

// cut shortens a line to a number of columns. It keeps the sequences that color it.
func cut(line string, n int) string {
	var b strings.Builder
	escape, used := false, 0
	for _, r := range line {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		case used+runeWidth(r) > n:
			continue // the sequences that follow count
		default:
			used += runeWidth(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}
