package evidence

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A query asks for one metric and one day at most: stores limit the samples, the
// series, the time range and the size of an answer.
type query struct {
	text     string // with matchers where it selects series
	at       time.Time
	from, to time.Time     // of a query over a range, instead of at
	step     time.Duration // zero at one time
}

// matchers stands for the label matchers of the report and of a shard.
const matchers = "$matchers"

// fill puts matchers into a query. PromQL takes no comma before the first.
func fill(text, chosen string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, matchers, chosen), "{,", "{")
}

// fetch gets a complete answer. If the query exceeds a limit of the store, it asks for
// half of the time and then for fewer nodes.
func (r *reader) fetch(ctx context.Context, q query) ([]series, error) {
	return r.fetchShard(ctx, q, shard{})
}

func (r *reader) fetchShard(ctx context.Context, q query, s shard) ([]series, error) {
	text := fill(q.text, r.selection+s.matchers())
	var found []series
	var err error
	if q.step > 0 {
		found, err = r.store.ranged(ctx, text, q.from, q.to, q.step)
	} else {
		found, err = r.store.instant(ctx, text, q.at)
	}
	var problem *Problem
	if err == nil || !errors.As(err, &problem) || !problem.limit {
		return found, err
	}
	if q.step > 0 && q.to.Sub(q.from) >= 2*q.step {
		first, second := q, q
		first.to = q.from.Add(q.to.Sub(q.from) / q.step / 2 * q.step)
		second.from = first.to.Add(q.step)
		return r.fetchParts(ctx, []query{first, second}, []shard{s, s})
	}
	shards := s.split()
	if shards == nil {
		return nil, err
	}
	return r.fetchParts(ctx, slices.Repeat([]query{q}, len(shards)), shards)
}

func (r *reader) fetchParts(ctx context.Context, queries []query, shards []shard) ([]series, error) {
	var all []series
	for i, q := range queries {
		found, err := r.fetchShard(ctx, q, shards[i])
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// A shard is a part of all nodes: those whose name ends with one of some letters and
// then with a fixed part. So nobody needs to know the names. The zero shard is all nodes.
type shard struct {
	letters string
	ending  string
	others  bool // instead of letters: what has another letter there, or none
}

const alphabet = "0123456789abcdefghijklmnopqrstuvwxyz"

const longestEnding = 3

func (s shard) matchers() string {
	ending := ""
	for _, letter := range s.ending {
		ending += anyCase(string(letter))
	}
	switch {
	case s == shard{}:
		return ""
	case s.others && ending == "":
		return `,node!~".*[0-9a-zA-Z]"`
	case s.others:
		return fmt.Sprintf(`,node=~".*%s",node!~".*[0-9a-zA-Z]%[1]s"`, ending)
	default:
		return fmt.Sprintf(`,node=~".*%s%s"`, anyCase(s.letters), ending)
	}
}

// anyCase matches one of some letters.
func anyCase(letters string) string {
	return "[" + letters + strings.ToUpper(strings.TrimLeft(letters, "0123456789")) + "]"
}

// split returns smaller shards that are the same nodes together, or nil if it is as
// small as can be.
func (s shard) split() []shard {
	switch n := len(s.letters); {
	case s.others || len(s.ending) == longestEnding:
		return nil
	case n > 1:
		return []shard{{letters: s.letters[:n/2], ending: s.ending}, {letters: s.letters[n/2:], ending: s.ending}}
	default: // all nodes, or those with one ending
		ending, n := s.letters+s.ending, len(alphabet)
		return []shard{{letters: alphabet[:n/2], ending: ending}, {letters: alphabet[n/2:], ending: ending}, {others: true, ending: ending}}
	}
}

// selection is the label matchers that a report's filters mean. Each begins with a
// comma.
func selection(cluster string, nodes []string) string {
	text := ""
	if cluster != "" {
		text += ",cluster=~" + strconv.Quote("(?i:"+regexp.QuoteMeta(cluster)+")")
	}
	if len(nodes) > 0 {
		quoted := make([]string, len(nodes))
		for i, n := range nodes {
			quoted[i] = regexp.QuoteMeta(n)
		}
		text += ",node=~" + strconv.Quote("(?i:"+strings.Join(quoted, "|")+")")
	}
	return text
}

// refMatchers selects nodes as the store names them. Long lists make several matchers.
func refMatchers(refs []nodeRef) (texts []string) {
	const most = 250 // so that the query stays short
	for _, label := range []string{"node", "instance"} {
		var quoted []string
		for _, ref := range refs {
			if ref.label == label {
				quoted = append(quoted, regexp.QuoteMeta(ref.value))
			}
		}
		slices.Sort(quoted)
		for chunk := range slices.Chunk(slices.Compact(quoted), most) {
			texts = append(texts, ","+label+"=~"+strconv.Quote(strings.Join(chunk, "|")))
		}
	}
	return texts
}
