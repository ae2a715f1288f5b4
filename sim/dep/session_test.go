package dep

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/sim/applepki"
)

// The signature of RFC 5849, section 1.2.
func TestSignatureOfTheRFC(t *testing.T) {
	r, err := http.NewRequest(http.MethodGet, "http://photos.example.net/photos?file=vacation.jpg&size=original", nil)
	if err != nil {
		t.Fatal(err)
	}
	params, ok := parseAuthorization(`OAuth realm="Photos", oauth_consumer_key="dpf43f3p2l4k3l03", oauth_token="nnch734d00sl2jdk",
		oauth_signature_method="HMAC-SHA1", oauth_timestamp="137131202", oauth_nonce="chapoH", oauth_signature="MdpQcU8iPSUjWoN%2FUDMsK2sui9I%3D"`)
	if !ok {
		t.Fatal("the header is not read")
	}
	if got := base64.StdEncoding.EncodeToString(signature(r, params, "kd94hf93k423kf44", "pfkkdhi9sl3r4s00")); got != params["oauth_signature"] {
		t.Errorf("signature %s", got)
	}
}

func TestOAuth(t *testing.T) {
	c, now := start(t, Options{}, 0)
	replace := func(from, to string) func(string) string {
		return func(h string) string {
			if !strings.Contains(h, from) {
				t.Fatalf("%q is not in %q", from, h)
			}
			return strings.Replace(h, from, to, 1)
		}
	}
	for _, tt := range []struct {
		name   string
		change func(string) string
		status int
		text   string
	}{
		{"good", func(h string) string { return h }, 200, ""},
		{"realm", replace("OAuth ", `OAuth realm="ADM", `), 200, ""},
		{"no header", func(string) string { return "" }, 400, "parameter_absent"},
		{"basic", func(string) string { return "Basic YTpi" }, 400, "parameter_rejected"},
		{"foreign realm", replace("OAuth ", `OAuth realm="other", `), 400, "parameter_rejected"},
		{"unknown parameter", replace("OAuth ", `OAuth oauth_callback="oob", `), 400, "parameter_rejected"},
		{"twice", replace("OAuth ", `OAuth oauth_version="1.0", `), 400, "parameter_rejected"},
		{"no nonce", replace("oauth_nonce=", "realm="), 400, "parameter_absent"},
		{"method", replace("HMAC-SHA1", "PLAINTEXT"), 400, "signature_method_rejected"},
		{"version", replace(`oauth_version="1.0"`, `oauth_version="2.0"`), 400, "version_rejected"},
		{"consumer", replace("CK_", "CK_0"), 401, "consumer_key_unknown"},
		{"token", replace("AT_", "AT_0"), 401, "token_rejected"},
		{"signature", replace(`oauth_nonce="`, `oauth_nonce="0`), 401, "signature_invalid"},
	} {
		r := c.sign()
		h := tt.change(r.Header.Get("Authorization"))
		r.Header.Set("Authorization", h)
		if h == "" {
			r.Header.Del("Authorization")
		}
		if out := c.must(r); out.status != tt.status || !strings.Contains(string(out.body), tt.text) {
			t.Errorf("%s: %d %s", tt.name, out.status, out.body)
		}
	}
	again := c.sign()
	if out := c.must(again); out.status != 200 {
		t.Fatalf("first use: %d %s", out.status, out.body)
	}
	if out := c.must(again); out.status != 401 || !strings.Contains(string(out.body), "nonce_used") {
		t.Errorf("nonce used twice: %d %s", out.status, out.body)
	}
	now.advance(6 * time.Minute)
	if out := c.must(c.sign()); out.status != 401 || !strings.Contains(string(out.body), "timestamp_refused") {
		t.Errorf("a clock that is six minutes late: %d %s", out.status, out.body)
	}
	now.advance(-12 * time.Minute)
	if out := c.must(c.sign()); out.status != 401 || !strings.Contains(string(out.body), "timestamp_refused") {
		t.Errorf("a clock that is six minutes early: %d %s", out.status, out.body)
	}
	now.advance(6 * time.Minute)
	old := c.account.token
	c.account.set(c.account.renew)
	fresh := c.account.token
	c.account.token = old
	stale := c.sign()
	c.account.token = fresh
	if out := c.must(stale); out.status != 401 || !strings.Contains(string(out.body), "token_rejected") {
		t.Errorf("a token after its renewal: %d %s", out.status, out.body)
	}
	c.account.ExpireToken()
	if out := c.must(c.sign()); out.status != 401 || !strings.Contains(string(out.body), "token_expired") {
		t.Errorf("an expired token: %d %s", out.status, out.body)
	}
}

func TestSessions(t *testing.T) {
	c, now := start(t, Options{RotateEvery: 3, SessionLifetime: time.Minute}, 0)
	refused := func(what, session string, status int) {
		t.Helper()
		c.session = session
		if out := c.must(c.request("GET", "/account", nil)); out.status != status {
			t.Errorf("%s: %d %s", what, out.status, out.body)
		}
	}
	refused("no session", "", 401)
	c.login()
	first := c.session
	c.login()
	second := c.session
	refused("a session after the next one", first, 401)
	for i, session := range []string{second, second, second} {
		c.session = session
		out := c.must(c.request("GET", "/account", nil))
		if rotated := out.header.Get("X-ADM-Auth-Session") != second; out.status != 200 || rotated != (i == 2) {
			t.Fatalf("call %d: %d, rotated %v", i, out.status, rotated)
		}
		first = out.header.Get("X-ADM-Auth-Session")
	}
	refused("a session after rotation", second, 401)
	refused("the new session", first, 200)
	now.advance(time.Minute)
	refused("a session after its time", first, 401)
	c.login()
	c.account.ExpireSession()
	refused("an ended session", c.session, 401)

	forbidding, _ := start(t, Options{ForbidExpired: true}, 0)
	forbidding.session = "dead"
	if out := forbidding.call("GET", "/account", nil); out.status != 403 || out.code() != "FORBIDDEN" {
		t.Errorf("%d %s", out.status, out.body)
	}
}

