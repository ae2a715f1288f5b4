package apns

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRequest(t *testing.T) {
	s := newService(t, nil)
	o := newOutbox(push(7))
	before := time.Now()
	run(t, Options{Outbox: o, Certificates: installed(t, topicA), Host: s.URL, RootCAs: s.roots(), Expiration: time.Hour})
	r := o.next(t)
	if diff := cmp.Diff(Result{Push: push(7), Outcome: Sent, At: r.At}, r); diff != "" {
		t.Error(diff)
	}
	if r.At.Before(before) || r.At.After(time.Now()) {
		t.Errorf("at %v", r.At)
	}
	got := <-s.requests
	if got.protocol != 2 || got.method != "POST" || got.path != "/3/device/"+hex.EncodeToString(push(7).Token) {
		t.Errorf("HTTP/%d %s %s", got.protocol, got.method, got.path)
	}
	if got.body != `{"mdm":"MAGIC-7"}` {
		t.Errorf("body %s", got.body)
	}
	if h := got.header; h.Get("apns-topic") != topicA || h.Get("apns-push-type") != "mdm" || h.Get("authorization") != "" {
		t.Errorf("header %v", h)
	}
	expires, err := strconv.ParseInt(got.header.Get("apns-expiration"), 10, 64)
	if err != nil || expires < before.Add(time.Hour).Unix() || expires > time.Now().Add(time.Hour).Unix() {
		t.Errorf("expiration %d: %v", expires, err)
	}
	if topicOf(got.certificate) != topicA {
		t.Errorf("client certificate of %q", topicOf(got.certificate))
	}
}

