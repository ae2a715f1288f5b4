package apns

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rollcall/enroll"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	topicA = "com.apple.mgmt.External.aaaaaaaa-0000-0000-0000-000000000000"
	topicB = "com.apple.mgmt.External.bbbbbbbb-0000-0000-0000-000000000000"
)

// rsaKeys are made once, because that takes long.
var rsaKeys = sync.OnceValue(func() (keys [3]*rsa.PrivateKey) {
	for i := range keys {
		key, err := rsa.GenerateKey(rand.Reader, keyBits)
		if err != nil {
			panic(err)
		}
		keys[i] = key
	}
	return keys
})

// issuer is a miniature of Apple's push authority.
var issuer = sync.OnceValues(func() (*x509.Certificate, crypto.Signer) {
	key := rsaKeys()[0]
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Push Test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return cert, key
})

// pushCertificate issues a push certificate for a public key.
func pushCertificate(t testing.TB, topic string, public crypto.PublicKey, notBefore, notAfter time.Time) []byte {
	t.Helper()
	ca, key := issuer()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	subject := pkix.Name{CommonName: "APSP:test"}
	if topic != "" {
		subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: oidUserID, Value: topic}}
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, Subject: subject, NotBefore: notBefore, NotAfter: notAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ca, public, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func keyPEM(t testing.TB, key *rsa.PrivateKey) []byte {
	t.Helper()
	text, err := encodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// memorySecrets is Secrets in memory; err, when set, is what every call gives.
type memorySecrets struct {
	mu     sync.Mutex
	values map[string][]byte
	err    error
}

func newSecrets() *memorySecrets { return &memorySecrets{values: make(map[string][]byte)} }

func (s *memorySecrets) Secret(_ context.Context, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	value, ok := s.values[name]
	if !ok {
		return nil, enroll.Errorf(enroll.KindNotFound, "secret", "no such secret")
	}
	return bytes.Clone(value), nil
}

func (s *memorySecrets) PutSecret(_ context.Context, name string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.values[name] = bytes.Clone(value)
	return nil
}

func (s *memorySecrets) DeleteSecret(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	delete(s.values, name)
	return nil
}

func (s *memorySecrets) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.values))
}

// installed gives Certificates with a certificate of this topic.
func installed(t testing.TB, topic string) *Certificates {
	t.Helper()
	c := NewCertificates(newSecrets(), time.Now)
	install(t, c, topic)
	return c
}

func install(t testing.TB, c *Certificates, topic string) {
	t.Helper()
	key := rsaKeys()[1]
	cert := pushCertificate(t, topic, key.Public(), time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0))
	if _, err := c.Install(context.Background(), cert, keyPEM(t, key), true); err != nil {
		t.Fatal(err)
	}
}

// memoryOutbox is an Outbox of a list. A push leaves it with its first result,
// released ones excepted, which come back.
type memoryOutbox struct {
	mu       sync.Mutex
	due      []Push
	claims   []int // limits of ClaimPushes
	finished chan Result
	released int
	err      error // of every call
}

func newOutbox(pushes ...Push) *memoryOutbox {
	return &memoryOutbox{due: pushes, finished: make(chan Result, 100_000)}
}

func (o *memoryOutbox) ClaimPushes(_ context.Context, _ time.Time, _ time.Duration, limit int) ([]Push, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.claims = append(o.claims, limit)
	if o.err != nil {
		return nil, o.err
	}
	n := min(limit, len(o.due))
	claimed := slices.Clone(o.due[:n])
	o.due = o.due[n:]
	return claimed, nil
}

func (o *memoryOutbox) FinishPushes(_ context.Context, results []Result) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return o.err
	}
	for _, r := range results {
		if r.Reason == ReasonReleased {
			o.released++
			o.due = append(o.due, r.Push)
			continue
		}
		o.finished <- r
	}
	return nil
}

func (o *memoryOutbox) add(pushes ...Push) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.due = append(o.due, pushes...)
}

func (o *memoryOutbox) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = err
}

func (o *memoryOutbox) left() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.due)
}

// next awaits a result.
func (o *memoryOutbox) next(t testing.TB) Result {
	t.Helper()
	select {
	case r := <-o.finished:
		return r
	case <-time.After(20 * time.Second):
		t.Fatal("no result")
		return Result{}
	}
}

// request is what the service saw.
type request struct {
	method, path string
	header       http.Header
	body         string
	certificate  *x509.Certificate
	protocol     int
}

// service is APNs over HTTP/2 and TLS, with client certificates.
type service struct {
	*httptest.Server
	requests chan request

	mu    sync.Mutex
	conns map[net.Conn]bool
	opens int
}

// newService answers with answer, or 200 if that is nil.
func newService(t testing.TB, answer http.HandlerFunc, change ...func(*service)) *service {
	t.Helper()
	s := &service{requests: make(chan request, 100_000), conns: make(map[net.Conn]bool)}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		s.requests <- request{r.Method, r.URL.Path, r.Header.Clone(), string(body), r.TLS.PeerCertificates[0], r.ProtoMajor}
		if answer != nil {
			answer(w, r)
		}
	}))
	ca, _ := issuer()
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch state {
		case http.StateNew:
			s.conns[conn] = true
			s.opens++
		case http.StateClosed:
			delete(s.conns, conn)
		}
	}
	s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	for _, c := range change {
		c(s)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *service) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}

func (s *service) opened() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opens
}

func (s *service) connected() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// cut breaks every connection.
func (s *service) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		conn.Close()
	}
}

// running is a Pusher that runs until the test, or stop, ends it.
type running struct {
	*Pusher
	stop func()
}

func run(t testing.TB, o Options) running {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Poll == 0 {
		o.Poll = 5 * time.Millisecond
	}
	p, err := NewPusher(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Run does not end")
		}
	})
	t.Cleanup(stop)
	return running{p, stop}
}

// await waits for a condition.
func await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if condition() {
			return
		}
	}
	t.Fatalf("not in time: %s", what)
}

func push(n int) Push {
	return Push{
		EnrollmentID: fmt.Sprintf("enrollment-%d", n), Generation: int64(n + 1), Topic: topicA,
		Token: fmt.Appendf(nil, "token-%04d\xfe", n), PushMagic: fmt.Sprintf("MAGIC-%d", n),
	}
}

func pushes(n int) []Push {
	all := make([]Push, n)
	for i := range all {
		all[i] = push(i)
	}
	return all
}
