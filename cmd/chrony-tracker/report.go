package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"

	"github.com/chrony-tracker/chrony-tracker/internal/evidence"
	"github.com/chrony-tracker/chrony-tracker/internal/terminal"
)

// storeFlags say where the history of the fleet is.
type storeFlags struct {
	url        *url.URL
	configFile string
	azure      bool
	timeout    time.Duration
	cluster    string
	nodes      []string
	expected   string
}

func addStoreFlags(clause *kingpin.CmdClause) *storeFlags {
	f := new(storeFlags)
	clause.Flag("prometheus.url", "The store: Prometheus, Thanos, Mimir, VictoriaMetrics or an Azure Monitor workspace, such as http://prometheus:9090.").Required().URLVar(&f.url)
	clause.Flag("http.config.file", "How to log in to the store: a file in the format of Prometheus' http_config.").StringVar(&f.configFile)
	clause.Flag("azure.workload-identity", "Log in to Azure with the workload identity of this pod.").BoolVar(&f.azure)
	clause.Flag("query.timeout", "How long the store may take for one query.").Default("2m").DurationVar(&f.timeout)
	clause.Flag("cluster", "Only this cluster (label cluster).").NoEnvar().StringVar(&f.cluster)
	clause.Flag("node", "Only this node (label node). Repeatable.").NoEnvar().StringsVar(&f.nodes)
	clause.Flag("expected-nodes", "Selects one series for each node that must have a tracker, by the labels cluster and node.").Default(evidence.ExpectedNodes).StringVar(&f.expected)
	return f
}

func (f *storeFlags) store() (*evidence.Store, error) {
	if f.timeout <= 0 {
		return nil, usageError{fmt.Errorf("--query.timeout=%v: must be above zero", f.timeout)}
	}
	return evidence.NewStore(evidence.StoreConfig{URL: f.url, HTTPConfigFile: f.configFile, WorkloadIdentity: f.azure, Timeout: f.timeout})
}

type reportFlags struct {
	*storeFlags
	from, to, objective, output, siteInfo string
	formats                               []string
	target, coverage                      float64
	utc                                   bool
	utcGiven                              bool
	resume                                bool
}

func reportCommand(app *kingpin.Application) command {
	clause := app.Command("report", "Report on the clocks of all nodes in a period, for an auditor.")
	clause.HelpLong(`Reads the history of a fleet from a Prometheus-compatible store and accounts for every second of every node: proven, claimed, outside, contradicted or uncovered. Writes report.html, nodes.csv, excursions.csv, report.json and SHA256SUMS to a new directory. Without --objective it lists the objectives in the data.

Without --from and --to, the period is the last full month (UTC).

Exit status: 0 pass, 1 fail, 3 insufficient data; 2 if there is no report, because of a mistake in the command line or because the store cannot be read.

Examples:

  chrony-tracker report --prometheus.url=http://prometheus:9090 --objective=finra-cat --output=october
  chrony-tracker report --prometheus.url=https://thanos.example --http.config.file=login.yaml \
    --from=2026-10-01 --to=2026-11-01 --objective=mifid2-1ms --site-info=site.txt --output=october`)
	f := &reportFlags{storeFlags: addStoreFlags(clause)}
	clause.Flag("from", "Begin of the period: 2026-10-01 (UTC) or 2026-10-01T08:00:00Z.").NoEnvar().StringVar(&f.from)
	clause.Flag("to", "End of the period, which is not part of it.").NoEnvar().StringVar(&f.to)
	clause.Flag("objective", "The objective to report on, by the name that the trackers have it.").NoEnvar().StringVar(&f.objective)
	clause.Flag("output", "The directory to write to. It must not exist or be empty. {from} is replaced by the first day.").NoEnvar().StringVar(&f.output)
	clause.Flag("format", "What to write: html, csv or json. Repeatable. Without it, all.").NoEnvar().EnumsVar(&f.formats, evidence.Formats...)
	clause.Flag("site-info", "A text file about the timestamping point and the components, to be part of the report.").NoEnvar().ExistingFileVar(&f.siteInfo)
	clause.Flag("target", "The fraction of the time in which each clock must be within the limit.").Default("1").Float64Var(&f.target)
	clause.Flag("coverage", "The fraction of the time that must be recorded, for each node.").Default("0.99").Float64Var(&f.coverage)
	clause.Flag("utc", "The objective asks for traceability to UTC. By default the profiles of MiFID II and FINRA do.").NoEnvar().IsSetByUser(&f.utcGiven).BoolVar(&f.utc)
	clause.Flag("resume", "Keep finished days in DIR.partial, and continue with them after an interruption.").NoEnvar().BoolVar(&f.resume)
	return command{
		clause: clause,
		run:    func(ctx context.Context, out io.Writer) error { return report(ctx, f, out) },
		failed: func(io.Writer, error) exitStatus { return noReport },
	}
}

// The results of a report.
const (
	reportFailed       exitStatus = 1
	noReport           exitStatus = 2
	reportInsufficient exitStatus = 3
)

// softMemoryLimit makes the garbage collector work harder instead of taking more memory,
// in bytes. Answers of a large fleet are mostly garbage.
const softMemoryLimit = 250 << 20