// TestOutcomes has a push answered in every way, over the socket.
func TestOutcomes(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		header http.Header
		want   Outcome
		reason string
		wait   time.Duration // least of RetryAt
		most   time.Duration
		state  State
	}{
		"sent":                 {200, "", nil, Sent, "", 0, 0, StateReady},
		"sent with words":      {200, "<html>", nil, Sent, "", 0, 0, StateReady},
		"unregistered":         {410, `{"reason":"Unregistered","timestamp":1700000000000}`, nil, Inactive, "Unregistered", 0, 0, StateReady},
		"expired token":        {410, `{"reason":"ExpiredToken"}`, nil, Inactive, "ExpiredToken", 0, 0, StateReady},
		"odd timestamp":        {410, `{"reason":"Unregistered","timestamp":"yesterday"}`, nil, Inactive, "Unregistered", 0, 0, StateReady},
		"410 that is not JSON": {410, "<html>gone</html>", nil, Inactive, "HTTP 410", 0, 0, StateReady},
		"bad token":            {400, `{"reason":"BadDeviceToken"}`, nil, Inactive, "BadDeviceToken", 0, 0, StateReady},
		"token of another":     {400, `{"reason":"DeviceTokenNotForTopic"}`, nil, Inactive, "DeviceTokenNotForTopic", 0, 0, StateReady},
		"too many":             {429, `{"reason":"TooManyRequests"}`, nil, Retry, "TooManyRequests", firstRetry / 2, firstRetry, StateReady},
		"retry after":          {429, `{"reason":"TooManyRequests"}`, http.Header{"Retry-After": {"120"}}, Retry, "TooManyRequests", 2 * time.Minute, 2 * time.Minute, StateReady},
		"server error":         {500, `{"reason":"InternalServerError"}`, nil, Retry, "InternalServerError", firstRetry / 2, firstRetry, StateUnreachable},
		"shutdown":             {503, `{"reason":"Shutdown"}`, nil, Retry, "Shutdown", firstRetry / 2, firstRetry, StateUnreachable},
		"503 without JSON":     {503, "<html>", nil, Retry, "HTTP 503", firstRetry / 2, firstRetry, StateUnreachable},
		"bad certificate":      {403, `{"reason":"BadCertificate"}`, nil, Retry, "BadCertificate", firstSlow / 2, firstSlow, StateRejected},
		"403 of a proxy":       {403, "no", nil, Retry, "HTTP 403", firstSlow / 2, firstSlow, StateRejected},
		"bad topic":            {400, `{"reason":"BadTopic"}`, nil, Retry, "BadTopic", firstSlow / 2, firstSlow, StateRejected},
		"redirect":             {307, "", http.Header{"Location": {"/elsewhere"}}, Retry, "HTTP 307", firstSlow / 2, firstSlow, StateRejected},
		"400 without JSON":     {400, `{"StatusCode":200}`, nil, Retry, "HTTP 400", firstSlow / 2, firstSlow, StateRejected},
		"unknown reason":       {400, `{"reason":"BrandNew"}`, nil, Retry, "BrandNew", firstSlow / 2, firstSlow, StateReady},
		"unreadable reason":    {400, `{"reason":"<script>\n"}`, nil, Retry, "HTTP 400", firstSlow / 2, firstSlow, StateRejected},
		"404 of a proxy":       {404, "", nil, Retry, "HTTP 404", firstSlow / 2, firstSlow, StateRejected},
		"bad path":             {404, `{"reason":"BadPath"}`, nil, Dropped, "BadPath", 0, 0, StateReady},
		"method":               {405, `{"reason":"MethodNotAllowed"}`, nil, Dropped, "MethodNotAllowed", 0, 0, StateReady},
		"too large":            {413, `{"reason":"PayloadTooLarge"}`, nil, Dropped, "PayloadTooLarge", 0, 0, StateReady},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, func(w http.ResponseWriter, _ *http.Request) {
				for k, v := range c.header {
					w.Header()[k] = v
				}
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			})
			o := newOutbox(push(1))
			p := run(t, Options{Outbox: o, Certificates: installed(t, topicA), Host: s.URL, RootCAs: s.roots()})
			r := o.next(t)
			if r.Outcome != c.want || r.Reason != c.reason {
				t.Errorf("got %s %q, want %s %q", r.Outcome, r.Reason, c.want, c.reason)
			}
			if diff := cmp.Diff(push(1), r.Push); diff != "" {
				t.Error(diff)
			}
			if c.want == Retry {
				if d := r.RetryAt.Sub(r.At); d < c.wait || d > c.most {
					t.Errorf("retry after %v, want %v to %v", d, c.wait, c.most)
				}
			} else if !r.RetryAt.IsZero() {
				t.Errorf("retry at %v", r.RetryAt)
			}
			if got := p.Status(); got.State != c.state {
				t.Errorf("state %+v, want %s", got, c.state)
			}
			if n := len(s.requests); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestNotSent(t *testing.T) {
	other, tokenless, magicless := push(1), push(2), push(3)
	other.Topic = topicB
	tokenless.Token = nil
	magicless.PushMagic = ""
	s := newService(t, nil)
	o := newOutbox(other, tokenless, magicless)
	p := run(t, Options{Outbox: o, Certificates: installed(t, topicA), Host: s.URL, RootCAs: s.roots()})
	got := map[string]Outcome{}
	for range 3 {
		r := o.next(t)
		got[r.Push.EnrollmentID] = r.Outcome
	}
	want := map[string]Outcome{other.EnrollmentID: Retry, tokenless.EnrollmentID: Inactive, magicless.EnrollmentID: Inactive}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n := len(s.requests); n != 0 {
		t.Errorf("%d requests", n)
	}
	if state := p.Status().State; state != StateReady {
		t.Errorf("state %s", state)
	}
}

