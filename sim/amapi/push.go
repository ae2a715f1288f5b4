package amapi

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"time"
)

const (
	certsPath = "/oauth2/v3/certs"
	issuer    = "https://accounts.google.com"
	// maxPushing is how many deliveries are under way at a time.
	maxPushing  = 8
	pushTimeout = 10 * time.Second
)

// accepted are the answers that acknowledge a push.
var accepted = []int{http.StatusProcessing, http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent}

// pushConfig says where messages go, and as whom.
type pushConfig struct {
	endpoint, email, audience string
}

// readPush reads pushConfig; nil for pull.
func readPush(sent object) (*pushConfig, *refusal) {
	if len(sent) == 0 {
		return nil, nil
	}
	if bad := only(sent, "pushEndpoint", "attributes", "oidcToken"); bad != nil {
		return nil, bad
	}
	p := &pushConfig{text(sent, "pushEndpoint"), text(sent, "oidcToken.serviceAccountEmail"), text(sent, "oidcToken.audience")}
	u, err := url.Parse(p.endpoint)
	if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
		return nil, invalid("Invalid push endpoint given: %q. It must be an https URL.", p.endpoint)
	}
	if oidc, sent := sent["oidcToken"].(object); sent {
		if bad := only(oidc, "serviceAccountEmail", "audience"); bad != nil {
			return nil, bad
		}
		if p.email == "" {
			return nil, invalid("oidcToken needs serviceAccountEmail.")
		}
	}
	if p.audience == "" {
		p.audience = p.endpoint
	}
	return p, nil
}

// deliver pushes messages until Close, and lets the clock do its work.
func (c *Cloud) deliver() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel() // ends deliveries that hang
	for {
		c.mu.Lock()
		c.settle()
		changed := c.changed
		for _, s := range c.subscriptions {
			if s.push == nil {
				continue
			}
			s.compact()
			for _, d := range s.queue {
				if c.pushing == maxPushing {
					break
				}
				if !d.due.After(c.now()) {
					s.lease(d, c.now())
					c.pushing++
					to := *s.push
					c.workers.Go(func() { c.push(ctx, s, to, d) })
				}
			}
		}
		c.mu.Unlock()
		select {
		case <-changed:
		case <-time.After(pollPause):
		case <-c.done:
			return
		}
	}
}

// push delivers one message, and sets when it comes again if it was not
// accepted.
func (c *Cloud) push(ctx context.Context, s *subscription, to pushConfig, d *delivery) {
	bearer := ""
	if to.email != "" {
		bearer = c.sign(c.claims(to))
	}
	c.mu.Lock()
	body := c.envelope(s, d)
	c.mu.Unlock()
	status, err := c.post(ctx, to.endpoint, bearer, body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pushing--
	if err == nil && slices.Contains(accepted, status) {
		s.ack(d, c.now())
	} else {
		d.due = c.now().Add(min(c.options.PushRetry<<min(d.attempts-1, 6), 60*c.options.PushRetry))
	}
	c.signal()
}

func (c *Cloud) envelope(s *subscription, d *delivery) []byte {
	envelope := object{"message": d.message.shape(true), "subscription": s.name}
	if s.settings["deadLetterPolicy"] != nil {
		envelope["deliveryAttempt"] = d.attempts
	}
	body, err := json.Marshal(envelope)
	if err != nil {
		panic(err) // a value of this package that is no JSON
	}
	return body
}

func (c *Cloud) post(ctx context.Context, endpoint, bearer string, body []byte) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "CloudPubSub-Google")
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	client := *c.options.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	// What the endpoint says is not looked at; the connection is used again.
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, nil
}

// token is a JSON Web Token before it is signed.
type token struct {
	header, claims object
}

// claims are those of a push
// (cloud.google.com/pubsub/docs/authenticate-push-subscriptions).
func (c *Cloud) claims(to pushConfig) token {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	return token{object{"alg": "RS256", "typ": "JWT", "kid": c.keyID}, object{"iss": issuer, "aud": to.audience, "azp": "110000000000000000001", "sub": "110000000000000000001",
		"email": to.email, "email_verified": true, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}}
}

// payload is what is signed.
func (t token) payload() string {
	header, err := json.Marshal(t.header)
	if err != nil {
		panic(err)
	}
	claims, err := json.Marshal(t.claims)
	if err != nil {
		panic(err)
	}
	return b64.EncodeToString(header) + "." + b64.EncodeToString(claims)
}

// sign signs with the key of the day, by RS256.
func (c *Cloud) sign(t token) string {
	c.mu.Lock()
	key := c.pushKey
	c.mu.Unlock()
	return signWith(key, t)
}

func signWith(key *rsa.PrivateKey, t token) string {
	payload := t.payload()
	digest := sha256.Sum256([]byte(payload))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		panic(err) // the key is ours, and long enough
	}
	return payload + "." + b64.EncodeToString(signature)
}

// CertsURL is where the keys of pushes are, as a JSON Web Key Set; Google's is
// https://www.googleapis.com/oauth2/v3/certs.
func (c *Cloud) CertsURL() string { return c.url + certsPath }

func (c *Cloud) serveCerts(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	key, id := c.pushKey.PublicKey, c.keyID
	c.mu.Unlock()
	w.Header().Set("Cache-Control", "public, max-age=19800, must-revalidate, no-transform")
	writeJSON(w, http.StatusOK, object{"keys": []any{object{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": id,
		"n": b64.EncodeToString(key.N.Bytes()), "e": b64.EncodeToString(big.NewInt(int64(key.E)).Bytes())}}})
}

// RotateKeys makes a new key for pushes; the key set forgets the old one.
func (c *Cloud) RotateKeys() error {
	key, err := newKey()
	if err != nil {
		return fmt.Errorf("amapi: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pushKey, c.keyID = key, random(20)
	return nil
}
