package browser

import (
	"bytes"
	"flag"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

// poll is short enough to be quick, and long enough to lose nothing on a busy
// machine.
const poll = " minpoll 0 maxpoll 0"

var screenshots = flag.String("screenshots", "", "write screenshots into this folder")

// TestScreenshots makes the screenshots of the README, from the real program with a
// real chronyd that had faults for a minute.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("asked for by make screenshots")
	}
	t.Setenv("NODE_NAME", "aks-nodepool1-7") // as the manifests do
	_, line := chronytest.NewServer(t)
	at := func(host string) string { return strings.Replace(line, "127.0.0.1", host, 1) + poll }
	good := chronytest.NewTimeSource(t)
	d := chronytest.New(t, chronytest.Config{Lines: []string{
		good.Line + poll + " prefer trust", at("127.0.0.2"), at("127.0.0.3"), at("127.0.0.4") + " offset 0.08",
	}})
	chronytest.Must(t, d.WaitSynchronized(t.Context()))
	s := programtest.Start(t, "--chrony.address="+d.Address, "--sample.interval=250ms", "--objective=finra-cat", "--objective=mifid2-1ms")

	const calm = 25 * time.Second
	time.Sleep(calm)
	good.SetError(4 * time.Millisecond)
	time.Sleep(calm / 3)
	good.SetError(0)
	time.Sleep(calm)
	d.Kill()
	time.Sleep(calm / 5)
	chronytest.Must(t, d.Restart())
	chronytest.Must(t, d.WaitSynchronized(t.Context()))
	time.Sleep(calm)

	for _, shot := range []struct {
		name, scheme  string
		width, height int64
	}{
		{"page-light", "light", 1180, 1320},
		{"page-dark", "dark", 1180, 1320},
		{"page-phone", "light", 390, 1080},
	} {
		p := open(t, s.URL+"/", chromedp.EmulateViewport(shot.width, shot.height), scheme(shot.scheme))
		p.awaitPlot(t)
		p.await(t, "document.querySelector('#page').dataset.state == 'synchronized'")
		picture, err := chromedp.Run(p, chromedp.CaptureScreenshot())
		chronytest.Must(t, err)
		chronytest.Must(t, os.WriteFile(filepath.Join(*screenshots, shot.name+".png"), smaller(t, picture), 0o644))
	}
}

// smaller keeps the 256 most frequent colors of a picture, and replaces each other
// color by the nearest of them.
func smaller(t *testing.T, picture []byte) []byte {
	t.Helper()
	full, err := png.Decode(bytes.NewReader(picture))
	chronytest.Must(t, err)
	bounds := full.Bounds()
	counts := make(map[color.Color]int)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[full.At(x, y)]++
		}
	}
	most := slices.SortedFunc(maps.Keys(counts), func(a, b color.Color) int { return counts[b] - counts[a] })
	paletted := image.NewPaletted(bounds, most[:min(len(most), 256)])
	draw.Draw(paletted, bounds, full, bounds.Min, draw.Src)
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	chronytest.Must(t, encoder.Encode(&b, paletted))
	return b.Bytes()
}

// scheme sets the page to light or dark.
func scheme(name string) action {
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}
	return call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
}