// TestBurst lets a thousand pushes start at once: they must not open more than
// the connections allowed, and each must come back as it went out.
func TestBurst(t *testing.T) {
	s := newService(t, nil)
	o := newOutbox(pushes(1000)...)
	var observed atomic.Int64
	run(t, Options{Outbox: o, Certificates: installed(t, topicA), Host: s.URL, RootCAs: s.roots(), Batch: 300, Connections: 2,
		Observe: func(outcome Outcome, cause string, _ time.Duration) {
			if outcome == Sent && cause == "sent" {
				observed.Add(1)
			}
		}})
	got := map[string]Push{}
	for range 1000 {
		r := o.next(t)
		if r.Outcome != Sent {
			t.Fatalf("%s %s", r.Outcome, r.Reason)
		}
		got[r.Push.EnrollmentID] = r.Push
	}
	want := map[string]Push{}
	for _, p := range pushes(1000) {
		want[p.EnrollmentID] = p
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n := s.opened(); n > 2 {
		t.Errorf("%d connections", n)
	}
	if n := len(s.requests); n != 1000 {
		t.Errorf("%d requests", n)
	}
	await(t, "observed", func() bool { return observed.Load() == 1000 })
}

// TestFewStreams has a service that allows four requests at a time: the others
// wait for their turn on the same connection.
func TestFewStreams(t *testing.T) {
	var now, most atomic.Int64
	s := newService(t, func(http.ResponseWriter, *http.Request) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(time.Millisecond)
		now.Add(-1)
	}, func(s *service) { s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 4} })
	o := newOutbox(pushes(200)...)
	run(t, Options{Outbox: o, Certificates: installed(t, topicA), Host: s.URL, RootCAs: s.roots(), Connections: 1})
	for range 200 {
		if r := o.next(t); r.Outcome != Sent {
			t.Fatalf("%s %s", r.Outcome, r.Reason)
		}
	}
	if n := s.opened(); n != 1 {
		t.Errorf("%d connections", n)
	}
	if most.Load() > 4 {
		t.Errorf("%d requests at a time", most.Load())
	}
}

func TestKick(t *testing.T) {
	s := newService(t, nil)
	o := newOutbox(push(1))
	p := run(t, Options{Outbox: o, Certificates: installed(t, topicA), Host: s.URL, RootCAs: s.roots(), Poll: time.Hour})
	o.next(t)
	o.add(push(2))
	p.Kick()
	if r := o.next(t); r.Push.EnrollmentID != push(2).EnrollmentID {
		t.Errorf("%+v", r)
	}
}

