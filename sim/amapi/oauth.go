package amapi

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	tokenPath     = "/token"
	tokenLifetime = time.Hour
	clockSkew     = time.Minute
	projectNumber = "100000000001"
	assertionType = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

var b64 = base64.RawURLEncoding

// serviceAccount is the one account of the project.
type serviceAccount struct {
	email, keyID string
	key          *rsa.PrivateKey
}

func newServiceAccount(project string, key *rsa.PrivateKey) serviceAccount {
	return serviceAccount{"rollcall@" + project + ".iam.gserviceaccount.com", random(20), key}
}

type accessToken struct {
	scopes  []string
	expires time.Time
}

// ServiceAccountKey is the key file (JSON) that Google's console lets download.
// Its token_uri is this cloud, so it is complete after Start.
func (c *Cloud) ServiceAccountKey() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(c.account.key)
	if err != nil {
		return nil, fmt.Errorf("amapi: %w", err)
	}
	return json.MarshalIndent(object{
		"type": "service_account", "project_id": c.options.Project, "private_key_id": c.account.keyID,
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email": c.account.email, "client_id": projectNumber, "auth_uri": c.url + "/auth", "token_uri": c.url + tokenPath,
		"universe_domain": "googleapis.com",
	}, "", "  ")
}

// ExpireTokens makes all access tokens so far worthless.
func (c *Cloud) ExpireTokens() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.tokens)
}

// serveToken exchanges an assertion (RFC 7523, section 2.1) for an access
// token, as "Using OAuth 2.0 for Server to Server Applications" has it.
func (c *Cloud) serveToken(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	fail := func(code, description string) {
		writeJSON(w, http.StatusBadRequest, object{"error": code, "error_description": description})
	}
	if r.PostFormValue("grant_type") != assertionType {
		fail("unsupported_grant_type", "Invalid grant_type: "+r.PostFormValue("grant_type"))
		return
	}
	granted, problem := c.verifyAssertion(r.PostFormValue("assertion"))
	if problem != "" {
		fail("invalid_grant", problem)
		return
	}
	token := "ya29." + random(32)
	c.mu.Lock()
	c.tokens[token] = accessToken{granted, c.now().Add(tokenLifetime)}
	c.mu.Unlock()
	writeJSON(w, http.StatusOK, object{"access_token": token, "expires_in": 3599, "token_type": "Bearer"})
}

// verifyAssertion returns the scopes of a good assertion, or what is wrong.
func (c *Cloud) verifyAssertion(assertion string) (granted []string, problem string) {
	var header struct{ Alg, Kid string }
	var claims struct {
		Iss, Scope, Aud string
		Iat, Exp        int64
	}
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 || !decodePart(parts[0], &header) || !decodePart(parts[1], &claims) {
		return nil, "Bad Request"
	}
	signature, err := b64.DecodeString(parts[2])
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err != nil || header.Alg != "RS256" || header.Kid != "" && header.Kid != c.account.keyID ||
		rsa.VerifyPKCS1v15(&c.account.key.PublicKey, crypto.SHA256, digest[:], signature) != nil {
		return nil, "Invalid JWT Signature."
	}
	now, issued, expires := c.now(), time.Unix(claims.Iat, 0), time.Unix(claims.Exp, 0)
	switch {
	case claims.Iss != c.account.email:
		return nil, "Invalid grant: account not found"
	case claims.Aud != c.url+tokenPath:
		return nil, "Invalid JWT: Failed audience check."
	case issued.After(now.Add(clockSkew)), !expires.After(now.Add(-clockSkew)), expires.Sub(issued) > time.Hour, !expires.After(issued):
		return nil, "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."
	}
	granted = strings.Fields(claims.Scope)
	for _, s := range granted {
		if !slices.ContainsFunc([]string{"", "pubsub", "zerotouch"}, func(api string) bool { return slices.Contains(scopes[api], s) }) {
			return nil, "Invalid OAuth scope or ID token audience provided."
		}
	}
	if len(granted) == 0 {
		return nil, "Invalid OAuth scope or ID token audience provided."
	}
	return granted, ""
}

func decodePart(part string, into any) bool {
	text, err := b64.DecodeString(part)
	return err == nil && json.Unmarshal(text, into) == nil
}

// authorize checks the bearer token of a call.
func (c *Cloud) authorize(r *http.Request, wanted []string) *refusal {
	value, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	token, known := c.tokens[value]
	switch {
	case !bearer || !known || !token.expires.After(c.now()):
		return &refusal{http.StatusUnauthorized, "UNAUTHENTICATED", "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.", "ACCESS_TOKEN_EXPIRED"}
	case !slices.ContainsFunc(token.scopes, func(s string) bool { return slices.Contains(wanted, s) }):
		return denied("Request had insufficient authentication scopes.", "ACCESS_TOKEN_SCOPE_INSUFFICIENT")
	}
	return nil
}

// spend takes one call from the quota of the last minute.
func (c *Cloud) spend() bool {
	now, limit := c.now(), c.options.PerMinute
	if limit < 0 {
		return true
	}
	for len(c.window) > 0 && !c.window[0].After(now.Add(-time.Minute)) {
		c.window = c.window[1:]
	}
	if len(c.window) >= limit {
		return false
	}
	c.window = append(c.window, now)
	return true
}