func TestAccountStates(t *testing.T) {
	c, _ := start(t, Options{}, 0)
	c.login()
	c.account.SignTerms(false)
	c.refused("terms not signed", "GET", "/account", nil, 403, "T_C_NOT_SIGNED")
	if out := c.must(c.sign()); out.status != 403 || out.code() != "T_C_NOT_SIGNED" {
		t.Errorf("session without terms: %d %s", out.status, out.body)
	}
	c.account.SignTerms(true)
	c.account.Deny(true)
	c.refused("denied", "POST", "/devices/sync", map[string]any{}, 403, "ACCESS_DENIED")
	c.account.Deny(false)
	if out := c.call("GET", "/account", nil); out.status != 200 {
		t.Errorf("after all: %d %s", out.status, out.body)
	}
}

func TestHeaders(t *testing.T) {
	c, now := start(t, Options{}, 1)
	c.login()
	c.agent = ""
	c.refused("no agent", "GET", "/account", nil, 400, "USER_AGENT_MISSING")
	c.agent = "(no product)"
	c.refused("no product", "GET", "/account", nil, 400, "USER_AGENT_INVALID")
	c.agent = "a product/with spaces"
	if out := c.call("GET", "/account", nil); out.status != 200 {
		t.Errorf("product and comment: %d %s", out.status, out.body)
	}
	now.advance(time.Minute)
	if got, err := http.ParseTime(c.call("GET", "/account", nil).header.Get("Date")); err != nil || now.now().Sub(got).Abs() > time.Second {
		t.Errorf("the answer is of %v, the clock says %v, %v", got, now.now(), err)
	}
	c.refused("unknown path", "GET", "/devices/all", nil, 404, "NOT_FOUND")
	c.refused("method", "PATCH", "/profile", nil, 405, "METHOD_NOT_ALLOWED")
	r := c.request("POST", "/server/devices", "{}")
	r.Header.Set("Content-Type", "text/plain")
	if out := c.must(r); out.status != 400 || out.code() != malformed {
		t.Errorf("content type: %d %s", out.status, out.body)
	}
	c.refused("no JSON", "POST", "/server/devices", "{", 400, malformed)
}

func TestCodesAreBareAndQuotedInTurn(t *testing.T) {
	c, _ := start(t, Options{}, 0)
	c.login()
	quoted := 0
	for range 4 {
		if out := c.call("POST", "/devices/sync", map[string]any{}); strings.HasPrefix(string(out.body), `"`) {
			quoted++
		}
	}
	if quoted != 2 {
		t.Errorf("%d of 4 are quoted", quoted)
	}
}

func TestTLS(t *testing.T) {
	pki, err := applepki.New()
	if err != nil {
		t.Fatal(err)
	}
	cloud := New(Options{})
	if err := cloud.Start("127.0.0.1:0", pki); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cloud.Close() })
	a, err := cloud.AddAccount("Main")
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, cloud, a)
	tr := c.http.Transport.(*http.Transport)
	tr.TLSClientConfig = tlsFor(cloud)
	var out accountDetail
	c.get("GET", "/account", nil, &out)
	if out.ServerName != "Main" || out.ServerUUID != a.UUID() || len(out.URLs) == 0 {
		t.Errorf("%+v", out)
	}
}

// Accounts do not disturb each other, nor does the portal.
func TestAccountsAtTheSameTime(t *testing.T) {
	c, _ := start(t, Options{RotateEvery: 2}, 50)
	clients := []*client{c}
	for _, name := range []string{"B", "C", "D"} {
		a, err := c.cloud.AddAccount(name)
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, newClient(t, c.cloud, a))
	}
	profiles := make([]string, len(clients))
	for i, one := range clients {
		profiles[i] = one.define()
	}
	serials := c.account.Serials()
	var all sync.WaitGroup
	for i, one := range clients {
		all.Go(func() {
			for range 20 {
				body, err := json.Marshal(map[string]any{"profile_uuid": profiles[i], "devices": serials})
				if err != nil {
					t.Error(err)
					return
				}
				for _, r := range []*http.Request{one.request("POST", "/profile/devices", string(body)), one.request("POST", "/server/devices", "{}")} {
					r.Header.Set("X-ADM-Auth-Session", one.session)
					out, err := one.do(r)
					if err != nil || out.status != 200 {
						t.Errorf("account %s: %d %s, %v", one.account.Name(), out.status, out.body, err)
						return
					}
					one.session = out.header.Get("X-ADM-Auth-Session")
				}
			}
		})
	}
	for i := range 200 {
		serial := serials[i%len(serials)]
		if err := c.cloud.Move(serial, clients[i%len(clients)].account); err != nil {
			t.Error(err)
		}
		c.cloud.Activate(serial)
	}
	all.Wait()
	total := 0
	for _, one := range clients {
		total += len(one.account.Serials())
	}
	if total != len(serials) {
		t.Errorf("%d devices of %d", total, len(serials))
	}
}
