package console_test

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"rollcall/admin"
	"rollcall/admin/console"
	"rollcall/admin/credential"
	"rollcall/dep/signin"
	"rollcall/sim/idp"
	"rollcall/storage"
	"rollcall/storage/storagetest"
)

// office is a console with its real sign-in, over the part of the API that
// administrators need, with a clock.
type office struct {
	*house
	people *admin.Administrators
	db     *storage.Store
	now    time.Time
}

const passphrase = "correct horse battery"

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{db: storagetest.Open(t, storagetest.SQLite(t)), now: time.Date(2026, 5, 4, 10, 0, 30, 0, time.UTC)}
	clock := func() time.Time { return o.now }
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	o.people = &admin.Administrators{Store: o.db, Now: clock, Logger: log, Hasher: credential.NewHasher()}
	api := (&admin.API{Administrators: o.people, Views: o.db, Tokens: o.db, Answers: o.db, Organization: "Example", Now: clock, Logger: log}).Handler()
	c := &console.Console{API: api, Administrators: o.people, Organization: "Example", Now: clock, Log: log}
	h, err := c.Handler()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	o.people.PublicURL = server.URL
	o.house = &house{t: t, server: server}
	return o
}

// visitor is a browser with nothing in it.
func (o *office) visitor() *person { return o.As("") }

// ann is the first administrator, signed in.
func (o *office) ann() *person {
	o.t.Helper()
	code, err := o.people.SetUpCode(o.t.Context())
	if err != nil {
		o.t.Fatal(err)
	}
	p := o.visitor()
	f := p.Get("/console/sign-in").Wants(http.StatusOK, "There is no administrator yet").Form("Become the first administrator")
	f.Set("code", code).Set("name", "Ann").Set("email", "ann@example.com").Set("password", passphrase).Set("again", passphrase).Send().Wants(http.StatusOK, "Second factor", "Later")
	return p
}

// signIn is a browser that has sent the form of the sign-in.
func (o *office) signIn(p *person, next, password string) *page {
	o.t.Helper()
	return p.Get("/console/sign-in?next="+url.QueryEscape(next)).Form("Sign in").Set("email", "ann@example.com").Set("password", password).Send()
}

