package clockerror

import (
	"fmt"
	"math"
)

// Format writes an error, in seconds, with three digits and a suitable unit: "7.61 µs".
// It rounds up, so that the text is never less than the error. +Inf is "unlimited".
func Format(seconds float64) string {
	v := seconds
	switch {
	case v == 0:
		return "0 s"
	case math.IsInf(v, 1):
		return "unlimited"
	case math.IsNaN(v), math.IsInf(v, -1):
		return "unknown"
	}
	scale := math.Pow10(2 - int(math.Floor(math.Log10(math.Abs(v)))))
	const digits = 1e-9 // rounding errors of a float
	v = math.Ceil(v*scale-digits) / scale
	unit, size := "ns", 1e-9
	for _, larger := range []struct {
		unit string
		size float64
	}{{"µs", 1e-6}, {"ms", 1e-3}, {"s", 1}} {
		if math.Abs(v) >= larger.size*(1-digits) {
			unit, size = larger.unit, larger.size
		}
	}
	v /= size
	if math.Abs(v) >= 1000 {
		return fmt.Sprintf("%.0f %s", v, unit)
	}
	return fmt.Sprintf("%.3g %s", v, unit)
}
