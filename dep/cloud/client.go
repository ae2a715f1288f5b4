package cloud

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gomodule/oauth1/oauth"
)

// Apple is where Apple's service is.
const Apple = "https://mdmenrollment.apple.com"

const (
	protocolVersion = "10"
	userAgent       = "Rollcall/1"
	contentType     = "application/json;charset=UTF8"
	sessionHeader   = "X-ADM-Auth-Session"

	callTimeout   = 90 * time.Second
	maxAnswer     = 32 << 20 // 1,000 devices have about 1 MiB
	maxRefusal    = 4 << 10
	maxRetryAfter = 24 * time.Hour
	maxCursor     = 1000
	maxSkew       = 5 * time.Minute
	sessionTries  = 3 // of a call, while others rotate the session too
)

// Sessions keeps the session of a token where everybody finds it who uses the
// token.
type Sessions interface {
	// Session is the one in use; empty: none.
	Session(ctx context.Context) (string, error)
	// SetSession keeps the newest one.
	SetSession(ctx context.Context, session string) error
}

// Client calls Apple for one token. Safe for concurrent use; its calls go one
// after the other.
type Client struct {
	token    Token
	sessions Sessions
	base     *url.URL
	http     *http.Client
	now      func() time.Time
	mu       sync.Mutex
}

// New makes a client of the service at base, such as Apple. A nil clock is
// time.Now.
func New(base string, token Token, sessions Sessions, transport http.RoundTripper, now func() time.Time) (*Client, error) {
	u, err := url.Parse(strings.TrimRight(base, "/") + "/") // JoinPath needs a path that begins with a slash
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("%q is not the URL of a DEP service", base)
	}
	if now == nil {
		now = time.Now
	}
	return &Client{token: token, sessions: sessions, base: u, now: now, http: &http.Client{Transport: transport, Timeout: callTimeout,
		// Apple redirects nobody, and a session is not for others.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// call makes a call and decodes its answer into out, unless that is nil.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := method + " " + path
	if !c.token.ExpiresAt.IsZero() && !c.now().Before(c.token.ExpiresAt) {
		return &Error{Call: name, Code: TokenExpired}
	}
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	session, err := c.sessions.Session(ctx)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		if session == "" {
			if session, err = c.login(ctx); err != nil {
				return err
			}
		}
		failure := c.once(ctx, name, method, path, query, session, body, out)
		var e *Error
		if failure == nil || !errors.As(failure, &e) || !e.sessionEnded() || try == sessionTries {
			return failure
		}
		// Somebody else may have another session by now; ours is of no use.
		known, err := c.sessions.Session(ctx)
		if err != nil {
			return err
		}
		if known == session {
			known = ""
		}
		session = known
	}
}

// sessionEnded says that a call was refused for its session, which T_C_NOT_SIGNED
// and ACCESS_DENIED are not, though they are 403 as well.
func (e *Error) sessionEnded() bool {
	return e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden && e.Code == Forbidden
}

// login gets a session.
func (c *Client) login(ctx context.Context) (string, error) {
	const name = "GET /session"
	target := c.base.JoinPath("session")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return "", err
	}
	signer := oauth.Client{Credentials: oauth.Credentials{Token: c.token.ConsumerKey, Secret: c.token.ConsumerSecret}, SignatureMethod: oauth.HMACSHA1}
	access := &oauth.Credentials{Token: c.token.AccessToken, Secret: c.token.AccessSecret}
	if err := signer.SetAuthorizationHeader(req.Header, access, http.MethodGet, target, nil); err != nil {
		return "", err
	}
	// The realm is no part of the signature (RFC 5849, section 3.4.1.3.1).
	signed := strings.TrimPrefix(req.Header.Get("Authorization"), "OAuth ")
	req.Header.Set("Authorization", `OAuth realm="ADM",`+signed)
	var answer struct {
		Session string `json:"auth_session_token"`
	}
	if err := c.send(req, name, &answer); err != nil {
		var e *Error
		if errors.As(err, &e) && (e.Status == http.StatusUnauthorized || e.Code == Forbidden) {
			e.Code = Unauthorized
			if e.Detail != "" {
				e.Code = ClockSkew
			}
		}
		return "", err
	}
	if answer.Session == "" {
		return "", &Error{Call: name, Status: http.StatusOK, Code: BadAnswer, Detail: "no session in it"}
	}
	return answer.Session, c.sessions.SetSession(ctx, answer.Session)
}

func (c *Client) once(ctx context.Context, name, method, path string, query url.Values, session string, body []byte, out any) error {
	target := c.base.JoinPath(path)
	target.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set(sessionHeader, session)
	return c.send(req, name, out)
}

// send makes one request. A session that comes with its answer is kept, with
// that of a refusal too.
func (c *Client) send(req *http.Request, name string, out any) error {
	ctx := req.Context()
	req.Header.Set("X-Server-Protocol-Version", protocolVersion)
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", "application/json")
	res, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL, which Call names
		}
		return &Error{Call: name, Code: Unreachable, Err: err}
	}
	defer res.Body.Close()
	if s := res.Header.Get(sessionHeader); s != "" && s != req.Header.Get(sessionHeader) {
		if err := c.sessions.SetSession(ctx, s); err != nil {
			return err
		}
	}
	if res.StatusCode != http.StatusOK {
		return c.refusal(res, name)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return &Error{Call: name, Status: res.StatusCode, Code: BadAnswer, Detail: "it breaks off", Err: err}
	case len(body) > maxAnswer:
		return &Error{Call: name, Status: res.StatusCode, Code: BadAnswer, Detail: "it is too large"}
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return &Error{Call: name, Status: res.StatusCode, Code: BadAnswer, Detail: "it is not the JSON it should be"}
	}
	return nil
}

// refusal is the Error of an answer that is not a success.
func (c *Client) refusal(res *http.Response, name string) error {
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxRefusal))
	word := strings.Trim(strings.TrimSpace(string(body)), `"`)
	e := &Error{Call: name, Status: res.StatusCode, Code: codeOf(res.StatusCode, word), RetryAfter: retryAfter(res.Header.Get("Retry-After"), c.now())}
	if res.StatusCode == http.StatusUnauthorized {
		if theirs, err := http.ParseTime(res.Header.Get("Date")); err == nil {
			if off := time.Since(theirs); off.Abs() > maxSkew {
				e.Detail = fmt.Sprintf("it is %s %s", off.Abs().Round(time.Second), map[bool]string{true: "fast", false: "slow"}[off > 0])
			}
		}
	}
	return e
}

// retryAfter reads a Retry-After header (RFC 9110, section 10.2.3).
func retryAfter(h string, now time.Time) time.Duration {
	var d time.Duration
	if seconds, err := strconv.ParseUint(strings.TrimSpace(h), 10, 31); err == nil {
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(h); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}
