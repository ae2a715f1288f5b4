package google

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
)

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// keyFile is a service-account key as Google gives it, with some fields changed.
func keyFile(t *testing.T, change map[string]any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(testKey())
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]any{"type": "service_account", "project_id": "acme", "private_key_id": "k1", "client_email": "mdm@acme.iam.gserviceaccount.com",
		"token_uri": "https://oauth2.googleapis.com/token", "private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))}
	for k, v := range change {
		fields[k] = v
	}
	b, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// endpoint is Google's token endpoint: it checks the assertion as Google does.
type endpoint struct {
	t      *testing.T
	calls  atomic.Int64
	url    string
	answer func(w http.ResponseWriter, n int64)
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := e.calls.Add(1)
	if got := r.FormValue("grant_type"); got != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		e.t.Errorf("grant_type %q", got)
	}
	parts := strings.Split(r.FormValue("assertion"), ".")
	if len(parts) != 3 {
		e.t.Errorf("an assertion of %d parts", len(parts))
		return
	}
	signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(&testKey().PublicKey, crypto.SHA256, sum[:], signature); err != nil {
		e.t.Errorf("signature: %v", err)
	}
	var header, claims map[string]any
	for i, into := range []*map[string]any{&header, &claims} {
		b, _ := base64.RawURLEncoding.DecodeString(parts[i])
		if err := json.Unmarshal(b, into); err != nil {
			e.t.Error(err)
		}
	}
	if diff := cmp.Diff(map[string]any{"alg": "RS256", "typ": "JWT", "kid": "k1"}, header); diff != "" {
		e.t.Error(diff)
	}
	want := map[string]any{"iss": "mdm@acme.iam.gserviceaccount.com", "scope": "scope", "aud": e.url,
		"iat": float64(1000), "exp": float64(4600)}
	if n == 1 {
		if diff := cmp.Diff(want, claims); diff != "" {
			e.t.Error(diff)
		}
	}
	e.answer(w, n)
}

func source(t *testing.T, now *atomic.Int64, answer func(w http.ResponseWriter, n int64)) (*TokenSource, *endpoint) {
	t.Helper()
	e := &endpoint{t: t, answer: answer}
	srv := httptest.NewServer(e)
	t.Cleanup(srv.Close)
	e.url = srv.URL
	key, err := ParseServiceAccount(keyFile(t, map[string]any{"token_uri": srv.URL}))
	if err != nil {
		t.Fatal(err)
	}
	return NewTokenSource(key, "scope", srv.Client(), func() time.Time { return time.Unix(now.Load(), 0) }), e
}

func TestTokenIsKeptUntilItEnds(t *testing.T) {
	var now atomic.Int64
	now.Store(1000)
	s, e := source(t, &now, func(w http.ResponseWriter, n int64) {
		json.NewEncoder(w).Encode(map[string]any{"access_token": strings.Repeat("t", int(n)), "expires_in": 3600})
	})
	want := func(token string, calls int64) {
		t.Helper()
		var g sync.WaitGroup
		for range 8 {
			g.Go(func() {
				if got, err := s.Token(t.Context()); err != nil || got != token {
					t.Errorf("token %q, %v", got, err)
				}
			})
		}
		g.Wait()
		if got := e.calls.Load(); got != calls {
			t.Errorf("%d calls, want %d", got, calls)
		}
	}
	want("t", 1)
	now.Store(1000 + 3600 - 121)
	want("t", 1)
	now.Store(1000 + 3600 - 120)
	want("tt", 2)
	s.Forget("t") // not the one that is held
	want("tt", 2)
	s.Forget("tt")
	want("ttt", 3)
}

func TestTokenRefused(t *testing.T) {
	var now atomic.Int64
	now.Store(1000)
	s, _ := source(t, &now, func(w http.ResponseWriter, _ int64) {
		w.WriteHeader(http.StatusBadRequest)
		w.Write([]byte(`{"error":"invalid_grant","error_description":"private words"}`))
	})
	_, err := s.Token(t.Context())
	var refused *TokenError
	if !errors.As(err, &refused) || refused.Status != 400 || refused.Code != "invalid_grant" || strings.Contains(err.Error(), "private") {
		t.Errorf("%v", err)
	}
}

func TestParseServiceAccount(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	der, _ := x509.MarshalPKCS8PrivateKey(small)
	for name, data := range map[string][]byte{
		"not JSON":       []byte("-----BEGIN"),
		"too large":      make([]byte, maxKeyBytes+1),
		"another type":   keyFile(t, map[string]any{"type": "authorized_user"}),
		"no address":     keyFile(t, map[string]any{"client_email": ""}),
		"plain http":     keyFile(t, map[string]any{"token_uri": "http://oauth2.example.com/token"}),
		"no key":         keyFile(t, map[string]any{"private_key": ""}),
		"not PKCS 8":     keyFile(t, map[string]any{"private_key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}),
		"a weak RSA key": keyFile(t, map[string]any{"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))}),
	} {
		if _, err := ParseServiceAccount(data); enroll.KindOf(err) != enroll.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	got, err := ParseServiceAccount(keyFile(t, nil))
	if err != nil || got.ProjectID != "acme" || got.ClientEmail != "mdm@acme.iam.gserviceaccount.com" || got.KeyID != "k1" {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestCheckIssuer: no key makes this server call somebody else.
func TestCheckIssuer(t *testing.T) {
	for uri, ok := range map[string]bool{
		"https://oauth2.googleapis.com/token": true, "https://accounts.google.com/o/oauth2/token": true, "https://10.0.0.1/token": false, "http://127.0.0.1:8080/": false,
		"https://oauth2.googleapis.com.example.com/token": false, "https://oauth2.googleapis.com:8443/token": false, "http://oauth2.googleapis.com/token": false,
	} {
		if err := (ServiceAccount{TokenURI: uri}).CheckIssuer(); (err == nil) != ok {
			t.Errorf("%s: %v", uri, err)
		}
	}
}
