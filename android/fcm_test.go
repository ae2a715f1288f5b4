package android

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/android/google"
)

// wakes is an outbox with one wake.
type wakes struct {
	WakeStore
	mu   sync.Mutex
	wake Wake
	done []WakeOutcome
}

func (w *wakes) ClaimWakes(context.Context, time.Time, time.Time, time.Duration, int) ([]Wake, error) {
	return []Wake{w.wake}, nil
}

func (w *wakes) FinishWake(_ context.Context, _ Wake, o WakeOutcome) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = append(w.done, o)
	return nil
}

func TestFCM(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var status int
	var body string
	var header http.Header
	var sent map[string]any
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"access_token":"t","expires_in":3600}`)
	})
	mux.HandleFunc("POST /v1/projects/acme/messages:send", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer t" {
			t.Errorf("authorization %q", r.Header.Get("Authorization"))
		}
		if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
			t.Error(err)
		}
		for k, v := range header {
			w.Header()[k] = v
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	file, _ := json.Marshal(map[string]string{"type": "service_account", "project_id": "acme", "client_email": "fcm@acme", "token_uri": srv.URL + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
	account, err := google.ParseServiceAccount(file)
	if err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return testNow }
	coded := func(code string) string {
		return `{"error":{"status":"X","details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"` + code + `"}]}}`
	}
	for name, test := range map[string]struct {
		status   int
		body     string
		header   http.Header
		attempts int
		want     WakeOutcome
	}{
		"sent":          {200, `{"name":"projects/acme/messages/1"}`, nil, 0, WakeOutcome{SentAt: testNow}},
		"unregistered":  {404, coded("UNREGISTERED"), nil, 0, WakeOutcome{Gone: true, Reason: "unregistered"}},
		"sender":        {403, coded("SENDER_ID_MISMATCH"), nil, 0, WakeOutcome{Gone: true, Reason: "sender_id_mismatch"}},
		"invalid":       {400, coded("INVALID_ARGUMENT"), nil, 0, WakeOutcome{Gone: true, Reason: "invalid_argument"}},
		"a proxy's 404": {404, "<html>not here</html>", nil, 0, WakeOutcome{RetryAt: testNow.Add(time.Minute), Reason: "status 404"}},
		"no project":    {404, `{"error":{"status":"NOT_FOUND"}}`, nil, 0, WakeOutcome{RetryAt: testNow.Add(time.Minute), Reason: "status 404"}},
		"another's 400": {400, `{"error":{"status":"INVALID_ARGUMENT"}}`, nil, 0, WakeOutcome{RetryAt: testNow.Add(time.Minute), Reason: "status 400"}},
		"quota":         {429, coded("QUOTA_EXCEEDED"), http.Header{"Retry-After": {"120"}}, 0, WakeOutcome{RetryAt: testNow.Add(2 * time.Minute), Reason: "quota exceeded"}},
		"quota, plain":  {429, "", nil, 0, WakeOutcome{RetryAt: testNow.Add(time.Minute), Reason: "quota exceeded"}},
		"unavailable":   {503, "no JSON", nil, 2, WakeOutcome{RetryAt: testNow.Add(4 * time.Minute), Reason: "status 503"}},
		"refused":       {401, "", nil, 0, WakeOutcome{RetryAt: testNow.Add(time.Minute), Reason: "access token refused"}},
	} {
		status, body, header, sent = test.status, test.body, test.header, nil
		w := &wakes{wake: Wake{EnrollmentID: "e", PushID: "fid-1", Attempts: test.attempts}}
		f := &FCM{Store: w, Tokens: google.NewTokenSource(account, FCMScope, srv.Client(), now), Project: "acme", URL: srv.URL, Client: srv.Client(), Now: now, Log: slog.New(slog.DiscardHandler)}
		if n, err := f.Once(t.Context()); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if diff := cmp.Diff([]WakeOutcome{test.want}, w.done); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
		message, _ := sent["message"].(map[string]any)
		if diff := cmp.Diff(map[string]any{"t": "wake"}, message["data"]); diff != "" || message["fid"] != "fid-1" {
			t.Errorf("%s: sent %v", name, sent)
		}
	}
}
