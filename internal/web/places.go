package web

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of the waiting for a place.
const (
	longestWait = 5 * time.Second // scrapers wait for ten
	// longestStall is how long a client may leave its answer unread while another waits. It is
	// long enough for a program that gets no CPU time for a moment. If many wait, the time is
	// shorter, so that all get their turn before longestWait.
	longestStall  = time.Second
	shortestStall = 50 * time.Millisecond
)

// places limit how many answers are made at the same time: each needs memory for its
// text and a compressor. Who finds no place waits. Who waits too long gets a 503.
type places struct {
	free    chan struct{}
	waiting atomic.Int64
	mu      sync.Mutex
	busy    map[*answer]struct{}
}

func newPlaces(n int) *places {
	return &places{free: make(chan struct{}, n), busy: make(map[*answer]struct{})}
}

// limit serves requests that have a place.
func (p *places) limit(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := &answer{ResponseWriter: w}
		if !p.take(a, r) {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many requests at the same time: try again", http.StatusServiceUnavailable)
			return
		}
		defer p.leave(a)
		h.ServeHTTP(a, r)
	})
}

// take waits for a place. It makes those leave theirs who don't read their answers.
func (p *places) take(a *answer, r *http.Request) bool {
	p.waiting.Add(1)
	defer p.waiting.Add(-1)
	begin := time.Now()
	look := time.NewTicker(longestStall / 4)
	defer look.Stop()
	for {
		select {
		case p.free <- struct{}{}:
			p.mu.Lock()
			defer p.mu.Unlock()
			p.busy[a] = struct{}{}
			return true
		case <-r.Context().Done():
			return false
		case <-look.C:
			if time.Since(begin) > longestWait {
				return false
			}
			p.cutStalled()
		}
	}
}

// mostStall returns how long an answer may be left unread now. Even if all others are left
// unread too, half of longestWait is then enough for a turn.
func (p *places) mostStall() time.Duration {
	turn := longestWait / 2 * time.Duration(cap(p.free)) / time.Duration(max(1, p.waiting.Load()))
	return min(max(turn, shortestStall), longestStall)
}

func (p *places) leave(a *answer) {
	p.mu.Lock()
	delete(p.busy, a)
	p.mu.Unlock()
	<-p.free
}

// cutStalled ends the answers that have not moved for too long.
func (p *places) cutStalled() {
	most := p.mostStall()
	p.mu.Lock()
	defer p.mu.Unlock()
	for a := range p.busy {
		if a.stalled() > most {
			http.NewResponseController(a.ResponseWriter).SetWriteDeadline(time.Unix(1, 0))
		}
	}
}

// An answer knows for how long its client has not read it.
type answer struct {
	http.ResponseWriter
	writing atomic.Pointer[time.Time] // since when; nil if it is not writing
}

func (a *answer) Write(b []byte) (int, error) {
	now := time.Now()
	a.writing.Store(&now)
	defer a.writing.Store(nil)
	return a.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) stalled() time.Duration {
	if since := a.writing.Load(); since != nil {
		return time.Since(*since)
	}
	return 0
}
