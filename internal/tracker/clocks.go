package tracker

import (
	"io"
	"time"
)

// An Instant is one moment by each of a machine's clocks, in nanoseconds.
type Instant struct {
	Real        int64 // CLOCK_REALTIME, since 1970: steered, and can be set
	Boot        int64 // CLOCK_BOOTTIME: steered in the same way, but never set
	Mono        int64 // CLOCK_MONOTONIC: like CLOCK_BOOTTIME, but stops while the machine is suspended
	Raw         int64 // CLOCK_MONOTONIC_RAW: like CLOCK_MONOTONIC, but never steered
	Uncertainty int64 // the time that it took to read them one after the other
}

func (i Instant) time() time.Time { return time.Unix(0, i.Real).UTC() }

// since returns the seconds between two instants.
func (i Instant) since(earlier Instant) float64 { return seconds(i.Boot - earlier.Boot) }

func seconds(nanoseconds int64) float64 { return float64(nanoseconds) * 1e-9 }

// Clocks are the clocks of a machine: this one, or a simulated one.
type Clocks interface {
	Read() (Instant, error)
	Kernel() (Kernel, error)

	// AwaitSet returns when the kernel reports that the clock was set, even to its
	// current value. It fails after Close, and if the kernel can't report this.
	AwaitSet() error
	io.Closer
}

// Kernel is the kernel's own view of its clock (adjtimex). The errors come from the
// program that steers the clock. chronyd sets them only with rtcsync in chrony.conf.
type Kernel struct {
	Frequency      float64 // ppm; above zero, the kernel makes the clock run faster
	MaxError       float64 // seconds; 16 if no program sets it
	EstimatedError float64 // seconds
	Synchronized   bool
}
