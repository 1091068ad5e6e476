package tracker

import (
	"io"
	"time"
)

// An Instant is one moment by each of a machine's clocks, in nanoseconds.
type Instant struct {
	Real        int64 // CLOCK_REALTIME, since 1970: steered, and set at will
	Boot        int64 // CLOCK_BOOTTIME: steered alike, and never set
	Mono        int64 // CLOCK_MONOTONIC: the same, but it stands still while the machine sleeps
	Raw         int64 // CLOCK_MONOTONIC_RAW: the same, but never steered
	Uncertainty int64 // the time that it took to read them one after the other
}

func (i Instant) time() time.Time { return time.Unix(0, i.Real).UTC() }

// since returns the seconds between two instants.
func (i Instant) since(earlier Instant) float64 { return seconds(i.Boot - earlier.Boot) }

func seconds(nanoseconds int64) float64 { return float64(nanoseconds) * 1e-9 }

// Clocks are a machine's: this one's, or those of a machine that is not there.
type Clocks interface {
	Read() (Instant, error)
	Kernel() (Kernel, error)

	// AwaitSet returns when the kernel tells that the clock was set, be it to its
	// own value. It fails after Close, and where the kernel doesn't tell.
	AwaitSet() error
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