// cookie is what a browser holds.
func (p *person) cookie(name string) string {
	base, _ := url.Parse(p.h.server.URL)
	for _, c := range p.client.Jar.Cookies(base) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

const sessionCookie = "__Host-rollcall-console"

func TestSetUpPage(t *testing.T) {
	o := newOffice(t)
	code, err := o.people.SetUpCode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := o.visitor()
	f := func() *sent {
		return p.Get("/console/set-up").Form("Become the first administrator").Set("code", code).Set("name", "Ann").Set("email", "ann@example.com").Set("password", passphrase).Set("again", passphrase)
	}
	f().Set("again", "another horse battery").Send().Wants(http.StatusUnprocessableEntity, "The two passwords are not the same.")
	g := f().Set("code", "AAAAA").Set("name", `<b>"Ann"`).Send().Wants(http.StatusForbidden, "the code is not the one of the set-up")
	if strings.Contains(g.Body, passphrase) || strings.Contains(g.Body, "<b>") || !strings.Contains(g.Body, `value="&lt;b&gt;&#34;Ann&#34;"`) {
		t.Errorf("what was typed, but for the password, is not there again: %s", g.Body)
	}
	f().Set("password", "short").Set("again", "short").Send().Wants(http.StatusUnprocessableEntity, "fewer than 12 characters")
	f().Send().Wants(http.StatusOK, "Second factor")
	if p.Get("/console/set-up").URL.Path == "/console/set-up" {
		t.Error("the set-up is open although there is an administrator")
	}
}

func TestSecondFactorPages(t *testing.T) {
	o := newOffice(t)
	p := o.ann()
	g := p.Get("/console/account/second-factor").Form("Set up the second factor").Send().Wants(http.StatusOK, "Code of the app")
	if !strings.Contains(g.Body, "<svg") {
		t.Error("there is no QR code")
	}
	typed := regexp.MustCompile(`<code id="key">([A-Z2-7]{32})</code>`).FindStringSubmatch(g.Body)
	if typed == nil {
		t.Fatal(g.Body)
	}
	account, err := o.db.AdministratorByEmail(t.Context(), "ann@example.com")
	if err != nil || account.NewKey.String() != typed[1] {
		t.Fatal(account.NewKey, err)
	}
	key := account.NewKey
	present := func() string { return key.Code(credential.Step(o.now)) }
	g = g.Form("Turn it on").Set("code", "000000").Send().Wants(http.StatusUnprocessableEntity, "the code is wrong", typed[1])
	g = g.Form("Turn it on").Set("code", present()).Send().Wants(http.StatusOK, "Recovery codes")
	recovery := regexp.MustCompile(`[a-z2-7]{4}(-[a-z2-7]{4}){3}`).FindAllString(g.Body, -1)
	if len(recovery) != credential.RecoveryCodes {
		t.Fatalf("%d recovery codes: %s", len(recovery), g.Body)
	}

	other := o.visitor()
	half := o.signIn(other, "/console/account", passphrase).Wants(http.StatusOK, "One more step")
	if other.cookie(sessionCookie) != "" {
		t.Fatal("signed in without a code")
	}
	stranger := o.visitor()
	stranger.Post("/console/sign-in/code", url.Values{"code": {recovery[0]}}).Wants(http.StatusUnauthorized, "The sign-in took too long.")
	half = half.Form("Sign in").Set("code", present()).Send().Wants(http.StatusForbidden, "the code is wrong, or was used")
	o.now = o.now.Add(credential.Period)
	half.Form("Sign in").Set("code", present()).Send().Wants(http.StatusOK, "My account", "Ann")
	third := o.visitor()
	o.signIn(third, "/console/account", passphrase).Form("Sign in").Set("code", present()).Send().Wants(http.StatusForbidden, "was used").
		Form("Sign in").Set("code", recovery[0]).Send().Wants(http.StatusOK, "On. 9 recovery codes are left.").
		Form("Turn it off").Set("code", recovery[1]).Send().Wants(http.StatusOK, "The second factor is off.")
}

func TestCookies(t *testing.T) {
	o := newOffice(t)
	o.ann()
	p := o.visitor()
	p.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	g := o.signIn(p, "/console/account", passphrase)
	found := false
	for _, text := range g.Header["Set-Cookie"] {
		c, err := http.ParseSetCookie(text)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			t.Errorf("%s", text)
		}
		found = found || c.Name == sessionCookie && c.MaxAge == int(admin.SessionLife/time.Second)
	}
	if !found {
		t.Errorf("%v", g.Header["Set-Cookie"])
	}
}

// TestSessionFixation: a session that somebody put into the browser before does
// not become that of who signs in, and ends.
func TestSessionFixation(t *testing.T) {
	o := newOffice(t)
	mallory := o.ann()
	planted := mallory.cookie(sessionCookie)
	victim := o.As(admin.Role(planted))
	o.signIn(victim, "/console/account", passphrase).Wants(http.StatusOK, "My account")
	if got := victim.cookie(sessionCookie); got == planted || got == "" {
		t.Fatal("the session is the planted one")
	}
	mallory.Get("/console/account").Wants(http.StatusOK, "Sign in").Lacks("My account")

	invented := o.As("invented")
	o.signIn(invented, "/console/account", passphrase).Wants(http.StatusOK, "My account")
	if invented.cookie(sessionCookie) == "invented" {
		t.Error("a browser chooses the secret of its session")
	}
}

func TestNextStaysHere(t *testing.T) {
	o := newOffice(t)
	o.ann()
	for _, next := range []string{"https://evil.example/", "//evil.example/console/", `/\evil.example`, "javascript:alert(1)", "/api/v1/devices"} {
		p := o.visitor()
		p.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		g := p.Get("/console/sign-in?next=" + url.QueryEscape(next))
		if strings.Contains(g.Body, "evil") || strings.Contains(g.Body, "javascript:") {
			t.Errorf("%s is in the form: %s", next, g.Body)
		}
		g = p.Post("/console/sign-in", url.Values{"email": {"ann@example.com"}, "password": {passphrase}, "next": {next}})
		if g.Header.Get("Location") != "/console/" {
			t.Errorf("%s leads to %s", next, g.Header.Get("Location"))
		}
	}
}

