// Package browser tests the program's page as its users see it: with a real browser and
// a real chronyd. It is a module of its own, so that the browser driver stays out of
// the program.
package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

var browser context.Context // one for all tests; each has a tab of its own

func TestMain(m *testing.M) { os.Exit(prepareAndRun(m)) }

func prepareAndRun(m *testing.M) int {
	chromium := findChromium()
	if chromium == "" {
		fmt.Fprintln(os.Stderr, "no test was run: this takes chromium")
		if os.Getenv("CI") != "" {
			return 1
		}
		return 0
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.WindowSize(1100, 900))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's sandbox refuses root
	}
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	defer end()
	var closeBrowser context.CancelFunc
	browser, closeBrowser = chromedp.NewContext(allocator)
	defer closeBrowser()
	if err := chromedp.Do(browser, chromedp.Navigate("about:blank")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return programtest.Main(m)
}

func findChromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// A tab is one page in the browser, with its requests and problems.
type tab struct {
	context.Context
	mu       sync.Mutex
	requests []string // URLs
	problems []string // in the console
	bytes    float64  // that came over the wire
}

// open opens a page in a new tab and closes it at the end of the test. The actions run
// before the page loads.
func open(t *testing.T, url string, before ...action) *tab {
	t.Helper()
	ctx, end := chromedp.NewContext(browser)
	t.Cleanup(end)
	p := &tab{Context: ctx}
	chronytest.Must(t, chromedp.Listen(ctx, p.note))
	p.run(t, call(log.Enable, cdp.Empty{}), call(network.Enable, network.EnableParams{}))
	p.run(t, before...)
	p.run(t, chromedp.Navigate(url))
	return p
}

func (p *tab) note(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	case *network.EventLoadingFinished:
		p.bytes += e.EncodedDataLength
	case *runtime.EventExceptionThrown:
		p.problems = append(p.problems, e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		p.problems = append(p.problems, e.Entry.Text+" "+e.Entry.URL)
	}
}

// An action is a step that the browser executes.
type action = chromedp.Action[chromedp.Void]

func call[P, R any](command cdp.Command[P, R], params P) action {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, command, params)
		return err
	})
}

func (p *tab) run(t *testing.T, actions ...action) {
	t.Helper()
	chronytest.Must(t, chromedp.Do(p, actions...))
}

// evaluate returns the value of an expression on the page.
func evaluate[T any](t *testing.T, p *tab, expression string) (value T) {
	t.Helper()
	value, err := chromedp.Run(p, chromedp.Evaluate[T](expression))
	chronytest.Must(t, err)
	return value
}

// text returns the text of an element as it is shown, or "" if there is none.
func (p *tab) text(t *testing.T, selector string) string {
	t.Helper()
	return evaluate[string](t, p, fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector))
}

// await waits until an expression is true on the page.
func (p *tab) await(t *testing.T, expression string) {
	t.Helper()
	chronytest.Await(t, expression, func() bool { return evaluate[bool](t, p, "!!("+expression+")") },
		func() any { return p.text(t, "body") })
}

// awaitText waits until an element's text contains the wanted text.
func (p *tab) awaitText(t *testing.T, selector, part string) {
	t.Helper()
	p.await(t, fmt.Sprintf("document.querySelector(%q)?.innerText.includes(%q)", selector, part))
}

// awaitPlot waits until the page is up to date and the plot is drawn.
func (p *tab) awaitPlot(t *testing.T) {
	t.Helper()
	p.await(t, "document.body.classList.contains('live')")
	p.await(t, "document.querySelector('#plot .caption')?.textContent.includes('the bound was')")
}

// wantQuiet checks that the console is empty and that no request went to another host.
func (p *tab) wantQuiet(t *testing.T, base string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, problem := range p.problems {
		t.Errorf("in the console: %s", problem)
	}
	for _, url := range p.requests {
		if !strings.HasPrefix(url, base) {
			t.Errorf("a request to %s", url)
		}
	}
}