func TestWaitsForCertificate(t *testing.T) {
	s := newService(t, nil)
	o := newOutbox(push(1))
	var log syncBuffer
	certificates := NewCertificates(newSecrets(), time.Now)
	p := run(t, Options{Outbox: o, Certificates: certificates, Host: s.URL, RootCAs: s.roots(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	await(t, "no certificate", func() bool { return p.Status().State == StateNoCertificate })
	for range 20 { // it looks again and says nothing
		p.Kick()
		time.Sleep(time.Millisecond)
	}
	if n := strings.Count(log.String(), "wait for a push certificate"); n != 1 {
		t.Errorf("%d lines:\n%s", n, log.String())
	}
	if o.left() != 1 {
		t.Error("claimed without a certificate")
	}
	install(t, certificates, topicA)
	if r := o.next(t); r.Outcome != Sent {
		t.Errorf("%+v", r)
	}
	if st := p.Status(); st.State != StateReady || st.Topic != topicA || st.LastSentAt.IsZero() {
		t.Errorf("%+v", st)
	}
}

// TestReplacedCertificate renews the certificate while pushes are under way.
func TestReplacedCertificate(t *testing.T) {
	slow := make(chan struct{})
	var first atomic.Bool
	s := newService(t, func(http.ResponseWriter, *http.Request) {
		if first.CompareAndSwap(false, true) {
			<-slow
		}
	})
	certificates := installed(t, topicA)
	o := newOutbox(push(1))
	p := run(t, Options{Outbox: o, Certificates: certificates, Host: s.URL, RootCAs: s.roots()})
	before := (<-s.requests).certificate
	install(t, certificates, topicA) // another serial number
	o.add(push(2))
	p.Kick()
	after := (<-s.requests).certificate
	if after.Equal(before) || topicOf(after) != topicA {
		t.Error("still the old certificate")
	}
	close(slow)
	for range 2 {
		if r := o.next(t); r.Outcome != Sent {
			t.Errorf("%+v", r)
		}
	}
	await(t, "the old connection to close", func() bool { return s.connected() == 1 })
}

// TestCertificateOfAnotherReplica is one installed through the store only.
func TestCertificateOfAnotherReplica(t *testing.T) {
	s := newService(t, nil)
	o := newOutbox(push(1))
	var skew atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }
	secrets := newSecrets()
	p := run(t, Options{Outbox: o, Certificates: NewCertificates(secrets, now), Host: s.URL, RootCAs: s.roots(), Now: now})
	await(t, "no certificate", func() bool { return p.Status().State == StateNoCertificate })
	install(t, NewCertificates(secrets, now), topicA)
	skew.Store(int64(recheckCertificate))
	if r := o.next(t); r.Outcome != Sent {
		t.Errorf("%+v", r)
	}
}

// TestLostConnection breaks the connection between pushes: none may notice.
func TestLostConnection(t *testing.T) {
	s := newService(t, nil)
	o := newOutbox()
	p := run(t, Options{Outbox: o, Certificates: installed(t, topicA), Host: s.URL, RootCAs: s.roots()})
	for i := range 10 {
		s.cut()
		o.add(push(i))
		p.Kick()
		if r := o.next(t); r.Outcome != Sent {
			t.Errorf("%d: %s %s", i, r.Outcome, r.Reason)
		}
	}
	if n := s.opened(); n != 10 {
		t.Errorf("%d connections", n)
	}
}

// TestGoAway has the service retire the connection with every answer, as APNs
// does from time to time: the next request needs another one.
func TestGoAway(t *testing.T) {
	s := newService(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })
	o := newOutbox()
	p := run(t, Options{Outbox: o, Certificates: installed(t, topicA), Host: s.URL, RootCAs: s.roots(), Connections: 1})
	for i := range 10 {
		o.add(push(i))
		p.Kick()
		if r := o.next(t); r.Outcome != Sent {
			t.Fatalf("%d: %s %s", i, r.Outcome, r.Reason)
		}
	}
	o.add(pushes(200)...)
	p.Kick()
	for range 200 {
		o.next(t) // some are refused with their connection, and are due again
	}
	if n := s.opened(); n < 10 {
		t.Errorf("only %d connections: the service did not go away", n)
	}
	if state := p.Status().State; state == StateRejected {
		t.Errorf("state %s", state)
	}
}

// TestOutage keeps pushes untouched while nobody listens, and goes on alone.
func TestOutage(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := "https://" + listener.Addr().String()
	listener.Close()
	o := newOutbox(pushes(200)...)
	var log syncBuffer
	var skew atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }
	certificates := NewCertificates(newSecrets(), now)
	install(t, certificates, topicA)
	p := run(t, Options{Outbox: o, Certificates: certificates, Host: host, RootCAs: x509.NewCertPool(), Workers: 4, Batch: 50, Now: now,
		Logger: slog.New(slog.NewTextHandler(&log, nil))})
	r := o.next(t)
	if r.Outcome != Retry || !strings.Contains(r.Reason, "refused") || !r.RetryAt.After(r.At) {
		t.Errorf("%+v", r)
	}
	await(t, "unreachable", func() bool { return p.Status().State == StateUnreachable && p.pending.Load() == 0 })
	// Four workers may each have had one under way when the first failed.
	if tried := 1 + len(o.finished); tried > 4 || o.left() < 196 {
		t.Errorf("%d were tried, %d are left", tried, o.left())
	}
	// Each pause, one probe.
	for range 5 {
		for len(o.finished) > 0 {
			o.next(t)
		}
		left := o.left()
		skew.Add(int64(lastPause))
		p.Kick()
		o.next(t)
		await(t, "probe to end", func() bool { return p.pending.Load() == 0 })
		if n := o.left(); n != left-1 {
			t.Errorf("a probe took %d", left-n)
		}
	}
	if n := strings.Count(log.String(), "out of reach"); n != 1 {
		t.Errorf("%d lines:\n%s", n, log.String())
	}
}

