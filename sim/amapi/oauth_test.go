package amapi

import (
	"net/http"
	"testing"
	"time"
)

func TestTokenEndpoint(t *testing.T) {
	b := newBench(t)
	good := object{"alg": "RS256", "typ": "JWT"}
	for name, c := range map[string]struct {
		header object
		change func(object)
		want   string // error; "": a token
	}{
		"good":           {good, func(object) {}, ""},
		"with key id":    {object{"alg": "RS256", "kid": b.cloud.account.keyID}, func(object) {}, ""},
		"of another key": {object{"alg": "RS256", "kid": "x"}, func(object) {}, "invalid_grant"},
		"alg none":       {object{"alg": "none"}, func(object) {}, "invalid_grant"},
		"alg HS256":      {object{"alg": "HS256"}, func(object) {}, "invalid_grant"},
		"issuer":         {good, func(c object) { c["iss"] = "somebody@example.com" }, "invalid_grant"},
		"audience":       {good, func(c object) { c["aud"] = "https://oauth2.googleapis.com/token" }, "invalid_grant"},
		"scope missing":  {good, func(c object) { delete(c, "scope") }, "invalid_grant"},
		"scope unknown":  {good, func(c object) { c["scope"] = "https://www.googleapis.com/auth/drive" }, "invalid_grant"},
		"expired":        {good, func(c object) { c["iat"], c["exp"] = 1, 3601 }, "invalid_grant"},
		"too long":       {good, func(c object) { c["exp"] = b.clock.now().Add(2 * time.Hour).Unix() }, "invalid_grant"},
		"of the future":  {good, func(c object) { c["iat"] = b.clock.now().Add(10 * time.Minute).Unix() }, "invalid_grant"},
	} {
		claims := b.claims()
		c.change(claims)
		status, out := b.exchange(b.assertion(c.header, claims))
		if text(out, "error") != c.want || (status == http.StatusOK) != (c.want == "") {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
	claims := b.claims()
	signed := b.assertion(good, claims)
	for _, broken := range []string{"", "a.b", signed[:len(signed)-4] + "AAAA", "x" + signed} {
		if status, _ := b.exchange(broken); status != http.StatusBadRequest {
			t.Errorf("%q: %d", broken, status)
		}
	}
}

func TestBearer(t *testing.T) {
	b := newBench(t)
	bearer := b.bearer
	b.bearer = "ya29.other"
	b.refused("GET", b.enterprise, nil, "UNAUTHENTICATED", "invalid authentication")
	b.bearer = bearer
	b.clock.advance(time.Hour)
	b.refused("GET", b.enterprise, nil, "UNAUTHENTICATED", "invalid authentication")
	b.signIn()
	b.ok("GET", b.enterprise, nil)
	b.cloud.ExpireTokens()
	b.refused("GET", b.enterprise, nil, "UNAUTHENTICATED", "invalid authentication")
	claims := b.claims()
	claims["scope"] = pubsubScope
	_, out := b.exchange(b.assertion(object{"alg": "RS256"}, claims))
	b.bearer = text(out, "access_token")
	b.refused("GET", b.enterprise, nil, "PERMISSION_DENIED", "insufficient authentication scopes")
	b.ok("GET", "projects/sim-project/topics/amapi", nil)
	b.refused("GET", "customers", nil, "PERMISSION_DENIED", "insufficient authentication scopes")
}

func TestQuota(t *testing.T) {
	b := newBench(t, func(o *Options) { o.PerMinute = 3 }) // one is spent by newBench
	b.clock.advance(30 * time.Second)
	b.ok("GET", b.enterprise, nil)
	b.ok("GET", b.enterprise, nil)
	b.refused("GET", b.enterprise, nil, "RESOURCE_EXHAUSTED", "Requests per minute")
	b.ok("GET", "projects/sim-project/topics/amapi", nil) // Pub/Sub has a quota of its own
	b.clock.advance(30 * time.Second)
	b.ok("GET", b.enterprise, nil)
	b.refused("GET", b.enterprise, nil, "RESOURCE_EXHAUSTED", "Requests per minute")
	b.clock.advance(time.Minute)
	b.ok("GET", b.enterprise, nil)
}
