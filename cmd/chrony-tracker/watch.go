package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/chrony-tracker/chrony-tracker/internal/objective"
	"github.com/chrony-tracker/chrony-tracker/internal/segment"
	"github.com/chrony-tracker/chrony-tracker/internal/tracker"
)

// watchFlags configure how the clock is watched.
type watchFlags struct {
	interval    time.Duration
	intervalSet bool // by the flag, not by a variable
	history     time.Duration
	objectives  []string
	shm         string
}

func addWatchFlags(clause *kingpin.CmdClause) *watchFlags {
	f := &watchFlags{}
	clause.Flag("sample.interval", "Time between two samples of the clock, from 100ms to 1h.").
		Default(tracker.DefaultInterval.String()).IsSetByUser(&f.intervalSet).DurationVar(&f.interval)
	clause.Flag("sample.history", "How long samples stay in memory: at least five minutes.").
		Default(tracker.DefaultHistory.String()).DurationVar(&f.history)
	clause.Flag("objective", "A limit for the bound: a profile ("+profileNames()+") or name=limit, such as orders=20ms. Repeatable. In the variable, put each on a line.").
		PlaceHolder("NAME[=LIMIT]").StringsVar(&f.objectives)
	shmFlag(clause).StringVar(&f.shm)
	return f
}

// shmFlag adds the flag that names ClockBound's shared memory.
func shmFlag(clause *kingpin.CmdClause) *kingpin.FlagClause {
	return clause.Flag("clockbound.shm", "Publish the bound for programs on this node in this file, in the format of ClockBound 2: its clients read "+segment.DefaultPath+". Off without this flag.").
		PlaceHolder("PATH")
}

func profileNames() string {
	var names []string
	for _, p := range objective.Profiles {
		names = append(names, p.Name)
	}
	return strings.Join(names, ", ")
}

const (
	shortestInterval = 100 * time.Millisecond
	longestInterval  = time.Hour
	mostSamples      = 100_000 // in the history: 5 MB
)

// config is how the clock is watched.
func (f *watchFlags) config(logger *slog.Logger) (tracker.WatchConfig, error) {
	interval, err := f.chooseInterval(logger)
	if err != nil {
		return tracker.WatchConfig{}, usageError{err}
	}
	objectives, err := parseObjectives(f.objectives)
	if err != nil {
		return tracker.WatchConfig{}, usageError{err}
	}
	switch {
	case interval < shortestInterval || interval > longestInterval:
		err = fmt.Errorf("--sample.interval=%v: must be from %v to %v", interval, shortestInterval, longestInterval)
	case f.history <= 0:
		err = fmt.Errorf("--sample.history=%v: must be above zero", f.history)
	case f.history/interval > mostSamples:
		err = fmt.Errorf("--sample.history=%v: with --sample.interval=%v, the longest history is %v", f.history, interval, mostSamples*interval)
	}
	if err != nil {
		return tracker.WatchConfig{}, usageError{err}
	}
	return tracker.WatchConfig{Interval: interval, History: f.history, Objectives: objectives}, nil
}

// sleepInterval is the variable that sets the interval of Azure's chrony-tracker, in
// whole seconds.
const sleepInterval = "SLEEP_INTERVAL"

// chooseInterval lets the users of Azure's chrony-tracker keep their interval.
func (f *watchFlags) chooseInterval(logger *slog.Logger) (time.Duration, error) {
	text := os.Getenv(sleepInterval)
	if text == "" {
		return f.interval, nil
	}
	if f.intervalSet || os.Getenv("CHRONY_TRACKER_SAMPLE_INTERVAL") != "" {
		logger.Info(sleepInterval + " has no effect: --sample.interval is set")
		return f.interval, nil
	}
	n, err := strconv.Atoi(text)
	if interval := time.Duration(n) * time.Second; err == nil && n > 0 && interval/time.Second == time.Duration(n) && interval <= longestInterval {
		logger.Info(sleepInterval+" sets the time between two samples. You can remove it: the default of "+tracker.DefaultInterval.String()+" costs next to nothing", "interval", interval)
		return interval, nil
	}
	return 0, fmt.Errorf("%s=%q: must be whole seconds, from 1 to %d. Or remove it and set --sample.interval", sleepInterval, text, longestInterval/time.Second)
}

func parseObjectives(texts []string) ([]objective.Objective, error) {
	var objectives []objective.Objective
	seen := make(map[string]bool)
	for _, text := range texts {
		o, err := objective.Parse(text)
		if err == nil && seen[o.Name] {
			err = errors.New("another objective has the same name")
		}
		if err != nil {
			return nil, fmt.Errorf("--objective=%s: %w", text, err)
		}
		seen[o.Name] = true
		objectives = append(objectives, o)
	}
	return objectives, nil
}
