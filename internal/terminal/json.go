package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode"
)

// JSON prints a value for scripts. What could control a terminal, and is left as it is
// by package json, is escaped: it can only be in strings.
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
