package amapi

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const pusher = "push@sim-project.iam.gserviceaccount.com"

// endpoint is a push endpoint that verifies as the product has to.
type endpoint struct {
	*httptest.Server
	b *bench

	mu       sync.Mutex
	statuses []int // answers to come; then 204
	bodies   []object
	came     chan struct{}
}

func newEndpoint(b *bench) *endpoint {
	e := &endpoint{b: b, came: make(chan struct{}, 100)}
	e.Server = httptest.NewServer(e)
	b.t.Cleanup(e.Close)
	return e
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	var body object
	if err != nil || json.Unmarshal(text, &body) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if problem := e.verify(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")); problem != "" {
		http.Error(w, problem, http.StatusUnauthorized)
		return
	}
	e.mu.Lock()
	status := http.StatusNoContent
	if len(e.statuses) > 0 {
		status, e.statuses = e.statuses[0], e.statuses[1:]
	}
	e.bodies = append(e.bodies, body)
	e.mu.Unlock()
	w.WriteHeader(status)
	e.came <- struct{}{}
}

// verify is a reading of "Authenticate push subscriptions" that shares no code
// with what signs.
func (e *endpoint) verify(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "parts"
	}
	var header struct{ Alg, Kid string }
	var claims struct {
		Iss, Aud, Email string
		Verified        bool `json:"email_verified"`
		Iat, Exp        int64
	}
	for i, into := range []any{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(raw, into) != nil {
			return "json"
		}
	}
	if header.Alg != "RS256" {
		return "alg"
	}
	resp, err := e.b.client.Get(e.b.cloud.CertsURL())
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	var set struct {
		Keys []struct{ Kid, N, E string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil || !strings.Contains(resp.Header.Get("Cache-Control"), "max-age=") {
		return "set"
	}
	i := slices.IndexFunc(set.Keys, func(k struct{ Kid, N, E string }) bool { return k.Kid == header.Kid })
	if i < 0 {
		return "kid"
	}
	n, _ := base64.RawURLEncoding.DecodeString(set.Keys[i].N)
	x, _ := base64.RawURLEncoding.DecodeString(set.Keys[i].E)
	signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(&rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(x).Int64())}, crypto.SHA256, digest[:], signature) != nil {
		return "signature"
	}
	now := e.b.clock.now().Unix()
	if claims.Iss != "https://accounts.google.com" || claims.Aud != "rollcall" || claims.Email != pusher || !claims.Verified || claims.Exp < now || claims.Iat > now {
		return "claims"
	}
	return ""
}

// wait waits for a push.
func (e *endpoint) wait() {
	e.b.t.Helper()
	select {
	case <-e.came:
	case <-time.After(20 * time.Second):
		e.b.t.Fatal("no push came")
	}
}

func (b *bench) pushTo(url string) string {
	b.t.Helper()
	name := "projects/sim-project/subscriptions/push"
	b.ok("PUT", name, object{"topic": b.topic, "pushConfig": object{"pushEndpoint": url, "oidcToken": object{"serviceAccountEmail": pusher, "audience": "rollcall"}}})
	return name
}

func TestPush(t *testing.T) {
	b := newBench(t)
	e := newEndpoint(b)
	sub := b.pushTo(e.URL)
	b.refused("POST", sub+":pull", object{"maxMessages": 1}, "FAILED_PRECONDITION", "")
	id := b.publish("ENROLLMENT")
	e.wait()
	message := e.bodies[0]["message"].(object)
	if message["messageId"] != id || message["message_id"] != id || text(message, "attributes.notificationType") != "ENROLLMENT" || text(message, "publish_time") == "" || e.bodies[0]["subscription"] != sub || message["data"] != "e30=" {
		t.Error(e.bodies[0])
	}
	// What is not accepted comes again when the pause is over, and each pause
	// is longer.
	e.mu.Lock()
	e.statuses = []int{500, 302, 200}
	e.mu.Unlock()
	b.publish("COMMAND")
	e.wait()
	for _, pause := range []time.Duration{time.Second, 2 * time.Second} {
		for b.cloud.next(sub).IsZero() || !b.cloud.next(sub).Equal(b.clock.now().Add(pause)) {
			time.Sleep(time.Millisecond)
		}
		b.clock.advance(pause)
		e.wait()
	}
	for b.cloud.Unacknowledged(sub) > 0 {
		time.Sleep(time.Millisecond)
	}
	if len(e.bodies) != 4 {
		t.Error(len(e.bodies))
	}
	old := b.cloud.keyID
	if err := b.cloud.RotateKeys(); err != nil || b.cloud.keyID == old {
		t.Fatal(err)
	}
	b.publish("COMMAND")
	e.wait()
	// Back to pull.
	b.ok("POST", sub+":modifyPushConfig", object{"pushConfig": object{}})
	b.publish("COMMAND")
	if got := list(b.ok("POST", sub+":pull", object{"maxMessages": 1}), "receivedMessages"); len(got) != 1 {
		t.Error(got)
	}
}

// next is when the first message of a subscription comes again.
func (c *Cloud) next(subscription string) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.subscriptions[subscription]; len(s.queue) > 0 {
		return s.queue[0].due
	}
	return time.Time{}
}

func TestForgeries(t *testing.T) {
	b := newBench(t)
	e := newEndpoint(b)
	sub := b.pushTo(e.URL)
	for _, f := range Forgeries {
		status, err := b.cloud.ForgePush(t.Context(), sub, f, "ENROLLMENT", []byte(`{}`))
		if err != nil || status != http.StatusUnauthorized {
			t.Errorf("%s: %d %v", f, status, err)
		}
	}
	// The same push with a good token is accepted, so that it is the token
	// that was refused.
	if status, err := b.cloud.ForgePush(t.Context(), sub, "", "ENROLLMENT", []byte(`{}`)); err != nil || status != http.StatusNoContent {
		t.Errorf("%d %v", status, err)
	}
	if _, err := b.cloud.ForgePush(t.Context(), sub, "explode", "", nil); err == nil {
		t.Error("an unknown forgery")
	}
	if _, err := b.cloud.ForgePush(t.Context(), b.subscription, AlgNone, "", nil); err == nil {
		t.Error("a subscription for pull")
	}
}

// Close ends a delivery that nobody answers.
func TestCloseEndsPushes(t *testing.T) {
	b := newBench(t)
	came := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(came)
		<-ctx.Done()
	}))
	defer s.Close()
	defer cancel()
	b.pushTo(s.URL)
	b.publish("COMMAND")
	<-came
	if err := b.cloud.Close(); err != nil {
		t.Error(err)
	}
}
