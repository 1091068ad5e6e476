// Bench compares the cost of the tracker with that of its peers. They read the same
// private chronyd in turns. It measures an exchange with chronyd and a scrape, and
// prints tables in Markdown. docs/background/performance.md explains them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

func main() {
	run := bench
	if len(os.Args) > 1 && os.Args[1] == "constants" {
		run = serveConstants
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench() error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	var p programs
	flag.StringVar(&p.tracker, "tracker", "../bin/chrony-tracker", "path of our `program`")
	flag.StringVar(&p.exporter, "exporter", "", "path of chrony_exporter's `program`")
	list := flag.String("sources", "4,20,50", "`numbers` of sources of chronyd, separated by commas")
	rounds := flag.Int("rounds", 20, "number of rounds in which the peers take turns")
	times := flag.Int("times", 1000, "number of exchanges of each peer in each setting, and five times the number of scrapes")
	flag.Parse()
	var counts []int
	for count := range strings.SplitSeq(*list, ",") {
		n, err := strconv.Atoi(count)
		if err != nil {
			return err
		}
		counts = append(counts, n)
	}
	slices.Sort(counts)
	if *rounds < 1 || *times < *rounds {
		return errors.New("-rounds must be at least 1 and at most -times")
	}
	if err := p.describe(); err != nil {
		return err
	}

	clocks, stop, err := startClocks(counts)
	defer stop()
	if err != nil {
		return err
	}
	all, err := settings(ctx, clocks)
	if err != nil {
		return err
	}
	var results []result
	for _, s := range all {
		fmt.Fprintf(os.Stderr, "%s, %d sources, %s\n", s.access, s.sources, s.reports)
		r := result{setting: s}
		if r.exchanges, err = measureExchanges(ctx, s, *rounds, *times); err != nil {
			return err
		}
		if r.scrapes, err = p.measureScrapes(ctx, s, *rounds, *times); err != nil {
			return err
		}
		results = append(results, r)
	}
	printResults(os.Stdout, results)
	return nil
}

// describe prints the versions of the programs and the machine.
func (p programs) describe() error {
	chronyd, err := chronytest.Program("chrony", "chronyd")
	if err != nil {
		return err
	}
	for _, program := range []string{p.tracker, p.exporter, chronyd} {
		if program == "" {
			fmt.Println("- chrony_exporter: skipped, because CHRONY_EXPORTER is not set")
			continue
		}
		out, err := exec.Command(program, "--version").Output()
		if err != nil {
			return err
		}
		version := string(out)
		for _, detail := range []string{"\n", " (branch", " (+"} {
			version, _, _ = strings.Cut(version, detail)
		}
		fmt.Println("-", version)
	}
	fmt.Printf("- %s, %s/%s, %d processors\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	return nil
}
