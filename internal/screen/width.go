package screen

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// runeWidth is how many columns of a terminal a letter takes.
func runeWidth(r rune) int {
	switch kind := width.LookupRune(r).Kind(); {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Cc):
		return 0
	case kind == width.EastAsianWide, kind == width.EastAsianFullwidth:
		return 2
	default:
		return 1
	}
}

// columns is how many columns a text takes, without the sequences that colour it.
func columns(s string) (n int) {
	escape := false
	for _, r := range s {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		default:
			n += runeWidth(r)
		}
	}
	return n
}

// pad fills a text with blanks to so many columns.
func pad(s string, n int) string { return s + strings.Repeat(" ", max(0, n-columns(s))) }

// wrap breaks a text into lines of at most so many columns.
func wrap(text string, n int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case columns(line)+1+columns(word) > n:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// Cut shortens a line to so many columns, without cutting a sequence that colours it.
func Cut(line string, n int) string {
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
