package browser

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"golang.org/x/sys/unix"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

// TestHealthy shows a healthy clock.
func TestHealthy(t *testing.T) {
	d := chronytest.NewSynchronized(t, "")
	s := programtest.Start(t, "--chrony.address="+d.Address, "--objective=finra-cat", "--objective=lax=1s")
	p := open(t, s.URL+"/")
	p.awaitPlot(t)

	if verdict := p.text(t, "#verdict"); !regexp.MustCompile(`^The clock is at most [\d.]+ [µm]s off\.$`).MatchString(verdict) {
		t.Errorf("verdict %q", verdict)
	}
	for selector, part := range map[string]string{
		".rows":       "synchronized",
		".terms":      "dispersion",
		"#objectives": "finra-cat",
		".source":     "127.0.0.1",
		"main":        "ntpdata", // this connection cannot read it
	} {
		if text := p.text(t, selector); !strings.Contains(text, part) {
			t.Errorf("%s lacks %s: %s", selector, part, text)
		}
	}
	widths := evaluate[float64](t, p, `[...document.querySelectorAll(".bar rect")].reduce((sum, r) => sum + r.width.baseVal.valueInSpecifiedUnits, 0)`)
	if widths < 99.9 || widths > 100.1 {
		t.Errorf("the terms are %v %% of the bar", widths)
	}

	asOf := p.text(t, ".asof time")
	p.await(t, fmt.Sprintf("document.querySelector('.asof time').innerText != %q", asOf))
	if announced := p.text(t, "#announcement"); announced != "" {
		t.Errorf("nothing has happened, and a screen reader announces %q", announced)
	}
	p.wantQuiet(t, s.URL+"/")
}

// TestPlot reads, zooms and goes back, with mouse and keys.
func TestPlot(t *testing.T) {
	d := chronytest.NewSynchronized(t, "")
	s := programtest.Start(t, "--chrony.address="+d.Address, "--sample.interval=100ms", "--objective=finra-cat")
	p := open(t, s.URL+"/")
	p.awaitPlot(t)
	if drawn := evaluate[int](t, p, "document.querySelectorAll('#plot canvas').length"); drawn != 1 {
		t.Fatalf("%d plots", drawn)
	}
	p.awaitText(t, ".legend", "synchronized")

	over := evaluate[struct{ X, Y, Width, Height float64 }](t, p, `(() => {
		const over = document.querySelector(".u-over");
		over.scrollIntoView({block: "center"});
		return over.getBoundingClientRect().toJSON();
	})()`)
	x, y := over.X+over.Width*0.995, over.Y+over.Height/2 // there are samples already
	p.run(t, chromedp.MouseEvent("mouseMoved", x, y))
	p.await(t, `/at most .*UTC · synchronized/.test(document.querySelector(".tip").textContent)`)

	p.run(t, chromedp.DragAndDropXY(over.X+over.Width*0.98, y, x, y, 5))
	p.await(t, `[...document.querySelectorAll(".tools button")].some((b) => b.innerText == "Back to now" && b.checkVisibility())`)
	zoomed := p.text(t, ".caption") // the latest sample in it may arrive later
	news := p.text(t, ".asof time")
	p.await(t, fmt.Sprintf("document.querySelector('.asof time').innerText != %q", news))
	text := p.text(t, ".caption")
	from, _, _ := strings.Cut(zoomed, ";")
	if !strings.HasPrefix(text, from) {
		t.Errorf("what was zoomed to has moved from %q to %q", zoomed, text)
	}
	zoomed = text

	p.run(t, chromedp.Focus(chromedp.CSS(".chart")), chromedp.KeyEvent(kb.Escape))
	p.await(t, `document.querySelector(".caption").textContent != `+fmt.Sprintf("%q", zoomed))
	p.run(t, chromedp.KeyEvent(kb.ArrowLeft))
	p.await(t, `/at most .*UTC · synchronized/.test(document.querySelector("#plot [role=status]").textContent)`)
	p.wantQuiet(t, s.URL+"/")
}

// TestUnsynchronized shows a chronyd that follows nothing.
func TestUnsynchronized(t *testing.T) {
	d := chronytest.New(t, chronytest.Config{})
	s := programtest.Start(t, "--chrony.address="+d.Address)
	p := open(t, s.URL+"/")
	p.awaitText(t, "#verdict", "error is unknown")
	p.awaitText(t, ".legend", "unsynchronized")
	p.awaitText(t, ".caption", "there was no bound")
	p.awaitText(t, "main", "chronyd lists none")
	if kind := evaluate[string](t, p, "document.querySelector('#verdict').className"); kind != "verdict unknown" {
		t.Errorf("it looks like %q", kind)
	}
	p.wantQuiet(t, s.URL+"/")
}

