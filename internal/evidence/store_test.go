package evidence

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	good  = `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"node":"N-1","cluster":"C"},"value":[1,"2"]}]}}`
	limit = `{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory in query execution"}`
)

// asked serves answers, one after the other, and returns what the store made of them.
func asked(t *testing.T, config StoreConfig, answers ...func(http.ResponseWriter, *http.Request)) (found []series, pauses []time.Duration, err error) {
	t.Helper()
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answers[min(n, len(answers)-1)](w, r)
		n++
	}))
	defer server.Close()
	address, _ := url.Parse(server.URL)
	if config.URL != nil {
		address.User = config.URL.User
	}
	config.URL = address
	if config.Timeout == 0 {
		config.Timeout = time.Minute
	}
	s, err := NewStore(config)
	if err != nil {
		t.Fatal(err)
	}
	s.pause = func(_ context.Context, d time.Duration) error { pauses = append(pauses, d); return nil }
	found, err = s.instant(t.Context(), "up", time.Unix(1, 0))
	return found, pauses, err
}

func answers(status int, body string, headers ...string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func breaksOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	fmt.Fprint(w, good[:40])
}

// TestBadAnswers wants each failure of a store to be an error with a hint, and those that
// may pass to be tried again.
func TestBadAnswers(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer func(http.ResponseWriter, *http.Request)
		tries  int
		error  string
		hint   string
	}{
		{"401", answers(401, "who are you"), 1, "401", "--http.config.file"},
		{"403", answers(403, "<html>no</html>"), 1, "403", "Monitoring Data Reader"},
		{"404", answers(404, "no page"), 1, "404", "--prometheus.url"},
		{"a redirect", answers(302, "", "Location", "https://elsewhere.example/login"), 1, "302", "--prometheus.url"},
		{"a bad query", answers(400, `{"status":"error","errorType":"bad_data","error":"parse error"}`), 1, "parse error", ""},
		{"429", answers(429, "slow down"), attempts, "429", ""},
		{"500", answers(500, `{"status":"error","error":"oops"}`), attempts, "oops", ""},
		{"503", answers(503, ""), attempts, "503", ""},
		{"a login page", answers(200, "<!DOCTYPE html><title>Log in</title>"), 1, "not the JSON", "login page"},
		{"JSON that is cut short", answers(200, good[:60]), attempts, "not the JSON", ""},
		{"an answer that breaks off", breaksOff, attempts, "broke off", ""},
		{"other JSON", answers(200, `{"hello":"world"}`), attempts, "not the JSON", ""},
		{"warnings", answers(200, strings.Replace(good, `"data"`, `"warnings":["one store is down"],"data"`, 1)), attempts, "one store is down", ""},
		{"too large", answers(422, limit), 1, "too many samples", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, pauses, err := asked(t, StoreConfig{}, test.answer)
			if err == nil || !strings.Contains(err.Error(), test.error) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %v, want %q", err, test.error)
			}
			if len(pauses) != test.tries-1 {
				t.Errorf("%d tries, want %d", len(pauses)+1, test.tries)
			}
			var hint interface{ Hint() string }
			if test.hint != "" && (!errors.As(err, &hint) || !strings.Contains(hint.Hint(), test.hint)) {
				t.Errorf("no hint at %s", test.hint)
			}
		})
	}
}

// TestTriesAgain wants it to wait longer each time, or as long as the store says.
func TestTriesAgain(t *testing.T) {
	found, pauses, err := asked(t, StoreConfig{}, answers(503, ""), answers(500, ""), answers(429, "", "Retry-After", "7"), answers(200, good))
	if err != nil || len(found) != 1 || found[0].samples[0] != (sample{1, 2}) {
		t.Fatalf("%v, %v", found, err)
	}
	if len(pauses) != 3 || pauses[0] < time.Second || pauses[1] < 2*time.Second || pauses[2] < 7*time.Second || pauses[2] > 8*time.Second {
		t.Errorf("pauses %v", pauses)
	}
	if key := found[0].labels.key(); key != "c/n-1" {
		t.Errorf("the node is %s: names must not depend on case", key)
	}
}

