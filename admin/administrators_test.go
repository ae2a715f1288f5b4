package admin_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/admin"
	"rollcall/admin/credential"
	"rollcall/enroll"
	"rollcall/storage"
	"rollcall/storage/storagetest"
)

// house is a store with administrators and a clock.
type house struct {
	*testing.T
	*admin.Administrators
	store *storage.Store
	now   time.Time
}

const password = "correct horse battery"

var browser = admin.Browser{Address: "192.0.2.1:4711", UserAgent: "Firefox"}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{T: t, store: storagetest.Open(t, storagetest.SQLite(t)), now: time.Date(2026, 5, 4, 10, 0, 30, 0, time.UTC)}
	h.Administrators = &admin.Administrators{Store: h.store, Now: func() time.Time { return h.now }, Logger: logger(t), Hasher: credential.NewHasher(), PublicURL: "https://mdm.example.com"}
	return h
}

// ann is the first administrator, signed in.
func (h *house) ann() admin.SignedIn {
	h.Helper()
	code, err := h.SetUpCode(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	in, err := h.SetUp(h.Context(), strings.ToLower(code), "Ann", "Ann@example.com ", password, browser)
	if err != nil {
		h.Fatal(err)
	}
	return in
}

func (h *house) code(err error, want string) {
	h.Helper()
	got := ""
	if err != nil {
		got = "internal: " + err.Error()
		if known, ok := err.(*enroll.Error); ok {
			got = known.Code
		}
	}
	if got != want {
		h.Fatalf("%s, want %q", got, want)
	}
}

func TestSetUp(t *testing.T) {
	h := newHouse(t)
	first, err := h.SetUpCode(t.Context())
	h.code(err, "")
	second, err := h.SetUpCode(t.Context())
	h.code(err, "")
	for _, test := range []struct{ code, name, email, password, want string }{
		{first, "Ann", "ann@example.com", password, "set_up_code_wrong"},
		{"", "Ann", "ann@example.com", password, "set_up_code_wrong"},
		{second, "", "ann@example.com", password, "name_invalid"},
		{second, "Ann", "ann", password, "email_invalid"},
		{second, "Ann", "ann@example.com", "short", "password_short"},
	} {
		_, err := h.SetUp(t.Context(), test.code, test.name, test.email, test.password, browser)
		h.code(err, test.want)
	}
	in, err := h.SetUp(t.Context(), second, "Ann", "ann@example.com", password, browser)
	h.code(err, "")
	who, session, err := h.SessionOf(t.Context(), in.Secret)
	if err != nil || who.Role != admin.RoleAdmin || who.Email != "ann@example.com" || session.Address != "192.0.2.1" {
		t.Fatalf("%+v, %+v, %v", who, session, err)
	}
	_, err = h.SetUp(t.Context(), second, "Eve", "eve@example.com", password, browser)
	h.code(err, "set_up_code_wrong")
	if code, err := h.SetUpCode(t.Context()); code != "" || err != nil {
		t.Fatalf("a code where there is an administrator: %q, %v", code, err)
	}
}

func TestSessionEnds(t *testing.T) {
	for name, test := range map[string]struct {
		ends bool
		do   func(h *house, in admin.SignedIn)
	}{
		"in use":        {false, func(h *house, _ admin.SignedIn) { h.now = h.now.Add(admin.SessionIdle - time.Minute) }},
		"idle":          {true, func(h *house, _ admin.SignedIn) { h.now = h.now.Add(admin.SessionIdle) }},
		"used and used": {false, func(h *house, in admin.SignedIn) { h.use(in, admin.SessionLife-time.Minute) }},
		"old":           {true, func(h *house, in admin.SignedIn) { h.use(in, admin.SessionLife) }},
		"signed out":    {true, func(h *house, in admin.SignedIn) { h.code(h.SignOut(h.Context(), in.Secret), "") }},
		"signed out twice": {true, func(h *house, in admin.SignedIn) {
			h.code(h.SignOut(h.Context(), in.Secret), "")
			h.code(h.SignOut(h.Context(), in.Secret), "")
		}},
		"password reset": {true, func(h *house, in admin.SignedIn) {
			_, _, err := h.Reset(h.Context(), in.Administrator.ID)
			h.code(err, "")
		}},
		"second factor reset": {true, func(h *house, in admin.SignedIn) { h.code(h.ResetKey(h.Context(), in.Administrator.ID), "") }},
		"own password changed": {false, func(h *house, in admin.SignedIn) {
			h.code(h.ChangePassword(h.Context(), in.Administrator.ID, in.Session.ID, password, "another horse battery", browser), "")
		}},
		"own password changed elsewhere": {true, func(h *house, in admin.SignedIn) {
			h.code(h.ChangePassword(h.Context(), in.Administrator.ID, "other", password, "another horse battery", browser), "")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			in := h.ann()
			test.do(h, in)
			_, _, err := h.SessionOf(t.Context(), in.Secret)
			if got := enroll.KindOf(err) == enroll.KindUnauthorized; got != test.ends || err != nil && !got {
				t.Errorf("ended: %v, %v", got, err)
			}
		})
	}
}

// use uses a session every ten hours until it is so old.
func (h *house) use(in admin.SignedIn, age time.Duration) {
	for end := in.Session.CreatedAt.Add(age); h.now.Before(end); h.now = h.now.Add(min(10*time.Hour, end.Sub(h.now))) {
		if _, _, err := h.SessionOf(h.Context(), in.Secret); err != nil {
			h.Fatal(err)
		}
	}
}

func TestSignIn(t *testing.T) {
	h := newHouse(t)
	in := h.ann()
	again, err := h.SignIn(t.Context(), " ANN@example.com", password, browser)
	h.code(err, "")
	if again.Secret == in.Secret || again.Session.Method != admin.ByPassword {
		t.Errorf("%+v", again)
	}
	for email, p := range map[string]string{"ann@example.com": "wrong", "bob@example.com": password, "": "", "ann@example.com ": ""} {
		_, err := h.SignIn(t.Context(), email, p, browser)
		h.code(err, "credentials_wrong")
	}
	bob, _, err := h.Invite(t.Context(), "Bob", "bob@example.com", admin.RoleViewer)
	h.code(err, "")
	_, err = h.SignIn(t.Context(), bob.Email, "", browser) // who has no password yet
	h.code(err, "credentials_wrong")
}

// TestLockOut: wrong passwords block the person, known or not, from everywhere,
// and who tries many people from one address.
func TestLockOut(t *testing.T) {
	for _, email := range []string{"ann@example.com", "nobody@example.com"} {
		h := newHouse(t)
		h.ann()
		var wg sync.WaitGroup
		codes := make(chan string, 12)
		for range cap(codes) {
			wg.Go(func() {
				_, err := h.SignIn(t.Context(), email, "wrong", browser)
				codes <- err.(*enroll.Error).Code
			})
		}
		wg.Wait()
		close(codes)
		count := map[string]int{}
		for c := range codes {
			count[c]++
		}
		if count["credentials_wrong"] != 5 || count["sign_in_blocked"] != 7 {
			t.Fatalf("%s: %v", email, count)
		}
		_, err := h.SignIn(t.Context(), email, password, admin.Browser{Address: "198.51.100.7:1"})
		h.code(err, "sign_in_blocked")
		h.now = h.now.Add(admin.BlockFirst)
		if email == "ann@example.com" {
			_, err = h.SignIn(t.Context(), email, password, browser)
			h.code(err, "")
			for range 5 { // it starts anew
				_, err = h.SignIn(t.Context(), email, "wrong", browser)
				h.code(err, "credentials_wrong")
			}
			continue
		}
		_, err = h.SignIn(t.Context(), email, "wrong", browser)
		h.code(err, "credentials_wrong")
		h.now = h.now.Add(admin.BlockFirst)
		_, err = h.SignIn(t.Context(), email, "wrong", browser)
		h.code(err, "sign_in_blocked") // for longer
	}
}

// meanwhile does something just before a session begins.
type meanwhile struct {
	admin.AdministratorStore
	do func()
}

func (m meanwhile) CreateSession(ctx context.Context, s admin.Session, hash [32]byte) error {
	m.do()
	return m.AdministratorStore.CreateSession(ctx, s, hash)
}

// TestResetDuringSignIn: a sign-in under way with a password that is taken away
// leaves no session.
func TestResetDuringSignIn(t *testing.T) {
	h := newHouse(t)
	ann := h.ann()
	h.Store = meanwhile{h.store, func() {
		if _, _, err := h.Reset(t.Context(), ann.Administrator.ID); err != nil {
			t.Error(err)
		}
	}}
	_, err := h.SignIn(t.Context(), "ann@example.com", password, browser)
	h.code(err, "session_ended")
	left, err := h.store.Sessions(t.Context(), ann.Administrator.ID, h.now, h.now.Add(-admin.SessionIdle))
	if err != nil || len(left) != 0 {
		t.Errorf("%d sessions are left, %v", len(left), err)
	}
}

// TestLockOutSparesKnownBrowsers: who guesses at somebody's password does not
// lock them out of a browser they have signed in with before, which has tries of
// its own.
func TestLockOutSparesKnownBrowsers(t *testing.T) {
	h := newHouse(t)
	mine := browser
	if mine.Known = h.ann().Known; mine.Known == "" {
		t.Fatal("the browser is not known")
	}
	guess := func(from admin.Browser, want string) {
		t.Helper()
		_, err := h.SignIn(t.Context(), "ann@example.com", "wrong", from)
		h.code(err, want)
	}
	for range 5 {
		guess(browser, "credentials_wrong")
	}
	guess(browser, "sign_in_blocked")
	in, err := h.SignIn(t.Context(), " Ann@example.com", password, mine)
	h.code(err, "")
	if in.Known != "" {
		t.Error("what the browser has is replaced")
	}
	guess(browser, "sign_in_blocked") // strangers still are
	for range 5 {
		guess(mine, "credentials_wrong")
	}
	guess(mine, "sign_in_blocked")
	h.now = h.now.Add(admin.BlockMost)
	if _, _, err := h.Invite(t.Context(), "Bob", "bob@example.com", admin.RoleViewer); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		_, err := h.SignIn(t.Context(), "bob@example.com", "wrong", browser)
		h.code(err, "credentials_wrong")
	}
	_, err = h.SignIn(t.Context(), "bob@example.com", password, mine) // it is not known as his
	h.code(err, "sign_in_blocked")
	h.now = h.now.Add(admin.KnownLife)
	in, err = h.SignIn(t.Context(), "ann@example.com", password, mine)
	h.code(err, "")
	if in.Known == "" {
		t.Error("a browser is known for ever")
	}
}