func TestForgedForms(t *testing.T) {
	o := newOffice(t)
	ann := o.ann()
	post := func(path, origin string, fields url.Values) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, o.server.URL+path, strings.NewReader(fields.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		return ann.do(r).Status
	}
	right := url.Values{"email": {"ann@example.com"}, "password": {passphrase}}
	for name, status := range map[string]int{
		"sign-in from elsewhere": post("/console/sign-in", "https://evil.example", right),
		"account without token":  post("/console/account", "", url.Values{"name": {"Eve"}}),
		"account, wrong token":   post("/console/account", "", url.Values{"name": {"Eve"}, "csrf": {"x"}}),
		"sign-out without token": post("/console/sign-out", "", nil),
	} {
		if status != http.StatusForbidden {
			t.Errorf("%s: %d", name, status)
		}
	}
	ann.Get("/console/account").Wants(http.StatusOK, "Ann").Lacks("Eve").Form("Sign out").Send().Wants(http.StatusOK, "You are signed out.")
	if ann.cookie(sessionCookie) != "" {
		t.Error("the cookie is still there")
	}
}

func TestLockOutPage(t *testing.T) {
	o := newOffice(t)
	ann := o.ann()
	for range 5 {
		g := o.signIn(o.visitor(), "", "wrong").Wants(http.StatusForbidden, "the e-mail address or the password is wrong")
		if !strings.Contains(g.Body, `value="ann@example.com"`) {
			t.Error("the address has to be typed again")
		}
	}
	o.signIn(o.visitor(), "", passphrase).Wants(http.StatusTooManyRequests, "there were too many failed sign-ins", "Try again in 30s.")
	o.signIn(ann, "/console/account", passphrase).Wants(http.StatusOK, "My account") // the browser is known
	o.now = o.now.Add(30 * time.Second)
	o.signIn(o.visitor(), "/console/account", passphrase).Wants(http.StatusOK, "My account")
}

// TestFormOfExpiredSession: nothing that was typed is lost when the session ends
// before the form is sent.
func TestFormOfExpiredSession(t *testing.T) {
	o := newOffice(t)
	ann := o.ann()
	f := ann.Get("/console/account").Form("Save").Set("name", `Ann "the first" <1>`).Set("time_zone", "Europe/Berlin")
	o.now = o.now.Add(admin.SessionIdle)
	g := f.Send().Wants(http.StatusUnauthorized, "What you typed is kept")
	g = g.Form("Sign in").Set("email", "ann@example.com").Set("password", "wrong").Send().Wants(http.StatusForbidden, "What you typed is kept")
	g = g.Form("Sign in").Set("password", passphrase).Send().Wants(http.StatusOK, "Send the form now?", "/console/account")
	g.Form("Send it now").Send().Wants(http.StatusOK, "Your account is saved.", `Ann "the first" <1>`)

	// One that is too long to go along does not stand in the way of the sign-in.
	long := ann.Get("/console/account").Form("Save").Set("name", strings.Repeat("<", 600_000))
	o.now = o.now.Add(admin.SessionIdle)
	long.Send().Wants(http.StatusUnauthorized).Lacks("What you typed is kept").
		Form("Sign in").Set("email", "ann@example.com").Set("password", passphrase).Send().Wants(http.StatusOK)

	kept := "eyJwYXRoIjoiaHR0cHM6Ly9ldmlsLmV4YW1wbGUvIiwidmFsdWVzIjp7fX0" // {"path":"https://evil.example/","values":{}}
	g = o.visitor().Post("/console/sign-in", url.Values{"email": {"ann@example.com"}, "password": {passphrase}, "kept": {kept}, "next": {"/console/account"}})
	g.Wants(http.StatusOK, "My account").Lacks("evil")
}

