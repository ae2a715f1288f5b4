package zerotouch

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
	"strconv"
	"strings"
	"time"

	"rollcall/android/google"
)

// URL is Google's service, and Scope what a token has to be for.
const (
	URL   = "https://androiddeviceprovisioning.googleapis.com"
	Scope = "https://www.googleapis.com/auth/androidworkzerotouchemm"
)

const (
	callTimeout = 60 * time.Second
	maxAnswer   = 16 << 20 // a page of 1,000 devices has about 1 MiB
	pageSize    = 1000     // devices; Google gives 10,000 at most
	tries       = 3
	firstPause  = 250 * time.Millisecond
)

// Client makes calls of the customer API. Safe for concurrent use.
type Client struct {
	base   string
	tokens *google.TokenSource
	http   *http.Client
}

// NewClient makes a client of the service at base.
func NewClient(base string, tokens *google.TokenSource, transport http.RoundTripper) *Client {
	return &Client{base: strings.TrimRight(base, "/"), tokens: tokens, http: outside(transport)}
}

// outside bounds a call. Google redirects none, and the token is for nobody
// else.
func outside(transport http.RoundTripper) *http.Client {
	return &http.Client{Transport: transport, Timeout: callTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Customer is an organization that the service account may look after.
type Customer struct {
	Name    string `json:"name"` // "customers/123"
	Company string `json:"companyName"`
	Terms   string `json:"termsStatus"` // "TERMS_STATUS_ACCEPTED"
}

// Device is a device of a customer.
type Device struct {
	Name          string     `json:"name"` // "customers/123/devices/4"
	Identifier    Identifier `json:"deviceIdentifier"`
	Configuration string     `json:"configuration"` // empty: none
}

// Identifier is what a reseller said of a device.
type Identifier struct {
	IMEI         string `json:"imei"`
	IMEI2        string `json:"imei2"`
	MEID         string `json:"meid"`
	MEID2        string `json:"meid2"`
	Serial       string `json:"serialNumber"`
	Manufacturer string `json:"manufacturer"`
	Model        string `json:"model"`
	Type         string `json:"deviceType"`
}

// DPC is an agent that Google installs out of the box.
type DPC struct {
	Name    string `json:"name"` // "customers/123/dpcs/androidwork-clouddpc"
	Package string `json:"packageName"`
}

// Resource is a configuration at Google.
type Resource struct {
	Name    string `json:"name,omitempty"` // "customers/123/configurations/4"
	Title   string `json:"configurationName"`
	Company string `json:"companyName"`
	Email   string `json:"contactEmail"`
	Phone   string `json:"contactPhone"`
	Message string `json:"customMessage"`
	DPC     string `json:"dpcResourcePath"`
	Extras  string `json:"dpcExtras"` // JSON
	Default bool   `json:"isDefault"`
}

// maxPages bounds a list whose pages do not end.
const maxPages = 1000

// Customers lists the customers of the service account (customers.list).
func (c *Client) Customers(ctx context.Context) ([]Customer, error) {
	var all []Customer
	for token, pages := "", 0; ; {
		var out struct {
			Customers []Customer `json:"customers"`
			Next      string     `json:"nextPageToken"`
		}
		if err := c.get(ctx, "customers", "customers", url.Values{"pageSize": {"100"}}, token, &out); err != nil {
			return nil, err
		}
		all = append(all, out.Customers...)
		if token = out.Next; token == "" {
			return all, nil
		}
		if pages++; pages == maxPages {
			return nil, endless("customers")
		}
	}
}

// Devices gives a page of devices (customers.devices.list), and the token of
// the next one; empty: there is none.
func (c *Client) Devices(ctx context.Context, customer, token string) (list []Device, next string, err error) {
	var out struct {
		Devices []Device `json:"devices"`
		Next    string   `json:"nextPageToken"`
	}
	err = c.get(ctx, customer+"/devices", "customers/-/devices", url.Values{"pageSize": {strconv.Itoa(pageSize)}}, token, &out)
	return out.Devices, out.Next, err
}

// DPCs lists the agents that Google installs (customers.dpcs.list).
func (c *Client) DPCs(ctx context.Context, customer string) ([]DPC, error) {
	var out struct {
		DPCs []DPC `json:"dpcs"`
	}
	err := c.get(ctx, customer+"/dpcs", "customers/-/dpcs", nil, "", &out)
	return out.DPCs, err
}

// Configurations lists those of a customer (customers.configurations.list).
func (c *Client) Configurations(ctx context.Context, customer string) ([]Resource, error) {
	var out struct {
		Configurations []Resource `json:"configurations"`
	}
	err := c.get(ctx, customer+"/configurations", "customers/-/configurations", nil, "", &out)
	return out.Configurations, err
}

// Create makes a configuration. It is not repeated: what an answer was lost of
// is found by its title.
func (c *Client) Create(ctx context.Context, customer string, r Resource) (Resource, error) {
	var out Resource
	err := c.do(ctx, call{method: http.MethodPost, path: customer + "/configurations", pattern: "customers/-/configurations", in: r, out: &out, once: true})
	return out, err
}

// Patch changes fields of a configuration, by their names at Google.
func (c *Client) Patch(ctx context.Context, name string, r Resource, fields []string) error {
	r.Name = ""
	return c.do(ctx, call{method: http.MethodPatch, path: name, pattern: "customers/-/configurations/-", query: url.Values{"updateMask": {strings.Join(fields, ",")}}, in: r})
}

// Apply gives a device a configuration (customers.devices.applyConfiguration);
// again changes nothing. The API takes one device in a call.
func (c *Client) Apply(ctx context.Context, customer, device, configuration string) error {
	in := map[string]any{"device": reference(device), "configuration": configuration}
	return c.do(ctx, call{method: http.MethodPost, path: customer + "/devices:applyConfiguration", pattern: "customers/-/devices:applyConfiguration", in: in})
}

// Remove takes the configuration of a device away.
func (c *Client) Remove(ctx context.Context, customer, device string) error {
	in := map[string]any{"device": reference(device)}
	return c.do(ctx, call{method: http.MethodPost, path: customer + "/devices:removeConfiguration", pattern: "customers/-/devices:removeConfiguration", in: in})
}

// reference is a DeviceReference by the ID in a device's name.
func reference(device string) map[string]string {
	return map[string]string{"deviceId": last(device)}
}

func endless(what string) *Error {
	return &Error{Call: "GET " + what, Code: BadAnswer, Message: "its pages do not end"}
}

func (c *Client) get(ctx context.Context, path, pattern string, query url.Values, token string, out any) error {
	if token != "" {
		query.Set("pageToken", token)
	}
	return c.do(ctx, call{method: http.MethodGet, path: path, pattern: pattern, query: query, out: out})
}

// call is one call.
type call struct {
	method  string
	path    string // below v1/
	pattern string // the path without names, for errors and logs
	query   url.Values
	in, out any
	once    bool // it is not idempotent
}

// do makes a call, and repeats it where that may help within a second or two.
// Who is told to wait longer gets the Error.
func (c *Client) do(ctx context.Context, q call) error {
	var body []byte
	if q.in != nil {
		var err error
		if body, err = json.Marshal(q.in); err != nil {
			return fmt.Errorf("zerotouch: %s: %w", q.pattern, err)
		}
	}
	fresh, pause := false, firstPause // the token
	for try := 1; ; try++ {
		failure := c.try(ctx, q, body)
		var e *Error
		if !errors.As(failure, &e) {
			return failure
		}
		e.Call = q.method + " " + q.pattern
		switch {
		case e.Code == Unauthorized && e.Status == http.StatusUnauthorized && !fresh:
			fresh = true
			continue
		case e.Lasting() || e.Code == TooMany || q.once || try >= tries:
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

func (c *Client) try(ctx context.Context, q call, body []byte) error {
	token, err := c.tokens.Token(ctx)
	if err != nil {
		return noToken(err)
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
		return &Error{Code: Unreachable, Err: err}
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	bad := func(what string) *Error {
		return &Error{Status: res.StatusCode, Code: BadAnswer, Message: what, Err: err}
	}
	switch {
	case res.StatusCode != http.StatusOK:
		e := refusal(res, answer)
		if e.Code == Unauthorized {
			c.tokens.Forget(token)
		}
		return e
	case err != nil:
		return bad("it breaks off")
	case len(answer) > maxAnswer:
		return bad("it is too large")
	case q.out == nil:
		return nil
	}
	if json.Unmarshal(answer, q.out) != nil {
		return bad("it is not the JSON it should be")
	}
	return nil
}

// noToken is the Error where there is no access token.
func noToken(err error) *Error {
	e := &Error{Call: "access token", Code: Unreachable, Message: "no access token", Err: err}
	var refused *google.TokenError
	if errors.As(err, &refused) && refused.Status < http.StatusInternalServerError {
		e.Code = cmp.Or(codeOfToken[refused.Status], Unauthorized)
	}
	return e
}

// codeOfToken are answers of the token endpoint that do not speak of the key.
var codeOfToken = map[int]Code{http.StatusTooManyRequests: TooMany}