func TestSecondFactor(t *testing.T) {
	h := newHouse(t)
	in := h.ann()
	id := in.Administrator.ID
	ctx := t.Context()
	_, err := h.ConfirmKey(ctx, id, in.Session.ID, "123456")
	h.code(err, "second_factor_unasked")
	key, err := h.NewKey(ctx, id)
	h.code(err, "")
	_, err = h.ConfirmKey(ctx, id, in.Session.ID, key.Code(credential.Step(h.now)+9))
	h.code(err, "code_wrong")
	present := func() string { return key.Code(credential.Step(h.now)) }
	recovery, err := h.ConfirmKey(ctx, id, in.Session.ID, present())
	h.code(err, "")
	if _, _, err := h.SessionOf(ctx, in.Secret); err != nil {
		t.Fatal(err)
	}
	_, err = h.NewKey(ctx, id)
	h.code(err, "second_factor_on")

	signIn := func() string {
		t.Helper()
		half, err := h.SignIn(ctx, "ann@example.com", password, browser)
		h.code(err, "")
		if half.Secret != "" || half.Ticket == "" {
			t.Fatalf("signed in without a code: %+v", half)
		}
		return half.Ticket
	}
	ticket := signIn()
	if _, _, err := h.SessionOf(ctx, ticket); enroll.KindOf(err) != enroll.KindUnauthorized {
		t.Fatal("a ticket is a session")
	}
	_, err = h.Confirm(ctx, ticket, present(), browser)
	h.code(err, "code_wrong") // it turned the second factor on
	h.now = h.now.Add(credential.Period)
	code := present()
	done, err := h.Confirm(ctx, ticket, code, browser)
	h.code(err, "")
	if done.Session.Method != admin.BySecondFactor {
		t.Errorf("%+v", done.Session)
	}
	_, err = h.Confirm(ctx, ticket, recovery[0], browser)
	h.code(err, "session_ended") // the ticket is used
	_, err = h.Confirm(ctx, signIn(), code, browser)
	h.code(err, "code_wrong") // the code is used
	done, err = h.Confirm(ctx, signIn(), recovery[0], browser)
	h.code(err, "")
	if done.Session.Method != admin.ByRecoveryCode {
		t.Errorf("%+v", done.Session)
	}
	_, err = h.Confirm(ctx, signIn(), recovery[0], browser)
	h.code(err, "code_wrong")

	old := signIn()
	h.code(h.ChangePassword(ctx, id, in.Session.ID, password, "another horse battery", browser), "")
	_, err = h.Confirm(ctx, old, recovery[1], browser)
	h.code(err, "session_ended") // another password was right
	h.code(h.ChangePassword(ctx, id, in.Session.ID, "another horse battery", password, browser), "")
	late := signIn()
	h.now = h.now.Add(time.Hour)
	_, err = h.Confirm(ctx, late, recovery[1], browser)
	h.code(err, "session_ended")

	h.code(h.RemoveKey(ctx, id, "000000", browser), "code_wrong")
	h.code(h.RemoveKey(ctx, id, recovery[2], browser), "")
	if in, err := h.SignIn(ctx, "ann@example.com", password, browser); err != nil || in.Secret == "" {
		t.Errorf("%+v, %v", in, err)
	}
}

