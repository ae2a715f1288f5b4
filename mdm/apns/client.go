package apns

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sideshow/apns2"
)

const (
	dialTimeout = 20 * time.Second
	pingAfter   = time.Minute      // without a frame from APNs
	pingTimeout = 15 * time.Second // then the connection counts as dead
	idleTimeout = time.Hour
	maxAnswer   = 8 << 10 // bytes of an answer's body that are read
)

// client sends pushes with one certificate. APNs wants few connections that
// live long, so there is one client as long as the certificate stays.
type client struct {
	topic       string
	certificate []byte // DER of the leaf
	push        *apns2.Client
	pool        *pool

	mu      sync.Mutex
	users   int
	retired bool
}

func newClient(cert tls.Certificate, topic, host string, roots *x509.CertPool, connections int) *client {
	c := &client{topic: topic, certificate: cert.Leaf.Raw, pool: newPool(cert, host, roots, connections)}
	// Not apns2.NewClient: its transport never closes an idle connection, and
	// its host is the sandbox.
	c.push = &apns2.Client{
		Host:        host,
		Certificate: cert,
		HTTPClient: &http.Client{
			Transport:     c,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	return c
}

// acquire takes part in the client until release; false: it is retired.
func (c *client) acquire() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.retired {
		return false
	}
	c.users++
	return true
}

func (c *client) release() {
	c.mu.Lock()
	c.users--
	last := c.retired && c.users == 0
	c.mu.Unlock()
	if last {
		c.pool.close()
	}
}

// retire closes the client as soon as nobody uses it.
func (c *client) retire() {
	c.mu.Lock()
	c.retired = true
	last := c.users == 0
	c.mu.Unlock()
	if last {
		c.pool.close()
	}
}

// send does one request. A nil error means that APNs, or something in between,
// answered.
func (c *client) send(ctx context.Context, p Push, expiration time.Time) (answer, error) {
	payload, err := json.Marshal(struct {
		MDM string `json:"mdm"`
	}{p.PushMagic})
	if err != nil {
		return answer{}, err
	}
	var a answer
	response, err := c.push.PushWithContext(context.WithValue(ctx, answerKey{}, &a), &apns2.Notification{
		DeviceToken: hex.EncodeToString(p.Token),
		Topic:       c.topic,
		PushType:    apns2.PushTypeMDM,
		Expiration:  expiration,
		Payload:     payload,
	})
	if err != nil {
		return answer{}, err
	}
	a.status = response.StatusCode
	a.reason = reasonOf(response.StatusCode, response.Reason)
	return a, nil
}

// answerKey is the context key of the *answer for what apns2 does not report.
type answerKey struct{}

// RoundTrip stands between apns2 and the answer: apns2 forgets the status when
// the body is not the JSON it expects, and would let a body's "StatusCode"
// overwrite it.
func (c *client) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := c.pool.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if a, ok := r.Context().Value(answerKey{}).(*answer); ok {
		a.retryAfter = retryAfter(response.Header)
	}
	var body struct {
		Reason string `json:"reason"`
	}
	// A body that breaks off or says nothing leaves the status.
	if text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer)); err != nil || json.Unmarshal(text, &body) != nil {
		body.Reason = ""
	}
	response.Body = io.NopCloser(strings.NewReader(fmt.Sprintf(`{"reason":%q}`, reasonOf(response.StatusCode, body.Reason))))
	return response, nil
}

// retryAfter reads the header's two forms (RFC 9110 section 10.2.3).
func retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil && seconds > 0 {
		return time.Duration(min(seconds, int(lastRetry/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		if date, err := http.ParseTime(h.Get("Date")); err == nil && at.After(date) {
			return at.Sub(date)
		}
	}
	return 0
}
