package android

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/enroll"
)

const testDevice = "01930c5e-2f00-7000-8000-000000000001"

// testNow is when the tests take place.
var testNow = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// testKey is a device key that is the same in every run.
var testKey = func() *ecdsa.PrivateKey {
	d := sha256.Sum256([]byte("the key of a device"))
	k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), new(big.Int).SetBytes(d[:]).FillBytes(make([]byte, 32)))
	if err != nil {
		panic(err)
	}
	return k
}()

// fake is a store with one enrollment, a gate, a roll and an attestor.
type fake struct {
	AgentStore // methods that a test does not expect panic

	mu       sync.Mutex
	token    Token
	enrolled *Enrollment
	queue    []Command
	results  []Result
	nonces   map[[32]byte]bool
	removed  string // the command that disenrolls
	facts    enroll.Facts
	refused  []enroll.Code
	decision enroll.Decision
	device   enroll.Device
	proven   []bool
	takeover bool
	attempt  enroll.Attempt
}

func (f *fake) CreateEnrollmentToken(context.Context, Token, [32]byte) error { return nil }
func (f *fake) EnrollmentTokens(context.Context, enroll.Page) ([]Token, error) {
	return []Token{f.token}, nil
}
func (f *fake) RevokeEnrollmentToken(context.Context, string, time.Time) (Token, error) {
	return f.token, nil
}
func (f *fake) EnrollmentToken(context.Context, string) (Token, error) { return f.token, nil }
func (f *fake) EnrollmentTokenByHash(_ context.Context, hash [32]byte) (Token, error) {
	if hash != enroll.HashSecret("the-enrollment-token") {
		return Token{}, enroll.Errorf(enroll.KindNotFound, "token_unknown", "there is none")
	}
	return f.token, nil
}

func (f *fake) UseEnrollmentToken(_ context.Context, _ string, at time.Time) (bool, error) {
	if f.token.Usable(at) != nil {
		return false, nil
	}
	f.token.Uses++
	return true, nil
}

func (f *fake) Atomically(ctx context.Context, fn func(context.Context) error) error { return fn(ctx) }

func (f *fake) UseNonce(_ context.Context, hash [32]byte, _ time.Time) (bool, error) {
	fresh := !f.nonces[hash]
	f.nonces[hash] = true
	return fresh, nil
}

func (f *fake) StartAgent(_ context.Context, s Start) (Enrollment, error) {
	f.proven = append(f.proven, s.Proven)
	if f.takeover && !s.Proven {
		return Enrollment{}, enroll.Errorf(enroll.KindConflict, CodeTakeover, "taken")
	}
	f.enrolled = &Enrollment{ID: testDevice, DeviceID: "row", PublicKey: s.PublicKey, TokenID: s.Token.ID, PushID: s.PushID}
	return *f.enrolled, nil
}

func (f *fake) AgentByKey(context.Context, string) (Enrollment, error) {
	if f.enrolled == nil {
		return Enrollment{}, enroll.Errorf(enroll.KindNotFound, "enrollment_unknown", "there is none")
	}
	return *f.enrolled, nil
}

func (f *fake) Agent(_ context.Context, id string, _ time.Time, _ time.Duration) (Enrollment, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.enrolled == nil || f.enrolled.ID != id {
		return Enrollment{}, enroll.Errorf(enroll.KindNotFound, "enrollment_unknown", "there is none")
	}
	e := *f.enrolled
	e.Open, e.Ready = len(f.queue) > 0, len(f.queue) > 0
	return e, nil
}

func (f *fake) CountAgent(_ context.Context, _ string, counter int64, _ bool) (bool, int64, error) {
	if last := f.enrolled.Counter; counter <= last {
		return false, last, nil
	}
	f.enrolled.Counter = counter
	return true, counter, nil
}

func (f *fake) HandOutAgent(context.Context, string, time.Time, time.Duration) (*Command, error) {
	if len(f.queue) == 0 {
		return nil, nil
	}
	return &f.queue[0], nil
}

func (f *fake) ReportAgent(ctx context.Context, r Result, _ time.Duration) (Reported, error) {
	f.results = append(f.results, r)
	for i, c := range f.queue {
		if c.ID == r.CommandID && !r.NotNow {
			f.queue = append(f.queue[:i:i], f.queue[i+1:]...)
			next, _ := f.HandOutAgent(ctx, "", time.Time{}, 0)
			return Reported{Type: c.Type, Fresh: true, Next: next}, nil
		}
	}
	return Reported{}, nil
}

