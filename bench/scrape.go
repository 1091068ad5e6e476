package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

// Names of the peers.
const (
	ours     = "chrony-tracker"
	floor    = "floor"
	exporter = "chrony_exporter"
	constant = "promhttp"
)

// unshared is how long our program gives an answer of chronyd to other scrapes, too. After
// it, each scrape asks chronyd. All peers rest that long, so that all wake up alike.
const unshared = 51 * time.Millisecond

// A scrape is the cost and the size of a scrape of one peer.
type scrape struct {
	cost
	peer      string
	series    int
	bytes     int     // of the body, compressed
	rss, peak float64 // resident memory after all scrapes, and its maximum, in KiB
}

// programs are the paths of the programs to scrape.
type programs struct{ tracker, exporter string }

// measureScrapes scrapes all programs that publish the reports: ours, chrony_exporter if
// its path is given, and promhttp with the same series as ours.
func (p programs) measureScrapes(ctx context.Context, s setting, rounds, times int) (scrapes []scrape, err error) {
	var servers []*server
	var peers []peer
	defer func() {
		for _, server := range servers {
			server.end()
		}
	}()
	start := func(name string, cmd *exec.Cmd) (*server, error) {
		server, err := startServer(cmd)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		servers = append(servers, server)
		peers = append(peers, peer{name, server.scrape, func() time.Duration { return cpuOf(server.cmd.Process.Pid) }, unshared})
		return server, nil
	}

	tracker, err := start(ours, exec.Command(p.tracker, s.trackerFlags()...))
	if err != nil {
		return nil, err
	}
	if p.exporter != "" && s.forExporter() {
		if _, err := start(exporter, exec.Command(p.exporter, s.exporterFlags()...)); err != nil {
			return nil, err
		}
	}
	text, err := tracker.get("text/plain", "identity")
	if err != nil {
		return nil, err
	}
	constants := exec.Command("/proc/self/exe", "constants")
	constants.Stdin = bytes.NewReader(text)
	if _, err := start(constant, constants); err != nil {
		return nil, err
	}

	costs, err := takeTurns(ctx, peers, rounds, max(rounds, times/5)) // they rest in between
	if err != nil {
		return nil, err
	}
	for i, server := range servers {
		rss, peak, memoryErr := server.memory()
		series, bytes, sizeErr := server.size()
		if err := errors.Join(memoryErr, sizeErr); err != nil {
			return nil, fmt.Errorf("%s: %w", peers[i].name, err)
		}
		scrapes = append(scrapes, scrape{costs[i], peers[i].name, series, bytes, rss, peak})
	}
	return scrapes, nil
}

// A server is a process that serves /metrics.
type server struct {
	cmd    *exec.Cmd
	url    string
	client http.Client
	log    bytes.Buffer
	ended  chan struct{}
}

// startServer starts a program and waits until it serves /metrics.
func startServer(cmd *exec.Cmd) (*server, error) {
	port, err := chronytest.FreePort()
	if err != nil {
		return nil, err
	}
	address := fmt.Sprint("127.0.0.1:", port)
	s := &server{cmd: cmd, url: "http://" + address + "/metrics", ended: make(chan struct{})}
	s.client.Transport = &http.Transport{}
	cmd.Args = append(cmd.Args, "--web.listen-address="+address)
	cmd.Stdout, cmd.Stderr = &s.log, &s.log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		cmd.Wait()
		close(s.ended)
	}()
	patience := time.After(30 * time.Second)
	for {
		if err = s.scrape(); err == nil {
			return s, nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
			continue
		case <-patience:
			s.end()
		case <-s.ended:
		}
		return nil, fmt.Errorf("%w\n%s", err, s.log.String())
	}
}

func (s *server) end() {
	s.cmd.Process.Kill()
	<-s.ended
	s.client.CloseIdleConnections()
}

// accept is the Accept header of Prometheus 3.
const accept = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5," +
	"text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"

// scrape scrapes as Prometheus does, over a persistent connection.
func (s *server) scrape() error {
	_, err := s.get(accept, "gzip")
	return err
}

func (s *server) get(accept, encoding string) ([]byte, error) {
	request, err := http.NewRequest("GET", s.url, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", accept)
	request.Header.Set("Accept-Encoding", encoding)
	request.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", "10")
	response, err := s.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return body, err
}

// size returns the number of series in a scrape, and the length of its compressed body
// in bytes.
func (s *server) size() (series, length int, err error) {
	body, err := s.get(accept, "gzip")
	if err != nil {
		return 0, 0, err
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return 0, 0, err
	}
	text, err := io.ReadAll(unzipped)
	for line := range bytes.Lines(text) {
		if line[0] != '#' {
			series++
		}
	}
	return series, len(body), err
}

// memory returns the resident memory of the process, and its maximum, in KiB.
func (s *server) memory() (now, peak float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		fmt.Sscanf(line, "VmRSS: %f kB", &now)
		fmt.Sscanf(line, "VmHWM: %f kB", &peak)
	}
	return now, peak, nil
}