// TestRecovery lets the service fail for a while.
func TestRecovery(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	s := newService(t, func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			w.WriteHeader(503)
		}
	})
	o := newOutbox(pushes(100)...)
	var skew atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }
	certificates := NewCertificates(newSecrets(), now)
	install(t, certificates, topicA)
	p := run(t, Options{Outbox: o, Certificates: certificates, Host: s.URL, RootCAs: s.roots(), Workers: 2, Now: now})
	o.next(t)
	await(t, "unreachable", func() bool { return p.Status().State == StateUnreachable && p.pending.Load() == 0 })
	broken.Store(false)
	skew.Add(int64(lastPause))
	await(t, "all to be sent", func() bool { return o.left() == 0 && p.pending.Load() == 0 })
	if state := p.Status().State; state != StateReady {
		t.Errorf("state %s", state)
	}
}

func TestUntrustedService(t *testing.T) {
	s := newService(t, nil)
	o := newOutbox(push(1))
	p := run(t, Options{Outbox: o, Certificates: installed(t, topicA), Host: s.URL, RootCAs: x509.NewCertPool()})
	if r := o.next(t); r.Outcome != Retry || r.RetryAt.Sub(r.At) < firstSlow/2 {
		t.Errorf("%+v", r)
	}
	if state := p.Status().State; state != StateRejected {
		t.Errorf("state %s", state)
	}
}

// TestRefusedCertificate uses TLS 1.2, where the refusal is part of the
// handshake. With 1.3 it races with the first request, and where it loses there
// is only a broken connection to be seen: see TestRefusedCertificateTLS13.
func TestRefusedCertificate(t *testing.T) {
	s := newService(t, nil, func(s *service) {
		s.TLS.ClientCAs = x509.NewCertPool() // knows no issuer
		s.TLS.MaxVersion = tls.VersionTLS12
	})
	o := newOutbox(push(1))
	p := run(t, Options{Outbox: o, Certificates: installed(t, topicA), Host: s.URL, RootCAs: s.roots()})
	if r := o.next(t); r.Outcome != Retry || r.RetryAt.Sub(r.At) < firstSlow/2 {
		t.Errorf("%+v", r)
	}
	if state := p.Status().State; state != StateRejected {
		t.Errorf("state %s", state)
	}
}

func TestRefusedCertificateTLS13(t *testing.T) {
	s := newService(t, nil, func(s *service) { s.TLS.ClientCAs = x509.NewCertPool() })
	o := newOutbox(push(1))
	p := run(t, Options{Outbox: o, Certificates: installed(t, topicA), Host: s.URL, RootCAs: s.roots()})
	if r := o.next(t); r.Outcome != Retry {
		t.Errorf("%+v", r)
	}
	if state := p.Status().State; state != StateRejected && state != StateUnreachable {
		t.Errorf("state %s", state)
	}
}

func TestSilentService(t *testing.T) {
	never := make(chan struct{})
	s := newService(t, func(http.ResponseWriter, *http.Request) { <-never })
	defer close(never)
	o := newOutbox(push(1))
	run(t, Options{Outbox: o, Certificates: installed(t, topicA), Host: s.URL, RootCAs: s.roots(), Timeout: 20 * time.Millisecond})
	if r := o.next(t); r.Outcome != Retry || r.Reason != context.DeadlineExceeded.Error() {
		t.Errorf("%+v", r)
	}
}

// TestStop ends Run while one request hangs and more pushes are claimed.
func TestStop(t *testing.T) {
	for name, hangs := range map[string]bool{"answered in time": false, "not answered": true} {
		t.Run(name, func(t *testing.T) {
			never, stopping := make(chan struct{}), make(chan struct{})
			defer close(never)
			s := newService(t, func(http.ResponseWriter, *http.Request) {
				if hangs {
					<-never
				} else {
					<-stopping
				}
			})
			o := newOutbox(pushes(20)...)
			grace := 10 * time.Second
			if hangs {
				grace = 20 * time.Millisecond
			}
			p := run(t, Options{Outbox: o, Certificates: installed(t, topicA), Host: s.URL, RootCAs: s.roots(), Workers: 1, Grace: grace})
			<-s.requests
			time.AfterFunc(10*time.Millisecond, func() { close(stopping) })
			p.stop()
			sent := len(o.finished)
			if want := map[bool]int{false: 1, true: 0}[hangs]; sent != want {
				t.Errorf("%d results, want %d", sent, want)
			}
			if n := o.left(); n != 20-sent {
				t.Errorf("%d of 20 given back after %d results", n, sent)
			}
			if state := p.Status().State; state != StateStopped {
				t.Errorf("state %s", state)
			}
			await(t, "the connection to close", func() bool { return s.connected() == 0 })
		})
	}
}

