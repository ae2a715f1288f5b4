package apns

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sideshow/apns2"
)

const (
	dialTimeout = 20 * time.Second
	pingAfter   = time.Minute      // without a frame from APNs
	pingTimeout = 15 * time.Second // then the connection counts as dead
	idleTimeout = time.Hour
	fullAt      = 100     // requests under way on a connection before the next one is used
	maxAnswer   = 8 << 10 // bytes of an answer's body that are read
)

// client sends pushes with one certificate. APNs wants few connections that
// live long, so there is one client as long as the certificate stays.
type client struct {
	topic       string
	certificate []byte // DER of the leaf
	push        *apns2.Client
	lines       []*line

	mu      sync.Mutex
	users   int
	retired bool
}

// line is one HTTP/2 connection, replaced when it breaks.
type line struct {
	transport *http.Transport
	underWay  atomic.Int64

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

func newClient(cert tls.Certificate, topic, host string, roots *x509.CertPool, connections int) *client {
	c := &client{topic: topic, certificate: cert.Leaf.Raw}
	for range connections {
		c.lines = append(c.lines, newLine(cert, roots))
	}
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

func newLine(cert tls.Certificate, roots *x509.CertPool) *line {
	l := &line{conns: make(map[net.Conn]struct{})}
	dialer := &net.Dialer{Timeout: dialTimeout}
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	l.transport = &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return l.keep(conn), nil
		},
		TLSClientConfig: &tls.Config{
			Certificates: []tls.Certificate{cert},
			RootCAs:      roots,
			MinVersion:   tls.VersionTLS12,
		},
		TLSHandshakeTimeout: dialTimeout,
		IdleConnTimeout:     idleTimeout,
		Protocols:           protocols,
		// Without these two, a hundred pushes that start at once open a
		// hundred connections, which Apple takes for an attack.
		MaxConnsPerHost: 1,
		HTTP2: &http.HTTP2Config{
			StrictMaxConcurrentRequests: true,
			SendPingTimeout:             pingAfter,
			PingTimeout:                 pingTimeout,
		},
		DisableCompression: true,
	}
	return l
}

// trackedConn tells its line when it is closed.
type trackedConn struct {
	net.Conn
	line *line
}

func (l *line) keep(conn net.Conn) net.Conn {
	tracked := &trackedConn{Conn: conn, line: l}
	l.mu.Lock()
	l.conns[tracked] = struct{}{}
	l.mu.Unlock()
	return tracked
}

func (c *trackedConn) Close() error {
	c.line.mu.Lock()
	delete(c.line.conns, c)
	c.line.mu.Unlock()
	return c.Conn.Close()
}

// close ends the connection even where HTTP/2 has not noticed yet that its last
// request is over; CloseIdleConnections alone would leave it for an hour then.
func (l *line) close() {
	l.transport.CloseIdleConnections()
	l.mu.Lock()
	left := make([]net.Conn, 0, len(l.conns))
	for conn := range l.conns {
		left = append(left, conn)
	}
	l.mu.Unlock()
	for _, conn := range left {
		conn.Close() // there is nobody to tell
	}
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
		c.close()
	}
}

// retire closes the client as soon as nobody uses it.
func (c *client) retire() {
	c.mu.Lock()
	c.retired = true
	last := c.users == 0
	c.mu.Unlock()
	if last {
		c.close()
	}
}

func (c *client) close() {
	for _, l := range c.lines {
		l.close()
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

// RoundTrip sends over the first connection that is not full. It also stands
// between apns2 and the answer: apns2 forgets the status when the body is not
// the JSON it expects, and would let a body's "StatusCode" overwrite it.
func (c *client) RoundTrip(r *http.Request) (*http.Response, error) {
	l := c.pick()
	l.underWay.Add(1)
	defer l.underWay.Add(-1)
	response, err := l.transport.RoundTrip(r)
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

func (c *client) pick() *line {
	least := c.lines[0]
	for _, l := range c.lines {
		n := l.underWay.Load()
		if n < fullAt {
			return l
		}
		if n < least.underWay.Load() {
			least = l
		}
	}
	return least
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
