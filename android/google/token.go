package google

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	assertionLife = time.Hour        // the longest that Google takes
	early         = 2 * time.Minute  // a token is renewed this long before it ends
	maxAnswer     = 64 << 10         // bytes of an answer that are read
	exchangeLimit = 20 * time.Second // for one exchange, beside the caller's own
)

// TokenError is a refusal by the token endpoint.
type TokenError struct {
	Status int    // HTTP status
	Code   string // OAuth 2.0 error, such as invalid_grant; may be empty
}

func (e *TokenError) Error() string {
	return fmt.Sprintf("google: no access token: status %d %s", e.Status, e.Code)
}

// TokenSource gives access tokens of one service account for one scope. It may
// be used by many at once; one of them fetches.
type TokenSource struct {
	key    ServiceAccount
	scope  string
	client *http.Client
	now    func() time.Time

	turn    chan struct{} // held by who fetches
	mu      sync.Mutex
	token   string
	expires time.Time
}

// NewTokenSource makes a source. scope is one or more addresses of scopes,
// separated by blanks. client bounds the time of a call; a nil now is time.Now.
func NewTokenSource(key ServiceAccount, scope string, client *http.Client, now func() time.Time) *TokenSource {
	if now == nil {
		now = time.Now
	}
	return &TokenSource{key: key, scope: scope, client: client, now: now, turn: make(chan struct{}, 1)}
}

// Token gives a token that is good for two minutes at least. Errors are
// *TokenError when Google refuses; others are of the way there.
func (s *TokenSource) Token(ctx context.Context) (string, error) {
	if token := s.held(); token != "" {
		return token, nil
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if token := s.held(); token != "" {
		return token, nil
	}
	token, life, err := s.exchange(ctx)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token, s.expires = token, s.now().Add(life)
	return token, nil
}

// Forget drops a token that an API refused with 401, so that the next call of
// Token fetches another.
func (s *TokenSource) Forget(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == token {
		s.token = ""
	}
}

func (s *TokenSource) held() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token != "" && s.now().Add(early).Before(s.expires) {
		return s.token
	}
	return ""
}

// exchange gives an assertion for a token (RFC 7523 section 2.1).
func (s *TokenSource) exchange(ctx context.Context) (token string, life time.Duration, err error) {
	assertion, err := s.assertion()
	if err != nil {
		return "", 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, exchangeLimit)
	defer cancel()
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.key.TokenURI, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := s.client.Do(req)
	if err != nil {
		return "", 0, fmt.Errorf("google: token endpoint: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return "", 0, fmt.Errorf("google: token endpoint: %w", err)
	}
	var answer struct {
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"` // seconds
		Error       string  `json:"error"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || resp.StatusCode != http.StatusOK || answer.AccessToken == "" {
		return "", 0, &TokenError{Status: resp.StatusCode, Code: answer.Error}
	}
	life = time.Duration(min(max(answer.ExpiresIn, 0), assertionLife.Seconds()) * float64(time.Second))
	return answer.AccessToken, life, nil
}

// assertion is a signed JWT (RFC 7523 section 3).
func (s *TokenSource) assertion() (string, error) {
	now := s.now()
	header, err := json.Marshal(map[string]string{"alg": "RS256", "typ": "JWT", "kid": s.key.KeyID})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{"iss": s.key.ClientEmail, "scope": s.scope, "aud": s.key.TokenURI,
		"iat": now.Unix(), "exp": now.Add(assertionLife).Unix()})
	if err != nil {
		return "", err
	}
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.key.key, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("google: assertion not signed: %w", err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
