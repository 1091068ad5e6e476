package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/common/version"
	toolkit "github.com/prometheus/exporter-toolkit/web"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"

	"github.com/chrony-tracker/chrony-tracker/internal/clockbound"
	"github.com/chrony-tracker/chrony-tracker/internal/exporter"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
	"github.com/chrony-tracker/chrony-tracker/internal/web"
)

func serveCommand(app *kingpin.Application, shared *sharedFlags) command {
	clause := app.Command("serve", "Serve the metrics and a page (the default).").Default()
	clause.HelpLong(`Takes a sample of the clock each second. Serves /metrics, / (a page), /-/healthy (this process runs) and /-/ready (chronyd answers). Serves /api/v1/status, /api/v1/now, /api/v1/history and /api/v1/events as JSON.

Exit status: 0 after SIGTERM or SIGINT, 1 if it can't serve, 2 for a mistake in the command line.

Examples:

  chrony-tracker
  chrony-tracker serve --web.listen-address=127.0.0.1:9123
  chrony-tracker serve --chrony.address=unix:///run/chrony/chronyd.sock
  chrony-tracker serve --witness.ntp=time1.example.com --witness.ntp=time2.example.com
  chrony-tracker serve --no-collector.serverstats --web.config.file=web.yml`)
	collect := addCollectFlags(clause)
	flags := kingpinflag.AddFlags(clause, ":9123")
	watch := addWatchFlags(clause)
	witnesses := addWitnessFlags(clause)
	return command{clause: clause, run: func(ctx context.Context, _ io.Writer) error {
		return serve(ctx, shared, collect, watch, witnesses, flags)
	}}
}

// sharedFor is how long an answer of chronyd is shared. So chronyd has at most twenty
// exchanges a second, and the watch's, whatever the clients do.
const sharedFor = 50 * time.Millisecond

func serve(ctx context.Context, shared *sharedFlags, collect *collectFlags, watch *watchFlags, witnesses *witnessFlags, flags *toolkit.FlagConfig) error {
	if err := collect.validate(); err != nil {
		return err
	}
	if file := *flags.WebConfigFile; file != "" {
		if err := toolkit.Validate(file); err != nil {
			return hintedError{usageError{fmt.Errorf("--web.config.file=%s: %w", file, err)}, "check the file and the files that it names. This user must be able to read them"}
		}
	}
	logger := promslog.New(shared.log)
	watching, err := watch.config(logger)
	if err != nil {
		return err
	}
	limitMemory(logger)
	if watching.Witness, err = witnesses.config(*flags.WebListenAddresses); err != nil {
		return err
	}
	t, err := shared.newTracker(tracker.Config{Logger: logger, Want: collect.reports(), PHC: *collect.phc, MaxAge: sharedFor})
	if err != nil {
		return err
	}
	defer t.Close()
	logger.Info("starting "+name, "version", version.Info(), "build", version.BuildContext())
	if watch.shm != "" {
		publisher := clockbound.New(clockbound.Config{Path: watch.shm, Interval: watching.Interval, MaxDrift: shared.maxDrift, Logger: logger})
		watching.Publisher = publisher
		defer background(publisher.Run)()
	}
	if err := t.Watch(watching); errors.As(err, new(*net.OpError)) {
		return hintedError{fmt.Errorf("could not listen for requests of peers: %w", err), "if another program has the UDP port, choose one for all nodes with --witness.listen-address=:PORT"}
	} else if err != nil {
		return hintedError{fmt.Errorf("could not read the machine's clocks: %w", err), "does a seccomp profile forbid clock_gettime?"}
	}

	collect.logPurposeless(logger)

	server := newServer(routes(ctx, t, collect, logger), shared.timeout)

	server.ErrorLog = serverLog(logger)

	drained := make(chan struct{})
	undo := context.AfterFunc(ctx, func() {
		defer close(drained)
		logger.Info("stopping")
		// Scrapes in progress are answered, within chronyd's timeout.
		grace, cancel := context.WithTimeout(context.Background(), shared.timeout+time.Second)
		defer cancel()
		server.Shutdown(grace)
	})
	defer undo()
	go t.Snapshot(ctx) // logs which reports chronyd refuses
	if err := toolkit.ListenAndServe(server, flags, logger); !errors.Is(err, http.ErrServerClosed) {
		return listenError(err)
	}
	<-drained
	return nil
}

// background runs a function in the background. Stop ends it, and waits for that.
func background(work func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); work(ctx) }()
	return func() { cancel(); <-done }
}

// newServer returns a server that its clients can't exhaust. chronyd may take timeout to
// answer.
func newServer(handler http.Handler, timeout time.Duration) *http.Server {
	const (
		connections = 256 // the probes, scrapers and gates of a node need some tens
		slowest     = 10 * time.Second
		headers     = 16 << 10 // bytes
	)
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: slowest / 2,
		ReadTimeout:       timeout + slowest, // a shorter one would also end the answer
		WriteTimeout:      timeout + slowest,
		IdleTimeout:       5 * time.Minute, // scrapers come back that often
		MaxHeaderBytes:    headers,
		ConnState:         web.NewConnections(connections).Track,
		Protocols:         new(http.Protocols),
	}
	// With HTTP/2, each connection could have many requests, and buffers for them.
	server.Protocols.SetHTTP1(true)
	return server
}

// limitMemory makes Go collect garbage more often before the memory reaches the cgroup's
// limit. The rest of the limit is for the kernel's buffers and the program's text.
// GOMEMLIMIT overrides it.
func limitMemory(logger *slog.Logger) {
	const share = 0.5
	if limit, err := memlimit.Set(memlimit.WithRatio(share)); err != nil {
		logger.Debug("the cgroup's memory limit is unknown", "error", err)
	} else if limit < math.MaxInt64 {
		logger.Debug("Go keeps its memory below a limit", "bytes", limit)
	}
}

// routes are the paths that are served.
func routes(ctx context.Context, t *tracker.Tracker, collect *collectFlags, logger *slog.Logger) *http.ServeMux {
	config := exporter.Config{Tracker: t, Collect: collect.reports(), MaxSources: collect.maxSources, Logger: logger}
	if collect.dnsLookups {
		config.Names = exporter.NewDNSNames(ctx)
	}
	mux := http.NewServeMux()
	web.Register(mux, t, web.Config{Version: name + " " + version.Version, Metrics: collect.path, Handler: exporter.NewHandler(config)})
	return mux
}

// listenError adds a hint to the error of a server that doesn't start.
func listenError(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return hintedError{err, "another program uses the port: choose another one with --web.listen-address=:PORT"}
	case errors.Is(err, fs.ErrPermission):
		return hintedError{err, "choose a port above 1023 with --web.listen-address=:PORT"}
	case errors.As(err, new(*net.AddrError)), errors.As(err, new(*net.DNSError)):
		err = usageError{err}
		fallthrough
	default:
		return hintedError{err, "check --web.listen-address: write host:port, :port for all addresses, or [::1]:port"}
	}
}
