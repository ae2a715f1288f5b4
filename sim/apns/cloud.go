package apns

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/sim/applepki"
)

// The reasons counted beside those of Apple.
const (
	// Accepted counts pushes answered with 200.
	Accepted = "Accepted"
	// WrongMagic counts accepted pushes whose PushMagic was not the device's.
	WrongMagic = "WrongMagic"
)

// Cloud is a running push service.
type Cloud struct {
	url    string
	roots  *x509.CertPool
	pushCA *x509.CertPool
	server *http.Server
	wakes  *wakers

	devices  sync.Map // token (string of bytes) -> *device
	accepted atomic.Int64
	failing  atomic.Int64 // how many requests FailNext still has to spoil

	mu      sync.Mutex
	reasons map[string]int64
	failure failure
}

type failure struct {
	status int
	reason string
}

type device struct {
	magic, topic string
	wake         func()
	queued       atomic.Bool  // a wake is on its way
	goneAt       atomic.Int64 // unix milliseconds; 0 while registered
}

const maxStreams = 1000

// New starts the service on a free port of 127.0.0.1. It accepts the push
// certificates of pki. Close it.
func New(pki *applepki.PKI) (*Cloud, error) {
	cert, key, roots, err := pki.IssueServer("127.0.0.1", "localhost")
	if err != nil {
		return nil, err
	}
	c := &Cloud{roots: roots, pushCA: x509.NewCertPool(), reasons: map[string]int64{}, wakes: newWakers(maxWakes)}
	c.pushCA.AddCert(pki.PushCA())
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("apns: %w", err)
	}
	c.url = "https://" + ln.Addr().String()
	c.server = &http.Server{
		Handler: http.HandlerFunc(c.serve),
		TLSConfig: &tls.Config{
			MinVersion:   tls.VersionTLS12,
			Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}},
			// Which authority signed it is judged per connection, so that the
			// answer is Apple's 403 and not a TLS alert.
			ClientAuth: tls.RequireAnyClientCert,
		},
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, &conn{})
		},
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	go func() {
		// Serve returns ErrServerClosed after Close; there is no other way out.
		if err := c.server.ServeTLS(ln, "", ""); !errors.Is(err, http.ErrServerClosed) {
			panic(fmt.Sprintf("apns: %v", err))
		}
	}()
	return c, nil
}

// URL is the base address, without a path.
func (c *Cloud) URL() string { return c.url }

// RootCAs is what a client has to trust.
func (c *Cloud) RootCAs() *x509.CertPool { return c.roots }

// Close stops the service and waits for wakes that have begun.
func (c *Cloud) Close() error {
	err := c.server.Close()
	c.wakes.close()
	return err
}

// Register makes a device reachable: pushes to token for topic with the right
// magic call wake from a bounded pool of goroutines. A push that arrives while
// wake runs calls it once more. Registering a token again replaces its device.
func (c *Cloud) Register(token []byte, magic, topic string, wake func()) {
	c.devices.Store(string(token), &device{magic: magic, topic: topic, wake: wake})
}

// Unregister makes a token inactive: pushes to it are answered with 410
// Unregistered from now on.
func (c *Cloud) Unregister(token []byte) {
	if d, ok := c.devices.Load(string(token)); ok {
		d.(*device).goneAt.CompareAndSwap(0, time.Now().UnixMilli())
	}
}

// FailNext answers the next n pushes with status and reason, for example 429
// TooManyRequests or 503 ServiceUnavailable. It replaces what is left of an
// earlier call.
func (c *Cloud) FailNext(n, status int, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failure = failure{status, reason}
	c.failing.Store(int64(n))
}

// Counts returns the number of answers by reason; accepted pushes under
// Accepted.
func (c *Cloud) Counts() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := maps.Clone(c.reasons)
	out[Accepted] = c.accepted.Load()
	return out
}

// WaitIdle returns when no wake is running or queued, or ctx ends.
func (c *Cloud) WaitIdle(ctx context.Context) error { return c.wakes.waitIdle(ctx) }

func (c *Cloud) count(reason string) {
	c.mu.Lock()
	c.reasons[reason]++
	c.mu.Unlock()
}

// deliver wakes a device unless a wake is queued already.
func (c *Cloud) deliver(d *device) {
	if d.queued.CompareAndSwap(false, true) {
		c.wakes.add(d)
	}
}

func (c *Cloud) lookup(hexToken string) (*device, bool) {
	token, err := hex.DecodeString(hexToken)
	if err != nil || len(token) == 0 {
		return nil, false
	}
	d, ok := c.devices.Load(string(token))
	if !ok {
		return nil, false
	}
	return d.(*device), true
}
