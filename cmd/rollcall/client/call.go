package client

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"
)

const (
	apiPrefix   = "/api/v1"
	maxAnswer   = 64 << 20 // of one object or page
	maxProblem  = 1 << 20
	maxAttempts = 5
	maxPatience = 30 * time.Second // longest wait that a server can ask for
)

// call is one call of the API.
type call struct {
	method, path string // the path is escaped
	query        url.Values
	body         any    // made JSON, unless it is a []byte
	contentType  string // of a []byte
	accept       string
	ifMatch      string
}

func get(path string, query url.Values) call {
	return call{method: http.MethodGet, path: path, query: query}
}

func post(path string, body any) call { return call{method: http.MethodPost, path: path, body: body} }

func put(path string, body any) call { return call{method: http.MethodPut, path: path, body: body} }

func remove(path string) call { return call{method: http.MethodDelete, path: path} }

// join makes a path of parts that may hold anything.
func join(parts ...string) string {
	path := ""
	for _, p := range parts {
		path += "/" + url.PathEscape(p)
	}
	return path
}

// do makes a call and reads its answer; nil where it has no body.
func (s *Session) do(ctx context.Context, c call) ([]byte, error) {
	res, err := s.open(ctx, c)
	if err != nil {
		return nil, err
	}
	defer res.Close()
	b, err := io.ReadAll(io.LimitReader(res, maxAnswer+1))
	switch {
	case err != nil:
		return nil, s.unreached(err)
	case len(b) > maxAnswer:
		return nil, failed("", "%s answered more than %d MiB", s.base, maxAnswer>>20)
	case len(b) == 0:
		return nil, nil
	case !json.Valid(b):
		return nil, failed("Compare --server with the public URL of the server.", "%s does not answer as this API does", s.base)
	}
	return b, nil
}

// open makes a call and gives the body of a success.
func (s *Session) open(ctx context.Context, c call) (io.ReadCloser, error) {
	if err := s.connect(); err != nil {
		return nil, err
	}
	data, contentType := []byte(nil), "application/json"
	switch b := c.body.(type) {
	case nil:
		contentType = ""
	case []byte:
		data, contentType = b, c.contentType
	default:
		var err error
		if data, err = json.Marshal(b); err != nil {
			return nil, err
		}
	}
	key := uuid.NewString()
	for attempt := 1; ; attempt++ {
		res, err := s.once(ctx, c, data, contentType, key)
		if err != nil {
			return nil, err
		}
		if res.StatusCode < 300 {
			return res.Body, nil
		}
		body, err := io.ReadAll(io.LimitReader(res.Body, maxProblem))
		res.Body.Close()
		if err != nil {
			return nil, s.unreached(err)
		}
		wait, again := patience(c.method, res, attempt)
		if !again {
			return nil, problem(res.StatusCode, body, s.base.String())
		}
		select {
		case <-ctx.Done():
			return nil, s.unreached(ctx.Err())
		case <-time.After(wait):
		}
	}
}

// patience says whether a call is made again, and when. 429 comes before
// anything was done; after a 503 only what may be done twice is repeated, which
// is everything but PATCH.
func patience(method string, res *http.Response, attempt int) (time.Duration, bool) {
	status := res.StatusCode
	if status != http.StatusTooManyRequests && (status != http.StatusServiceUnavailable || method == http.MethodPatch) || attempt >= maxAttempts {
		return 0, false
	}
	wait := time.Duration(1<<(attempt-1)) * 500 * time.Millisecond
	if h := res.Header.Get("Retry-After"); h != "" {
		if seconds, err := strconv.Atoi(h); err == nil {
			wait = time.Duration(seconds) * time.Second
		} else if at, err := http.ParseTime(h); err == nil {
			wait = time.Until(at)
		}
	} else if status == http.StatusServiceUnavailable {
		return 0, false // it does not say that it will be better
	}
	if wait > maxPatience {
		return 0, false
	}
	return max(wait, 0) + rand.N(100*time.Millisecond), true
}

// once makes a call. It is given up when nothing was sent or received for the
// time of --timeout; the body of the answer must be closed.
func (s *Session) once(ctx context.Context, c call, data []byte, contentType, key string) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(s.Timeout, func() { cancel(errStalled) })
	stop := func() { timer.Stop(); cancel(nil) }
	// A base with a path is a server behind a proxy's prefix.
	target := s.base.String() + apiPrefix + c.path
	if len(c.query) > 0 {
		target += "?" + c.query.Encode()
	}
	watched := func(r io.Reader) io.Reader { return &moving{r, func() { timer.Reset(s.Timeout) }} }
	req, err := http.NewRequestWithContext(ctx, c.method, target, http.NoBody)
	if err != nil {
		stop()
		return nil, err
	}
	if data != nil {
		req.Body, req.ContentLength = io.NopCloser(watched(bytes.NewReader(data))), int64(len(data))
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("Authorization", "Bearer "+s.secret)
	req.Header.Set("User-Agent", "rollcall")
	if c.accept != "" {
		req.Header.Set("Accept", c.accept)
	}
	if c.ifMatch != "" {
		req.Header.Set("If-Match", c.ifMatch)
	}
	if c.method == http.MethodPost {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := s.client.Do(req)
	if err != nil {
		cause := context.Cause(ctx)
		stop()
		if cause != nil {
			err = cause
		}
		return nil, s.unreached(err)
	}
	body := res.Body
	res.Body = &answer{Reader: watched(body), ctx: ctx, close: func() error { stop(); return body.Close() }}
	return res, nil
}

var errStalled = errors.New("stalled")

// moving tells of every byte.
type moving struct {
	io.Reader
	moved func()
}

func (m *moving) Read(b []byte) (int, error) {
	n, err := m.Reader.Read(b)
	if n > 0 {
		m.moved()
	}
	return n, err
}

// answer is a body whose errors say why it was given up.
type answer struct {
	io.Reader
	ctx   context.Context
	close func() error
}

func (a *answer) Read(b []byte) (int, error) {
	n, err := a.Reader.Read(b)
	if err != nil && err != io.EOF && context.Cause(a.ctx) != nil {
		err = context.Cause(a.ctx)
	}
	return n, err
}

func (a *answer) Close() error { return a.close() }

// unreached says why there is no answer.
func (s *Session) unreached(err error) error {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	switch {
	case errors.Is(err, context.Canceled):
		return failed("What was under way may have been done.", "interrupted")
	case errors.Is(err, errStalled):
		return failed("Try again, or wait longer with --timeout.", "nothing came from %s for %v", s.base, s.Timeout)
	case errors.As(err, &authority):
		return failed("Name the certificate of its CA with --ca-file. For a trial on this machine, --insecure does without.", "the certificate of %s is signed by nobody this machine trusts", s.base)
	case errors.As(err, &host):
		return failed("Use the name in the certificate as --server.", "%s has a certificate for another name: %v", s.base, host)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return failed(fmt.Sprintf("Is a server running there? --server or ROLLCALL_SERVER names another one; the default is %s.", defaultServer), "cannot reach %s: %v", s.base, err)
}