func report(ctx context.Context, f *reportFlags, out io.Writer) error {
	request, err := f.request(time.Now())
	if err != nil {
		return err
	}
	store, err := f.store()
	if err != nil {
		return err
	}
	objectives, err := store.Objectives(ctx, request)
	if err != nil {
		return err
	}
	if err := chooseObjective(f.objective, objectives, request); err != nil {
		return err
	}
	if f.objective == "" {
		for _, name := range objectives {
			fmt.Fprintln(out, terminal.Line(name))
		}
		return nil
	}
	if f.output == "" {
		return usageError{errors.New("--output is missing: name a new directory")}
	}
	if err := evidence.CheckOutput(f.output); err != nil {
		return err
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softMemoryLimit)
	}
	options := evidence.Options{Progress: progress(os.Stderr)}
	if f.resume {
		options.Checkpoints = filepath.Clean(f.output) + ".partial"
	}
	made, err := evidence.Make(ctx, store, request, options)
	if err != nil {
		return err
	}
	if err := made.Write(f.output, f.formats, time.Now()); err != nil {
		return err
	}
	if f.resume && len(made.Failures) == 0 {
		os.RemoveAll(options.Checkpoints)
	}
	return printReport(out, made, f.output)
}

func printReport(out io.Writer, made *evidence.Report, output string) error {
	fmt.Fprintf(out, "%s: %s\n", made.Verdict, terminal.Line(made.Summary))
	for _, reason := range made.Reasons {
		fmt.Fprintln(out, terminal.Line(reason))
	}
	if _, err := fmt.Fprintf(out, "Written to %s\n", terminal.Line(output)); err != nil {
		return err
	}
	return map[evidence.Verdict]error{evidence.Fail: reportFailed, evidence.Insufficient: reportInsufficient}[made.Verdict]
}

// chooseObjective checks that the store knows the objective.
func chooseObjective(chosen string, known []string, r evidence.Request) error {
	if len(known) == 0 {
		return hintedError{fmt.Errorf("the store has no objective from %s to %s", r.From.Format(time.RFC3339), r.To.Format(time.RFC3339)),
			"check the period, --cluster and --node; set --objective of the trackers"}
	}
	for _, name := range known {
		if chosen == "" || name == chosen {
			return nil
		}
	}
	return hintedError{fmt.Errorf("--objective=%s: the store does not know it", chosen), "it has " + strings.Join(known, ", ")}
}

// request checks the flags.
func (f *reportFlags) request(now time.Time) (evidence.Request, error) {
	r := evidence.Request{
		Objective: f.objective, Cluster: f.cluster, Nodes: f.nodes, Expected: f.expected, Target: f.target, Coverage: f.coverage,
		UTC: evidence.NeedsUTC(f.objective), Version: name + " " + version.Version,
	}
	if f.utcGiven {
		r.UTC = f.utc
	}
	if len(f.formats) == 0 {
		f.formats = evidence.Formats
	}
	var err error
	if r.From, r.To, err = period(f.from, f.to, now); err != nil {
		return r, usageError{err}
	}
	f.output = strings.ReplaceAll(f.output, "{from}", r.From.Format(time.DateOnly))
	for _, fraction := range []struct {
		flag  string
		value float64
	}{{"target", f.target}, {"coverage", f.coverage}} {
		if !(fraction.value > 0 && fraction.value <= 1) {
			return r, usageError{fmt.Errorf("--%s=%v: must be above 0 and at most 1, such as 0.999", fraction.flag, fraction.value)}
		}
	}
	if f.siteInfo != "" {
		text, err := os.ReadFile(f.siteInfo)
		if err != nil {
			return r, err
		}
		r.SiteInfo = strings.ToValidUTF8(string(text), "�")
	}
	return r, nil
}

// period is the time to report on: by default, the last full month.
func period(from, to string, now time.Time) (begin, end time.Time, err error) {
	if from == "" && to == "" {
		end = time.Date(now.UTC().Year(), now.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
		return end.AddDate(0, -1, 0), end, nil
	}
	if begin, err = parseTime("from", from); err != nil {
		return begin, end, err
	}
	if end, err = parseTime("to", to); err != nil {
		return begin, end, err
	}
	switch {
	case !begin.Before(end):
		err = fmt.Errorf("--from=%s --to=%s: the end must be after the begin", from, to)
	case end.After(now):
		err = fmt.Errorf("--to=%s: is in the future", to)
	case end.Sub(begin) > 400*24*time.Hour:
		err = fmt.Errorf("--from=%s --to=%s: more than 400 days", from, to)
	}
	return begin, end, err
}

func parseTime(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, fmt.Errorf("--%s is missing: set --from and --to, or neither", flag)
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC().Truncate(time.Second), nil
		}
	}
	return time.Time{}, fmt.Errorf("--%s=%q: write 2026-10-01, or 2026-10-01T08:00:00Z", flag, text)
}

// progress shows on a terminal how far the report is; elsewhere nothing.
func progress(w io.Writer) func(done, total int) {
	if !terminal.IsTerminal(w) {
		return nil
	}
	begin := time.Now()
	return func(done, total int) {
		left := time.Since(begin) / time.Duration(done) * time.Duration(total-done)
		fmt.Fprintf(w, "\r\x1b[Kday %d of %d, %v left", done, total, left.Round(time.Second))
		if done == total {
			fmt.Fprint(w, "\r\x1b[K")
		}
	}
}
