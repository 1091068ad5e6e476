package witness

import (
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/chrony-tracker/chrony-tracker/clockerror"
	"github.com/chrony-tracker/chrony-tracker/internal/chronytest"
)

var testKeys = []Key{{1, []byte("0123456789abcdef")}, {2, []byte("0123456789abcdef0123456789abcdef")}}

// respond starts a responder for a clock with this bound.
func respond(t testing.TB, config ResponderConfig, serving func() Serving) *Responder {
	t.Helper()
	if config.Address == "" {
		config.Address = "127.0.0.1:0"
	}
	r, err := Listen(config, serving)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run()
	}()
	t.Cleanup(func() {
		r.Close()
		<-done
	})
	return r
}

func within(bound float64) func() Serving {
	return func() Serving { return ServingOf(clockerror.Synchronized, bound) }
}

// TestResponder asks a responder as a peer does.
func TestResponder(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", ":0", "[::1]:0"} {
		r := respond(t, ResponderConfig{Address: address, Node: "node-1", Keys: testKeys}, within(0.25))
		to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), r.Addr().Port())
		if address == "[::1]:0" {
			to = r.Addr()
		}
		for _, key := range []*Key{nil, &testKeys[0], &testKeys[1]} {
			response, err := Query(t.Context(), to, key, 2*time.Second)
			if err == nil {
				err = response.Validate()
			}
			if err != nil {
				t.Fatalf("%s: %v", address, err)
			}
			var m measurement
			if result, err := m.read(response); result != "" {
				t.Fatalf("%s: %s: %v", address, result, err)
			}
			if response.Stratum != 15 || response.ReferenceID != ReferenceID("node-1") || response.RootDelay != 0 || response.RootDispersion != 250*time.Millisecond {
				t.Errorf("%s: %+v", address, response)
			}
			if math.Abs(m.offset) > m.uncertainty || m.uncertainty < 0.25 {
				t.Errorf("%s: the clock is %v ± %v off itself", address, m.offset, m.uncertainty)
			}
		}
		wrong := Key{1, []byte("another key here")}
		if _, err := Query(t.Context(), to, &wrong, 100*time.Millisecond); err == nil {
			t.Errorf("%s: a wrong key is answered", address)
		}
		if n := r.Requests(); n[Answered] != 3 || n[Dropped] != 1 {
			t.Errorf("%s: %v", address, n)
		}
	}
}