// TestGET wants a store that takes no POST to be asked in the other way.
func TestGET(t *testing.T) {
	found, _, err := asked(t, StoreConfig{}, answers(405, ""), func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Query().Get("query") != "up" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		fmt.Fprint(w, good)
	})
	if err != nil || len(found) != 1 {
		t.Errorf("%v, %v", found, err)
	}
}

// TestUnreachable wants the error for a store that is not there to have no parameters.
func TestUnreachable(t *testing.T) {
	s := newTestStore(t, "http://me:secret@127.0.0.1:1/?token=secret")
	_, err := s.quick().instant(t.Context(), "up", time.Unix(1, 0))
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Error(err)
	}
}

// TestSecrets wants passwords and tokens to reach the store, and nobody else.
func TestSecrets(t *testing.T) {
	const secret = "s3cr3t"
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("token", secret)
	for name, config := range map[string]string{
		"a password": "basic_auth: {username: me, password: " + secret + "}",
		"a token":    "authorization: {credentials_file: " + token + "}",
	} {
		var got string
		_, _, err := asked(t, StoreConfig{HTTPConfigFile: write("config", config)}, func(w http.ResponseWriter, r *http.Request) {
			got = r.Header.Get("Authorization")
			if _, password, ok := r.BasicAuth(); ok {
				got = password
			}
			w.WriteHeader(http.StatusForbidden)
		})
		if !strings.Contains(got, secret) {
			t.Errorf("%s: the store got %q", name, got)
		}
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewStore(StoreConfig{URL: &url.URL{Scheme: "http", Host: "x"}, HTTPConfigFile: write("bad", "basic_auth: ["+secret+"]")}); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("a bad file: %v", err)
	}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { t.Errorf("somebody else got %v", r.Header) }))
	defer elsewhere.Close()
	asked(t, StoreConfig{HTTPConfigFile: write("config", "authorization: {credentials: "+secret+"}")}, answers(307, "", "Location", elsewhere.URL))
}

// TestWorkloadIdentity wants the pod's token to be traded for one of Azure, once.
func TestWorkloadIdentity(t *testing.T) {
	grants := 0
	entra := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/tenant/oauth2/v2.0/token" || r.FormValue("client_assertion") != "federated" || r.FormValue("client_id") != "client" || r.FormValue("scope") != azureScope {
			t.Errorf("%s %v", r.URL, r.Form)
		}
		grants++
		fmt.Fprint(w, `{"access_token":"granted","expires_in":3599}`)
	}))
	defer entra.Close()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("federated\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"AZURE_CLIENT_ID": "client", "AZURE_TENANT_ID": "tenant", "AZURE_FEDERATED_TOKEN_FILE": file, "AZURE_AUTHORITY_HOST": entra.URL} {
		t.Setenv(name, value)
	}
	_, _, err := asked(t, StoreConfig{WorkloadIdentity: true}, answers(503, ""), func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer granted" {
			t.Errorf("the store got %q", got)
		}
		fmt.Fprint(w, good)
	})
	if err != nil || grants != 1 {
		t.Errorf("%d tokens, %v", grants, err)
	}
	t.Setenv("AZURE_CLIENT_ID", "")
	if _, err := NewStore(StoreConfig{URL: &url.URL{Scheme: "https", Host: "x"}, WorkloadIdentity: true}); err == nil || !strings.Contains(err.Error(), "AZURE_CLIENT_ID") {
		t.Errorf("without an identity: %v", err)
	}
}

