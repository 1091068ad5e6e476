// Package storetest is for tests: it answers the queries of the evidence report for a
// fleet that is too large for a real Prometheus in a test.
package storetest

import (
	"bufio"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Store is a stand-in for Prometheus. It computes every value from the time. It knows
// the queries of package evidence, not PromQL.
//
// Node 0 is the first one, and so on.
type Store struct {
	Nodes        int
	Begin        time.Time // midnight UTC of day 0
	Rollout      int       // the day on which all trackers are replaced, one every two seconds; or 0
	BadEvery     int       // one in so many clocks is outside for NoonSeconds at each noon; or 0
	RestartEvery int       // one in so many trackers restarts in place each day at 17:00; or 0
	Troubled     bool      // now, the last clock has no bound, and one more node has no tracker

	names map[string]int
}

const (
	scrape     = 30.0
	daySeconds = 86400.0

	// NoonSeconds is how long a bad clock is outside each day.
	NoonSeconds = 10.0

	// RestartSeconds is how long a restart takes, and ReplaceSeconds how long the
	// replacement of a tracker.
	RestartSeconds = 5.0
	ReplaceSeconds = 10.0

	longest = 400 // days
)

// Serve serves the store until the test ends, and returns its URL.
func (s *Store) Serve(t interface{ Cleanup(func()) }) (url string) {
	s.names = make(map[string]int)
	for i := range s.Nodes {
		s.names[s.Name(i)] = i
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return server.URL
}

func (s *Store) begin() float64 { return float64(s.Begin.Unix()) }

// Name is the name of a node.
func (s *Store) Name(i int) string { return fmt.Sprintf("aks-pool-12345678-vmss%06x", i) }

// IsBad reports whether the clock is outside at noon.
func (s *Store) IsBad(i int) bool { return s.BadEvery > 0 && i%s.BadEvery == 0 }

// Restarts reports whether the tracker restarts each day.
func (s *Store) Restarts(i int) bool { return s.RestartEvery > 0 && i%s.RestartEvery == 1 }

// noon is how many seconds outside a node has had until a time.
func (s *Store) noon(i int, t float64) float64 {
	if !s.IsBad(i) {
		return 0
	}
	days, rest := math.Floor((t-s.begin())/daySeconds), math.Mod(t-s.begin()+1000*daySeconds, daySeconds)
	return days*NoonSeconds + min(max(rest-daySeconds/2, 0), NoonSeconds)
}

// A life is one run of a tracker.
type life struct {
	pod      string
	from, to float64
}

func (s *Store) lives(i int) []life {
	end := s.begin() + longest*daySeconds
	all := []life{{"old", s.begin() - 5*daySeconds, end}}
	if s.Rollout > 0 {
		all[0].to = s.begin() + float64(s.Rollout)*daySeconds + 3*3600 + 2*float64(i)
		all = append(all, life{"new", all[0].to + ReplaceSeconds, end})
	}
	if !s.Restarts(i) {
		return all
	}
	var cut []life
	for _, l := range all {
		for day := range longest {
			if at := s.begin() + float64(day)*daySeconds + 17*3600; at > l.from && at < l.to {
				cut = append(cut, life{l.pod, l.from, at})
				l.from = at + RestartSeconds
			}
		}
		cut = append(cut, l)
	}
	return cut
}

// scraped is the latest scrape of a life at a time: when, how many seconds it had counted,
// and how many of them outside.
func (s *Store) scraped(i int, l life, t float64) (at, up, outside float64, ok bool) {
	phase := float64(i % int(scrape))
	at = math.Floor((min(t, l.to)-phase)/scrape)*scrape + phase
	if at < l.from || at < t-300 || t < l.from || t > l.to+5 {
		return 0, 0, 0, false // Prometheus marks the end of a series
	}
	return at, at - l.from, s.noon(i, at) - s.noon(i, l.from), true
}

var (
	chosenNodes = regexp.MustCompile(`node=~"([^"]*)"`)
	chosenClass = regexp.MustCompile(`class=~"([^"]*)"`)
	windowShape = regexp.MustCompile(`\[(\d+)([sh])\]`)
)

func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.FormValue("query")
	number := func(name string) float64 { v, _ := strconv.ParseFloat(r.FormValue(name), 64); return v }
	times := []float64{number("time")}
	if strings.HasSuffix(r.URL.Path, "query_range") {
		times = nil
		for t := number("start"); t <= number("end"); t += number("step") {
			times = append(times, t)
		}
	}
	out := &answerWriter{w: bufio.NewWriterSize(w, 1<<16), list: strings.HasSuffix(r.URL.Path, "query_range")}
	out.w.WriteString(`{"status":"success","data":{"resultType":"","result":[`)
	s.answer(out, query, times)
	out.w.WriteString(`]}}`)
	out.w.Flush()
}

func (s *Store) answer(out *answerWriter, query string, times []float64) {
	nodes := s.chosen(query)
	window := windowShape.FindStringSubmatch(query)
	has := func(text string) bool { return strings.Contains(query, text) }
	switch {
	case has("chrony_objective_limit_seconds"):
		out.series(`"objective":"finra-cat"`, times, func(float64) (float64, bool) { return 0.05, true })
	case has("chrony_tracker_build_info"):
		out.series(`"version":"1.0","revision":"abc"`, times, func(float64) (float64, bool) { return float64(s.Nodes), true })
	case has("chrony_tracking_info"):
		out.series(`"tracking_name":"PHC0","tracking_refid":"50484330"`, times, func(float64) (float64, bool) { return float64(s.Nodes), true })
	case has("kube_node_info") && has("by (cluster) "):
		out.series(`"cluster":"prod"`, times, func(float64) (float64, bool) { return 1, true })
	case has("kube_node_info"):
		if s.Troubled && (len(nodes) == s.Nodes || has("silent")) {
			out.series(`"cluster":"prod","node":"silent"`, times, func(float64) (float64, bool) { return 1, true })
		}
		s.each(out, nodes, times, func(int, float64) (float64, bool) { return 1, true })
	case has("chrony_clock_error_bound_seconds"):
		s.each(out, nodes, times, func(i int, _ float64) (float64, bool) {
			if s.Troubled && i == s.Nodes-1 {
				return math.Inf(1), true
			}
			return 0.001 * float64(i+1), true
		})
	case has("chrony_clock_error_bound_term_seconds"):
		for _, i := range nodes {
			for term, share := range map[string]float64{"delay": 0.75, "drift": 0.25} {
				if !s.Troubled || i < s.Nodes-1 {
					out.series(`"cluster":"prod","node":"`+s.Name(i)+`","term":"`+term+`"`, times, func(float64) (float64, bool) { return 0.001 * share * float64(i+1), true })
				}
			}
		}
	case has("chrony_clock_state{") && !has("!="):
		for _, i := range nodes {
			state := "synchronized"
			if s.Troubled && i == s.Nodes-1 {
				state = "unreachable"
			}
			out.series(`"cluster":"prod","node":"`+s.Name(i)+`","state":"`+state+`"`, times, func(float64) (float64, bool) { return 1, true })
		}
	case has("chrony_clock_untraced"):
		s.each(out, nodes, times, func(int, float64) (float64, bool) { return 0, true })
	case has("chrony_clock_error_bound_max_seconds"):
		s.each(out, nodes, times, func(i int, t float64) (float64, bool) {
			over := 90.0
			if window != nil {
				over = daySeconds
			}
			if s.noon(i, t) > s.noon(i, t-over) {
				return 0.2, true
			}
			return 0.0001 * float64(i%7+1), true
		})
	case has("chrony_objective") && strings.HasSuffix(query, "]"):
		s.raw(out, nodes, has("class_seconds"), times[0])
	case has("chrony_objective_class_seconds_total"):
		classes := []string{"claimed", "contradicted", "outside", "proven"}
		if c := chosenClass.FindStringSubmatch(query); c != nil {
			classes = strings.Split(c[1], "|")
		}
		s.counters(out, nodes, classes, times, func(class string, _, up, outside float64) float64 { return countOf(class, up, outside) })
	case has("last_over_time(chrony_objective_seconds_total"):
		s.alive(out, nodes, times[0])
	case has("timestamp(chrony_objective_seconds_total"):
		s.counters(out, nodes, []string{""}, times, func(_ string, at, _, _ float64) float64 { return at })
	case has("chrony_objective_seconds_total"):
		s.counters(out, nodes, []string{""}, times, func(_ string, _, up, _ float64) float64 { return up })
	}
}

func countOf(class string, up, outside float64) float64 {
	switch class {
	case "claimed":
		return up - outside
	case "outside":
		return outside
	default:
		return 0
	}
}

func (s *Store) chosen(query string) (nodes []int) {
	if m := chosenNodes.FindStringSubmatch(query); m != nil {
		list := strings.TrimSuffix(strings.TrimPrefix(strings.ReplaceAll(m[1], `\\`, ""), "(?i:"), ")")
		for name := range strings.SplitSeq(list, "|") {
			if i, ok := s.names[name]; ok {
				nodes = append(nodes, i)
			}
		}
		return nodes
	}
	for i := range s.Nodes {
		nodes = append(nodes, i)
	}
	return nodes
}

func (s *Store) each(out *answerWriter, nodes []int, times []float64, value func(int, float64) (float64, bool)) {
	for _, i := range nodes {
		out.series(`"cluster":"prod","node":"`+s.Name(i)+`"`, times, func(t float64) (float64, bool) { return value(i, t) })
	}
}

func (s *Store) labels(i int, pod, class string) string {
	text := `"cluster":"prod","node":"` + s.Name(i) + `","instance":"10.0.0.` + strconv.Itoa(i) + `:9123","pod":"` + pod + strconv.Itoa(i) + `"`
	if class != "" {
		text += `,"class":"` + class + `"`
	}
	return text
}

// counters writes a series for each node, pod and class.
func (s *Store) counters(out *answerWriter, nodes []int, classes []string, times []float64, value func(class string, at, up, outside float64) float64) {
	for _, i := range nodes {
		lives := s.lives(i)
		for _, pod := range []string{"old", "new"} {
			for _, class := range classes {
				out.series(s.labels(i, pod, class), times, func(t float64) (float64, bool) {
					for _, l := range lives {
						if l.pod == pod {
							if at, up, outside, ok := s.scraped(i, l, t); ok {
								return value(class, at, up, outside), true
							}
						}
					}
					return 0, false
				})
			}
		}
	}
}

func (s *Store) alive(out *answerWriter, nodes []int, t float64) {
	for _, i := range nodes {
		var pods []string
		for _, l := range s.lives(i) {
			if l.from < t && l.to > t-daySeconds && !slices.Contains(pods, l.pod) {
				pods = append(pods, l.pod)
				out.series(s.labels(i, l.pod, ""), []float64{t}, func(float64) (float64, bool) { return 1, true })
			}
		}
	}
}

// raw writes each scrape of an hour.
func (s *Store) raw(out *answerWriter, nodes []int, byClass bool, t float64) {
	classes := []string{""}
	if byClass {
		classes = []string{"claimed", "contradicted", "outside", "proven"}
	}
	out.list = true
	for _, i := range nodes {
		for _, l := range s.lives(i) {
			var at []float64
			for x := math.Ceil((t-3600-float64(i%30))/scrape)*scrape + float64(i%30); x <= t; x += scrape {
				if x >= l.from && x <= l.to {
					at = append(at, x)
				}
			}
			for _, class := range classes {
				out.series(s.labels(i, l.pod, class), at, func(x float64) (float64, bool) {
					if class == "" {
						return x - l.from, true
					}
					return countOf(class, x-l.from, s.noon(i, x)-s.noon(i, l.from)), true
				})
			}
		}
	}
}

type answerWriter struct {
	w     *bufio.Writer
	list  bool
	begun bool
	buf   []byte
}

func (a *answerWriter) series(labels string, times []float64, value func(float64) (float64, bool)) {
	a.buf = a.buf[:0]
	n := 0
	for _, t := range times {
		v, ok := value(t)
		if !ok {
			continue
		}
		if n++; n > 1 {
			a.buf = append(a.buf, ',')
		}
		a.buf = append(a.buf, '[')
		a.buf = strconv.AppendFloat(a.buf, t, 'f', -1, 64)
		a.buf = append(a.buf, ',', '"')
		a.buf = strconv.AppendFloat(a.buf, v, 'g', -1, 64)
		a.buf = append(a.buf, '"', ']')
	}
	if n == 0 {
		return
	}
	if a.begun {
		a.w.WriteByte(',')
	}
	a.begun = true
	a.w.WriteString(`{"metric":{` + labels + `},`)
	if a.list {
		a.w.WriteString(`"values":[`)
		a.w.Write(a.buf)
		a.w.WriteString(`]}`)
	} else {
		a.w.WriteString(`"value":`)
		a.w.Write(a.buf)
		a.w.WriteByte('}')
	}
}