func TestLeaseIsOver(t *testing.T) {
	s := newService(t, nil)
	p, err := NewPusher(Options{Outbox: newOutbox(), Certificates: installed(t, topicA), Host: s.URL, RootCAs: s.roots()})
	if err != nil {
		t.Fatal(err)
	}
	if !p.prepare(ctx) {
		t.Fatal("no certificate")
	}
	defer p.stop()
	if r := p.deliver(ctx, ctx, job{push(1), time.Now()}); r.Outcome != Retry || r.Reason != ReasonReleased || len(s.requests) != 0 {
		t.Errorf("%+v", r)
	}
	if r := p.deliver(ctx, ctx, job{push(1), time.Now().Add(time.Minute)}); r.Outcome != Sent {
		t.Errorf("%+v", r)
	}
}

// TestAllowance: in trouble, one push at a time, and that after a pause.
func TestAllowance(t *testing.T) {
	p, err := NewPusher(Options{Outbox: newOutbox(), Certificates: installed(t, topicA), Batch: 50})
	if err != nil {
		t.Fatal(err)
	}
	past, future := time.Now().Add(-time.Minute), time.Now().Add(time.Minute)
	for _, c := range []struct {
		failures int
		pending  int64
		resumeAt time.Time
		want     int
	}{
		{0, 0, time.Time{}, 50},
		{0, 70, time.Time{}, 50},
		{1, 0, future, 0},
		{1, 1, past, 0},
		{1, 0, past, 1},
	} {
		p.failures, p.resumeAt = c.failures, c.resumeAt
		p.pending.Store(c.pending)
		if got := p.allowance(); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

// TestLearn: only what APNs said to the certificate in use counts.
func TestLearn(t *testing.T) {
	p, err := NewPusher(Options{Outbox: newOutbox(), Certificates: installed(t, topicA), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	p.prepare(ctx)
	defer p.stop()
	lost, sent := verdict{outcome: Retry, trouble: unreachable}, verdict{outcome: Sent}
	p.learn(&client{}, lost)
	if p.failures != 0 || p.Status().State != StateReady {
		t.Errorf("the failure of an old certificate counts: %+v", p.Status())
	}
	p.learn(p.client, lost)
	p.learn(p.client, lost)
	if p.failures != 1 || p.Status().State != StateUnreachable {
		t.Errorf("two failures of one pause count %d: %+v", p.failures, p.Status())
	}
	p.learn(&client{}, sent)
	p.learn(p.client, verdict{outcome: Inactive, local: true})
	if p.failures != 1 || p.Status().State != StateUnreachable {
		t.Errorf("APNs is back without an answer: %+v", p.Status())
	}
	p.learn(p.client, sent)
	if p.failures != 0 || p.Status().State != StateReady {
		t.Errorf("%d failures, %+v", p.failures, p.Status())
	}
}

func TestOutboxFails(t *testing.T) {
	s := newService(t, nil)
	o := newOutbox(push(1))
	o.fail(errors.New("disk is full"))
	p := run(t, Options{Outbox: o, Certificates: installed(t, topicA), Host: s.URL, RootCAs: s.roots()})
	await(t, "outbox failing", func() bool { return p.Status().State == StateOutboxFailing })
	o.fail(nil)
	if r := o.next(t); r.Outcome != Sent {
		t.Errorf("%+v", r)
	}
	await(t, "ready", func() bool { return p.Status().State == StateReady })
}

// TestFinishIsRepeated keeps a result over a short failure of the outbox.
func TestFinishIsRepeated(t *testing.T) {
	o := newOutbox(push(1))
	s := newService(t, func(http.ResponseWriter, *http.Request) { o.fail(errors.New("connection reset")) })
	p := run(t, Options{Outbox: o, Certificates: installed(t, topicA), Host: s.URL, RootCAs: s.roots()})
	await(t, "outbox failing", func() bool { return p.Status().State == StateOutboxFailing })
	o.fail(nil)
	if r := o.next(t); r.Outcome != Sent {
		t.Errorf("%+v", r)
	}
	if n := len(s.requests); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// TestNothingSecretIsTold looks for tokens, magics and keys in logs and reasons
// while everything goes wrong.
func TestNothingSecretIsTold(t *testing.T) {
	var status atomic.Int64
	status.Store(200)
	s := newService(t, func(w http.ResponseWriter, r *http.Request) {
		switch code := int(status.Load()); code {
		case 0:
			panic(http.ErrAbortHandler)
		default:
			w.WriteHeader(code)
			json.NewEncoder(w).Encode(map[string]string{"reason": r.URL.Path})
		}
	})
	var log syncBuffer
	for _, code := range []int64{200, 400, 403, 404, 410, 429, 500, 0} {
		status.Store(code)
		o := newOutbox(push(1))
		p := run(t, Options{Outbox: o, Certificates: installed(t, topicA), Host: s.URL, RootCAs: s.roots(),
			Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		r := o.next(t)
		fmt.Fprintln(&log, r.Reason, p.Status())
		p.stop()
	}
	token := hex.EncodeToString(push(1).Token)
	for _, secret := range []string{token, push(1).PushMagic, string(push(1).Token), "PRIVATE KEY", "/3/device"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%q is told:\n%s", secret, log.String())
		}
	}
	if !strings.Contains(log.String(), "push was not accepted") {
		t.Errorf("the log is empty:\n%s", log.String())
	}
}

func TestNewPusherRefuses(t *testing.T) {
	good := Options{Outbox: newOutbox(), Certificates: NewCertificates(newSecrets(), time.Now)}
	for name, change := range map[string]func(*Options){
		"no outbox":       func(o *Options) { o.Outbox = nil },
		"no certificates": func(o *Options) { o.Certificates = nil },
		"plain HTTP":      func(o *Options) { o.Host = "http://127.0.0.1" },
		"a path":          func(o *Options) { o.Host = "https://127.0.0.1/3" },
		"no scheme":       func(o *Options) { o.Host = "api.push.apple.com" },
		"sandbox":         func(o *Options) { o.Host = "https://api.sandbox.push.apple.com" },
		"sandbox's port":  func(o *Options) { o.Host = "https://api.sandbox.push.apple.com:2197" },
		"negative":        func(o *Options) { o.Workers = -1 },
	} {
		o := good
		change(&o)
		if _, err := NewPusher(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	p, err := NewPusher(good)
	if err != nil {
		t.Fatal(err)
	}
	if p.options.Host != "https://api.push.apple.com" || p.Status().State != StateStopped {
		t.Errorf("host %s, status %+v", p.options.Host, p.Status())
	}
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// BenchmarkPush measures claims, requests over one socket, and results; the
// service runs in the same process.
func BenchmarkPush(b *testing.B) {
	s := newService(b, nil)
	s.requests = make(chan request, b.N+1_000_000)
	o := newOutbox(pushes(b.N)...)
	o.finished = make(chan Result, b.N)
	certificates := installed(b, topicA)
	b.ReportAllocs()
	b.ResetTimer()
	run(b, Options{Outbox: o, Certificates: certificates, Host: s.URL, RootCAs: s.roots()})
	for range b.N {
		if r := o.next(b); r.Outcome != Sent {
			b.Fatalf("%s %s", r.Outcome, r.Reason)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pushes/s")
}
