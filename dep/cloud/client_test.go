package cloud

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
)

// kept is a session in memory.
type kept struct {
	mu sync.Mutex
	s  string
}

func (k *kept) Session(context.Context) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.s, nil
}

func (k *kept) SetSession(_ context.Context, s string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.s = s
	return nil
}

var token = Token{ConsumerKey: "CK_1", ConsumerSecret: "CS_1", AccessToken: "AT_1", AccessSecret: "AS_1", ExpiresAt: time.Now().Add(time.Hour)}

// serve makes a client of a handler that gets every call but GET /session.
func serve(t *testing.T, sessions Sessions, h http.HandlerFunc) (*Client, *int) {
	t.Helper()
	logins := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("User-Agent") != userAgent || r.Header.Get("X-Server-Protocol-Version") != "10" || r.Header.Get("Content-Type") != contentType {
			t.Errorf("%s %s came with the headers %v", r.Method, r.URL, r.Header)
		}
		if r.URL.Path != "/session" {
			h(w, r)
			return
		}
		logins++
		if a := r.Header.Get("Authorization"); !strings.HasPrefix(a, `OAuth realm="ADM",`) || !strings.Contains(a, `oauth_consumer_key="CK_1"`) || strings.Contains(a, "CS_1") || strings.Contains(a, "\n") {
			t.Errorf("Authorization: %s", a)
		}
		io.WriteString(w, `{"auth_session_token":"session `+strings.Repeat("+", logins)+`"}`)
	}))
	t.Cleanup(s.Close)
	c, err := New(s.URL, token, sessions, s.Client().Transport, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, &logins
}

func answer(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name   string
		handle http.HandlerFunc
		code   Code
		kind   enroll.Kind
		retry  time.Duration
	}{
		{"a bare code", answer(400, "EXPIRED_CURSOR"), ExpiredCursor, enroll.KindConflict, 0},
		{"a code in quotes", answer(400, "\"EXHAUSTED_CURSOR\"\n"), ExhaustedCursor, enroll.KindConflict, 0},
		{"no code", answer(400, "the cursor is EXPIRED_CURSOR"), Refused, enroll.KindConflict, 0},
		{"terms", answer(403, "T_C_NOT_SIGNED"), TermsNotSigned, enroll.KindConflict, 0},
		{"denied", answer(403, "ACCESS_DENIED"), AccessDenied, enroll.KindConflict, 0},
		{"busy", answer(429, "", "Retry-After", "90"), TooMany, enroll.KindUnavailable, 90 * time.Second},
		{"busy for ever", answer(503, "", "Retry-After", "99999999"), Unavailable, enroll.KindUnavailable, maxRetryAfter},
		{"busy, it does not say how long", answer(503, "", "Retry-After", "soon"), Unavailable, enroll.KindUnavailable, 0},
		{"HTML", answer(200, "<html>"), BadAnswer, enroll.KindUnavailable, 0},
		{"nothing", answer(200, ""), BadAnswer, enroll.KindUnavailable, 0},
		{"half a body", answer(200, `{"cursor": "a"`), BadAnswer, enroll.KindUnavailable, 0},
		{"a body that breaks off", answer(200, `{"cursor": "a"}`, "Content-Length", "100"), BadAnswer, enroll.KindUnavailable, 0},
		{"a redirection", answer(302, "", "Location", "https://example.com/"), BadAnswer, enroll.KindUnavailable, 0},
		{"no cursor", answer(200, `{"devices": []}`), BadAnswer, enroll.KindUnavailable, 0},
		{"an endless cursor", answer(200, `{"cursor": "`+strings.Repeat("x", maxCursor+1)+`"}`), BadAnswer, enroll.KindUnavailable, 0},
		{"the same cursor, and more", answer(200, `{"cursor": "here", "more_to_follow": true}`), BadAnswer, enroll.KindUnavailable, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, logins := serve(t, &kept{}, c.handle)
			_, err := client.Sync(t.Context(), "here", 10)
			var e *Error
			if !errors.As(err, &e) || e.Code != c.code || e.RetryAfter != c.retry {
				t.Fatalf("%v (%+v), want %s after %v", err, e, c.code, c.retry)
			}
			if enroll.KindOf(err) != c.kind {
				t.Errorf("kind %s, want %s", enroll.KindOf(err), c.kind)
			}
			if *logins != 1 {
				t.Errorf("%d sessions, want 1", *logins)
			}
			for _, secret := range []string{"CS_1", "AS_1", "AT_1", "session +"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%q tells a secret", err)
				}
			}
		})
	}
}