// TestCodesAreCounted: who knows the password does not get new tries for the
// code by it.
func TestCodesAreCounted(t *testing.T) {
	h := newHouse(t)
	in := h.ann()
	key, err := h.NewKey(t.Context(), in.Administrator.ID)
	h.code(err, "")
	_, err = h.ConfirmKey(t.Context(), in.Administrator.ID, "", key.Code(credential.Step(h.now)))
	h.code(err, "")
	for range 5 {
		half, err := h.SignIn(t.Context(), "ann@example.com", password, browser)
		h.code(err, "")
		_, err = h.Confirm(t.Context(), half.Ticket, "000000", browser)
		h.code(err, "code_wrong")
	}
	_, err = h.SignIn(t.Context(), "ann@example.com", password, browser)
	h.code(err, "sign_in_blocked")
}

func TestInvitation(t *testing.T) {
	h := newHouse(t)
	h.ann()
	ctx := t.Context()
	bob, link, err := h.Invite(ctx, "Bob", "bob@example.com", admin.RoleOperator)
	h.code(err, "")
	secret, ok := strings.CutPrefix(link, "https://mdm.example.com/console/invitation/")
	if !ok {
		t.Fatal(link)
	}
	if who, err := h.Invited(ctx, secret); err != nil || who.Email != bob.Email {
		t.Fatalf("%+v, %v", who, err)
	}
	_, err = h.Accept(ctx, secret, "bob", browser)
	h.code(err, "password_short")
	in, err := h.Accept(ctx, secret, password, browser)
	h.code(err, "")
	if in.Administrator.Role != admin.RoleOperator || in.Secret == "" {
		t.Errorf("%+v", in)
	}
	_, err = h.Accept(ctx, secret, password, browser)
	h.code(err, "invitation_over")
	_, link, err = h.Reset(ctx, bob.ID)
	h.code(err, "")
	_, err = h.SignIn(ctx, "bob@example.com", password, browser)
	h.code(err, "credentials_wrong")
	h.now = h.now.Add(admin.InvitationLife)
	_, err = h.Accept(ctx, link[strings.LastIndex(link, "/")+1:], password, browser)
	h.code(err, "invitation_over")
}

