package main

import (
	"context"
	"fmt"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

// A clock is a private chronyd with many sources.
type clock struct {
	*chronytest.Chronyd
	sources int
}

// startClocks starts a chronyd for each number of sources. The sources are loopback
// addresses of a single server.
func startClocks(counts []int) (clocks []clock, stop func(), err error) {
	var started []*chronytest.Chronyd
	stop = func() {
		for _, d := range started {
			d.Close()
		}
	}
	start := func(lines []string) (*chronytest.Chronyd, error) {
		d, err := chronytest.Start(chronytest.Config{Lines: lines})
		if err == nil {
			started = append(started, d)
		}
		return d, err
	}

	port, err := chronytest.FreePort()
	if err != nil {
		return nil, stop, err
	}
	if _, err := start([]string{
		fmt.Sprint("port ", port),
		"binddevice lo", // all addresses of lo, and no other device
		"local stratum 1",
		"allow 127.0.0.0/8",
	}); err != nil {
		return nil, stop, err
	}
	for _, count := range counts {
		var lines []string
		for i := range count {
			// The poll interval of AKS' nodes. With one below a second, no two readings
			// would belong to the same clock update.
			lines = append(lines, fmt.Sprintf("server 127.0.%d.%d port %d iburst minpoll 3 maxpoll 3", 1+i/200, 1+i%200, port))
		}
		d, err := start(lines)
		if err != nil {
			return nil, stop, err
		}
		clocks = append(clocks, clock{d, count})
	}
	for _, c := range clocks {
		if _, err := c.Wait(c.sampled); err != nil {
			return nil, stop, err
		}
	}
	return clocks, stop, nil
}

// sampled reports whether each source has enough samples for statistics.
func (c clock) sampled(r *chrony.Report) bool {
	for _, s := range r.Sources {
		if s.Reach < 0o17 {
			return false
		}
	}
	return len(r.Sources) == c.sources
}

// A setting is a chronyd, how to reach it, and the reports to read.
type setting struct {
	access  string
	sources int
	reports string

	address string
	want    chrony.Want
}

// exporterReports are the reports that chrony_exporter reads.
const exporterReports = chrony.WantTracking | chrony.WantSources | chrony.WantSourceStats | chrony.WantNTPData | chrony.WantServerStats

// settings returns all settings to measure. They leave out reports that chronyd refuses,
// because the peers treat a refusal as a failure.
func settings(ctx context.Context, clocks []clock) (all []setting, err error) {
	for _, access := range []string{"socket", "UDP"} {
		for _, c := range clocks {
			address := c.Address
			if access == "socket" {
				address = "unix://" + c.Socket
			}
			given, err := givenBy(ctx, address)
			if err != nil {
				return nil, err
			}
			all = append(all,
				setting{access, c.sources, "tracking", address, chrony.WantTracking},
				setting{access, c.sources, "shared", address, exporterReports & given},
				setting{access, c.sources, "all", address, chrony.WantAll})
		}
	}
	return all, nil
}

// givenBy returns the reports that chronyd does not refuse.
func givenBy(ctx context.Context, address string) (chrony.Want, error) {
	client, err := chrony.NewClient(address)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	report, err := client.Report(ctx, chrony.WantAll)
	if err != nil {
		return 0, err
	}
	given := chrony.WantAll
	for want := range report.Refused {
		given &^= want
	}
	return given, nil
}

// forExporter reports whether chrony_exporter can read all reports of the setting.
func (s setting) forExporter() bool { return s.want&^exporterReports == 0 }

// trackerFlags returns the flags that disable the other reports. By default the tracker
// publishes all of them.
func (s setting) trackerFlags() []string {
	flags := []string{"--chrony.address=" + s.address, fmt.Sprint("--collector.sources.max=", s.sources)}
	for _, want := range (chrony.WantAll &^ s.want).Each() {
		flags = append(flags, "--no-"+collector(want))
	}
	return flags
}

// exporterFlags returns the flags that enable the reports. They disable DNS lookups,
// which can take any time.
func (s setting) exporterFlags() []string {
	flags := []string{"--chrony.address=" + s.address, "--collector.chmod-socket", "--no-collector.dns-lookups"}
	for _, want := range s.want.Each() {
		flags = append(flags, "--"+collector(want))
	}
	return flags
}

// collector returns the flag for a report. Both programs have the same.
func collector(want chrony.Want) string {
	if want == chrony.WantNTPData {
		return "collector.sources.with-ntpdata"
	}
	return "collector." + want.String()
}
