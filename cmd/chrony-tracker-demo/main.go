// Chrony-tracker-demo simulates a fleet, to test dashboards, rules and load. Each
// node has a simulated chronyd, which speaks the real protocol, and a real tracker
// that asks it. The demo neither reads nor sets a real clock.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/chrony-tracker/chrony-tracker/internal/objective"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "chrony-tracker-demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	config := fleetConfig{}
	flags := flag.NewFlagSet("chrony-tracker-demo", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:9124", "address to listen on")
	objectives := flags.String("objectives", "finra-cat cockroachdb", "objectives, as in the tracker's --objective, separated by spaces")
	flags.IntVar(&config.size, "nodes", 5, "number of nodes")
	flags.IntVar(&config.clusters, "clusters", 1, "number of clusters")
	flags.BoolVar(&config.healthy, "healthy", false, "simulate no faults")
	flags.BoolVar(&config.witnesses, "witnesses", true, "check the clocks against UTC servers and the other nodes")
	flags.DurationVar(&config.interval, "interval", tracker.DefaultInterval, "time between two samples of each clock")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if config.size < 1 || config.clusters < 1 || config.interval <= 0 {
		return errors.New("-nodes, -clusters and -interval must be above zero")
	}
	for _, text := range strings.Fields(*objectives) {
		objective, err := objective.Parse(text)
		if err != nil {
			return err
		}
		config.objectives = append(config.objectives, objective)
	}
	return serve(ctx, *listen, config)
}

func serve(ctx context.Context, listen string, config fleetConfig) error {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	fleet, err := startFleet(ctx, config)
	if err != nil {
		return err
	}
	defer fleet.close()
	server := &http.Server{Handler: fleet.routes(), ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	fmt.Printf("%d simulated nodes: open http://%s/\n", len(fleet.nodes), listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