// TestAdministratorsAPI goes through the operations as the console does.
func TestAdministratorsAPI(t *testing.T) {
	h := newHouse(t)
	ann := h.ann()
	api := (&admin.API{Administrators: h.Administrators, Views: h.store, Tokens: h.store, Answers: h.store, Organization: "Example", Now: h.Now, Logger: logger(t)}).Handler()
	as := func(in admin.SignedIn, role admin.Role) context.Context {
		c := in.Administrator.Caller(in.Session, nil)
		c.Role = role
		return admin.WithCaller(t.Context(), c)
	}
	call := func(ctx context.Context, method, path, body string, status int) map[string]any {
		t.Helper()
		r := httptest.NewRequestWithContext(ctx, method, admin.Prefix+path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		if version, ok := ctx.Value(ifMatch{}).(string); ok {
			r.Header.Set("If-Match", version)
		}
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		if w.Code != status {
			t.Fatalf("%s %s: %d %s, want %d", method, path, w.Code, w.Body, status)
		}
		out := map[string]any{}
		if w.Body.Len() > 0 {
			if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
				t.Fatal(err)
			}
		}
		return out
	}
	ctx := as(ann, admin.RoleAdmin)
	me := call(ctx, "GET", "/me", "", 200)
	if me["kind"] != "administrator" || me["role"] != "admin" || me["administrator"].(map[string]any)["email"] != "ann@example.com" {
		t.Errorf("%v", me)
	}
	call(ctx, "PATCH", "/me", `{"time_zone":"Mars/Olympus"}`, 422)
	call(ctx, "PATCH", "/me", `{"theme":"dark","time_zone":"Europe/Berlin"}`, 200)
	call(ctx, "PUT", "/me/password", `{"current":"wrong","new":"another horse battery"}`, 403)
	call(ctx, "PUT", "/me/password", `{"current":"correct horse battery","new":"another horse battery"}`, 204)
	if _, _, err := h.SessionOf(t.Context(), ann.Secret); err != nil {
		t.Error("one's own session ended with one's own change")
	}
	key := call(ctx, "POST", "/me/second-factor", "", 200)
	if !strings.HasPrefix(key["url"].(string), "otpauth://totp/Example%20Rollcall:ann@example.com?") {
		t.Errorf("%v", key)
	}
	account, err := h.store.Administrator(t.Context(), ann.Administrator.ID)
	h.code(err, "")
	codes := call(ctx, "PUT", "/me/second-factor", `{"code":"`+account.NewKey.Code(credential.Step(h.now))+`"}`, 200)["recovery_codes"].([]any)
	call(ctx, "POST", "/me/second-factor/remove", `{"code":"`+codes[0].(string)+`"}`, 204)

	bob := call(ctx, "POST", "/administrators", `{"email":"bob@example.com","name":"Bob","role":"operator"}`, 201)
	id := bob["id"].(string)
	call(ctx, "POST", "/administrators", `{"email":"BOB@example.com","name":"Bob","role":"operator"}`, 409)
	link := bob["link"].(string)
	in, err := h.Accept(t.Context(), link[strings.LastIndex(link, "/")+1:], password, browser)
	h.code(err, "")
	call(as(in, admin.RoleOperator), "GET", "/sessions?all=true", "", 403)
	if got := call(ctx, "GET", "/sessions?all=true", "", 200)["items"].([]any); len(got) != 2 {
		t.Errorf("%v", got)
	}
	if got := call(as(in, admin.RoleOperator), "GET", "/sessions", "", 200)["items"].([]any); len(got) != 1 || got[0].(map[string]any)["current"] != true {
		t.Errorf("%v", got)
	}
	call(as(in, admin.RoleOperator), "DELETE", "/sessions/"+ann.Session.ID, "", 404)
	stale := context.WithValue(ctx, ifMatch{}, `"1"`)
	if p := call(stale, "PATCH", "/administrators/"+id, `{"role":"viewer"}`, 409); p["code"] != "version_conflict" || p["current"].(map[string]any)["name"] != "Bob" {
		t.Errorf("%v", p)
	}
	call(ctx, "PATCH", "/administrators/"+id, `{"role":"viewer"}`, 200)
	if _, _, err := h.SessionOf(t.Context(), in.Secret); enroll.KindOf(err) != enroll.KindUnauthorized {
		t.Errorf("the session has the role of before: %v", err)
	}
	call(ctx, "PATCH", "/administrators/"+id, `{"disabled":true}`, 200)
	_, err = h.SignIn(t.Context(), "bob@example.com", password, browser)
	h.code(err, "credentials_wrong")
	if p := call(ctx, "PATCH", "/administrators/"+ann.Administrator.ID, `{"role":"viewer"}`, 409); p["code"] != "last_administrator" {
		t.Errorf("%v", p)
	}
	call(ctx, "POST", "/administrators/"+id+"/reset", "", 200)
	call(ctx, "DELETE", "/administrators/"+id+"/second-factor", "", 204)
	call(ctx, "GET", "/administrators/"+id+"/sessions", "", 200)

	call(ctx, "PUT", "/views/My%20phones", `{"query":"state=enrolled","shared":true}`, 201)
	call(ctx, "PUT", "/views/My%20phones", `{"query":"%zz"}`, 422)
	if got := call(as(in, admin.RoleViewer), "GET", "/views", "", 200)["items"].([]any); len(got) != 1 || got[0].(map[string]any)["mine"] != false || got[0].(map[string]any)["owner_name"] != "Ann" {
		t.Errorf("%v", got)
	}
	call(as(in, admin.RoleViewer), "DELETE", "/views/My%20phones?owner="+ann.Administrator.ID, "", 403)
	call(ctx, "DELETE", "/views/My%20phones", "", 204)
	call(ctx, "DELETE", "/administrators/"+id, "", 204)
	call(ctx, "GET", "/administrators/"+id, "", 404)

	token := admin.WithCaller(t.Context(), admin.Caller{Kind: admin.CallerToken, ID: "t", Name: "t", Role: admin.RoleAdmin})
	call(token, "GET", "/me", "", http.StatusOK)
	call(token, "PATCH", "/me", `{"theme":"dark"}`, 409)
}

type ifMatch struct{}
