package android

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeServer is a small server written from the document, that records what it
// gets and does what a test tells it.
type fakeServer struct {
	t   testing.TB
	tls *httptest.Server
	url string

	mu      sync.Mutex
	answers map[string][]func(http.ResponseWriter) // by step: what to say instead, in order
	nonces  map[string]bool                        // true: used
	devices map[string]*agent                      // by device id
	byKey   map[string]*agent
	tokens  map[string]string // token -> public key that used it; empty: none yet
	enrolls []map[string]any
	checks  []map[string]any
	asked   map[string]int
}

type agent struct {
	id      string
	key     *ecdsa.PublicKey
	counter int64
	queue   []map[string]any
	results []map[string]any
	ended   string // action of an enrollment that has ended
	woken   chan struct{}
}

func newServer(t testing.TB) *fakeServer {
	s := &fakeServer{t: t, answers: map[string][]func(http.ResponseWriter){}, nonces: map[string]bool{}, devices: map[string]*agent{},
		byKey: map[string]*agent{}, tokens: map[string]string{"token": ""}, asked: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /android/v1/nonce", s.step("nonce", s.nonce))
	mux.HandleFunc("POST /android/v1/enroll", s.step("enroll", s.enroll))
	mux.HandleFunc("PUT /agents/checkin", s.step("checkin", s.checkin))
	mux.HandleFunc("GET /agents/wait", s.step("wait", s.wait))
	mux.HandleFunc("GET /app.apk", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "an app") })
	mux.HandleFunc("/elsewhere", func(http.ResponseWriter, *http.Request) { t.Error("the phone went where it was sent") })
	s.tls = httptest.NewTLSServer(mux)
	s.url = s.tls.URL
	t.Cleanup(s.tls.Close)
	return s
}

// phone makes a phone that trusts the server.
func (s *fakeServer) phone(change func(*Config)) *Phone {
	roots := x509.NewCertPool()
	roots.AddCert(s.tls.Certificate())
	c := Config{Server: s.url + "/", Serial: "R58N12ABCDE", IMEI: "490154203237518", Roots: roots}
	if change != nil {
		change(&c)
	}
	p := New(c)
	s.t.Cleanup(p.Close)
	return p
}

func (s *fakeServer) enrolled(change func(*Config)) (*Phone, *agent) {
	s.t.Helper()
	p := s.phone(change)
	if err := p.Enroll(s.t.Context(), "token"); err != nil {
		s.t.Fatal(err)
	}
	return p, s.devices[p.DeviceID()]
}

// say makes the next request of a step answered with this.
func (s *fakeServer) say(step string, status int, body string, header ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[step] = append(s.answers[step], func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
}

func (s *fakeServer) step(name string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked[name]++
		var say func(http.ResponseWriter)
		if list := s.answers[name]; len(list) > 0 {
			say, s.answers[name] = list[0], list[1:]
		}
		s.mu.Unlock()
		if say != nil {
			say(w)
			return
		}
		h(w, r)
	}
}

func reply(w http.ResponseWriter, status int, fields map[string]any) {
	fields["v"] = 1
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(fields)
}

func refuse(w http.ResponseWriter, status int, action, code string) {
	reply(w, status, map[string]any{"action": action, "code": code, "message": "Because."})
}

func (s *fakeServer) nonce(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	nonce := strings.Repeat("n", 40) + fmt.Sprintf("%04d", len(s.nonces))
	s.nonces[nonce] = false
	reply(w, 200, map[string]any{"action": "none", "nonce": nonce, "expires_at": time.Now().Add(5 * time.Minute).UTC().Format(time.RFC3339)})
}

// signed checks a signature as the document says it is made.
func signed(r *http.Request, key *ecdsa.PublicKey, who, counter string, body []byte) bool {
	sig, err := base64.StdEncoding.DecodeString(r.Header.Get("Rollcall-Signature"))
	content := sha256.Sum256(body)
	digest := sha256.Sum256([]byte("rollcall-agent-v1\n" + r.Method + "\n" + r.URL.Path + "\n" + who + "\n" + counter + "\n" + hex.EncodeToString(content[:])))
	return err == nil && ecdsa.VerifyASN1(key, digest[:], sig)
}

