package stage

import (
	"testing"
	"time"

	"rollcall/cmd/rollcall/app"
	"rollcall/sim/idp"
	"rollcall/sim/iphone"
)

// identityProvider is an OpenID provider on the clock of the play that it
// serves.
type identityProvider struct {
	*idp.Provider
	play *play
}

func startIDP(t *testing.T) *identityProvider {
	t.Helper()
	o := &identityProvider{}
	var err error
	if o.Provider, err = idp.New(idp.Config{ClientID: "rollcall", ClientSecret: "s3cret", Now: func() time.Time { return o.play.clock.Now() }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	return o
}

// options are those of a server whose people sign in here.
func (o *identityProvider) options(a *app.Options) {
	a.OIDCIssuer, a.OIDCClientID, a.OIDCClientSecret = o.Issuer(), "rollcall", "s3cret"
	a.AccountDays, a.OIDCTransport = 90, o.Client().Transport
}

// serve sends people back to the server of a play.
func (o *identityProvider) serve(p *play) {
	o.play = p
	o.Back(p.url + "/enroll/oidc/callback")
}

// startWithProvider sets the stage with an OpenID provider beside the server.
func startWithProvider(t *testing.T, dsn string) (*play, *identityProvider) {
	t.Helper()
	o := startIDP(t)
	p := start(t, dsn, func(s *Options) { s.Change = o.options })
	o.serve(p)
	return p, o
}

// trusting lets a phone's browser open the provider's pages.
func (p *play) trusting(provider *identityProvider) func(*iphone.Config) {
	return func(c *iphone.Config) {
		c.Roots = p.Roots.Clone()
		c.Roots.AddCert(provider.Certificate())
	}
}
