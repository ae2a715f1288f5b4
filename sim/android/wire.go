package android

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The bounds that the document sets to what an agent sends, and one for what it
// reads.
const (
	maxEnroll  = 256 << 10
	maxCheckIn = 1 << 20
	maxResults = 100
	maxAnswer  = 16 << 20
)

// sent is a request that an eavesdropper has.
type sent struct {
	method, url string
	header      http.Header
	body        []byte
}

// answer is one answer of the server: its status and the fields of its body,
// whose types are checked where they are read.
type answer struct {
	step   string
	status int
	header http.Header
	body   map[string]any
}

func newClient(c Config) *http.Client {
	transport := c.Transport
	if transport == nil {
		transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 2, IdleConnTimeout: 10 * time.Second}
	}
	return &http.Client{Transport: transport, Timeout: 2 * time.Minute,
		// Paths are signed; a server that sends an agent elsewhere is not this one.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// signer is what a request is signed with.
type signer struct {
	key     *ecdsa.PrivateKey
	who     string
	counter int64
}

// signature is over the six lines of the document.
func (s signer) signature(method, path string, body []byte) (string, error) {
	content := sha256.Sum256(body)
	lines := []string{"rollcall-agent-v1", method, path, s.who, strconv.FormatInt(s.counter, 10), hex.EncodeToString(content[:])}
	digest := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	der, err := ecdsa.SignASN1(rand.Reader, s.key, digest[:])
	return base64.StdEncoding.EncodeToString(der), err
}

// send does one request. body nil means none; s nil means not signed.
func (p *Phone) send(ctx context.Context, step, method, url string, body []byte, s *signer) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("android: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if s != nil {
		sig, err := s.signature(method, req.URL.EscapedPath(), body)
		if err != nil {
			return nil, fmt.Errorf("android: %w", err)
		}
		req.Header.Set("Rollcall-Signature", sig)
		if s.counter > 0 {
			req.Header.Set("Rollcall-Device", s.who)
			req.Header.Set("Rollcall-Counter", strconv.FormatInt(s.counter, 10))
		}
		p.keepForRepeat(req, body)
	}
	if p.cfg.Alter != nil {
		p.cfg.Alter(step, req)
	}
	return p.do(step, req)
}

