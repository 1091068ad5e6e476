package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

// TestAskingStays has a server that sends clients elsewhere. What another server says must
// not appear as the words of this one.
func TestAskingStays(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer other.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !r.Close {
			t.Error("the connection stays open, and the server can send what it likes")
		}
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusFound)
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "client.yml")
	chronytest.Must(t, os.WriteFile(file, []byte("follow_redirects: true\n"), 0o600))
	for _, config := range []string{"", file} {
		client, err := (&trackerFlags{config: config}).client()
		chronytest.Must(t, err)
		base, err := url.Parse(server.URL)
		chronytest.Must(t, err)
		if s := askTracker(t.Context(), client, base, time.Second); s.err == nil || s.watch != nil {
			t.Errorf("%q: %v", config, s.err)
		}
	}
}
