package amapi

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// CertsURL is where Google publishes the keys that it signs ID tokens with.
const CertsURL = "https://www.googleapis.com/oauth2/v3/certs"

const (
	maxToken     = 8 << 10
	maxKeys      = 64 << 10 // bytes
	clockSkew    = time.Minute
	keysLife     = time.Hour // where Google does not say
	keysRefetch  = time.Minute
	keysRetry    = 5 * time.Second
	keysTimeout  = 10 * time.Second
	maxTokenLife = 24 * time.Hour
)

// issuers are Google's names for itself.
var issuers = []string{"https://accounts.google.com", "accounts.google.com"}

// Verifier verifies the OpenID Connect tokens that Pub/Sub sends with a push
// (cloud.google.com/pubsub/docs/authenticate-push-subscriptions). RS256 is the
// only algorithm.
type Verifier struct {
	url    string
	client *http.Client
	now    func() time.Time

	fetches singleflight.Group

	mu     sync.Mutex
	keys   map[string]*rsa.PublicKey
	ends   time.Time
	asked  time.Time // when the keys were fetched last, or could not be
	failed error     // of that time
}

// NewVerifier makes a verifier with the keys at url; "" is Google's.
func NewVerifier(url string, transport http.RoundTripper, now func() time.Time) *Verifier {
	if url == "" {
		url = CertsURL
	}
	if now == nil {
		now = time.Now
	}
	return &Verifier{url: url, now: now, client: &http.Client{Transport: transport, Timeout: keysTimeout}}
}

// errToken says what is wrong with a token; it goes to the log only.
type errToken string

func (e errToken) Error() string { return "amapi: the token " + string(e) }

// Verify says whether a token was made by Google for this audience and service
// account. An error that is no refusal is one of fetching the keys.
func (v *Verifier) Verify(ctx context.Context, token, audience, email string) error {
	if len(token) > maxToken {
		return errToken("is too long")
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return errToken("has not three parts")
	}
	var header struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid"`
		Critical  []any  `json:"crit"`
	}
	if decodePart(parts[0], &header) != nil {
		return errToken("has no header")
	}
	if header.Algorithm != "RS256" {
		return errToken("is not signed with RS256")
	}
	if header.Critical != nil {
		return errToken("has critical headers")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return errToken("has no signature")
	}
	key, err := v.key(ctx, header.KeyID)
	if err != nil {
		return err
	}
	if key == nil {
		return errToken("names a key that Google does not have")
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) != nil {
		return errToken("has a wrong signature")
	}
	var claims struct {
		Issuer   string `json:"iss"`
		Audience string `json:"aud"` // one, as a text
		Email    string `json:"email"`
		Verified bool   `json:"email_verified"`
		Expires  int64  `json:"exp"`
		Issued   int64  `json:"iat"`
	}
	if decodePart(parts[1], &claims) != nil {
		return errToken("has no claims that can be read")
	}
	now := v.now()
	expires, issued := time.Unix(claims.Expires, 0), time.Unix(claims.Issued, 0)
	switch {
	case !slices.Contains(issuers, claims.Issuer):
		return errToken("has another issuer")
	case audience == "" || claims.Audience != audience:
		return errToken("is for another audience")
	case email == "" || claims.Email != email || !claims.Verified:
		return errToken("is of another account")
	case now.After(expires.Add(clockSkew)):
		return errToken("has expired")
	case now.Add(clockSkew).Before(issued) || expires.Sub(issued) > maxTokenLife:
		return errToken("has impossible times")
	}
	return nil
}

func decodePart(part string, into any) error {
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

// key finds a key, nil where Google has none with this ID. An unknown ID makes
// the keys be fetched at most once a minute; where that fails, the next try is
// after keysRetry. Nobody waits for it whose key is known.
func (v *Verifier) key(ctx context.Context, id string) (*rsa.PublicKey, error) {
	if key, done, err := v.held(id); done {
		return key, err
	}
	// Who asks first may go away; the others want the keys still.
	fetched := v.fetches.DoChan("", func() (any, error) {
		keys, life, err := v.fetch(context.WithoutCancel(ctx))
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.asked, v.failed = v.now(), err; err == nil {
			v.keys, v.ends = keys, v.asked.Add(life)
		}
		return nil, nil
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-fetched:
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.keys[id], v.failed
}

// held is what can be said of a key without asking Google.
func (v *Verifier) held(id string) (key *rsa.PublicKey, done bool, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.now()
	known, good := v.keys[id], now.Before(v.ends)
	switch {
	case known != nil && good:
		return known, true, nil
	case v.failed != nil && now.Before(v.asked.Add(keysRetry)):
		return nil, true, v.failed
	case v.failed == nil && good && now.Before(v.asked.Add(keysRefetch)):
		return nil, true, nil
	}
	return nil, false, nil
}

var maxAge = regexp.MustCompile(`(?:^|[ ,])max-age=([0-9]{1,9})`)

// fetch reads the keys (RFC 7517).
func (v *Verifier) fetch(ctx context.Context) (map[string]*rsa.PublicKey, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.url, nil)
	if err != nil {
		return nil, 0, err
	}
	res, err := v.client.Do(req)
	if err != nil {
		return nil, 0, fmt.Errorf("amapi: keys of Google: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxKeys))
	if err != nil {
		return nil, 0, fmt.Errorf("amapi: keys of Google: %w", err)
	}
	var set struct {
		Keys []struct {
			Type string `json:"kty"`
			ID   string `json:"kid"`
			N    string `json:"n"`
			E    string `json:"e"`
		} `json:"keys"`
	}
	if res.StatusCode != http.StatusOK || json.Unmarshal(body, &set) != nil {
		return nil, 0, errors.New("amapi: the keys of Google cannot be read")
	}
	keys := map[string]*rsa.PublicKey{}
	for _, k := range set.Keys {
		n, errN := base64.RawURLEncoding.DecodeString(k.N)
		e, errE := base64.RawURLEncoding.DecodeString(k.E)
		if k.Type != "RSA" || k.ID == "" || errN != nil || errE != nil || len(n) < 256 || len(n) > 1024 || len(e) == 0 || len(e) > 4 {
			continue
		}
		keys[k.ID] = &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	}
	life := keysLife
	if m := maxAge.FindStringSubmatch(res.Header.Get("Cache-Control")); m != nil {
		seconds, _ := strconv.Atoi(m[1]) // at most nine digits
		life = min(time.Duration(seconds)*time.Second, 24*time.Hour)
	}
	return keys, max(life, keysRefetch), nil
}
