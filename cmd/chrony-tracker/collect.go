package main

import (
	"fmt"
	"log/slog"
	"path"
	"regexp"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/chrony-tracker/chrony-tracker/chrony"
	"github.com/chrony-tracker/chrony-tracker/internal/exporter"
)

// collectors are the flags that turn off a report's metrics. Flags that also exist in
// chrony_exporter have the same names.
var collectors = []struct {
	want       chrony.Want
	name, help string
}{
	{chrony.WantTracking, "tracking", "Publish what chronyd reports about its reference and the clock. The clock is judged by it in any case."},
	{chrony.WantActivity, "activity", "Publish how many sources are online, offline, or without an address."},
	{chrony.WantSources, "sources", "Publish the sources, with sourcename, with-ntpdata, authdata and selectdata. The clock is judged by them in any case."},
	{chrony.WantSourceStats, "sourcestats", "Publish chronyd's statistics of each source's samples."},
	{chrony.WantSourceNames, "sourcename", "Publish the sources' names in chrony.conf."},
	{chrony.WantNTPData, "sources.with-ntpdata", "Publish the sources' last NTP replies and packet counts."},
	{chrony.WantAuthData, "authdata", "Publish how the sources are authenticated."},
	{chrony.WantSelectData, "selectdata", "Publish whether chronyd would select a source, and why not."},
	{chrony.WantServerStats, "serverstats", "Publish what chronyd does as a server."},
	{chrony.WantRTC, "rtcdata", "Publish what chronyd knows about the real-time clock."},
	{chrony.WantSmoothing, "smoothing", "Publish how chronyd smooths the time that it serves."},
}

// collectFlags configure what is published.
type collectFlags struct {
	on          []bool // in the order of collectors
	maxSources  int
	dnsLookups  bool
	chmodSocket bool
	phc         *string
	path        string
}

func addCollectFlags(clause *kingpin.CmdClause) *collectFlags {
	f := &collectFlags{on: make([]bool, len(collectors))}
	for i, c := range collectors {
		clause.Flag("collector."+c.name, c.help).Default("true").BoolVar(&f.on[i])
	}
	clause.Flag("collector.sources.max", "The largest number of sources that have series of their own.").
		Default(fmt.Sprint(exporter.DefaultMaxSources)).IntVar(&f.maxSources)
	clause.Flag("collector.dns-lookups", "Look up the sources' names in the DNS. A scrape never waits for a lookup.").BoolVar(&f.dnsLookups)
	clause.Flag("collector.chmod-socket", "Has no effect. It is accepted for users of chrony_exporter.").BoolVar(&f.chmodSocket)
	f.phc = phcFlag(clause)
	clause.Flag("web.telemetry-path", "Path of the metrics. If it is /, there is no page.").Default("/metrics").StringVar(&f.path)
	return f
}

func phcFlag(clause *kingpin.CmdClause) *string {
	return clause.Flag("phc.device", "The PTP clock that chrony.conf names, such as /dev/ptp_hyperv. Its real name is then shown.").String()
}

func (f *collectFlags) validate() error {
	switch {
	case f.maxSources < 0:
		return usageError{fmt.Errorf("--collector.sources.max=%d: must not be below zero", f.maxSources)}
	case !isPath(f.path):
		return usageError{fmt.Errorf("--web.telemetry-path=%s: must be a path such as /metrics, and not below /-/ or /api/", f.path)}
	}
	return nil
}

// isPath reports whether metrics can be served there. If it is /, there is no page.
func isPath(s string) bool {
	own := strings.HasPrefix(s, "/-/") || strings.HasPrefix(s, "/api/")
	return plainPath.MatchString(s) && path.Clean(s) == s && !own
}

var plainPath = regexp.MustCompile(`^/[A-Za-z0-9._~/-]*$`)

// reports returns the reports whose metrics are published.
func (f *collectFlags) reports() (want chrony.Want) {
	for i, c := range collectors {
		if f.on[i] {
			want |= c.want
		}
	}
	if want&chrony.WantSources == 0 {
		want &^= ofSources
	}
	return want
}

// ofSources are the reports that add series to the sources.
const ofSources = chrony.WantSourceNames | chrony.WantNTPData | chrony.WantAuthData | chrony.WantSelectData

// logPurposeless logs which flags have no effect.
func (f *collectFlags) logPurposeless(logger *slog.Logger) {
	if f.chmodSocket {
		logger.Info("--collector.chmod-socket has no effect: it is not needed")
	}
}