// TestChronydGone kills chronyd under an open page, and starts it again.
func TestChronydGone(t *testing.T) {
	d := chronytest.NewSynchronized(t, "")
	s := programtest.Start(t, "--chrony.address="+d.Address)
	p := open(t, s.URL+"/")
	p.awaitPlot(t)
	d.Kill()
	p.awaitText(t, "#verdict", "chronyd does not answer")
	p.awaitText(t, ".problem", "is chronyd running")
	p.awaitText(t, "#announcement", "chronyd does not answer")
	p.awaitText(t, ".legend", "unreachable")
	p.awaitText(t, ".legend", "event")
	if p.text(t, "#lost") != "" {
		t.Error("the tracker is not lost")
	}
	chronytest.Must(t, d.Restart())
	chronytest.Must(t, d.WaitSynchronized(t.Context()))
	p.awaitText(t, "#verdict", "at most")
	p.awaitText(t, "#announcement", "at most")
	p.awaitText(t, "main", "chronyd was restarted")
	p.wantQuiet(t, s.URL+"/")
}

// looksOld is true if the page is clearly marked as old.
const looksOld = `getComputedStyle(document.querySelector("main")).filter == "grayscale(1)"`

// TestTrackerGone kills the tracker under an open page, starts it again, and makes it
// hang.
func TestTrackerGone(t *testing.T) {
	t.Parallel()
	d := chronytest.NewSynchronized(t, "")
	s := programtest.Start(t, "--chrony.address="+d.Address)
	p := open(t, s.URL+"/")
	p.awaitPlot(t)
	s.Kill()
	wantLost(t, p)
	asOf := strings.TrimSuffix(p.text(t, ".asof time"), " UTC")
	p.awaitText(t, "#lost", "No news since "+asOf)

	s.Args = append(s.Args, "--objective=finra-cat")
	s.Launch(t)
	p.awaitText(t, "#objectives", "finra-cat")
	p.await(t, "document.querySelector('#lost').hidden && !("+looksOld+")")
	p.awaitPlot(t)
	if title := evaluate[string](t, p, "document.title"); !strings.HasPrefix(title, "synchronized") {
		t.Errorf("title %q", title)
	}

	chronytest.Must(t, s.Signal(syscall.SIGSTOP))
	wantLost(t, p)
	chronytest.Must(t, s.Signal(syscall.SIGCONT))
	p.await(t, "document.querySelector('#lost').hidden")
	p.awaitText(t, "#announcement", "at most")
	p.awaitText(t, ".legend", "unobserved") // while it hung
}

func wantLost(t *testing.T, p *tab) {
	t.Helper()
	p.awaitText(t, "#lost", "the tracker does not answer. What stands below was true then.")
	p.await(t, looksOld)
	p.await(t, `document.title.startsWith("No news")`)
}

// TestStep sets the clock to its own value, which changes nothing.
func TestStep(t *testing.T) {
	d := chronytest.NewSynchronized(t, "")
	s := programtest.Start(t, "--chrony.address="+d.Address)
	p := open(t, s.URL+"/")
	p.awaitPlot(t)
	if err := setToItself(); errors.Is(err, os.ErrPermission) {
		t.Skip("this takes CAP_SYS_TIME")
	} else if err != nil {
		t.Fatal(err)
	}
	p.awaitText(t, "main", "the clock was stepped by")
	p.awaitText(t, ".legend", "event")
	p.awaitText(t, ".caption", "1 event")
	p.wantQuiet(t, s.URL+"/")
}

func setToItself() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
		return err
	}
	return unix.ClockSettime(unix.CLOCK_REALTIME, &now)
}

