package amapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"rollcall/android/google"
)

// Addresses of Google's services.
const (
	ManagementURL = "https://androidmanagement.googleapis.com"
	PubSubURL     = "https://pubsub.googleapis.com"
)

// Scopes of the calls.
const (
	ManagementScope = "https://www.googleapis.com/auth/androidmanagement"
	PubSubScope     = "https://www.googleapis.com/auth/pubsub"
)

const (
	callTimeout = 60 * time.Second
	maxAnswer   = 32 << 20 // 100 devices with their app reports have a few MiB
	tries       = 3        // of an idempotent call
	firstPause  = 250 * time.Millisecond
	quotaPause  = 60 * time.Second // the quota is one of a minute
	patience    = 5 * time.Second  // that a call waits for its turn in the budget
)

// Tokens gives access tokens; *google.TokenSource is one.
type Tokens interface {
	Token(ctx context.Context) (string, error)
	Forget(token string)
}

// Budget is the bucket that all replicas take their calls from.
type Budget interface {
	// TakeCall takes a call of a project out of the bucket, or says how long to
	// wait until there is one.
	TakeCall(ctx context.Context, project string, now time.Time) (wait time.Duration, err error)
	// HoldCalls keeps the bucket shut: Google said that the quota is used up.
	HoldCalls(ctx context.Context, project string, until time.Time) error
}

// Client makes calls of one service of Google's. Safe for concurrent use.
type Client struct {
	base    string
	tokens  Tokens
	http    *http.Client
	now     func() time.Time
	project string
	budget  Budget // nil: the service has no quota that matters
}

// NewClient makes a client of the service at base; nil for budget is no limit.
func NewClient(base string, tokens Tokens, transport http.RoundTripper, project string, budget Budget, now func() time.Time) *Client {
	if now == nil {
		now = time.Now
	}
	return &Client{base: strings.TrimRight(base, "/"), tokens: tokens, project: project, budget: budget, now: now,
		http: &http.Client{Transport: transport, Timeout: callTimeout,
			// Google redirects no calls, and the token is for nobody else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// call is one call. Those that are idempotent are repeated here; of others only
// what certainly was not carried out.
type call struct {
	method     string
	path       string // below v1/, escaped
	pattern    string // the path without what identifies somebody, for errors and logs; empty: the path
	query      url.Values
	in, out    any
	idempotent bool
}

// do makes a call.
func (c *Client) do(ctx context.Context, q call) error {
	name := q.method + " " + cmp.Or(q.pattern, q.path)
	var body []byte
	if q.in != nil {
		var err error
		if body, err = json.Marshal(q.in); err != nil {
			return fmt.Errorf("amapi: %s: %w", name, err)
		}
	}
	fresh := false // the token
	pause := firstPause
	for try := 1; ; try++ {
		if err := c.turn(ctx, name); err != nil {
			return err
		}
		failure := c.once(ctx, q, body)
		var e *Error
		if failure == nil || !errors.As(failure, &e) {
			return failure
		}
		e.Call = name
		switch {
		case e.Code == Unauthorized && !fresh && e.Status != 0:
			fresh = true
			continue
		case e.Code == TooMany:
			// What Google counts is everybody's, so everybody waits.
			e.RetryAfter = max(e.RetryAfter, quotaPause) + rand.N(quotaPause/2)
			if c.budget != nil {
				if err := c.budget.HoldCalls(ctx, c.project, c.now().Add(e.RetryAfter)); err != nil {
					return errors.Join(e, err)
				}
			}
			return e
		case e.Lasting() || !q.idempotent || try == tries:
			return e
		}
		select {
		case <-ctx.Done():
			return e
		case <-time.After(pause + rand.N(pause)):
		}
		pause *= 2
	}
}

// turn waits for the budget, not for long: who can wait longer asks again.
func (c *Client) turn(ctx context.Context, name string) error {
	if c.budget == nil {
		return nil
	}
	until := time.Now().Add(patience)
	for {
		wait, err := c.budget.TakeCall(ctx, c.project, c.now())
		if err != nil || wait <= 0 {
			return err
		}
		if time.Now().Add(wait).After(until) {
			return &Error{Call: name, Code: TooMany, Message: "the budget of calls is used up", RetryAfter: wait}
		}
		select {
		case <-ctx.Done():
			return &Error{Call: name, Code: TooMany, Message: "the budget of calls is used up", RetryAfter: wait, Err: ctx.Err()}
		case <-time.After(wait):
		}
	}
}

func (c *Client) once(ctx context.Context, q call, body []byte) error {
	token, err := c.tokens.Token(ctx)
	if err != nil {
		code := Unreachable
		var refused *google.TokenError
		if errors.As(err, &refused) && refused.Status < http.StatusInternalServerError {
			code = Unauthorized
		}
		return &Error{Code: code, Message: "no access token", Err: err}
	}
	target := c.base + "/v1/" + q.path
	if len(q.query) > 0 {
		target += "?" + q.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, q.method, target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "Rollcall/1")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL, which Call names
		}
		return &Error{Code: Unreachable, Unknown: true, Err: err}
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case res.StatusCode != http.StatusOK:
		e := refusal(res.StatusCode, answer)
		if e.Code == Unauthorized {
			c.tokens.Forget(token)
		}
		return e
	case err != nil:
		return &Error{Status: res.StatusCode, Code: BadAnswer, Message: "it breaks off", Unknown: true, Err: err}
	case len(answer) > maxAnswer:
		return &Error{Status: res.StatusCode, Code: BadAnswer, Message: "it is too large", Unknown: true}
	case q.out == nil:
		return nil
	}
	if err := json.Unmarshal(answer, q.out); err != nil {
		return &Error{Status: res.StatusCode, Code: BadAnswer, Message: "it is not the JSON it should be", Unknown: true}
	}
	return nil
}