func (s *fakeServer) enroll(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	raw, _ := io.ReadAll(r.Body)
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil || r.Header.Get("Content-Type") != "application/json" {
		s.t.Errorf("enroll: %v, content type %q", err, r.Header.Get("Content-Type"))
	}
	s.enrolls = append(s.enrolls, m)
	public, _ := m["public_key"].(string)
	der, _ := base64.StdEncoding.DecodeString(public)
	parsed, err := x509.ParsePKIXPublicKey(der)
	key, ok := parsed.(*ecdsa.PublicKey)
	if err != nil || !ok {
		s.t.Errorf("public key: %v", err)
		refuse(w, 400, "retry", "signature_invalid")
		return
	}
	nonce, _ := m["nonce"].(string)
	used, known := s.nonces[nonce]
	token, _ := m["token"].(string)
	owner, exists := s.tokens[token]
	switch {
	case !signed(r, key, nonce, "0", raw):
		refuse(w, 400, "retry", "signature_invalid")
		return
	case !known:
		refuse(w, 400, "retry", "nonce_invalid")
		return
	case used:
		refuse(w, 409, "retry", "nonce_used")
		return
	}
	s.nonces[nonce] = true
	switch {
	case !exists:
		refuse(w, 410, "none", "token_unknown")
		return
	case owner != "" && owner != public:
		refuse(w, 410, "none", "token_used")
		return
	}
	status, a := 200, s.byKey[public]
	if a == nil {
		status = 201
		a = &agent{id: fmt.Sprintf("device-%d", len(s.devices)), key: key, woken: make(chan struct{}, 1)}
		s.devices[a.id], s.byKey[public] = a, a
	}
	s.tokens[token] = public
	reply(w, status, map[string]any{"action": "none", "device_id": a.id, "checkin_url": s.url + "/agents/checkin", "wait_url": s.url + "/agents/wait",
		"poll_seconds": 900, "organization": "ACME", "of_tomorrow": []int{1}})
}

// who authenticates a signed request; nil means that it has been answered.
func (s *fakeServer) who(w http.ResponseWriter, r *http.Request, body []byte) *agent {
	a := s.devices[r.Header.Get("Rollcall-Device")]
	counter, err := strconv.ParseInt(r.Header.Get("Rollcall-Counter"), 10, 64)
	switch {
	case a == nil || err != nil || !signed(r, a.key, a.id, r.Header.Get("Rollcall-Counter"), body):
		refuse(w, 400, "retry", "signature_invalid")
		return nil
	case a.ended != "":
		refuse(w, 410, a.ended, "enrollment_ended")
		return nil
	case counter <= a.counter:
		reply(w, 409, map[string]any{"action": "retry", "code": "counter_used", "message": "Because.", "counter": a.counter})
		return nil
	}
	a.counter = counter
	return a
}

func (s *fakeServer) checkin(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	raw, _ := io.ReadAll(r.Body)
	a := s.who(w, r, raw)
	if a == nil {
		return
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil || r.Header.Get("Content-Type") != "application/json" {
		s.t.Errorf("checkin: %v, content type %q", err, r.Header.Get("Content-Type"))
	}
	s.checks = append(s.checks, m)
	answer := map[string]any{"action": "none", "poll_seconds": 600}
	var later []map[string]any
	for _, v := range m["results"].([]any) {
		result := v.(map[string]any)
		a.results = append(a.results, result)
		if len(a.queue) > 0 && a.queue[0]["id"] == result["command_id"] {
			if result["status"] == "not_now" {
				later = append(later, a.queue[0])
			} else if a.queue[0]["type"] == "unenroll" {
				answer["action"], a.ended = "unenroll", "unenroll"
			}
			a.queue = a.queue[1:]
		}
	}
	if len(a.queue) > 0 && a.ended == "" {
		answer["command"] = a.queue[0]
	}
	a.queue = append(a.queue, later...)
	reply(w, 200, answer)
}

func (s *fakeServer) wait(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	a := s.who(w, r, nil)
	s.mu.Unlock()
	if a == nil {
		return
	}
	seconds, err := strconv.Atoi(r.URL.Query().Get("timeout"))
	if err != nil || seconds < 1 || seconds > 55 {
		s.t.Errorf("timeout %q", r.URL.RawQuery)
	}
	select {
	case <-a.woken:
		reply(w, 200, map[string]any{"action": "none", "wake": true})
	case <-time.After(time.Duration(seconds) * time.Second):
		w.WriteHeader(http.StatusNoContent)
	case <-r.Context().Done():
	}
}

// queue puts commands into an agent's queue and wakes it.
func (s *fakeServer) queue(a *agent, kind string, parameters map[string]any) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := fmt.Sprintf("c%d-%d", len(a.results), len(a.queue))
	c := map[string]any{"id": id, "type": kind}
	if parameters != nil {
		c["parameters"] = parameters
	}
	a.queue = append(a.queue, c)
	select {
	case a.woken <- struct{}{}:
	default:
	}
	return id
}

// run queues a command, lets the phone check in, and returns its result.
func (s *fakeServer) run(p *Phone, a *agent, kind string, parameters map[string]any) map[string]any {
	s.t.Helper()
	id := s.queue(a, kind, parameters)
	if err := p.CheckIn(s.t.Context()); err != nil {
		s.t.Fatalf("%s: %v", kind, err)
	}
	for _, r := range s.resultsOf(a) {
		if r["command_id"] == id {
			return r
		}
	}
	s.t.Fatalf("%s: no result", kind)
	return nil
}

func (s *fakeServer) resultsOf(a *agent) []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]map[string]any{}, a.results...)
}