// TestResponderUnsynchronized wants the answer of a clock that is not sure of itself to
// have no vote.
func TestResponderUnsynchronized(t *testing.T) {
	for _, test := range []struct {
		state clockerror.State
		bound float64
		want  Result
	}{
		{clockerror.Synchronized, 0.001, ""},
		{clockerror.Holdover, 0.001, ""},
		{clockerror.Contradicted, 0.001, Unsynchronized},
		{clockerror.Unreachable, math.Inf(1), Unsynchronized},
		{clockerror.Synchronized, math.Inf(1), Unsynchronized},
	} {
		r := respond(t, ResponderConfig{}, func() Serving { return ServingOf(test.state, test.bound) })
		response, err := Query(t.Context(), r.Addr(), nil, 2*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := failure(response, nil)
		if test.want != "" && got != Unsynchronized && got != Distant || test.want == "" && got != "" {
			t.Errorf("%v, %v: %q", test.state, test.bound, got)
		}
	}
}

func TestShort(t *testing.T) {
	for _, test := range []struct {
		seconds float64
		want    uint32
	}{{0, 0}, {1e-9, 1}, {1, 1 << 16}, {1 + 1e-9, 1<<16 + 1}, {65535.99999, math.MaxUint32}, {1e9, math.MaxUint32}, {math.Inf(1), math.MaxUint32}, {math.NaN(), math.MaxUint32}} {
		if got := short(test.seconds); got != test.want {
			t.Errorf("%v: %d, want %d", test.seconds, got, test.want)
		}
	}
}

// request returns a client's request.
func request(length int) []byte {
	b := make([]byte, length)
	b[0] = 4<<3 | clientMode
	binary.BigEndian.PutUint64(b[40:], 0x0123456789abcdef)
	return b
}

// TestResponderIsSilent wants no answer to what is no request.
func TestResponderIsSilent(t *testing.T) {
	r := respond(t, ResponderConfig{Keys: testKeys}, within(1))
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(r.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	change := func(f func([]byte)) []byte {
		b := request(headerLength)
		f(b)
		return b
	}
	garbage := [][]byte{
		{}, {4<<3 | 3}, request(headerLength)[:47], request(headerLength + 1), request(52), request(longLength), request(longLength + 1), request(1400),
		change(func(b []byte) { b[0] = 4<<3 | 4 }), // an answer: two trackers must not answer each other forever
		change(func(b []byte) { b[0] = 4<<3 | 6 }), // ntpq
		change(func(b []byte) { b[0] = 2<<3 | 7 }), // monlist
		change(func(b []byte) { b[0] = 1<<3 | 3 }),
		change(func(b []byte) { b[0] = 5<<3 | 3 }),
	}
	for _, b := range garbage {
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Write(request(headerLength)); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	var answer [2000]byte
	n, err := conn.Read(answer[:])
	if err != nil || n != headerLength || binary.BigEndian.Uint64(answer[24:]) != 0x0123456789abcdef {
		t.Fatalf("the first answer has %d bytes: %v", n, err)
	}
	if got := r.Requests(); got[Answered] != 1 || got[Dropped] != uint64(len(garbage)) {
		t.Errorf("%v of %d", got, len(garbage)+1)
	}
}

// TestResponderPrivate wants public addresses to get no answer, unless told otherwise.
func TestResponderPrivate(t *testing.T) {
	for _, test := range []struct {
		from    string
		private bool
	}{
		{"10.1.2.3", true}, {"172.31.0.1", true}, {"192.168.1.1", true}, {"127.0.0.1", true}, {"169.254.1.1", true}, {"100.64.0.1", true},
		{"fd00::1", true}, {"fe80::1", true}, {"::1", true}, {"::ffff:10.1.2.3", true},
		{"192.0.2.1", false}, {"172.32.0.1", false}, {"100.128.0.1", false}, {"2001:db8::1", false}, {"0.0.0.0", false},
	} {
		for _, public := range []bool{false, true} {
			r := &Responder{config: ResponderConfig{Public: public}, serving: within(1), limits: newLimiter(DefaultLimit)}
			var out [longLength + 1]byte
			want := Dropped
			if test.private || public {
				want = Answered
			}
			if got := r.handle(request(headerLength), true, netip.MustParseAddr(test.from), time.Now(), out[:]); got != want {
				t.Errorf("%s, public %v: %s", test.from, public, got)
			}
		}
	}
}

// TestLimits wants each address to have its own rate with a leak, and all a common one.
func TestLimits(t *testing.T) {
	now := time.Now()
	l := newLimiter(1000)
	ask := func(from netip.Addr, times int) (answers int) {
		for range times {
			if l.allow(from, now) {
				answers++
			}
		}
		return answers
	}
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	if n := ask(a, burst); n != burst {
		t.Errorf("%d answers to a burst", n)
	}
	if n := ask(b, burst); n != burst {
		t.Errorf("%d answers to another address", n)
	}
	if n := ask(a, 400); n < 60 || n > 140 {
		t.Errorf("the leak lets %d of 400 through", n)
	}
	now = now.Add(10 * time.Second)
	if n := ask(a, burst); n != burst {
		t.Errorf("%d answers after a pause", n)
	}
	now = now.Add(time.Second)
	if n := ask(a, 1); n != 1 {
		t.Error("no answer after a second")
	}

	// A flood from many addresses.
	now = now.Add(10 * time.Second)
	for i := range uint32(100_000) {
		const second = 20_000 // requests in one
		if i%second == 0 {
			now = now.Add(time.Second)
		}
		n := ask(netip.AddrFrom4([4]byte{10, 1 + byte(i>>16), byte(i >> 8), byte(i)}), 1)
		if want := i%second < 1000; (n == 1) != want {
			t.Fatalf("request %d: %d answers", i, n)
		}
	}
	if len(l.clients) != mostClients || len(l.entries) != mostClients {
		t.Errorf("%d addresses, %d entries", len(l.clients), len(l.entries))
	}
	now = now.Add(time.Second)
	if n := ask(a, 1); n != 1 {
		t.Error("no answer after the flood")
	}
}

var chronydOffset = regexp.MustCompile(`System clock wrong by (-?[0-9.]+) seconds`)

// TestRealClient asks a responder with chronyd.
func TestRealClient(t *testing.T) {
	program := chronytest.Need(t, "chrony", "chronyd")
	r := respond(t, ResponderConfig{Node: "node-1", Keys: testKeys}, within(100e-6))
	file := filepath.Join(t.TempDir(), "keys")
	chronytest.Must(t, os.WriteFile(file, []byte("1 AES128 ASCII:0123456789abcdef\n2 AES256 ASCII:0123456789abcdef0123456789abcdef\n"), 0o600))
	user := strings.TrimSpace(run(t, "id", "-un"))
	for _, options := range []string{"", " key 1", " key 2", " version 3"} {
		t.Run(options, func(t *testing.T) {
			t.Parallel()
			out := run(t, program, "-Q", "-t", "20", "-u", user, "-U", "keyfile "+file, "pidfile "+filepath.Join(t.TempDir(), "pid"), "cmdport 0", "bindcmdaddress /",
				fmt.Sprintf("server 127.0.0.1 port %d iburst%s", r.Addr().Port(), options))
			found := chronydOffset.FindStringSubmatch(out)
			if found == nil {
				t.Fatal(out)
			}
			if offset, err := strconv.ParseFloat(found[1], 64); err != nil || math.Abs(offset) > 0.01 {
				t.Errorf("chronyd finds an offset of %s s", found[1])
			}
		})
	}
}

func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", program, err, out)
	}
	return string(out)
}

// BenchmarkResponder measures the answers per second, without the limits for one address.
// The client runs in the same process, on another core.
func BenchmarkResponder(b *testing.B) {
	for _, test := range []struct {
		name string
		keys []Key
	}{{"plain", nil}, {"AES128", testKeys[:1]}} {
		b.Run(test.name, func(b *testing.B) {
			r, err := Listen(ResponderConfig{Address: "127.0.0.1:0", Keys: test.keys}, within(1))
			if err != nil {
				b.Fatal(err)
			}
			r.limits.rate, r.limits.each, r.limits.burst = 1e12, 1e12, 1e12
			var used atomic.Int64
			done := make(chan struct{})
			go func() {
				defer close(done)
				runtime.LockOSThread()
				r.Run()
				used.Store(threadTime(b))
			}()
			conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(r.Addr()))
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			in := request(headerLength)
			if test.keys != nil {
				mac, err := newCMAC(test.keys[0].key)
				chronytest.Must(b, err)
				in = append(binary.BigEndian.AppendUint32(in, test.keys[0].ID), mac.of(in)...)
			}
			const window = 32 // requests under way
			var answer [100]byte
			for sent, received := 0, 0; received < b.N; received++ {
				for ; sent < b.N && sent < received+window; sent++ {
					if _, err := conn.Write(in); err != nil {
						b.Fatal(err)
					}
				}
				conn.SetReadDeadline(time.Now().Add(10 * time.Second))
				if _, err := conn.Read(answer[:]); err != nil {
					b.Fatal(err)
				}
			}
			r.Close()
			<-done
			b.ReportMetric(float64(b.N)/seconds(used.Load()), "answers/core-s")
		})
	}
}

// threadTime is the CPU time of the calling thread, in nanoseconds.
func threadTime(b *testing.B) int64 {
	var t unix.Timespec
	chronytest.Must(b, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t))
	return t.Nano()
}
