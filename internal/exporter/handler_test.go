package exporter

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
)

// TestErrorLog checks that clients which go away can't fill the log.
func TestErrorLog(t *testing.T) {
	gone := &net.OpError{Op: "write", Net: "tcp", Err: syscall.ECONNRESET}
	for level, err := range map[string]error{"DEBUG": gone, "ERROR": errors.New("a metric was collected before")} {
		var text bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))
		errorLog{logger}.Println("error encoding and sending metric family:", err)
		if !strings.Contains(text.String(), "level="+level) || !strings.Contains(text.String(), err.Error()) {
			t.Errorf("want level %s: %s", level, text.String())
		}
	}
}
