package evidence

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// An answer is what the HTTP API of Prometheus returns.
type answer struct {
	Status   string
	Error    string
	Warnings []string
	Data     struct {
		ResultType string
		Result     []series
	}
}

// A series is a part of the result of a query: an instant query has one sample for
// each, others have several.
type series struct {
	labels  labels
	samples []sample
}

// A sample is a value at a time, in seconds since 1970.
type sample struct{ at, value float64 }

// labels are those that the queries here ask for. A label that is missing is empty.
type labels struct {
	// ref is the label that selects this node, and its value as the store has it.
	ref nodeRef

	Cluster    string `json:"cluster"`
	Node       string `json:"node"`
	Instance   string `json:"instance"`
	Pod        string `json:"pod"`
	Objective  string `json:"objective"`
	Class      string `json:"class"`
	State      string `json:"state"`
	Term       string `json:"term"`
	Event      string `json:"event"`
	Kind       string `json:"kind"`
	Verdict    string `json:"verdict"`
	Version    string `json:"version"`
	Revision   string `json:"revision"`
	SourceName string `json:"tracking_name"`
	SourceID   string `json:"tracking_refid"`
	Address    string `json:"tracking_address"`
}

// A nodeRef selects the series of a node.
type nodeRef struct{ label, value string }

// key identifies a node in all clusters.
func (l labels) key() string { return l.Cluster + "/" + l.Node }

// splitKey returns the cluster and the node.
func splitKey(key string) (cluster, node string) {
	i := strings.LastIndexByte(key, '/')
	return key[:i], key[i+1:]
}

// id identifies what is scraped as a tracker.
func (l labels) id() string { return l.Instance + " " + l.Pod }

// UnmarshalJSON reads a series of a vector, with "value", or of a matrix, with "values".
func (s *series) UnmarshalJSON(text []byte) error {
	var raw struct {
		Metric labels
		Value  json.RawMessage
		Values json.RawMessage
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	s.labels = raw.Metric
	// Stores may change the case of a label's value, as Azure does. The names of nodes
	// and clusters are compared without it.
	s.labels.ref = nodeRef{"node", s.labels.Node}
	if s.labels.Node == "" {
		s.labels.ref = nodeRef{"instance", s.labels.Instance}
	}
	s.labels.Node, s.labels.Cluster = strings.ToLower(s.labels.ref.value), strings.ToLower(s.labels.Cluster)
	list := raw.Values
	if raw.Value != nil {
		list = raw.Value
		s.samples = make([]sample, 0, 1)
	} else {
		s.samples = make([]sample, 0, bytes.Count(list, []byte("[")))
	}
	return s.addSamples(list)
}

// addSamples reads [time,"value"], or a list of these. It is much faster than
// encoding/json.
func (s *series) addSamples(text []byte) error {
	for {
		open := bytes.IndexByte(text, '[')
		if open < 0 {
			return nil
		}
		text = bytes.TrimSpace(text[open+1:])
		if len(text) == 0 || text[0] == '[' || text[0] == ']' {
			continue // the list itself
		}
		pair, rest, _ := bytes.Cut(text, []byte("]"))
		at, value, _ := bytes.Cut(pair, []byte(","))
		t, err := strconv.ParseFloat(string(bytes.TrimSpace(at)), 64)
		if err != nil {
			return fmt.Errorf("a sample without a time: %w", err)
		}
		v, err := strconv.ParseFloat(string(bytes.Trim(value, "\" \n\t")), 64)
		if err != nil {
			return fmt.Errorf("a sample without a value: %w", err)
		}
		if !math.IsNaN(v) { // says nothing
			s.samples = append(s.samples, sample{t, v})
		}
		text = rest
	}
}
