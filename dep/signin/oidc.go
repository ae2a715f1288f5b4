package signin

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

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

	mu       sync.Mutex
	provider *oidc.Provider
}

const (
	providerTimeout = 10 * time.Second
	maxProviderBody = 1 << 20
)

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

// discover reads the provider's discovery document, once it succeeds.
func (o *OIDC) discover(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.provider == nil {
		// The provider keeps the context for its keys, and outlives the request.
		p, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), o.client()), o.Issuer)
		if err != nil {
			return nil, nil, providerError(err)
		}
		o.provider = p
	}
	return o.provider, &oauth2.Config{ClientID: o.ClientID, ClientSecret: o.ClientSecret, RedirectURL: o.RedirectURL,
		Endpoint: o.provider.Endpoint(), Scopes: []string{oidc.ScopeOpenID, "email"}}, nil
}

func providerError(err error) error {
	return &enroll.Error{Kind: enroll.KindUnavailable, Code: "oidc_unavailable", Text: "The sign-in service does not answer.", Op: "signin.OIDC", Err: err}
}

func refusedToken(text string, err error) error {
	return &enroll.Error{Kind: enroll.KindForbidden, Code: "oidc_token", Text: text, Hint: "Go back on the device, and begin again. If it stays like this, tell your administrator.", Err: err}
}

// start is where the browser goes to sign in.
func (o *OIDC) start(ctx context.Context, s Session) (string, error) {
	_, config, err := o.discover(ctx)
	if err != nil {
		return "", err
	}
	options := []oauth2.AuthCodeOption{oidc.Nonce(s.Nonce), oauth2.S256ChallengeOption(s.Proof)}
	if s.Hint != "" {
		options = append(options, oauth2.SetAuthURLParam("login_hint", s.Hint))
	}
	return config.AuthCodeURL(s.State, options...), nil
}

// finish exchanges the code of a session for the e-mail address of who signed
// in, in lower case.
func (o *OIDC) finish(ctx context.Context, code string, s Session) (string, error) {
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
	var claims struct {
		Email    string `json:"email"`
		Verified any    `json:"email_verified"` // a bool, of some a string
	}
	if err := id.Claims(&claims); err != nil {
		return "", refusedToken("The sign-in service answered with a token that cannot be read.", err)
	}
	if claims.Email == "" || claims.Verified == false || claims.Verified == "false" {
		return "", refusedToken("The sign-in service did not say which e-mail address is yours.", nil)
	}
	return strings.ToLower(strings.TrimSpace(claims.Email)), nil
}
