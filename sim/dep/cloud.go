package dep

import (
	"context"
	"crypto/rand"
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
	"slices"
	"sync"
	"time"

	"rollcall/sim/applepki"
)

// Options say how the service behaves. The zero value is good.
type Options struct {
	// Organization is who owns the accounts; default: an example.
	Organization Organization
	// SessionLifetime is how long a session lasts; default three minutes.
	SessionLifetime time.Duration
	// RotateEvery is after how many answers a session is replaced; default 10,
	// negative: never.
	RotateEvery int
	// ForbidExpired answers dead sessions with 403 FORBIDDEN instead of 401.
	// Apple has been seen to do both.
	ForbidExpired bool
	// PageLimit is the greatest page and number of serials; default 1,000.
	PageLimit int
	// Control serves the control endpoint under /sim/.
	Control bool
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Organization is what GET /account tells of the owner.
type Organization struct {
	Name, Email, Phone, Address string
	Type                        string // "org" or "edu"
}

// Cloud is the service of one organization. It is an http.Handler; Start
// serves it on an address of its own. Close it.
type Cloud struct {
	options Options
	orgID   string
	key     [32]byte // authenticates cursors
	control http.Handler
	table   map[string]call // calls; here, because GET /account tells of all

	url    string
	roots  *x509.CertPool
	server *http.Server
	done   chan struct{} // closed by Close: hanging calls end
	closed sync.Once

	mu       sync.Mutex
	accounts []*Account
	devices  map[string]*device   // by serial; released ones are gone
	sessions map[string]*session  // by token
	replaced map[string]replaced  // by the serial of the new device
	locked   map[string]bool      // activation lock, by serial
	nonces   map[string]time.Time // until when each must not come again
	faults   []*Fault
	calls    map[string]int
	called   chan struct{} // closed by the next call
	refusals int           // codes sent; every other one is quoted
}

type replaced struct {
	original string
	at       time.Time
}

// New makes the service without a listener.
func New(o Options) *Cloud {
	if o.Organization == (Organization{}) {
		o.Organization = Organization{Name: "Example Inc.", Email: "devices@example.com", Phone: "+1 555 0100", Address: "1 Example Way, Cupertino", Type: "org"}
	}
	if o.SessionLifetime == 0 {
		o.SessionLifetime = 3 * time.Minute
	}
	if o.RotateEvery == 0 {
		o.RotateEvery = 10
	}
	if o.PageLimit == 0 {
		o.PageLimit = 1000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Cloud{
		options: o, table: calls, orgID: random(8), done: make(chan struct{}),
		devices: map[string]*device{}, sessions: map[string]*session{}, replaced: map[string]replaced{},
		locked: map[string]bool{}, nonces: map[string]time.Time{}, calls: map[string]int{}, called: make(chan struct{}),
	}
	rand.Read(c.key[:])
	if o.Control {
		c.control = c.controls()
	}
	return c
}

// Start listens on an address, "127.0.0.1:0" for a free port: over TLS with a
// certificate of pki, or in the clear where pki is nil.
func (c *Cloud) Start(address string, pki *applepki.PKI) error {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("dep: %w", err)
	}
	c.server = &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	c.url = "http://" + ln.Addr().String()
	if pki != nil {
		host, _, _ := net.SplitHostPort(ln.Addr().String())
		cert, key, roots, err := pki.IssueServer(host, "127.0.0.1", "localhost")
		if err != nil {
			ln.Close()
			return err
		}
		c.url, c.roots = "https://"+ln.Addr().String(), roots
		ln = tls.NewListener(ln, &tls.Config{
			MinVersion:   tls.VersionTLS12,
			Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}},
		})
	}
	go func() {
		// Serve returns ErrServerClosed after Close; there is no other way out.
		if err := c.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			panic(fmt.Sprintf("dep: %v", err))
		}
	}()
	return nil
}

// URL is the base address after Start, without a path.
func (c *Cloud) URL() string { return c.url }

// RootCAs is what a client has to trust after Start with a PKI; otherwise nil.
func (c *Cloud) RootCAs() *x509.CertPool { return c.roots }

// Close ends hanging calls and the listener.
func (c *Cloud) Close() error {
	c.closed.Do(func() { close(c.done) })
	if c.server == nil {
		return nil
	}
	return c.server.Close()
}

// Calls returns how often each call was made, by method and path: "POST
// /profile/devices". Refused and spoiled calls count.
func (c *Cloud) Calls() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.calls)
}

// AwaitCall returns when a call has been made for the nth time, spoiled or not,
// or with the error of ctx.
func (c *Cloud) AwaitCall(ctx context.Context, name string, n int) error {
	for {
		c.mu.Lock()
		made, next := c.calls[name], c.called
		c.mu.Unlock()
		if made >= n {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// count notes a call.
func (c *Cloud) count(name string) {
	c.calls[name]++
	close(c.called)
	c.called = make(chan struct{})
}

// Accounts returns all accounts in the order they were made.
func (c *Cloud) Accounts() []*Account {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.accounts)
}

// Account finds an account by its name; nil if there is none.
func (c *Cloud) Account(name string) *Account {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.account(name)
}

func (c *Cloud) account(name string) *Account {
	for _, a := range c.accounts {
		if a.name == name {
			return a
		}
	}
	return nil
}

func (c *Cloud) now() time.Time { return c.options.Now().UTC() }

// random returns n random bytes in hex.
func random(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}
