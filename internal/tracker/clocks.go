package tracker

import (
	"io"
	"time"
)

// An instant is one moment by each of the machine's clocks, in nanoseconds.
type instant struct {
	real int64 // CLOCK_REALTIME, since 1970: steered, and set at will
	boot int64 // CLOCK_BOOTTIME: steered alike, and never set
	mono int64 // CLOCK_MONOTONIC: the same, but it stands still while the machine sleeps
	raw  int64 // CLOCK_MONOTONIC_RAW: the same, but never steered
	blur int64 // the time that it took to read them one after the other
}

func (i instant) time() time.Time { return time.Unix(0, i.real).UTC() }

// since returns the seconds between two instants.
func (i instant) since(earlier instant) float64 { return seconds(i.boot - earlier.boot) }

func seconds(nanoseconds int64) float64 { return float64(nanoseconds) * 1e-9 }

// clocks are the machine's. Tests have others.
type clocks interface {
	read() (instant, error)
	kernel() (Kernel, error)

	// awaitSet returns when the kernel tells that the clock was set, be it to its
	// own value. It fails after Close, and where the kernel doesn't tell.
	awaitSet() error
	io.Closer
}

// Kernel is what the kernel itself says of the clock that it keeps (adjtimex).
// Whoever steers the clock tells it the errors; chronyd does so only with rtcsync
// in chrony.conf.
type Kernel struct {
	Frequency      float64 // ppm by which it is told to let the clock run faster
	MaxError       float64 // seconds; 16 when nobody says otherwise
	EstimatedError float64 // seconds
	Synchronized   bool
}