func (p *Phone) do(step string, req *http.Request) (*answer, error) {
	if get(p, func() bool { return p.offline }) {
		return nil, ErrOffline
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("android: %w", err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("android: answer of %s: %w", step, err)
	}
	if p.loses(step) {
		return nil, ErrConnectionLost
	}
	return readAnswer(step, resp, raw)
}

// readAnswer checks what every answer has in common.
func readAnswer(step string, resp *http.Response, raw []byte) (*answer, error) {
	a := &answer{step: step, status: resp.StatusCode, header: resp.Header}
	switch {
	case a.status == http.StatusNoContent && step != "wait" && step != "repeat":
		return nil, wrong(step, "status 204")
	case a.status == http.StatusNoContent && len(raw) > 0:
		return nil, wrong(step, "status 204 with a body")
	case a.status == http.StatusNoContent:
		return a, nil
	}
	kind, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if charset, told := params["charset"]; err != nil || kind != "application/json" || told && !strings.EqualFold(charset, "utf-8") {
		return nil, wrong(step, "status %d with content type %q", a.status, resp.Header.Get("Content-Type"))
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&a.body); err != nil || a.body == nil {
		return nil, wrong(step, "status %d: the body is no JSON object: %v", a.status, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, wrong(step, "something follows the JSON object")
	}
	if v, ok := a.body["v"].(json.Number); !ok || v != "1" {
		return nil, wrong(step, "v is %v, not 1", a.body["v"])
	}
	switch a.body["action"] {
	case "none", "retry", "reenroll", "unenroll":
	default:
		return nil, wrong(step, "action %v", a.body["action"])
	}
	return a, a.checkRefusal()
}

// checkRefusal holds answers that are no success to what the document says of
// their status.
func (a *answer) checkRefusal() error {
	enrolling := a.step == "enroll" || a.step == "repeat"
	if a.status == http.StatusOK || a.status == http.StatusCreated && enrolling {
		return nil
	}
	if _, err := a.text("code"); err != nil {
		return err
	}
	if _, err := a.text("message"); err != nil {
		return err
	}
	var want []string
	switch {
	case a.status == http.StatusAccepted && enrolling:
		want = []string{"retry"}
	case a.status == http.StatusBadRequest, a.status == http.StatusConflict, a.status == http.StatusTooManyRequests, a.status == http.StatusRequestEntityTooLarge:
		want = []string{"retry", "none"}
	case a.status == http.StatusForbidden && enrolling:
		want = []string{"none"}
	case a.status == http.StatusGone && enrolling:
		want = []string{"none"}
	case a.status == http.StatusGone:
		want = []string{"reenroll", "unenroll"}
	case a.status >= 500:
		want = []string{"retry"}
	default:
		return wrong(a.step, "status %d, which the document does not know here", a.status)
	}
	if !slices.Contains(want, a.action()) {
		return wrong(a.step, "status %d with action %s", a.status, a.action())
	}
	return nil
}

func (a *answer) action() string { return a.body["action"].(string) }

// text reads a field that has to be there and not empty.
func (a *answer) text(name string) (string, error) {
	s, ok := a.body[name].(string)
	if !ok || s == "" {
		return "", wrong(a.step, "status %d: %s is %v, not a text", a.status, name, a.body[name])
	}
	return s, nil
}

// number reads an integer; 0 if it is not there.
func (a *answer) number(name string) (int64, error) {
	v, there := a.body[name]
	if !there {
		return 0, nil
	}
	n, ok := v.(json.Number)
	i, err := strconv.ParseInt(string(n), 10, 64)
	if !ok || err != nil {
		return 0, wrong(a.step, "%s is %v, not an integer", name, v)
	}
	return i, nil
}

// refused makes the error of an answer that is no success.
func (a *answer) refused() error {
	after, err := a.number("retry_after")
	if err != nil {
		return err
	}
	if h := a.header.Get("Retry-After"); h != "" {
		seconds, err := strconv.ParseInt(h, 10, 64)
		if err != nil || seconds < 0 {
			return wrong(a.step, "Retry-After %q", h)
		}
		after = max(after, seconds)
	}
	if a.status == http.StatusTooManyRequests && a.header.Get("Retry-After") == "" {
		return wrong(a.step, "status 429 without Retry-After")
	}
	if after < 0 {
		return wrong(a.step, "retry_after %d", after)
	}
	code, _ := a.text("code")
	message, _ := a.text("message")
	return &RefusedError{Step: a.step, Status: a.status, Action: a.action(), Code: code, Message: message, RetryAfter: time.Duration(after) * time.Second}
}

// Repeat sends the last signed request once more, byte by byte, as somebody
// does who has overheard it, and returns the answer's status and code. What the
// phone remembers does not change.
func (p *Phone) Repeat(ctx context.Context) (status int, code string, err error) {
	last := get(p, func() *sent { return p.last })
	if last == nil {
		return 0, "", ErrNotEnrolled
	}
	req, err := http.NewRequestWithContext(ctx, last.method, last.url, bytes.NewReader(last.body))
	if err != nil {
		return 0, "", fmt.Errorf("android: %w", err)
	}
	req.Header = last.header.Clone()
	a, err := p.do("repeat", req)
	if err != nil {
		return 0, "", err
	}
	code, _ = a.body["code"].(string)
	return a.status, code, nil
}

// encode makes a body, which Config.Tamper may change before it is signed.
func (p *Phone) encode(step string, message map[string]any, limit int) ([]byte, error) {
	if p.cfg.Tamper != nil {
		p.cfg.Tamper(step, message)
	}
	body, err := json.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("android: %w", err)
	}
	if len(body) > limit && p.cfg.Tamper == nil {
		return nil, fmt.Errorf("android: %s has %d bytes", step, len(body))
	}
	return body, nil
}

// spki is the public key as the protocol carries it.
func spki(key *ecdsa.PrivateKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	return base64.StdEncoding.EncodeToString(der), err
}