func TestAccountPage(t *testing.T) {
	o := newOffice(t)
	ann := o.ann()
	other := o.visitor()
	o.signIn(other, "/console/account", passphrase).Wants(http.StatusOK, "this one", "End it")
	ann.Get("/console/account").Form("Save").Set("time_zone", "Mars/Olympus").Send().Wants(http.StatusUnprocessableEntity, `there is no time zone "Mars/Olympus"`)
	ann.Get("/console/account").Form("Save").Set("theme", "dark").Send().Wants(http.StatusOK, "Your account is saved.")
	if g := ann.Get("/console/account"); !strings.Contains(g.Body, `data-theme="dark"`) {
		t.Error("the page is not dark")
	}
	f := func() *sent {
		return ann.Get("/console/account").Form("Change the password").Set("current", passphrase).Set("password", "another horse battery").Set("again", "another horse battery")
	}
	f().Set("current", "wrong").Send().Wants(http.StatusForbidden, "the current password is wrong")
	f().Set("again", "x").Send().Wants(http.StatusUnprocessableEntity, "The two passwords are not the same.")
	f().Send().Wants(http.StatusOK, "Your password is changed.")
	other.Get("/console/account").Wants(http.StatusOK, "Sign in").Lacks("My account")
	ann.Get("/console/account").Wants(http.StatusOK, "My account")
}

func TestAdministratorPages(t *testing.T) {
	o := newOffice(t)
	ann := o.ann()
	f := func() *sent {
		return ann.Get("/console/settings/administrators").Follow("Add an administrator").Form("Add and show the link").Set("name", "Bob").Set("email", "bob@example.com").Set("role", "viewer")
	}
	f().Set("email", "ann@example.com").Send().Wants(http.StatusConflict, "another administrator has this e-mail address")
	g := f().Send().Wants(http.StatusOK, "Bob is added", "bob@example.com")
	link := regexp.MustCompile(`<code id="link">([^<]+)</code>`).FindStringSubmatch(g.Body)
	if link == nil {
		t.Fatal(g.Body)
	}
	at, err := url.Parse(link[1])
	if err != nil {
		t.Fatal(err)
	}
	bob := o.visitor()
	choose := func() *sent {
		return bob.Get(at.Path).Wants(http.StatusOK, "Welcome, Bob").Form("Choose it and sign in").Set("password", passphrase).Set("again", passphrase)
	}
	choose().Set("again", "x").Send().Wants(http.StatusUnprocessableEntity, "The two passwords are not the same.")
	choose().Send().Wants(http.StatusOK, "Second factor")
	o.visitor().Get(at.Path).Wants(http.StatusForbidden, "the link is not good any more")
	bob.Get("/console/settings/administrators").Wants(http.StatusForbidden)

	list := ann.Get("/console/settings/administrators").Wants(http.StatusOK, "Ann", "Bob", "active")
	edit := list.Follow("Bob").Wants(http.StatusOK, "Reset the password").Form("Save").Set("name", "Robert")
	list.Follow("Bob").Form("Save").Set("role", "operator").Send().Wants(http.StatusOK, "Bob is saved.")
	bob.Get("/console/account").Wants(http.StatusOK, "Sign in").Lacks("My account")
	g = edit.Send().Wants(http.StatusConflict, "Somebody else has changed", "operator")
	g.Form("Save").Send().Wants(http.StatusOK, "Robert is saved.")

	robert := func() *page { return ann.Get("/console/settings/administrators").Follow("Robert") }
	robert().Follow("Disable").Wants(http.StatusOK, "Disable Robert?").Form("Disable").Send().Wants(http.StatusOK, "Robert is disabled.", "disabled")
	robert().Follow("Enable").Form("Enable").Send().Wants(http.StatusOK, "Robert can sign in again.")
	robert().Follow("Reset the password").Form("Reset the password").Send().Wants(http.StatusOK, "/console/invitation/")
	robert().Follow("Delete").Form("Delete").Send().Wants(http.StatusOK, "The administrator is deleted.").Lacks("Robert")
	ann.Get("/console/settings/administrators").Follow("Ann").Follow("Disable").Form("Disable").Send().Wants(http.StatusConflict, "this is the last administrator with the role admin")
	ann.Get("/console/settings/administrators/x/explode").Wants(http.StatusNotFound)
}

// provider lets administrators sign in at a simulated OpenID provider.
func (o *office) provider() *idp.Provider {
	o.t.Helper()
	p, err := idp.New(idp.Config{ClientID: "console", ClientSecret: "secret", Now: func() time.Time { return o.now }})
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(p.Close)
	p.Back(o.server.URL + admin.PathCallback)
	o.people.OIDC = &signin.OIDC{Issuer: p.Issuer(), ClientID: "console", ClientSecret: "secret", RedirectURL: o.server.URL + admin.PathCallback, Now: func() time.Time { return o.now }, Transport: p.Client().Transport}
	return p
}

