package dep

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/oauth1/oauth"
)

// clock is a service's time, which a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// client is a management server that does everything right.
type client struct {
	t       testing.TB
	cloud   *Cloud
	account *Account
	http    *http.Client
	session string
	version string
	agent   string
}

// start runs a service with an account "Main" that has n devices.
func start(t testing.TB, o Options, n int) (*client, *clock) {
	t.Helper()
	now := &clock{t: time.Now()}
	o.Now = now.now
	c := New(o)
	if err := c.Start("127.0.0.1:0", nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	a, err := c.AddAccount("Main")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.AddDevices(Fixture("TST", n)...); err != nil {
		t.Fatal(err)
	}
	return newClient(t, c, a), now
}

func newClient(t testing.TB, c *Cloud, a *Account) *client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &client{t: t, cloud: c, account: a, http: &http.Client{Transport: tr}, version: "10", agent: "test/1"}
}

// sign is a request for a session, signed by a library that the service does
// not use.
func (c *client) sign() *http.Request {
	c.t.Helper()
	r, err := http.NewRequest(http.MethodGet, c.cloud.URL()+"/session", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	signer := oauth.Client{Credentials: oauth.Credentials{Token: c.account.key.id, Secret: c.account.key.secret}}
	token := oauth.Credentials{Token: c.account.token.id, Secret: c.account.token.secret}
	if err := signer.SetAuthorizationHeader(r.Header, &token, r.Method, r.URL, url.Values{}); err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("User-Agent", c.agent)
	return r
}

type reply struct {
	status int
	body   []byte
	header http.Header
}

// code is the body of a refusal, without quotes.
func (r reply) code() string {
	if s, err := strconv.Unquote(string(r.body)); err == nil {
		return s
	}
	return string(r.body)
}

func (c *client) do(r *http.Request) (reply, error) {
	resp, err := c.http.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, body, resp.Header}, err
}

func (c *client) must(r *http.Request) reply {
	c.t.Helper()
	out, err := c.do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

func (c *client) login() {
	c.t.Helper()
	out := c.must(c.sign())
	var in struct {
		Token string `json:"auth_session_token"`
	}
	if err := json.Unmarshal(out.body, &in); err != nil || out.status != 200 || in.Token == "" {
		c.t.Fatalf("session: %d %s", out.status, out.body)
	}
	c.session = in.Token
}

func (c *client) request(method, path string, body any) *http.Request {
	c.t.Helper()
	var reader io.Reader
	if body != nil {
		text, isText := body.(string)
		raw := []byte(text)
		if !isText {
			var err error
			if raw, err = json.Marshal(body); err != nil {
				c.t.Fatal(err)
			}
		}
		reader = bytes.NewReader(raw)
	}
	r, err := http.NewRequest(method, c.cloud.URL()+path, reader)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("X-ADM-Auth-Session", c.session)
	r.Header.Set("X-Server-Protocol-Version", c.version)
	r.Header.Set("User-Agent", c.agent)
	r.Header.Set("Content-Type", "application/json;charset=UTF8")
	return r
}

// call logs in where there is no session, and follows rotation.
func (c *client) call(method, path string, body any) reply {
	c.t.Helper()
	if c.session == "" {
		c.login()
	}
	out := c.must(c.request(method, path, body))
	if s := out.header.Get("X-ADM-Auth-Session"); s != "" {
		c.session = s
	}
	return out
}

// get calls and wants 200; the answer is decoded into out.
func (c *client) get(method, path string, body, out any) {
	c.t.Helper()
	r := c.call(method, path, body)
	if r.status != 200 {
		c.t.Fatalf("%s %s: %d %s", method, path, r.status, r.body)
	}
	if err := json.Unmarshal(r.body, out); err != nil {
		c.t.Fatalf("%s %s: %v in %s", method, path, err, r.body)
	}
}

// refused calls and wants a status and a code.
func (c *client) refused(what string, method, path string, body any, status int, code string) {
	c.t.Helper()
	if r := c.call(method, path, body); r.status != status || r.code() != code {
		c.t.Errorf("%s: %d %s, want %d %s", what, r.status, r.body, status, code)
	}
}

func (c *client) fetch(limit int, cursor string) (p pageAnswer) {
	c.t.Helper()
	body := map[string]any{"limit": limit}
	if cursor != "" {
		body["cursor"] = cursor
	}
	c.get("POST", "/server/devices", body, &p)
	return p
}

func (c *client) sync(limit int, cursor string) (p pageAnswer) {
	c.t.Helper()
	c.get("POST", "/devices/sync", map[string]any{"limit": limit, "cursor": cursor}, &p)
	return p
}

// upToDate is a cursor at the end of the stream of changes.
func (c *client) upToDate() string {
	c.t.Helper()
	cursor := ""
	for {
		p := c.fetch(1000, cursor)
		if cursor = p.Cursor; !p.MoreToFollow {
			break
		}
	}
	for {
		p := c.sync(1000, cursor)
		if cursor = p.Cursor; !p.MoreToFollow {
			return cursor
		}
	}
}

// operations are the serials and op_types of a page.
func operations(p pageAnswer) string {
	var out []string
	for _, d := range p.Devices {
		out = append(out, d.SerialNumber+" "+string(d.OpType))
	}
	return strings.Join(out, ", ")
}

type statuses struct {
	ProfileUUID string            `json:"profile_uuid"`
	Devices     map[string]Status `json:"devices"`
	RetryAfter  int               `json:"retry_after_seconds"`
}

var goodProfile = map[string]any{"profile_name": "Staff", "url": "https://mdm.example.com/enroll/ade/secret"}

func (c *client) define() string {
	c.t.Helper()
	var out statuses
	c.get("POST", "/profile", goodProfile, &out)
	return out.ProfileUUID
}

func (c *client) assign(profile string, serials ...string) statuses {
	c.t.Helper()
	var out statuses
	c.get("POST", "/profile/devices", map[string]any{"profile_uuid": profile, "devices": serials}, &out)
	return out
}
