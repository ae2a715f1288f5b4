package portal

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"rollcall/enroll"
)

// requests keeps one invitation and follows it as enroll.Requests does.
type requests struct {
	inv enroll.Invitation
	err error // of every call, if set
}

const secret = "abc_DEF-123"

func (q *requests) find(s string) (enroll.Invitation, error) {
	if q.err != nil {
		return enroll.Invitation{}, q.err
	}
	if s != secret {
		return enroll.Invitation{}, enroll.Errorf(enroll.KindNotFound, "request_unknown", "This invitation does not exist.").WithHint("Check the link.")
	}
	return q.inv, q.inv.Request.Usable(time.Now())
}

func (q *requests) Open(_ context.Context, s string) (enroll.Invitation, error) { return q.find(s) }

func (q *requests) Accept(_ context.Context, s string, o enroll.Ownership) (enroll.Invitation, error) {
	inv, err := q.find(s)
	if err != nil {
		return inv, err
	}
	if inv.Device.Ownership == enroll.OwnershipSelectUser {
		if o != enroll.OwnershipPersonal && o != enroll.OwnershipCorporate {
			return inv, enroll.Errorf(enroll.KindInvalid, "ownership_missing", "Please choose whose device this is.")
		}
		q.inv.Request.Ownership = o
	}
	q.inv.Request.State, q.inv.Request.AcceptedAt = enroll.RequestAccepted, time.Now()
	return q.inv, nil
}

func (q *requests) Accepted(_ context.Context, s string) (enroll.Invitation, error) {
	inv, err := q.find(s)
	if err == nil && inv.Request.AcceptedAt.IsZero() {
		err = enroll.Errorf(enroll.KindConflict, "request_not_accepted", "not accepted")
	}
	return inv, err
}

func invitation(platform enroll.Platform, ownership enroll.Ownership) *requests {
	return &requests{inv: enroll.Invitation{
		Request: enroll.Request{ID: "r1", State: enroll.RequestSent, CreatedBy: "IT desk", ExpiresAt: time.Now().Add(time.Hour)},
		Device:  enroll.Device{Serial: "C39XK1ABCD01", Platform: platform, Ownership: ownership},
		User:    enroll.User{Name: "Anna Schmidt", Email: "anna@example.com"},
	}}
}

// phone opens pages of a portal, on both routers that Mount promises.
type phone struct {
	t       *testing.T
	handler http.Handler
}

func phones(t *testing.T, q *requests) map[string]phone {
	portal := func() *Portal {
		return &Portal{Requests: q, Organization: "Example <GmbH>", Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
			ProfileURL: func(s string) string {
				if s == "" {
					return "/enroll/ota"
				}
				return "/enroll/ota?request=" + url.QueryEscape(s)
			}}
	}
	std := http.NewServeMux()
	portal().Mount(func(pattern string, h http.Handler) { std.Handle(pattern, h) })
	gorilla := mux.NewRouter()
	withVars := portal()
	withVars.Secret = func(r *http.Request) string { return mux.Vars(r)["secret"] }
	withVars.Mount(func(pattern string, h http.Handler) { gorilla.Handle(pattern, h) })
	return map[string]phone{"net/http": {t, std}, "gorilla/mux": {t, gorilla}}
}

func (p phone) do(method, path string, form url.Values) *http.Response {
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	return w.Result()
}

// want opens a page and asserts its status and what it says; a text that
// starts with ! must not be there.
func (p phone) want(res *http.Response, status int, texts ...string) string {
	p.t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	if res.StatusCode != status {
		p.t.Fatalf("status %d, want %d: %s", res.StatusCode, status, b)
	}
	for _, text := range texts {
		without, no := strings.CutPrefix(text, "!")
		if strings.Contains(string(b), without) == no {
			p.t.Errorf("want %q in:\n%s", text, b)
		}
	}
	return string(b)
}

