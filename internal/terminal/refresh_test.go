package terminal

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

// TestRefreshQuits presses q while a frame waits for something that does not come.
func TestRefreshQuits(t *testing.T) {
	keyboard, in, err := pty.Open()
	chronytest.Must(t, err)
	defer keyboard.Close()
	defer in.Close()
	draws, done := make(chan bool, 1), make(chan error, 1)
	go func() {
		done <- Refresh(t.Context(), in, io.Discard, time.Hour, func(ctx context.Context, _ io.Writer, _ Style) {
			draws <- true
			<-ctx.Done()
		})
	}()
	<-draws
	_, err = io.WriteString(keyboard, "q")
	chronytest.Must(t, err)
	select {
	case err := <-done:
		chronytest.Must(t, err)
	case <-time.After(chronytest.Patience):
		t.Fatal("q is ignored")
	}
}
