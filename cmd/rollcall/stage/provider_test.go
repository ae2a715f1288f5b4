package stage

import (
	"testing"
	"time"

	"rollcall/cmd/rollcall/app"
	"rollcall/sim/idp"
	"rollcall/sim/iphone"
)

// startWithProvider sets the stage with an OpenID provider beside the server.
func startWithProvider(t *testing.T, dsn string) (*play, *idp.Provider) {
	t.Helper()
	var p *play
	provider, err := idp.New(idp.Config{ClientID: "rollcall", ClientSecret: "s3cret", Now: func() time.Time { return p.clock.Now() }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(provider.Close)
	p = start(t, dsn, func(o *Options) {
		o.Change = func(o *app.Options) {
			o.OIDCIssuer, o.OIDCClientID, o.OIDCClientSecret = provider.Issuer(), "rollcall", "s3cret"
			o.AccountDays = 90
			o.OIDCTransport = provider.Client().Transport
		}
	})
	provider.Back(p.url + "/enroll/oidc/callback")
	return p, provider
}

// trusting lets a phone's browser open the provider's pages.
func (p *play) trusting(provider *idp.Provider) func(*iphone.Config) {
	return func(c *iphone.Config) {
		c.Roots = p.Roots.Clone()
		c.Roots.AddCert(provider.Certificate())
	}
}