func TestAcceptAndGoOn(t *testing.T) {
	for _, router := range []string{"net/http", "gorilla/mux"} {
		t.Run(router, func(t *testing.T) {
			q := invitation(enroll.PlatformIOS, enroll.OwnershipCorporate)
			p := phones(t, q)[router]
			p.want(p.do("GET", "/enroll/r/"+secret, nil), 200, "Hello Anna Schmidt", "IT desk", "C39XK1ABCD01", "iPhone or iPad", "Accept and go on", "!Whose device", "!anna@example.com", "!<script")
			if res := p.do("GET", "/enroll/r/"+secret+"/next", nil); res.StatusCode != 303 || res.Header.Get("Location") != "/enroll/r/"+secret {
				t.Fatalf("next before accepting: %d to %q", res.StatusCode, res.Header.Get("Location"))
			}
			if !q.inv.Request.AcceptedAt.IsZero() {
				t.Fatal("opening the page accepted the invitation")
			}
			res := p.do("POST", "/enroll/r/"+secret, url.Values{})
			if res.StatusCode != 303 || res.Header.Get("Location") != "/enroll/r/"+secret+"/next" {
				t.Fatalf("accept: %d to %q", res.StatusCode, res.Header.Get("Location"))
			}
			p.want(p.do("GET", "/enroll/r/"+secret+"/next", nil), 200, `href="/enroll/ota?request=`+secret+`"`, "Profile Downloaded", "C39XK1ABCD01", "!Not Verified")
			if res := p.do("GET", "/enroll/r/"+secret, nil); res.StatusCode != 303 {
				t.Errorf("opened again after accepting: %d", res.StatusCode)
			}
		})
	}
}

func TestSelectUser(t *testing.T) {
	q := invitation(enroll.PlatformApple, enroll.OwnershipSelectUser)
	p := phones(t, q)["net/http"]
	p.want(p.do("GET", "/enroll/r/"+secret, nil), 200, "Whose device is this?", `value="personal"`, `value="corporate"`)
	for _, wrong := range []string{"", "selectuser", "mine"} {
		p.want(p.do("POST", "/enroll/r/"+secret, url.Values{"ownership": {wrong}}), 422, "Please choose whose device this is.", "Accept and go on")
	}
	if !q.inv.Request.AcceptedAt.IsZero() {
		t.Fatal("accepted without a choice")
	}
	p.want(p.do("POST", "/enroll/r/"+secret, url.Values{"ownership": {"personal"}}), 303)
	if q.inv.Request.Ownership != enroll.OwnershipPersonal {
		t.Errorf("stored %q", q.inv.Request.Ownership)
	}
}

func TestAndroidGetsNoProfile(t *testing.T) {
	q := invitation(enroll.PlatformAndroid, enroll.OwnershipCorporate)
	p := phones(t, q)["net/http"]
	p.want(p.do("POST", "/enroll/r/"+secret, url.Values{}), 303)
	p.want(p.do("GET", "/enroll/r/"+secret+"/next", nil), 200, "Invitation accepted", "!/enroll/ota")
}

func TestWelcome(t *testing.T) {
	p := phones(t, invitation(enroll.PlatformIOS, enroll.OwnershipCorporate))["net/http"]
	p.want(p.do("GET", "/enroll", nil), 200, `href="/enroll/ota"`, "Download the profile")
	p.want(p.do("POST", "/enroll", nil), 405)
}

func TestOwnAuthority(t *testing.T) {
	own := func(change func(*Portal)) phone {
		router := http.NewServeMux()
		portal := &Portal{Requests: invitation(enroll.PlatformIOS, enroll.OwnershipCorporate), Organization: "Example", ProfileURL: func(string) string { return "/enroll/ota" }}
		change(portal)
		portal.Mount(func(pattern string, h http.Handler) { router.Handle(pattern, h) })
		return phone{t, router}
	}
	p := own(func(p *Portal) { p.OwnCA, p.TrustURL = true, "/enroll/trust" })
	p.want(p.do("GET", "/enroll", nil), 200, `href="/enroll/trust"`, "Certificate Trust Settings", "Not Verified")
	p = own(func(p *Portal) { p.TrustURL = "/enroll/trust" })
	p.want(p.do("GET", "/enroll", nil), 200, "!/enroll/trust", "!Not Verified")
}

