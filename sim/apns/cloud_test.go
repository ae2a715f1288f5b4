package apns

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/sim/applepki"
)

const topic = applepki.TopicPrefix + "11111111-2222-3333-4444-555555555555"

var newPKI = sync.OnceValues(applepki.New)

func start(t testing.TB) (*Cloud, *http.Client) {
	t.Helper()
	pki, err := newPKI()
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(pki)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, client(t, c, pki)
}

func client(t testing.TB, c *Cloud, issuer *applepki.PKI) *http.Client {
	t.Helper()
	certPEM, keyPEM, err := issuer.PushPair(topic)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: c.RootCAs(), Certificates: []tls.Certificate{pair}}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

var token = bytes.Repeat([]byte{0xab}, 32)

func request(t testing.TB, c *Cloud) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, c.URL()+"/3/device/"+hex.EncodeToString(token), strings.NewReader(`{"mdm":"magic"}`))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{"apns-topic": topic, "apns-push-type": "mdm", "apns-expiration": "1900000000", "apns-priority": "10",
		"apns-id": "123e4567-e89b-12d3-a456-426614174000"} {
		r.Header.Set(k, v)
	}
	return r
}

type answer struct {
	Reason    string
	Timestamp int64
}

func do(t testing.TB, cl *http.Client, r *http.Request) (int, answer, http.Header) {
	t.Helper()
	resp, err := cl.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var a answer
	if len(body) != 0 {
		if err := json.Unmarshal(body, &a); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
	}
	return resp.StatusCode, a, resp.Header
}

func TestReasons(t *testing.T) {
	c, cl := start(t)
	c.Register(token, "magic", topic, func() {})
	c.Register([]byte{1}, "magic", applepki.TopicPrefix+"other", func() {})
	c.Register([]byte{2}, "magic", topic, func() {})
	c.Unregister([]byte{2})
	set := func(k, v string) func(*http.Request) { return func(r *http.Request) { r.Header.Set(k, v) } }
	del := func(k string) func(*http.Request) { return func(r *http.Request) { r.Header.Del(k) } }
	body := func(s string) func(*http.Request) {
		return func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader(s)), int64(len(s)) }
	}
	to := func(p string) func(*http.Request) { return func(r *http.Request) { r.URL.Path = p } }
	for _, tt := range []struct {
		name   string
		change func(*http.Request)
		status int
		reason string
	}{
		{"good", func(*http.Request) {}, 200, ""},
		{"no id", del("apns-id"), 200, ""},
		{"white space in the body", body(`{ "mdm" : "magic" }`), 200, ""},
		{"path", to("/3/devices/ab"), 404, "BadPath"},
		{"method", func(r *http.Request) { r.Method = http.MethodPut }, 405, "MethodNotAllowed"},
		{"no topic", del("apns-topic"), 400, "MissingTopic"},
		{"app topic", set("apns-topic", "com.example.app"), 400, "BadTopic"},
		{"foreign topic", set("apns-topic", applepki.TopicPrefix+"other"), 400, "TopicDisallowed"},
		{"no push type", del("apns-push-type"), 400, "InvalidPushType"},
		{"alert", set("apns-push-type", "alert"), 400, "InvalidPushType"},
		{"no expiration", del("apns-expiration"), 400, "BadExpirationDate"},
		{"expiration 0", set("apns-expiration", "0"), 400, "BadExpirationDate"},
		{"priority", set("apns-priority", "9"), 400, "BadPriority"},
		{"id", set("apns-id", "1"), 400, "BadMessageId"},
		{"empty", body(""), 400, "PayloadEmpty"},
		{"large", body(`{"mdm":"` + strings.Repeat("x", 5000) + `"}`), 413, "PayloadTooLarge"},
		{"aps", body(`{"mdm":"magic","aps":{}}`), 400, "BadMessage"},
		{"no JSON", body(`magic`), 400, "BadMessage"},
		{"not hex", to("/3/device/zz"), 400, "BadDeviceToken"},
		{"unknown token", to("/3/device/abcd"), 400, "BadDeviceToken"},
		{"token of another topic", to("/3/device/01"), 400, "DeviceTokenNotForTopic"},
		{"unregistered", to("/3/device/02"), 410, "Unregistered"},
	} {
		r := request(t, c)
		tt.change(r)
		status, a, header := do(t, cl, r)
		if status != tt.status || a.Reason != tt.reason || header.Get("apns-id") == "" {
			t.Errorf("%s: %d %q, apns-id %q", tt.name, status, a.Reason, header.Get("apns-id"))
		}
		if now := time.Now().UnixMilli(); status == 410 && (a.Timestamp > now || a.Timestamp < now-60_000) {
			t.Errorf("%s: timestamp %d", tt.name, a.Timestamp)
		}
	}
	counts := c.Counts()
	if counts[Accepted] != 3 || counts["InvalidPushType"] != 2 {
		t.Errorf("counts %v", counts)
	}
}

func TestForeignCertificate(t *testing.T) {
	c, _ := start(t)
	foreign, err := applepki.New()
	if err != nil {
		t.Fatal(err)
	}
	if status, a, _ := do(t, client(t, c, foreign), request(t, c)); status != 403 || a.Reason != "BadCertificate" {
		t.Errorf("%d %q", status, a.Reason)
	}
}

func TestFailNext(t *testing.T) {
	c, cl := start(t)
	c.Register(token, "magic", topic, func() {})
	c.FailNext(2, 429, "TooManyRequests")
	for i, want := range []int{429, 429, 200} {
		if status, _, _ := do(t, cl, request(t, c)); status != want {
			t.Errorf("push %d: %d", i, status)
		}
	}
}

// Pushes for a device that is about to wake become one wake; a push while it
// is awake wakes it again, because it may have asked for work already.
func TestWakesAreCoalesced(t *testing.T) {
	c, cl := start(t)
	var wakes atomic.Int32
	awake, sleep := make(chan struct{}, 10), make(chan struct{})
	blocker := func() { awake <- struct{}{}; <-sleep }
	for i := range maxWakes { // fill the pool
		c.Register([]byte{9, byte(i)}, "magic", topic, blocker)
		r := request(t, c)
		r.URL.Path = "/3/device/" + hex.EncodeToString([]byte{9, byte(i)})
		do(t, cl, r)
		<-awake
	}
	c.Register(token, "magic", topic, func() { wakes.Add(1) })
	for range 5 {
		do(t, cl, request(t, c))
	}
	wrong := request(t, c)
	wrong.Body = io.NopCloser(strings.NewReader(`{"mdm":"other"}`))
	if status, _, _ := do(t, cl, wrong); status != 200 || c.Counts()[WrongMagic] != 1 {
		t.Errorf("a wrong magic: status %d, counts %v", status, c.Counts())
	}
	close(sleep)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := c.WaitIdle(ctx); err != nil {
		t.Fatal(err)
	}
	if n := wakes.Load(); n != 1 {
		t.Errorf("%d wakes", n)
	}
	do(t, cl, request(t, c))
	if err := c.WaitIdle(ctx); err != nil {
		t.Fatal(err)
	}
	if n := wakes.Load(); n != 2 {
		t.Errorf("%d wakes after one more push", n)
	}
}

func BenchmarkPush(b *testing.B) {
	c, cl := start(b)
	c.Register(token, "magic", topic, func() {})
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := cl.Do(request(b, c))
			if err != nil {
				b.Error(err)
				return
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pushes/s")
}
