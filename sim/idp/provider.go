package idp

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"time"
)

// Config is the client that the provider knows.
type Config struct {
	ClientID, ClientSecret string
	Now                    func() time.Time
}

// Provider is the running provider.
type Provider struct {
	cfg    Config
	key    *rsa.PrivateKey
	server *httptest.Server

	mu    sync.Mutex
	back  string // the client's redirect URL
	email string // empty: the person refuses
	lie   func(claims map[string]any)
	codes map[string]grant
	hints []string
}

// grant is what a code stands for.
type grant struct{ challenge, nonce, email string }

// New starts a provider.
func New(c Config) (*Provider, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	p := &Provider{cfg: c, key: key, codes: map[string]grant{}}
	m := http.NewServeMux()
	m.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	m.HandleFunc("GET /keys", p.keys)
	m.HandleFunc("GET /authorize", p.authorize)
	m.HandleFunc("POST /token", p.token)
	p.server = httptest.NewTLSServer(m)
	return p, nil
}

// Issuer is the provider's URL.
func (p *Provider) Issuer() string { return p.server.URL }

// Certificate is that of its TLS.
func (p *Provider) Certificate() *x509.Certificate { return p.server.Certificate() }

// Client is the HTTP transport that trusts it.
func (p *Provider) Client() *http.Client { return p.server.Client() }

// Close ends it.
func (p *Provider) Close() { p.server.Close() }

// Person says who signs in from now on; an empty address refuses.
func (p *Provider) Person(email string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.email = email
}

// Back sets the redirect URL of the client.
func (p *Provider) Back(url string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.back = url
}

// Lie changes the claims of tokens from now on; nil: no more.
func (p *Provider) Lie(f func(claims map[string]any)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lie = f
}

// Hints are the login_hints so far.
func (p *Provider) Hints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.hints...)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"issuer": p.Issuer(), "authorization_endpoint": p.Issuer() + "/authorize", "token_endpoint": p.Issuer() + "/token",
		"jwks_uri": p.Issuer() + "/keys", "response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"}, "code_challenge_methods_supported": []string{"S256"}})
}

var b64 = base64.RawURLEncoding

func (p *Provider) keys(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"keys": []any{map[string]string{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "1",
		"n": b64.EncodeToString(p.key.N.Bytes()), "e": b64.EncodeToString(big.NewInt(int64(p.key.E)).Bytes())}}})
}

func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Header.Get("X-Apple-Aspen-Deviceinfo") != "" || q.Get("client_id") != p.cfg.ClientID || q.Get("redirect_uri") != p.back || q.Get("response_type") != "code" ||
		q.Get("state") == "" || q.Get("nonce") == "" || q.Get("code_challenge") == "" || q.Get("code_challenge_method") != "S256" {
		http.Error(w, "bad authorization request", http.StatusBadRequest)
		return
	}
	p.hints = append(p.hints, q.Get("login_hint"))
	back := url.Values{"state": {q.Get("state")}}
	if p.email == "" {
		back.Set("error", "access_denied")
	} else {
		code := rand.Text()
		p.codes[code] = grant{q.Get("code_challenge"), q.Get("nonce"), p.email}
		back.Set("code", code)
	}
	http.Redirect(w, r, p.back+"?"+back.Encode(), http.StatusFound)
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	g, known := p.codes[r.PostFormValue("code")]
	delete(p.codes, r.PostFormValue("code"))
	proof := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if id != p.cfg.ClientID || secret != p.cfg.ClientSecret || !known || r.PostFormValue("redirect_uri") != p.back || b64.EncodeToString(proof[:]) != g.challenge {
		answer(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
		return
	}
	now := p.cfg.Now()
	claims := map[string]any{"iss": p.Issuer(), "sub": g.email, "aud": p.cfg.ClientID, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		"nonce": g.nonce, "email": g.email, "email_verified": true}
	if p.lie != nil {
		p.lie(claims)
	}
	token, err := p.sign(claims)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, http.StatusOK, map[string]any{"access_token": rand.Text(), "token_type": "Bearer", "expires_in": 300, "id_token": token})
}

// sign makes a JWT (RFC 7519) with RS256.
func (p *Provider) sign(claims map[string]any) (string, error) {
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed := b64.EncodeToString([]byte(`{"alg":"RS256","kid":"1","typ":"JWT"}`)) + "." + b64.EncodeToString(body)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, p.key, crypto.SHA256, sum[:])
	return signed + "." + b64.EncodeToString(signature), err
}