func TestRefusals(t *testing.T) {
	with := func(change func(*requests)) *requests {
		q := invitation(enroll.PlatformIOS, enroll.OwnershipCorporate)
		change(q)
		return q
	}
	tests := []struct {
		name   string
		q      *requests
		path   string
		status int
		texts  []string
	}{
		{"expired", with(func(q *requests) { q.inv.Request.ExpiresAt = time.Now().Add(-time.Minute) }), secret, 410, []string{"has expired", "send it again"}},
		{"withdrawn", with(func(q *requests) { q.inv.Request.State = enroll.RequestCancelled }), secret, 410, []string{"was withdrawn", "Ask your administrator"}},
		{"used", with(func(q *requests) { q.inv.Request.State = enroll.RequestCompleted }), secret, 410, []string{"the device is enrolled"}},
		{"unknown", with(func(*requests) {}), "other", 404, []string{"does not exist", "Check the link"}},
		{"store down", with(func(q *requests) {
			q.err = &enroll.Error{Kind: enroll.KindUnavailable, Text: "x", Err: errors.New("pq: connection refused")}
		}), secret, 503, []string{"cannot answer", "!pq:"}},
		{"untyped", with(func(q *requests) { q.err = errors.New("sql: no rows in roll.go:12") }), secret, 500, []string{"Please try again", "!sql:", "!.go"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := phones(t, test.q)["net/http"]
			p.want(p.do("GET", "/enroll/r/"+test.path, nil), test.status, test.texts...)
			p.want(p.do("GET", "/enroll/r/"+test.path+"/next", nil), test.status, test.texts...)
			p.want(p.do("POST", "/enroll/r/"+test.path, url.Values{}), test.status, test.texts...)
		})
	}
}

// TestNamesAreEscaped puts markup into every name a page shows.
func TestNamesAreEscaped(t *testing.T) {
	const evil = `"><img src=x onerror=alert(1)>`
	q := invitation(enroll.PlatformIOS, enroll.OwnershipSelectUser)
	q.inv.User.Name, q.inv.Request.CreatedBy, q.inv.Device.Serial = evil, evil, evil
	p := phones(t, q)["net/http"]
	p.want(p.do("GET", "/enroll/r/"+secret, nil), 200, "!<img", "!Example <GmbH>", "Example &lt;GmbH&gt;")
	p.want(p.do("POST", "/enroll/r/"+secret, url.Values{"ownership": {"<img>"}}), 422, "!<img")
	p.want(p.do("POST", "/enroll/r/"+secret, url.Values{"ownership": {"personal"}}), 303)
	p.want(p.do("GET", "/enroll/r/"+secret+"/next", nil), 200, "!<img")
	q.err = enroll.Errorf(enroll.KindGone, "x", "%s", evil).WithHint("%s", evil)
	p.want(p.do("GET", "/enroll/r/"+secret, nil), 410, "!<img")
}

// TestHeaders asserts on every answer that the secret in the URL stays where
// it is, and that the style sheet is the one that the policy allows.
func TestHeaders(t *testing.T) {
	q := invitation(enroll.PlatformIOS, enroll.OwnershipCorporate)
	p := phones(t, q)["net/http"]
	styled := regexp.MustCompile(`(?s)<style>(.*)</style>`)
	for _, test := range []struct{ method, path string }{
		{"GET", "/enroll"}, {"GET", "/enroll/r/" + secret}, {"GET", "/enroll/r/other"}, {"DELETE", "/enroll/r/" + secret},
		{"GET", "/enroll/r/" + secret + "/next"}, {"POST", "/enroll/r/" + secret}, {"GET", "/enroll/r/" + secret + "/next"}, {"HEAD", "/enroll"},
	} {
		res := p.do(test.method, test.path, nil)
		for header, want := range map[string]string{"Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} {
			if got := res.Header.Get(header); got != want {
				t.Errorf("%s %s: %s is %q, want %q", test.method, test.path, header, got, want)
			}
		}
		csp := res.Header.Get("Content-Security-Policy")
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		if m := styled.FindSubmatch(b); m != nil {
			sum := sha256.Sum256(m[1])
			if hash := base64.StdEncoding.EncodeToString(sum[:]); !strings.Contains(csp, "'sha256-"+hash+"'") {
				t.Errorf("%s %s: the policy %q does not allow the style sheet", test.method, test.path, csp)
			}
		} else if res.StatusCode != http.StatusSeeOther && test.method != "HEAD" {
			t.Errorf("%s %s: no style sheet in %s", test.method, test.path, b)
		}
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s %s: the policy is %q", test.method, test.path, csp)
		}
	}
}
