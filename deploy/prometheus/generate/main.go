// Generate converts the rules of deploy/prometheus/rules.yaml to the formats that
// people load: for Prometheus, for the Prometheus Operator, for Azure, and for the
// chart. Without -print it writes the files in this repository.
//
//	go run ./deploy/prometheus/generate
//	go run ./deploy/prometheus/generate -print arm -limit 0.01 >rules.json
package main

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// A form is one format of the rules.
type form struct {
	name string
	file string // relative to the repository's root
	make func(rules string, s settings) (string, error)
}

var forms = []form{
	{"prometheus", "deploy/prometheus/chrony-tracker.rules.yaml", prometheus},
	{"prometheusrule", "deploy/prometheus/prometheusrule.yaml", prometheusRule},
	{"arm", "deploy/azure/rules.json", arm},
	{"chart", "deploy/helm/chrony-tracker/files/rules.yaml", chart},
}

const source = "deploy/prometheus/rules.yaml"

// settings are the values that users of the rules can choose.
type settings struct {
	limit, target float64
	pairLimit     float64 // 0: twice the smallest limit of the cluster
	tolerance     float64 // seconds
	runbooks      string
	faster        float64
	scrape        time.Duration // the longest interval between two scrapes of a tracker
}

// The durations of the rules fit scrape intervals up to usualScrape. Prometheus does
// not look further back for a sample than longestScrape.
const (
	usualScrape   = time.Minute
	longestScrape = 5 * time.Minute
)

func run(args []string) error {
	var s settings
	flags := flag.NewFlagSet("generate", flag.ContinueOnError)
	root := flags.String("C", ".", "the repository's root")
	which := flags.String("print", "", "print one form (prometheus, prometheusrule, arm, chart) instead of writing all files")
	flags.Float64Var(&s.limit, "limit", 0.1, "limit of a clock's bound, in seconds, if the tracker has no objective")
	flags.Float64Var(&s.pairLimit, "pair-limit", 0, "limit for two clocks of a cluster, in seconds; 0 is twice the smallest limit of its objectives")
	flags.Float64Var(&s.tolerance, "tolerance", 0.001, "how far clocks may differ beyond their bounds, in seconds; for clocks that are not traced to UTC")
	flags.Float64Var(&s.target, "target", 0.999, "fraction of time in which clocks must be within their objectives")
	flags.StringVar(&s.runbooks, "runbooks", "https://github.com/chrony-tracker/chrony-tracker/blob/main/docs/runbooks", "URL of the runbooks")
	flags.DurationVar(&s.scrape, "scrape-interval", usualScrape, "longest interval between two scrapes of a tracker, up to 5m; above 1m, most times of the rules grow in proportion, so that lost scrapes do not matter")
	flags.Float64Var(&s.faster, "faster", 1, "divide all times by this, to test the alerts without waiting")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if s.scrape <= 0 || s.scrape > longestScrape {
		return fmt.Errorf("-scrape-interval %v: Prometheus does not look back further than %v for a sample", s.scrape, longestScrape)
	}
	text, err := os.ReadFile(filepath.Join(*root, source))
	if err != nil {
		return err
	}
	for _, f := range forms {
		if *which != "" && *which != f.name {
			continue
		}
		made, err := f.make(string(text), s)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if *which != "" {
			_, err := os.Stdout.WriteString(made)
			return err
		}
		path := filepath.Join(*root, f.file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(made), 0o644); err != nil {
			return err
		}
	}
	if *which != "" && !slices.ContainsFunc(forms, func(f form) bool { return f.name == *which }) {
		return errors.New("unknown form: " + *which)
	}
	return nil
}

const generated = "# Generated from " + source + " by `make rules`. Do not edit.\n"

// body returns the source without the comment at its top.
func body(rules string) string { return rules[strings.Index(rules, "groups:"):] }

// chart does not apply the settings. The chart's values set them.
func chart(rules string, _ settings) (string, error) { return generated + body(rules), nil }

func prometheus(rules string, s settings) (string, error) {
	return generated + s.apply(body(rules)), nil
}

func prometheusRule(rules string, s settings) (string, error) {
	object := generated + `apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: chrony-tracker
  labels:
    app.kubernetes.io/name: chrony-tracker
spec:
`
	for line := range strings.Lines(s.apply(body(rules))) {
		if line != "\n" {
			line = "  " + line
		}
		object += line
	}
	return object, nil
}

// The default limit for a pair of clocks. The chart has the same text.
const (
	twiceSmallest      = "on (cluster) 2 * min by (cluster) (node:chrony_objective_limit_seconds:max)"
	twiceSmallestWords = "twice what the strictest objective allows each"
)

// apply replaces the placeholders in the rules with the settings.
func (s settings) apply(rules string) string {
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	pairLimit, words := number(s.pairLimit), number(s.pairLimit)+" s"
	if s.pairLimit == 0 {
		pairLimit, words = twiceSmallest, twiceSmallestWords
	}
	rules = scaled.ReplaceAllStringFunc(rules, func(found string) string {
		parts := scaled.FindStringSubmatch(found)
		return s.stretch(parts[1], parts[2])
	})
	rules = strings.NewReplacer(
		"${limit}", number(s.limit),
		"${pair_limit}", pairLimit,
		"${pair_limit_words}", words,
		"${tolerance}", number(s.tolerance),
		"${target}", number(s.target),
		"${runbooks}", s.runbooks,
	).Replace(rules)
	if s.faster == 1 {
		return rules
	}
	return times.ReplaceAllStringFunc(rules, func(found string) string {
		parts := times.FindStringSubmatch(found)
		return parts[1] + s.shorten(parts[2])
	})
}

// scaled matches the durations that depend on the scrape interval, such as ${15m}, and
// the same as a number of minutes, such as ${15}.
var scaled = regexp.MustCompile(`\$\{(\d+)([sm]?)\}`)

// stretch returns a duration for the scrape interval.
func (s settings) stretch(amount, unit string) string {
	n, err := strconv.Atoi(amount)
	if err != nil {
		panic(err) // scaled matched it
	}
	factor := max(1, s.scrape.Seconds()/usualScrape.Seconds())
	if unit == "" {
		return strconv.FormatFloat(float64(n)*factor, 'g', 3, 64)
	}
	if unit == "m" {
		n *= 60
	}
	seconds := int(math.Round(float64(n) * factor))
	if seconds%60 == 0 {
		return strconv.Itoa(seconds/60) + "m"
	}
	return strconv.Itoa(seconds) + "s"
}

// times matches the durations in the rules: in for, ranges, steps and offsets.
var times = regexp.MustCompile(`(\[|:|for: |offset )(\d+[smhd])\b`)

func (s settings) shorten(duration string) string {
	d, err := parseDuration(duration)
	if err != nil {
		panic(err) // times matched it
	}
	return strconv.FormatInt(time.Duration(float64(d)/s.faster).Milliseconds(), 10) + "ms"
}

// parseDuration parses a Prometheus duration with a single unit.
func parseDuration(text string) (time.Duration, error) {
	n, err := strconv.Atoi(text[:len(text)-1])
	if err != nil {
		return 0, err
	}
	unit, known := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}[text[len(text)-1]]
	if !known {
		return 0, fmt.Errorf("%q is not a duration", text)
	}
	return time.Duration(n) * unit, nil
}