// One that another replica has made is used before a new one is asked for, and
// what Apple sends along is kept.
func TestSessions(t *testing.T) {
	k := &kept{s: "dead"}
	good := "of another replica"
	c, logins := serve(t, k, func(w http.ResponseWriter, r *http.Request) {
		if s := r.Header.Get(sessionHeader); s != good {
			k.SetSession(r.Context(), good)
			answer(401, "")(w, r)
			return
		}
		good = "next"
		answer(200, `{"server_uuid": "1"}`, sessionHeader, good)(w, r)
	})
	for range 2 {
		if _, err := c.Account(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if *logins != 0 || k.s != "next" {
		t.Errorf("%d sessions were asked for; kept is %q", *logins, k.s)
	}
	never, logins := serve(t, &kept{}, answer(403, "FORBIDDEN"))
	if _, err := never.Account(t.Context()); enroll.KindOf(err) != enroll.KindConflict || *logins != sessionTries {
		t.Errorf("%v after %d sessions", err, *logins)
	}
}

func TestExpiredTokenIsNotUsed(t *testing.T) {
	c, logins := serve(t, &kept{s: "s"}, func(http.ResponseWriter, *http.Request) { t.Error("it was called") })
	c.now = func() time.Time { return token.ExpiresAt }
	var e *Error
	if _, err := c.Account(t.Context()); !errors.As(err, &e) || e.Code != TokenExpired || *logins != 0 {
		t.Errorf("%v, %d sessions", err, *logins)
	}
}

func TestAssign(t *testing.T) {
	c, _ := serve(t, &kept{}, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || string(b) != `{"profile_uuid":"U","devices":["A","B","C","D","E"]}` {
			t.Errorf("%s %s", r.Method, b)
		}
		answer(200, `{"devices": {"A": "SUCCESS", "B": "NOT_ACCESSIBLE", "C": "THROTTLED", "D": "NEW_WORD", "Z": "SUCCESS"}, "retry_after_seconds": 30}`)(w, r)
	})
	got, err := c.Assign(t.Context(), "U", []string{"A", "B", "C", "D", "E"})
	if err != nil {
		t.Fatal(err)
	}
	want := Assignment{RetryAfter: 30 * time.Second, Outcomes: map[string]Outcome{"A": OutcomeSuccess, "B": OutcomeNotAccessible, "C": OutcomeThrottled, "D": OutcomeFailed, "E": OutcomeFailed}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestProfileCheck(t *testing.T) {
	yes, no := true, false
	long := func(n int) string { return strings.Repeat("ä", n) }
	for name, c := range map[string]struct {
		change func(*Profile)
		code   string
	}{
		"good":                        {func(*Profile) {}, ""},
		"not removable, supervised":   {func(p *Profile) { p.MDMRemovable, p.Supervised = &no, &yes }, ""},
		"no name":                     {func(p *Profile) { p.Name = "" }, "dep_config_name_required"},
		"long name":                   {func(p *Profile) { p.Name = long(126) }, "dep_config_name_invalid"},
		"longest name":                {func(p *Profile) { p.Name = long(125) }, ""},
		"no URL":                      {func(p *Profile) { p.URL = "" }, "dep_config_url_required"},
		"plain URL":                   {func(p *Profile) { p.URL = "http://example.com" }, "dep_config_url_invalid"},
		"long URL":                    {func(p *Profile) { p.URL = "https://example.com/" + long(2000) }, "dep_config_url_invalid"},
		"plain web URL":               {func(p *Profile) { p.WebURL = "http://example.com" }, "dep_config_url_invalid"},
		"department":                  {func(p *Profile) { p.Department = long(126) }, "dep_department_invalid"},
		"not removable":               {func(p *Profile) { p.MDMRemovable = &no }, "dep_flags_invalid"},
		"not removable, unsupervised": {func(p *Profile) { p.MDMRemovable, p.Supervised = &no, &no }, "dep_flags_invalid"},
		"language":                    {func(p *Profile) { p.Language = "english" }, "dep_locale_invalid"},
		"region":                      {func(p *Profile) { p.Region = "U1" }, "dep_locale_invalid"},
		"magic":                       {func(p *Profile) { p.Magic = long(257) }, "dep_magic_invalid"},
		"e-mail":                      {func(p *Profile) { p.SupportEmail = long(251) }, "dep_support_email_invalid"},
		"phone":                       {func(p *Profile) { p.SupportPhone = long(51) }, "dep_support_phone_invalid"},
		"anchor":                      {func(p *Profile) { p.AnchorCerts = []string{"PEM?"} }, "dep_malformed_request_body"},
	} {
		t.Run(name, func(t *testing.T) {
			p := Profile{Name: "Standard", URL: "https://mdm.example.com/enroll"}
			c.change(&p)
			err := p.Check()
			var e *enroll.Error
			if c.code == "" && err != nil || c.code != "" && (!errors.As(err, &e) || e.Code != c.code || e.Kind != enroll.KindInvalid) {
				t.Errorf("%v, want %q", err, c.code)
			}
		})
	}
}

// FuzzPage: whatever is answered is a page that leads on, or an Error.
func FuzzPage(f *testing.F) {
	for _, s := range []string{`{"devices":[{"serial_number":"A","op_type":"added","op_date":"2026-01-02T03:04:05Z","imei":["1"]}],"cursor":"c","more_to_follow":true}`,
		`{"devices":null,"cursor":"c"}`, `{"devices":[{"op_date":5,"profile_push_time":""}],"cursor":"c"}`, `[]`, `{"cursor":7}`, `<html>`, ``, `{"devices":[{"imei":"1"}],"cursor":"c"}`} {
		f.Add([]byte(s))
	}
	var body []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(body) }))
	defer s.Close()
	c, err := New(s.URL, token, &kept{s: "s"}, s.Client().Transport, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		body = b
		p, err := c.Fetch(t.Context(), "here", 10)
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("an error of another type: %v", err)
		}
		if err == nil && (p.Cursor == "" || len(p.Cursor) > maxCursor || p.More && p.Cursor == "here") {
			t.Errorf("a page that leads nowhere: %+v", p)
		}
	})
}
