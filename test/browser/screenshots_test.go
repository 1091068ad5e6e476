package browser

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

// poll is short enough to be quick, and long enough to lose nothing on a busy
// machine.
const poll = " minpoll 0 maxpoll 0"

var screenshots = flag.String("screenshots", "", "write screenshots into this folder")

// TestScreenshots makes the screenshots of the README, from the real program beside
// a real chronyd that has had a bad minute.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("asked for by make screenshots")
	}
	_, line := chronytest.NewServer(t)
	at := func(host string) string { return strings.Replace(line, "127.0.0.1", host, 1) + poll }
	good := chronytest.NewTimeSource(t)
	d := chronytest.New(t, chronytest.Config{Lines: []string{
		good.Line + poll + " prefer trust", at("127.0.0.2"), at("127.0.0.3"), at("127.0.0.4") + " offset 0.08",
	}})
	must(t, d.WaitSynchronized(t.Context()))
	s := start(t, "--chrony.address=unix://"+d.Socket, "--sample.interval=100ms", "--objective=finra-cat", "--objective=mifid2-1ms")

	const calm = 25 * time.Second
	time.Sleep(calm)
	good.SetError(4 * time.Millisecond)
	time.Sleep(calm / 3)
	good.SetError(0)
	time.Sleep(calm)
	d.Kill()
	time.Sleep(calm / 5)
	must(t, d.Restart())
	must(t, d.WaitSynchronized(t.Context()))
	time.Sleep(calm)

	for _, shot := range []struct {
		name, scheme string
		width        int64
	}{
		{"page", "light", 1100},
		{"page-dark", "dark", 1100},
		{"page-phone", "light", 390},
	} {
		p := open(t, s.url, chromedp.EmulateViewport(shot.width, 900),
			scheme(shot.scheme))
		p.awaitPlot(t)
		p.await(t, "document.querySelector('#page').dataset.state == 'synchronized'")
		picture, err := chromedp.Run(p, chromedp.FullScreenshot(100))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(*screenshots, shot.name+".png"), picture, 0o644))
	}
}

// scheme makes the page light or dark.
func scheme(name string) action {
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}
	return call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
}
