//go:build soak

package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/programtest"
)

// watch checks the invariants each second until the day ends.
func (d *day) watch(end time.Time) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for time.Now().Before(end) {
		<-ticker.C
		d.check()
	}
}

// check asks the tracker in three ways, and compares what it says with the truth before
// and after that. A check during which the truth changed says nothing.
func (d *day) check() {
	before, begin := d.truth.view(), time.Now()
	values, scrapeErr := d.tracker.Scrape()
	took := time.Since(begin)
	var now struct {
		State string
		Bound *float64 `json:"bound_seconds"`
	}
	code, text, nowErr := get(http.DefaultClient, d.tracker.URL+"/api/v1/now")
	gate, _, gateErr := get(http.DefaultClient, d.tracker.URL+"/-/ready?max_error=100ms")
	after := d.truth.view()
	for _, err := range []error{scrapeErr, nowErr, gateErr} {
		if err != nil {
			d.report.fail("no answer: %v", err)
			return
		}
	}
	if err := json.Unmarshal(text, &now); err != nil || code != http.StatusOK {
		d.report.fail("now: %d %q", code, text)
		return
	}
	state, bound := programtest.StateOf(values), values["chrony_clock_error_bound_seconds"]
	d.report.scraped(values, state, took)
	if known := state == "synchronized" || state == "holdover" || state == "contradicted"; !known && !(math.IsInf(bound, 1) && math.IsInf(values["chrony_clock_error_ms"], 1)) {
		d.report.fail("%s, and a bound of %v", state, bound)
	}
	if before.forgotten != after.forgotten || before.gone != after.gone {
		return // chronyd came or went
	}
	if !before.gone.IsZero() {
		d.report.gone++
		if state != "unreachable" {
			d.report.fail("%s, %v after chronyd was gone: a stale value", state, begin.Sub(before.gone))
		}
		if begin.Sub(before.gone) > goneTime && (now.Bound != nil || gate == http.StatusOK) {
			d.report.fail("chronyd has been gone for %v, and now says %s, the gate %d", begin.Sub(before.gone), text, gate)
		}
		return
	}
	truth := before.error.Seconds()
	if !before.known || !after.known || before.error != after.error {
		if bound < truth-noise {
			d.report.early++
		}
		return
	}
	d.report.compared(truth, bound)
	if bound < truth-noise {
		d.report.fail("the clock is %v off, the bound is %v (%s)", truth, bound, state)
	}
	if now.Bound != nil && *now.Bound < truth-noise {
		d.report.fail("the clock is %v off, now says %s", truth, text)
	}
	if gate == http.StatusOK && truth > 0.1+noise {
		d.report.fail("the clock is %v off, and the gate of 100 ms lets pass", truth)
	}
}

// paths are what the clients ask for.
var paths = []string{
	"/metrics", "/metrics", "/", "/-/healthy", "/-/ready", "/-/ready?max_error=10ms",
	"/api/v1/now", "/api/v1/now", "/api/v1/status", "/api/v1/events", "/api/v1/history?step=10s", "/api/v1/openapi.yaml",
}

// ask makes fifty requests a second.
func (d *day) ask(stop <-chan struct{}) {
	const atOnce = 100 // and no more: a machine that is too busy must not pile them up
	// A chronyd that hangs makes many requests wait, each on a connection. They must not
	// stay open for that reason alone.
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: atOnce, IdleConnTimeout: 3 * time.Second}, Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	r, free := random(3), make(chan struct{}, atOnce)
	ticker := time.NewTicker(time.Second / 50)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			for range atOnce { // wait for the last ones
				free <- struct{}{}
			}
			return
		case <-ticker.C:
		}
		select {
		case free <- struct{}{}:
		default:
			d.report.request("not sent: too many are unanswered")
			continue
		}
		path := paths[r.IntN(len(paths))]
		go func() {
			defer func() { <-free }()
			code, text, err := get(client, d.tracker.URL+path)
			ready := code == http.StatusServiceUnavailable && len(path) > 7 && path[:7] == "/-/read"
			switch {
			case err != nil:
				d.report.fail("%s: %v", path, err)
			case code != http.StatusOK && !ready:
				d.report.fail("%s: %d %s", path, code, text)
			}
			d.report.request(fmt.Sprint(code))
		}()
	}
}

func get(client *http.Client, url string) (code int, text []byte, err error) {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	text, err = io.ReadAll(response.Body)
	return response.StatusCode, text, err
}
