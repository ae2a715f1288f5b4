package signin

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

	"rollcall/enroll"
)

// OIDC is the organization's OpenID provider: authorization code flow with
// PKCE (OpenID Connect Core 1.0, section 3.1; RFC 7636). Its discovery document
// is read when it is needed first.
type OIDC struct {
	Issuer       string
	ClientID     string
	ClientSecret string
	RedirectURL  string // ServeCallback, as the provider knows it
	Now          func() time.Time
	Transport    http.RoundTripper // nil: http.DefaultTransport
	Unverified   bool              // take addresses of which the provider does not say whether they were verified

	reading  singleflight.Group
	mu       sync.Mutex
	provider *oidc.Provider
	failure  error // of the last try to reach it
	failed   time.Time
}

const (
	providerTimeout = 10 * time.Second
	// providerPause is for how long a provider that failed is not asked again.
	providerPause   = 5 * time.Second
	maxProviderBody = 1 << 20
)

// Round is one way of a browser to the provider and back. It has to be bound to
// that browser, and to be good for one Finish.
type Round struct {
	State string `json:"state,omitempty"`
	Nonce string `json:"nonce,omitempty"`
	Proof string `json:"proof,omitempty"` // PKCE code verifier
}

// NewRound begins one.
func NewRound() Round { return Round{newToken(), newToken(), newToken()} }

func newToken() string { return rand.Text() + rand.Text() }

// bounded limits what is read of an answer.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.next.RoundTrip(r)
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, maxProviderBody), res.Body}
	}
	return res, err
}

func (o *OIDC) client() *http.Client {
	next := o.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	return &http.Client{Transport: bounded{next}, Timeout: providerTimeout}
}

// discover reads the provider's discovery document, once it succeeds. Who comes
// meanwhile waits for the one try, as long as ctx allows; after a failure
// everybody is told at once for a while.
func (o *OIDC) discover(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	provider, err := o.known()
	if err != nil {
		return nil, nil, providerError(err)
	}
	if provider == nil {
		done := o.reading.DoChan("", func() (any, error) { return o.read(context.WithoutCancel(ctx)) })
		select {
		case r := <-done:
			if r.Err != nil {
				return nil, nil, providerError(r.Err)
			}
			provider = r.Val.(*oidc.Provider)
		case <-ctx.Done():
			return nil, nil, providerError(ctx.Err())
		}
	}
	return provider, &oauth2.Config{ClientID: o.ClientID, ClientSecret: o.ClientSecret, RedirectURL: o.RedirectURL,
		Endpoint: provider.Endpoint(), Scopes: []string{oidc.ScopeOpenID, "email"}}, nil
}

// known is the provider that was read before, or why it was not just now; both
// nil if it is to be asked.
func (o *OIDC) known() (*oidc.Provider, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if since := o.Now().Sub(o.failed); o.failure != nil && (since < 0 || since >= providerPause) {
		o.failure = nil
	}
	return o.provider, o.failure
}

// read asks the provider, which keeps ctx for its keys and outlives the
// request.
func (o *OIDC) read(ctx context.Context) (*oidc.Provider, error) {
	p, err := oidc.NewProvider(oidc.ClientContext(ctx, o.client()), o.Issuer)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.provider, o.failure, o.failed = p, err, o.Now()
	return p, err
}

func providerError(err error) error {
	return &enroll.Error{Kind: enroll.KindUnavailable, Code: "oidc_unavailable", Text: "The sign-in service does not answer.", Op: "signin.OIDC", Err: err}
}

func refusedToken(text string, err error) error {
	return &enroll.Error{Kind: enroll.KindForbidden, Code: "oidc_token", Text: text, Hint: "Go back on the device, and begin again. If it stays like this, tell your administrator.", Err: err}
}

// Start is where the browser goes to sign in. hint is the account that the
// person will probably use; empty: not known.
func (o *OIDC) Start(ctx context.Context, s Round, hint string) (string, error) {
	_, config, err := o.discover(ctx)
	if err != nil {
		return "", err
	}
	options := []oauth2.AuthCodeOption{oidc.Nonce(s.Nonce), oauth2.S256ChallengeOption(s.Proof)}
	if hint != "" {
		options = append(options, oauth2.SetAuthURLParam("login_hint", hint))
	}
	return config.AuthCodeURL(s.State, options...), nil
}

// Back says whether a browser with these parameters comes back from this round.
func (s Round) Back(q url.Values) bool {
	return s.State != "" && subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(s.State)) == 1
}

// Finish exchanges the code of a round for the e-mail address of who signed in,
// in lower case. enroll.KindForbidden where the provider's answer does not hold,
// enroll.KindUnavailable where there is none.
func (o *OIDC) Finish(ctx context.Context, s Round, code string) (string, error) {
	provider, config, err := o.discover(ctx)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, o.client()), providerTimeout)
	defer cancel()
	token, err := config.Exchange(ctx, code, oauth2.VerifierOption(s.Proof))
	if err != nil {
		return "", refusedToken("You were not signed in.", err)
	}
	raw, _ := token.Extra("id_token").(string)
	// The algorithms are fixed: what a provider says it supports is no proof.
	verifier := provider.Verifier(&oidc.Config{ClientID: o.ClientID, Now: o.Now, SupportedSigningAlgs: []string{oidc.RS256, oidc.ES256}})
	id, err := verifier.Verify(ctx, raw)
	if err != nil {
		return "", refusedToken("The sign-in service answered with a token that is not valid.", err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(s.Nonce)) != 1 {
		return "", refusedToken("The sign-in service answered with the token of another sign-in.", nil)
	}
	var c claims
	if err := id.Claims(&c); err != nil {
		return "", refusedToken("The sign-in service answered with a token that cannot be read.", err)
	}
	return c.address(o.Unverified)
}

type claims struct {
	Email    string `json:"email"`
	Verified any    `json:"email_verified"` // a bool, of some a string
}

// address is the e-mail address of the claims, in lower case. A provider that
// does not say that it is verified may let people write down any; unverified
// takes those all the same, but not what is said to be unverified.
func (c claims) address(unverified bool) (string, error) {
	email := strings.ToLower(strings.TrimSpace(c.Email))
	ok := c.Verified == true || c.Verified == "true" || c.Verified == nil && unverified
	if email == "" || !ok {
		return "", refusedToken("The sign-in service did not say which e-mail address is yours.", nil)
	}
	return email, nil
}
