package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/admin"
	"rollcall/certs"
	"rollcall/enroll"
	"rollcall/enroll/importer"
	"rollcall/mdm"
	"rollcall/mdm/apns"
	"rollcall/storage"
	"rollcall/storage/storagetest"
)

// server is the API over a real database.
type server struct {
	t        *testing.T
	api      *admin.API
	store    *storage.Store
	handler  http.Handler
	declared func(*http.Request) (*huma.Operation, huma.Registry)
	tokens   map[admin.Role]string
	push     *pushCertificates
	now      time.Time
	kicks    int
}

// logger writes errors where a failed test shows them.
func logger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
}

func openStore(t *testing.T) *storage.Store {
	t.Helper()
	sealer, err := certs.NewSealer(certs.Key{1})
	if err != nil {
		t.Fatal(err)
	}
	store, err := storage.Open(t.Context(), storage.Config{DSN: storagetest.SQLite(t), Sealer: sealer, Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func newServer(t *testing.T) *server {
	t.Helper()
	store := openStore(t)
	s := &server{t: t, store: store, tokens: map[admin.Role]string{}, push: &pushCertificates{}, now: time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return s.now }
	s.api = &admin.API{
		Roll: enroll.NewRoll(store, clock), Requests: enroll.NewRequests(store, store, clock), Codes: enroll.NewCodes(enroll.NewRequests(store, store, clock), store, make([]byte, 32)), Gate: enroll.NewGate(store, clock), Decisions: store, Figures: admin.NewFigureKeeper(store, time.Hour, clock, logger(t)), Restrictions: enroll.NewRestrictions(store, store, clock), Approvals: enroll.NewApprovals(store, enroll.NewRoll(store, clock), clock),
		Policies: store, Deliveries: store, Queue: store, History: store, Commands: &mdm.Commander{Enrollments: store, Queue: store, Now: clock}, PushCertificates: s.push, Tokens: store,
		Mobileconfig: mdm.ParseMobileconfig, PublicURL: "https://mdm.example.com/", Kick: func() { s.kicks++ }, Now: clock, Logger: logger(t),
		Imports: importer.New(store, clock, logger(t)), Audit: store, Events: store, Webhooks: store, Answers: store, Snapshots: store, Atomic: store,
	}
	s.handler, s.declared = s.api.Handler(), s.api.Declared()
	work, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var working sync.WaitGroup
	working.Go(func() { s.api.Imports.Run(work) })
	t.Cleanup(func() { stop(); working.Wait() })
	for _, role := range []admin.Role{admin.RoleViewer, admin.RoleOperator, admin.RoleAdmin} {
		token, secret := admin.NewToken("the "+string(role), role, s.now, time.Time{})
		if err := store.CreateToken(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		s.tokens[role] = secret
	}
	return s
}

// pushCertificates says what it was given.
type pushCertificates struct {
	info  apns.Info
	key   string
	force bool
	err   error
}

func (p *pushCertificates) CSR(_ context.Context, email string) ([]byte, error) {
	p.info.PendingCSR = true
	return []byte("CSR for " + email), p.err
}

func (p *pushCertificates) Install(_ context.Context, cert, key []byte, force bool) (apns.Info, error) {
	if p.err == nil {
		p.info, p.key, p.force = apns.Info{Installed: true, Subject: string(cert), Topic: "com.apple.mgmt.x", NotAfter: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}, string(key), force
	}
	return p.info, p.err
}

func (p *pushCertificates) Info(context.Context) (apns.Info, error) { return p.info, p.err }

// answer is what came back.
type answer struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	raw    []byte
	body   any
}

// do calls as an admin: an operation "PUT /devices/X", and its body, which is
// JSON unless headers ("Content-Type: text/csv") say so.
func (s *server) do(operation, body string, headers ...string) *answer {
	s.t.Helper()
	return s.as(admin.RoleAdmin, operation, body, headers...)
}

func (s *server) as(role admin.Role, operation, body string, headers ...string) *answer {
	s.t.Helper()
	method, path, _ := strings.Cut(operation, " ")
	r := httptest.NewRequest(method, admin.Prefix+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+s.tokens[role])
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ": ")
		r.Header.Set(k, v)
	}
	return s.send(r)
}

// send sends a request and asserts that the answer has the documented form.
func (s *server) send(r *http.Request) *answer {
	s.t.Helper()
	op, registry := s.declared(r)
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	a := &answer{t: s.t, what: r.Method + " " + r.URL.Path, status: w.Code, header: w.Header(), raw: w.Body.Bytes()}
	contentType := w.Header().Get("Content-Type")
	if !strings.HasSuffix(contentType, "json") || strings.HasSuffix(contentType, "ndjson") {
		return a
	}
	if err := json.Unmarshal(a.raw, &a.body); err != nil {
		s.t.Fatalf("%s: %d is not JSON: %s", a.what, a.status, a.raw)
	}
	if op == nil {
		return a
	}
	response := op.Responses[strconv.Itoa(a.status)]
	if response == nil {
		response = op.Responses["default"]
	}
	media := response.Content[contentType]
	if media == nil {
		s.t.Fatalf("%s: %d as %s is not documented", a.what, a.status, contentType)
	}
	var result huma.ValidateResult
	huma.Validate(registry, media.Schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, a.body, &result)
	for _, err := range result.Errors {
		s.t.Errorf("%s: %d differs from its documentation: %v\n%s", a.what, a.status, err, a.raw)
	}
	return a
}

// want asserts the status.
func (a *answer) want(status int) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: %d, want %d: %s", a.what, a.status, status, a.raw)
	}
	return a
}

