package dep

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"sync"
	"time"

	"rollcall/dep/cloud"
)

// Clouds makes the clients of accounts. One account has one client, whoever
// uses it, as Apple allows one session at a time.
type Clouds struct {
	base      string
	transport *http.Transport
	store     AccountStore
	now       func() time.Time

	mu      sync.Mutex
	clients map[string]client
}

type client struct {
	*cloud.Client
	installed time.Time // its token
}

// NewClouds makes clients of the service at base, which is trusted by roots;
// "" and nil: Apple's, and the system's.
func NewClouds(base string, roots *x509.CertPool, store AccountStore, now func() time.Time) (*Clouds, error) {
	if base == "" {
		base = cloud.Apple
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost, t.ResponseHeaderTimeout, t.MaxResponseHeaderBytes = 2, time.Minute, 64<<10
	t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	c := &Clouds{base: base, transport: t, store: store, now: now, clients: map[string]client{}}
	_, err := c.dial(cloud.Token{}, nil) // says what is wrong with base
	return c, err
}

// Close gives idle connections back.
func (c *Clouds) Close() { c.transport.CloseIdleConnections() }

func (c *Clouds) dial(t cloud.Token, sessions cloud.Sessions) (*cloud.Client, error) {
	return cloud.New(c.base, t, sessions, c.transport, c.now)
}

// of is the client of an account that has a token.
func (c *Clouds) of(ctx context.Context, a Account) (*cloud.Client, error) {
	if !a.Token.Installed() {
		return nil, NoToken(a.Name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.clients[a.ID]; ok && known.installed.Equal(a.Token.InstalledAt) {
		return known.Client, nil
	}
	t, err := c.store.AccountToken(ctx, a.ID)
	if err != nil {
		return nil, err
	}
	fresh, err := c.dial(t, shared{c.store, a.ID, a.Token.InstalledAt})
	if err == nil {
		c.clients[a.ID] = client{fresh, a.Token.InstalledAt}
	}
	return fresh, err
}

// forget drops the client of an account that is no more.
func (c *Clouds) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.clients, id)
}

// shared is the session that all replicas use.
type shared struct {
	store     AccountStore
	id        string
	installed time.Time
}

func (s shared) Session(ctx context.Context) (string, error) {
	return s.store.AccountSession(ctx, s.id, s.installed)
}

func (s shared) SetSession(ctx context.Context, session string) error {
	return s.store.SetAccountSession(ctx, s.id, s.installed, session)
}

// single is the session of a token that is being proven.
type single struct{ session string }

func (s *single) Session(context.Context) (string, error) { return s.session, nil }

func (s *single) SetSession(_ context.Context, session string) error {
	s.session = session
	return nil
}