func (f *fake) SettleWake(context.Context, string, time.Time) error { return nil }
func (f *fake) SetAgentPush(_ context.Context, _, id string) error {
	f.enrolled.PushID = id
	return nil
}
func (f *fake) RecordFacts(_ context.Context, _ string, facts enroll.Facts) error {
	f.facts = f.facts.Merge(facts)
	return nil
}
func (f *fake) Removed(_ context.Context, _, commandID string, _ time.Time) (bool, error) {
	return commandID == f.removed, nil
}
func (f *fake) CheckOut(_ context.Context, _ string, at time.Time) error {
	f.enrolled.EndedAt = at
	return nil
}

func (f *fake) Decide(_ context.Context, a enroll.Attempt) (enroll.Decision, error) {
	f.attempt = a
	d := f.decision
	d.Outcome = d.Code.Outcome()
	return d, nil
}

func (f *fake) Refuse(_ context.Context, a enroll.Attempt, code enroll.Code, _ string) (enroll.Decision, error) {
	f.attempt = a
	f.refused = append(f.refused, code)
	return enroll.Decision{}, nil
}

func (f *fake) DeviceByID(context.Context, string) (enroll.Device, error) { return f.device, nil }
func (f *fake) Mark(string, time.Time)                                    {}

// DueWakes, DropWakes, ClaimWakes and FinishWake are those of nobody's wakes.
func (f *fake) DueWakes(context.Context, time.Time, time.Time) ([]string, error) { return nil, nil }
func (f *fake) DropWakes(context.Context, time.Time, bool) error                 { return nil }
func (f *fake) ClaimWakes(context.Context, time.Time, time.Time, time.Duration, int) ([]Wake, error) {
	return nil, nil
}
func (f *fake) FinishWake(context.Context, Wake, WakeOutcome) error { return nil }

// testServer is a server with its fake, both new.
func testServer() (*Server, *fake) {
	f := &fake{token: Token{ID: "token", MaxUses: 1}, nonces: map[[32]byte]bool{}, decision: enroll.Decision{ID: "decision", DeviceID: "row", Code: enroll.AllowListed}}
	now := func() time.Time { return testNow }
	log := slog.New(slog.DiscardHandler)
	return &Server{Gate: f, Roll: f, Tokens: f, Agents: f, Nonces: NewNonces([]byte("key"), now), Waits: NewWaits(f, now, log), Seen: f,
		PublicURL: "https://mdm.example.com", Organization: "Example", Now: now, Log: log}, f
}

// enrolledServer is one with a device.
func enrolledServer(t *testing.T) (*Server, *fake) {
	t.Helper()
	s, f := testServer()
	spki, _, err := fingerprint(&testKey.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	f.enrolled = &Enrollment{ID: testDevice, DeviceID: "row", PublicKey: spki, Counter: 41}
	return s, f
}

// signedRequest is a request as the document says to sign it.
func signedRequest(t *testing.T, method, target, who string, counter int64, body []byte) *http.Request {
	t.Helper()
	content := sha256.Sum256(body)
	path, _, _ := strings.Cut(target, "?")
	sum := sha256.Sum256([]byte(strings.Join([]string{"rollcall-agent-v1", method, path, who, strconv.FormatInt(counter, 10), hex.EncodeToString(content[:])}, "\n")))
	signature, err := ecdsa.SignASN1(rand.Reader, testKey, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(method, target, bytes.NewReader(body))
	r.Header.Set("Rollcall-Signature", base64.StdEncoding.EncodeToString(signature))
	if counter > 0 {
		r.Header.Set("Rollcall-Device", who)
		r.Header.Set("Rollcall-Counter", strconv.FormatInt(counter, 10))
	}
	return r
}

// serve answers a request.
func (s *Server) serve(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	map[string]http.HandlerFunc{PathNonce: s.ServeNonce, PathEnroll: s.ServeEnroll, PathCheckin: s.ServeCheckin, PathWait: s.ServeWait}[r.URL.Path](w, r)
	return w
}
