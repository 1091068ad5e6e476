//go:build !linux

package segment

import (
	"errors"
	"os"
)

// A Mapping is a segment in this process's memory. Only Linux has the protocol's clock.
type Mapping struct{}

// Map fails.
func Map(*os.File, bool) (*Mapping, error) { return nil, errors.ErrUnsupported }

// Read fails.
func (*Mapping) Read() (Record, uint64, bool) { return Record{}, 0, false }

// Unchanged reports false.
func (*Mapping) Unchanged(uint64) bool { return false }