// at is the value at a path like "items.0.serial"; nil where there is none.
func (a *answer) at(path string) any {
	v := a.body
	for _, key := range strings.Split(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			v = in[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(in) {
				return nil
			}
			v = in[i]
		default:
			return nil
		}
	}
	return v
}

// is asserts values, written as "path=value"; "path=" is an absent one.
func (a *answer) is(values ...string) *answer {
	a.t.Helper()
	for _, pair := range values {
		path, want, _ := strings.Cut(pair, "=")
		got := ""
		if v := a.at(path); v != nil {
			got = fmt.Sprint(v)
		}
		if got != want {
			a.t.Errorf("%s: %s is %q, want %q in %s", a.what, path, got, want, a.raw)
		}
	}
	return a
}

// says asserts that the body holds a text; one that starts with ! not.
func (a *answer) says(texts ...string) *answer {
	a.t.Helper()
	for _, text := range texts {
		without, no := strings.CutPrefix(text, "!")
		if bytes.Contains(a.raw, []byte(without)) == no {
			a.t.Errorf("%s: want %q in %s", a.what, text, a.raw)
		}
	}
	return a
}

// count is the number of items of a list.
func (a *answer) count() int {
	items, _ := a.at("items").([]any)
	return len(items)
}

// facts are what a test phone tells of itself.
var facts = enroll.Facts{UDID: "00008110-000A1B2C3D4E5F6A", Product: "iPhone17,2", OSVersion: "26.1", IMEI: "490154203237518"}

// arrive lets a device pass the gate.
func (s *server) arrive(serial string) enroll.Decision {
	s.t.Helper()
	d, err := s.api.Gate.Decide(s.t.Context(), enroll.Attempt{Channel: enroll.ChannelOTA, Platform: enroll.PlatformIOS, Serial: serial, Evidence: enroll.EvidenceSigned, Facts: facts, RemoteAddr: "192.0.2.7"})
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// enroll lets an admitted device finish.
func (s *server) enroll(d enroll.Decision) mdm.Enrollment {
	s.t.Helper()
	fingerprint := strings.Repeat("ab", 32)
	e, err := s.store.Authenticate(s.t.Context(), mdm.Authentication{DeviceID: d.DeviceID, UDID: facts.UDID, Fingerprint: fingerprint, Topic: "com.apple.mgmt.x", Facts: facts, DecisionID: d.ID, At: s.now})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.store.TokenUpdate(s.t.Context(), mdm.TokenUpdate{Enrollment: e, Fingerprint: fingerprint, Topic: "com.apple.mgmt.x", Token: []byte{1, 2}, PushMagic: "magic", At: s.now}); err != nil {
		s.t.Fatal(err)
	}
	return e
}
