//go:build !linux

package boundedtime

import (
	"errors"
	"time"
)

func monotonicClock() (time.Duration, error) { return 0, errors.ErrUnsupported }