// between is a browser that trusts both sides, and follows from one to the other.
func (o *office) between(p *idp.Provider) *person {
	jar, _ := cookiejar.New(nil)
	roots := o.server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs.Clone()
	roots.AddCert(p.Certificate())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	o.t.Cleanup(transport.CloseIdleConnections)
	return &person{h: o.house, client: &http.Client{Jar: jar, Transport: transport}}
}

func TestOIDC(t *testing.T) {
	o := newOffice(t)
	o.ann()
	p := o.provider()
	away := func(browser *person) string {
		t.Helper()
		g := browser.Get("/console/sign-in?next=/console/account").Form("Sign in with your organization's account").Send().Wants(http.StatusOK, "On to the sign-in service")
		target, ok := strings.CutPrefix(g.Header.Get("Refresh"), "0;url=")
		if !ok || !strings.Contains(g.Body, "Continue") {
			t.Fatalf("%v", g.Header)
		}
		return target
	}
	follow := func(browser *person, target string) *page {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		return browser.do(r)
	}
	for _, test := range []struct {
		name, person string
		lie          func(map[string]any)
		status       int
		want         string
	}{
		{"an administrator", "Ann@example.com", nil, http.StatusOK, "My account"},
		{"somebody else", "eve@example.com", nil, http.StatusForbidden, "you are not an administrator of this server"},
		{"who refuses", "", nil, http.StatusForbidden, "you were not signed in"},
		{"an address that is not verified", "ann@example.com", func(c map[string]any) { c["email_verified"] = false }, http.StatusForbidden, "The sign-in service did not sign you in."},
		{"another nonce", "ann@example.com", func(c map[string]any) { c["nonce"] = "x" }, http.StatusForbidden, "The sign-in service did not sign you in."},
	} {
		t.Run(test.name, func(t *testing.T) {
			p.Person(test.person)
			p.Lie(test.lie)
			defer p.Lie(nil)
			browser := o.between(p)
			follow(browser, away(browser)).Wants(test.status, test.want)
			if (browser.cookie(sessionCookie) != "") != (test.status == http.StatusOK) {
				t.Error("the session is not what it should be")
			}
		})
	}
	p.Person("ann@example.com")
	t.Run("the way back in another browser", func(t *testing.T) {
		target := away(o.between(p))
		follow(o.between(p), target).Wants(http.StatusUnauthorized, "The sign-in service did not sign you in.")
	})
	t.Run("the way back of another round", func(t *testing.T) { // somebody wants another to be signed in as them
		mallory, victim := o.between(p), o.between(p)
		var back string
		mallory.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if r.URL.Path == admin.PathCallback {
				back = r.URL.String()
				return http.ErrUseLastResponse
			}
			return nil
		}
		follow(mallory, away(mallory))
		away(victim)
		follow(victim, back).Wants(http.StatusUnauthorized, "The sign-in service did not sign you in.")
	})
	t.Run("twice", func(t *testing.T) {
		browser := o.between(p)
		var back string
		browser.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if r.URL.Path == admin.PathCallback {
				back = r.URL.String()
			}
			return nil
		}
		target := away(browser)
		ticket := browser.cookie("__Host-rollcall-ticket")
		follow(browser, target).Wants(http.StatusOK, "My account")
		again := o.between(p)
		base, _ := url.Parse(o.server.URL)
		again.client.Jar.SetCookies(base, []*http.Cookie{{Name: "__Host-rollcall-ticket", Value: ticket, Path: "/", Secure: true}})
		follow(again, back).Wants(http.StatusUnauthorized)
	})
	t.Run("who is disabled", func(t *testing.T) {
		bob, _, err := o.people.Invite(t.Context(), "Bob", "bob@example.com", admin.RoleAdmin)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.db.ChangeAdministrator(t.Context(), bob.ID, func(a *admin.Account) (admin.SessionEnd, error) {
			a.DisabledAt = o.now
			return admin.SessionEnd{}, nil
		}); err != nil {
			t.Fatal(err)
		}
		p.Person("bob@example.com")
		browser := o.between(p)
		follow(browser, away(browser)).Wants(http.StatusForbidden, "you are not an administrator of this server")
	})
}