// TestBehindProxy serves the page below a path, and the metrics elsewhere.
func TestBehindProxy(t *testing.T) {
	d := chronytest.NewSynchronized(t, "")
	s := programtest.Start(t, "--chrony.address="+d.Address, "--web.telemetry-path=/node/metrics")
	target, err := url.Parse(s.URL)
	chronytest.Must(t, err)
	mux := http.NewServeMux()
	mux.Handle("/some/node/", http.StripPrefix("/some/node", httputil.NewSingleHostReverseProxy(target)))
	proxy := httptest.NewServer(mux)
	defer proxy.Close()
	p := open(t, proxy.URL+"/some/node/")
	p.awaitPlot(t)
	for _, link := range evaluate[[]string](t, p, `[...document.querySelectorAll("footer a")].map((a) => a.href).filter((h) => !h.startsWith("https://github.com/"))`) {
		response, err := http.Get(link)
		chronytest.Must(t, err)
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", link, response.Status)
		}
	}
	p.wantQuiet(t, proxy.URL+"/some/node/")
}

// TestWithoutScript reads the verdict without a script, and with a script that does not
// load. Then the page must mark itself as old.
func TestWithoutScript(t *testing.T) {
	t.Parallel()
	d := chronytest.NewSynchronized(t, "")
	s := programtest.Start(t, "--chrony.address="+d.Address)
	off := open(t, s.URL+"/", call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	off.awaitText(t, "#verdict", "at most")
	off.awaitText(t, "section noscript", "The plot needs JavaScript")

	block := network.SetBlockedURLsParams{URLPatterns: []*network.BlockPattern{{URLPattern: s.URL + "/-/page.js", Block: true}}}
	blocked := open(t, s.URL+"/", call(network.SetBlockedURLs, block))
	blocked.awaitText(t, "#verdict", "at most")
	blocked.await(t, looksOld)
	blocked.awaitText(t, ".asof", "has not been updated since")
}

// TestLooks checks contrast, width and accessible names of the page, light and dark.
func TestLooks(t *testing.T) {
	d := chronytest.NewSynchronized(t, "")
	s := programtest.Start(t, "--chrony.address=unix://"+d.Socket, "--objective=finra-cat", "--objective=cockroachdb")
	for _, look := range []string{"light", "dark"} {
		for _, width := range []int64{320, 390, 800, 1400} {
			p := open(t, s.URL+"/", scheme(look), chromedp.EmulateViewport(width, 900))
			p.awaitPlot(t)
			if wide := evaluate[int64](t, p, "document.documentElement.scrollWidth"); wide > width {
				t.Errorf("%s, %d: it is %d wide", look, width, wide)
			}
			for _, problem := range evaluate[[]string](t, p, faint) {
				t.Errorf("%s, %d: too little contrast: %s", look, width, problem)
			}
			for _, problem := range evaluate[[]string](t, p, nameless) {
				t.Errorf("%s, %d: without a name: %s", look, width, problem)
			}
		}
	}
}

// faint lists texts whose contrast is below 4.5 (WCAG 2.2, 1.4.3).
const faint = `(() => {
	const parse = (c) => c.match(/[\d.]+/g).map(Number);
	const light = (c) => c.slice(0, 3).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
		.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const behind = (e) => {
		for (; e; e = e.parentElement) {
			const c = parse(getComputedStyle(e).backgroundColor);
			if (c.length < 4 || c[3] > 0) return c;
		}
		return [255, 255, 255];
	};
	return [...document.querySelectorAll("body *")]
		.filter((e) => e.checkVisibility() && [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim()))
		.map((e) => {
			const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))];
			return [e, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
		})
		.filter(([, contrast]) => contrast < 4.5)
		.map(([e, contrast]) => contrast.toFixed(1) + " " + e.outerHTML.slice(0, 100));
})()`

// nameless lists the elements for which a screen reader has no name.
const nameless = `[...document.querySelectorAll("table, section, a, button, [tabindex], nav")]
	.filter((e) => !(e.caption?.textContent || e.getAttribute("aria-label") || document.getElementById(e.getAttribute("aria-labelledby"))?.textContent || e.matches("a, button") && e.textContent.trim()))
	.map((e) => e.outerHTML.slice(0, 100))`

// TestOnTheWire limits the size of the page with everything that it loads.
func TestOnTheWire(t *testing.T) {
	d := chronytest.NewSynchronized(t, "")
	s := programtest.Start(t, "--chrony.address="+d.Address, "--sample.interval=100ms")
	p := open(t, s.URL+"/")
	p.awaitPlot(t)
	p.mu.Lock()
	defer p.mu.Unlock()
	const most = 150 << 10
	if p.bytes == 0 || p.bytes > most {
		t.Errorf("%v bytes", p.bytes)
	}
	t.Logf("%v bytes", p.bytes)
}
