package browser

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

// TestWitnesses looks at what NTP servers say, before and after two of three contradict
// the clock. It can be read on a phone.
func TestWitnesses(t *testing.T) {
	sources := []*chronytest.TimeSource{chronytest.NewTimeSource(t), chronytest.NewTimeSource(t), chronytest.NewTimeSource(t)}
	d := chronytest.NewSynchronized(t, "")
	flags := []string{"--chrony.address=" + d.Address, "--witness.interval=1s", "--witness.peers=127.0.0.1", "--witness.listen-address=" + programtest.FreeAddress(t)}
	for _, s := range sources {
		flags = append(flags, "--witness.ntp="+s.Address)
	}
	s := programtest.Start(t, flags...)
	p := open(t, s.URL+"/", chromedp.EmulateViewport(390, 900))
	p.awaitText(t, "#witnesses", "UTC servers: consistent")
	p.awaitText(t, "#witnesses", sources[2].Address)
	p.awaitText(t, "#witnesses", "Peers: unproven")
	sources[0].SetError(-300 * time.Millisecond)
	sources[1].SetError(-300 * time.Millisecond)
	p.awaitText(t, "#witnesses", "2 of 3 UTC servers contradict the bound")
	p.awaitText(t, "#verdict", "UTC servers contradict")
	p.awaitText(t, "#witnesses tr.bad", "+30")
	p.await(t, "document.documentElement.scrollWidth <= innerWidth") // nothing sticks out
	p.wantQuiet(t, s.URL)
	if *screenshots == "" {
		return
	}
	for _, shot := range []struct {
		name, scheme  string
		width, height int64
	}{{"witnesses-light", "light", 1180, 1500}, {"witnesses-dark", "dark", 1180, 1500}, {"witnesses-phone", "light", 390, 2400}} {
		p.run(t, chromedp.EmulateViewport(shot.width, shot.height), scheme(shot.scheme))
		p.awaitPlot(t)
		picture, err := chromedp.Run(p, chromedp.CaptureScreenshot())
		chronytest.Must(t, err)
		chronytest.Must(t, os.WriteFile(filepath.Join(*screenshots, shot.name+".png"), smaller(t, picture), 0o644))
	}
}
