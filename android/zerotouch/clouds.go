package zerotouch

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"rollcall/android/google"
)

// serviceAccount is the name that the key is kept under.
const serviceAccount = "zero_touch/service_account"

// Clouds makes the client for the service account that is stored.
type Clouds struct {
	base      string
	transport *http.Transport
	store     AccountStore
	now       func() time.Time

	mu     sync.Mutex
	held   google.ServiceAccount // that client is for
	client *Client
}

// NewClouds makes clients of the service at base; "": Google's. A nil clock is
// time.Now.
func NewClouds(base string, store AccountStore, now func() time.Time) (*Clouds, error) {
	if base == "" {
		base = URL
	}
	if u, err := url.Parse(base); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("%q is not the URL of a service", base)
	}
	if now == nil {
		now = time.Now
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost, t.MaxResponseHeaderBytes = 4, 64<<10
	return &Clouds{base: base, transport: t, store: store, now: now}, nil
}

// Close gives idle connections back.
func (c *Clouds) Close() { c.transport.CloseIdleConnections() }

// dial makes the client of a key.
func (c *Clouds) dial(key google.ServiceAccount) *Client {
	return NewClient(c.base, google.NewTokenSource(key, Scope, outside(c.transport), c.now), c.transport)
}

// read reads a key that is not stored yet.
func (c *Clouds) read(file []byte) (google.ServiceAccount, error) {
	key, err := google.ParseServiceAccount(file)
	if err == nil && c.base == URL {
		err = key.CheckIssuer()
	}
	return key, err
}

// of is the client of the account, whose key may have been replaced by another
// replica.
func (c *Clouds) of(ctx context.Context, a Account) (*Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client != nil && c.held.KeyID == a.KeyID && c.held.ClientEmail == a.Address {
		return c.client, nil
	}
	file, err := c.store.Secret(ctx, serviceAccount)
	if err != nil {
		return nil, err
	}
	key, err := google.ParseServiceAccount(file)
	if err != nil {
		return nil, err
	}
	c.held, c.client = key, c.dial(key)
	return c.client, nil
}
