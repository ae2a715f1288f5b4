package amapi

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"strconv"
	"time"
)

// Forgery is a push whose token is not good.
type Forgery string

// A push endpoint must refuse each of these.
const (
	NoToken         Forgery = "no_token"
	NotAToken       Forgery = "not_a_token"    // "Bearer x"
	WrongAudience   Forgery = "wrong_audience" // another endpoint's
	WrongEmail      Forgery = "wrong_email"    // another service account's
	UnverifiedEmail Forgery = "unverified_email"
	WrongIssuer     Forgery = "wrong_issuer"
	UnknownKey      Forgery = "unknown_key" // a kid that no set has, signed with a key of its own
	WrongKey        Forgery = "wrong_key"   // the right kid, signed with another key
	AlgNone         Forgery = "alg_none"
	AlgHS256        Forgery = "alg_hs256"       // the public key as a shared secret
	ShortES256      Forgery = "es256_short"     // a signature of 8 bytes: some verifiers panic
	Expired         Forgery = "expired"         // an hour ago
	NotYet          Forgery = "not_yet"         // issued in an hour
	ChangedPayload  Forgery = "changed_payload" // the signature of other claims
)

// Forgeries are all of them.
var Forgeries = []Forgery{NoToken, NotAToken, WrongAudience, WrongEmail, UnverifiedEmail, WrongIssuer, UnknownKey, WrongKey, AlgNone, AlgHS256, ShortES256, Expired, NotYet, ChangedPayload}

// ForgePush sends one push to the endpoint of a subscription: the type of the
// notification and its data as given, with a token that is forged; "" is a
// token that is good. It returns the status of the answer.
func (c *Cloud) ForgePush(ctx context.Context, subscription string, f Forgery, notificationType string, data []byte) (int, error) {
	c.mu.Lock()
	s := c.subscriptions[subscription]
	if s == nil || s.push == nil {
		c.mu.Unlock()
		return 0, fmt.Errorf("amapi: %q is no subscription with push", subscription)
	}
	to := *s.push
	c.messages++
	d := &delivery{message: &message{id: strconv.Itoa(136969346945 + c.messages), attrs: map[string]string{"notificationType": notificationType}, data: data, published: c.now()}, attempts: 1}
	body := c.envelope(s, d)
	c.mu.Unlock()
	bearer, err := c.forge(to, f)
	if err != nil {
		return 0, err
	}
	return c.post(ctx, to.endpoint, bearer, body)
}

func (c *Cloud) forge(to pushConfig, f Forgery) (string, error) {
	t := c.claims(to)
	now := c.now()
	switch f {
	case "":
	case NoToken:
		return "", nil
	case NotAToken:
		return "x", nil
	case WrongAudience:
		t.claims["aud"] = "https://other.example/push"
	case WrongEmail:
		t.claims["email"] = "somebody@other-project.iam.gserviceaccount.com"
	case UnverifiedEmail:
		t.claims["email_verified"] = false
	case WrongIssuer:
		t.claims["iss"] = "https://accounts.example"
	case Expired:
		t.claims["iat"], t.claims["exp"] = now.Add(-2*time.Hour).Unix(), now.Add(-time.Hour).Unix()
	case NotYet:
		t.claims["iat"], t.claims["exp"] = now.Add(time.Hour).Unix(), now.Add(2*time.Hour).Unix()
	case UnknownKey, WrongKey:
		key, err := newKey()
		if err != nil {
			return "", fmt.Errorf("amapi: %w", err)
		}
		if f == UnknownKey {
			t.header["kid"] = random(20)
		}
		return signWith(key, t), nil
	case AlgNone:
		t.header = object{"alg": "none", "typ": "JWT"}
		return t.payload() + ".", nil
	case AlgHS256:
		t.header["alg"] = "HS256"
		return t.payload() + "." + b64.EncodeToString(c.sharedSecret(t.payload())), nil
	case ShortES256:
		t.header["alg"] = "ES256"
		return t.payload() + "." + b64.EncodeToString(make([]byte, 8)), nil
	case ChangedPayload:
		good := c.sign(t)
		changed := token{t.header, maps.Clone(t.claims)}
		changed.claims["sub"] = "1"
		return changed.payload() + good[len(t.payload()):], nil
	default:
		return "", fmt.Errorf("amapi: forgery %q is unknown", f)
	}
	return c.sign(t), nil
}

// sharedSecret signs with the public key's PEM as a secret, which a verifier
// accepts that lets the token choose the algorithm.
func (c *Cloud) sharedSecret(payload string) []byte {
	c.mu.Lock()
	der, err := x509.MarshalPKIXPublicKey(&c.pushKey.PublicKey)
	c.mu.Unlock()
	if err != nil {
		panic(err) // an RSA key can be marshalled
	}
	mac := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	mac.Write([]byte(payload))
	return mac.Sum(nil)
}
