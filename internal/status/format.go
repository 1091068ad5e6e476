package status

import (
	"fmt"
	"strings"
	"time"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
)

// Seconds writes a length of time with three digits, rounded up: "7.61 µs".
func Seconds(v float64) string { return clockerror.Format(v) }

// Signed is like Seconds, for offsets, which have a sign.
func Signed(v float64) string {
	if v < 0 {
		return "−" + Seconds(-v)
	}
	return "+" + Seconds(v)
}

// Duration writes a length of time with its two largest units: "3 h 12 min".
func Duration(seconds float64) string {
	if !(seconds < 1e10) {
		return "an unknown time"
	}
	if seconds < 1 {
		return Seconds(max(0, seconds))
	}
	units := []struct {
		name string
		size int64
	}{{"d", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}}
	left := int64(seconds)
	for i, u := range units {
		if left < u.size {
			continue
		}
		text := fmt.Sprintf("%d %s", left/u.size, u.name)
		if i+1 < len(units) && left%u.size >= units[i+1].size {
			text += fmt.Sprintf(" %d %s", left%u.size/units[i+1].size, units[i+1].name)
		}
		return text
	}
	return "0 s"
}

// Percent writes a share. It is 100 % only if the share is 1.
func Percent(share float64) string {
	switch {
	case share == 1:
		return "100 %"
	case share > 0.99:
		return "> 99 %"
	case share > 0 && share < 0.01:
		return "< 1 %"
	default:
		return fmt.Sprintf("%.0f %%", share*100)
	}
}

// Clock writes a time of day for people.
func Clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// sentence turns a note into a sentence.
func sentence(note string) string { return strings.ToUpper(note[:1]) + note[1:] + "." }