// TestShards wants the parts of a split to be all nodes, each once.
func TestShards(t *testing.T) {
	names := []string{"", "a", "A", "z9", "node-1", "node-11", "aks-pool-vmss00000Z", "x.", "-", "01", "001"}
	var check func(shards []shard, depth int)
	check = func(shards []shard, depth int) {
		for _, name := range names {
			n := 0
			for _, s := range shards {
				if matches(s.matchers(), map[string]string{"node": name}) {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%q is in %d shards at depth %d", name, n, depth)
			}
		}
		if depth == 9 {
			return
		}
		var smaller []shard
		for _, s := range shards {
			if parts := s.split(); parts != nil {
				smaller = append(smaller, parts...)
			} else {
				smaller = append(smaller, s)
			}
		}
		check(smaller, depth+1)
	}
	check([]shard{{}}, 0)
}

// TestLimits wants a store that refuses large queries to give the same report.
func TestLimits(t *testing.T) {
	want := makeReport(t, fleet(), request(3))
	f := fleet()
	refused := 0
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		var from, to float64
		fmt.Sscan(r.FormValue("start"), &from)
		fmt.Sscan(r.FormValue("end"), &to)
		all := !strings.Contains(r.FormValue("query"), `.*[`) && !strings.Contains(r.FormValue("query"), `node=~"=`) && !strings.Contains(r.FormValue("query"), `node=~"late`)
		if to-from > 7*3600 || to == 0 && all {
			refused++
			answers(422, limit)(w, r)
			return true
		}
		return false
	}
	got := makeReport(t, f, request(3))
	got.Store = want.Store
	if refused == 0 || len(got.Failures) > 0 {
		t.Errorf("%d refused, failures %v", refused, got.Failures)
	}
	one, _ := want.files([]string{"json", "csv"})
	two, _ := got.files([]string{"json", "csv"})
	for i := range one {
		if string(one[i].data) != string(two[i].data) {
			t.Errorf("%s differs", one[i].name)
		}
	}
}

// TestGaps wants a query that fails for good to make the report insufficient, and a
// later run to ask only for what is missing.
func TestGaps(t *testing.T) {
	f := fleet()
	whole := span{at(-1, 0), at(9, 0)}
	f.series = nil
	scraper{interval: 30, phase: 11}.record(f, simNode{name: "calm", cluster: "prod", exists: []span{whole}, lives: lives(whole)}, at(0, 0), at(6, 0))
	broken := true
	asks := make(map[string]int) // by time
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		asks[r.FormValue("time")]++
		if broken && r.FormValue("time") == unixText(fromUnix(at(3, 0))) && strings.Contains(r.FormValue("query"), "bound_max") {
			answers(400, "no")(w, r)
			return true
		}
		return false
	}
	store := f.start(t)
	options := Options{Checkpoints: filepath.Join(t.TempDir(), "partial")}
	report, err := Make(t.Context(), store, request(3), options)
	if err != nil || report.Verdict != Insufficient || len(report.Failures) != 1 || report.Failures[0].Day != "2025-10-02" {
		t.Fatalf("%+v, %v", report, err)
	}
	broken = false
	clear(asks)
	report, err = Make(t.Context(), store, request(3), options)
	if err != nil || report.Verdict != Pass {
		t.Errorf("%s %q, %v", report.Verdict, report.Reasons, err)
	}
	if asks[unixText(fromUnix(at(2, 0)))] > 1 || asks[unixText(fromUnix(at(4, 0)))] > 0 || asks[unixText(fromUnix(at(3, 0)))] == 0 {
		t.Errorf("asked at %v", asks)
	}
	whole3 := makeReport(t, f, request(3))
	whole3.Store = report.Store
	one, _ := report.files(Formats)
	two, _ := whole3.files(Formats)
	for i := range one {
		if string(one[i].data) != string(two[i].data) {
			t.Errorf("%s differs after a resumed run", one[i].name)
		}
	}
	other := request(3)
	other.Cluster = "prod"
	if _, err := Make(t.Context(), store, other, options); err == nil {
		t.Error("continues another report")
	}
}
