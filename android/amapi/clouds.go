package amapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"rollcall/android/google"
)

// Endpoints are the services that are called; empty ones are Google's.
type Endpoints struct {
	Management string
	PubSub     string
}

// serviceAccount is the name that the key is kept under.
const serviceAccount = "amapi/service_account"

// Clouds makes the clients for the service account that is stored.
type Clouds struct {
	endpoints Endpoints
	transport *http.Transport
	store     OrganizationStore
	now       func() time.Time

	mu      sync.Mutex
	clients *clients
}

// clients are those of one key.
type clients struct {
	account    google.ServiceAccount
	management *Client
	pubsub     *PubSub
}

// NewClouds makes clients of services.
func NewClouds(e Endpoints, store OrganizationStore, now func() time.Time) (*Clouds, error) {
	for at, standard := range map[*string]string{&e.Management: ManagementURL, &e.PubSub: PubSubURL} {
		if *at == "" {
			*at = standard
		}
		if u, err := url.Parse(*at); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			return nil, fmt.Errorf("%q is not the URL of a service", *at)
		}
	}
	if now == nil {
		now = time.Now
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost, t.MaxResponseHeaderBytes = 16, 64<<10
	return &Clouds{endpoints: e, transport: t, store: store, now: now}, nil
}

// Close gives idle connections back.
func (c *Clouds) Close() { c.transport.CloseIdleConnections() }

// dial makes the clients of a key.
func (c *Clouds) dial(account google.ServiceAccount) *clients {
	client := func(base, scope string, budget Budget) *Client {
		tokens := google.NewTokenSource(account, scope, c.forTokens(), c.now)
		return NewClient(base, tokens, c.transport, account.ProjectID, budget, c.now)
	}
	return &clients{account: account, management: client(c.endpoints.Management, ManagementScope, c.store), pubsub: &PubSub{client(c.endpoints.PubSub, PubSubScope, nil)}}
}

// forTokens is the client that tokens are got with; nobody redirects it.
func (c *Clouds) forTokens() *http.Client {
	return &http.Client{Transport: c.transport, Timeout: callTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// of are the clients of an organization, whose key may have been replaced by
// another replica.
func (c *Clouds) of(ctx context.Context, o Organization) (*clients, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.clients != nil && c.clients.account.KeyID == o.KeyID && c.clients.account.ClientEmail == o.Account {
		return c.clients, nil
	}
	file, err := c.store.Secret(ctx, serviceAccount)
	if err != nil {
		return nil, err
	}
	account, err := google.ParseServiceAccount(file)
	if err != nil {
		return nil, err
	}
	c.clients = c.dial(account)
	return c.clients, nil
}

// management is the client of the organization that is connected.
func (c *Clouds) management(ctx context.Context, o Organization) (*Client, error) {
	all, err := c.of(ctx, o)
	if err != nil {
		return nil, err
	}
	return all.management, nil
}

// prove gets an access token with a key that is not stored yet.
func (c *Clouds) prove(ctx context.Context, account google.ServiceAccount) error {
	if c.endpoints.Management == ManagementURL {
		if err := account.CheckIssuer(); err != nil {
			return err
		}
	}
	_, err := google.NewTokenSource(account, ManagementScope, c.forTokens(), c.now).Token(ctx)
	var refused *google.TokenError
	switch {
	case errors.As(err, &refused):
		return &Error{Call: "access token", Status: refused.Status, Code: Unauthorized, Reason: refused.Code, Err: err}
	case err != nil:
		return &Error{Call: "access token", Code: Unreachable, Err: err}
	}
	return nil
}

// forget drops the clients of a key that was replaced.
func (c *Clouds) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clients = nil
}
