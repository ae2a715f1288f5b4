package dep

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// clockWindow is how far a client's clock may be off.
	clockWindow = 5 * time.Minute
	maxNonce    = 256
)

// verifyOAuth finds the account whose token signed the request with HMAC-SHA1
// (RFC 5849, section 3.2). A parameter that is missing, twice there or unknown
// is 400; a value that is wrong is 401.
func (c *Cloud) verifyOAuth(r *http.Request) (*Account, *refusal) {
	bad := func(problem string) (*Account, *refusal) {
		return nil, &refusal{http.StatusBadRequest, "oauth_problem=" + problem}
	}
	wrong := func(problem string) (*Account, *refusal) {
		return nil, &refusal{http.StatusUnauthorized, "oauth_problem=" + problem}
	}
	header := r.Header.Values("Authorization")
	if len(header) != 1 {
		return bad("parameter_absent")
	}
	params, ok := parseAuthorization(header[0])
	if !ok {
		return bad("parameter_rejected")
	}
	for _, name := range []string{"oauth_consumer_key", "oauth_token", "oauth_signature_method", "oauth_signature", "oauth_timestamp", "oauth_nonce"} {
		if params[name] == "" {
			return bad("parameter_absent")
		}
	}
	if v, there := params["oauth_version"]; there && v != "1.0" {
		return bad("version_rejected")
	}
	if realm, there := params["realm"]; there && realm != "ADM" {
		return bad("parameter_rejected")
	}
	if params["oauth_signature_method"] != "HMAC-SHA1" {
		return bad("signature_method_rejected")
	}
	stamp, err := strconv.ParseInt(params["oauth_timestamp"], 10, 64)
	if err != nil || stamp <= 0 || len(params["oauth_nonce"]) > maxNonce {
		return bad("parameter_rejected")
	}
	a := c.consumer(params["oauth_consumer_key"])
	switch {
	case a == nil:
		return wrong("consumer_key_unknown")
	case params["oauth_token"] != a.token.id:
		return wrong("token_rejected")
	case !c.now().Before(a.expiry):
		return wrong("token_expired")
	}
	given, err := base64.StdEncoding.DecodeString(params["oauth_signature"])
	if err != nil || !hmac.Equal(given, signature(r, params, a.key.secret, a.token.secret)) {
		return wrong("signature_invalid")
	}
	at := time.Unix(stamp, 0)
	if age := c.now().Sub(at); age > clockWindow || age < -clockWindow {
		return wrong("timestamp_refused")
	}
	if !c.useNonce(a.token.id+" "+params["oauth_timestamp"]+" "+params["oauth_nonce"], at.Add(clockWindow)) {
		return wrong("nonce_used")
	}
	return a, nil
}

func (c *Cloud) consumer(key string) *Account {
	for _, a := range c.accounts {
		if a.key.id == key {
			return a
		}
	}
	return nil
}

// useNonce is false where the nonce came before. What is too old to pass by
// its timestamp is forgotten.
func (c *Cloud) useNonce(nonce string, until time.Time) bool {
	now := c.now()
	for n, t := range c.nonces {
		if now.After(t) {
			delete(c.nonces, n)
		}
	}
	if _, used := c.nonces[nonce]; used {
		return false
	}
	c.nonces[nonce] = until
	return true
}

// parseAuthorization reads the OAuth parameters of the header (section 3.5.1).
func parseAuthorization(header string) (map[string]string, bool) {
	scheme, rest, ok := strings.Cut(header, " ")
	if !ok || !strings.EqualFold(scheme, "OAuth") {
		return nil, false
	}
	known := []string{"realm", "oauth_consumer_key", "oauth_token", "oauth_signature_method", "oauth_signature", "oauth_timestamp", "oauth_nonce", "oauth_version"}
	out := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, quoted, ok := strings.Cut(strings.TrimSpace(part), "=")
		value, opened := strings.CutPrefix(quoted, `"`)
		value, closed := strings.CutSuffix(value, `"`)
		if !ok || !opened || !closed || !slices.Contains(known, name) {
			return nil, false
		}
		if _, twice := out[name]; twice {
			return nil, false
		}
		decoded, err := url.PathUnescape(value)
		if err != nil {
			return nil, false
		}
		out[name] = decoded
	}
	return out, true
}

// signature is HMAC-SHA1 (section 3.4.2).
func signature(r *http.Request, params map[string]string, consumerSecret, tokenSecret string) []byte {
	mac := hmac.New(sha1.New, []byte(encode(consumerSecret)+"&"+encode(tokenSecret)))
	mac.Write([]byte(signatureBase(r, params)))
	return mac.Sum(nil)
}

// signatureBase is the signature base string (section 3.4.1).
func signatureBase(r *http.Request, params map[string]string) string {
	var pairs [][]string
	add := func(name, value string) { pairs = append(pairs, []string{encode(name), encode(value)}) }
	for name, value := range params {
		if name != "realm" && name != "oauth_signature" {
			add(name, value)
		}
	}
	for name, values := range r.URL.Query() {
		for _, v := range values {
			add(name, v)
		}
	}
	slices.SortFunc(pairs, slices.Compare)
	joined := make([]string, len(pairs))
	for i, p := range pairs {
		joined[i] = p[0] + "=" + p[1]
	}
	scheme, port := "http", ":80"
	if r.TLS != nil {
		scheme, port = "https", ":443"
	}
	base := scheme + "://" + strings.TrimSuffix(strings.ToLower(r.Host), port) + r.URL.EscapedPath()
	return r.Method + "&" + encode(base) + "&" + encode(strings.Join(joined, "&"))
}

// encode is the percent encoding of section 3.6.
func encode(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch ch := s[i]; {
		case 'a' <= ch && ch <= 'z', 'A' <= ch && ch <= 'Z', '0' <= ch && ch <= '9', strings.IndexByte("-._~", ch) >= 0:
			b.WriteByte(ch)
		default:
			b.WriteString("%" + strings.ToUpper(strconv.FormatInt(int64(ch)+0x100, 16)[1:]))
		}
	}
	return b.String()
}
