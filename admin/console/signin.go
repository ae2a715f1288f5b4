package console

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"rollcall/admin"
	"rollcall/enroll"
)

// signInDoors are the pages for who is not signed in.
var signInDoors = []route{
	get("/sign-in", signIn),
	post("/sign-in", takePassword),
	post("/sign-in/code", takeCode),
	post("/oidc", startOIDC),
	get("/oidc/callback", finishOIDC),
	post("/sign-out", signOut),
	get("/set-up", setUp),
	post("/set-up", takeSetUp),
	get("/invitation/{secret}", openInvitation),
	post("/invitation/{secret}", takeInvitation),
}

// ticketCookie holds what binds the two steps of a sign-in to one browser. Lax,
// since people come back from the OpenID provider by a link.
const (
	ticketCookie = "__Host-rollcall-ticket"
	ticketLife   = 10 * time.Minute
)

// knownCookie says which browser this is to who signs in again, see
// admin.Browser. It lets nobody in.
const knownCookie = "__Host-rollcall-browser"

func (q *request) setCookie(name, value string, life time.Duration) {
	c := &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(life / time.Second)}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(q.w, c)
}

func (q *request) cookie(name string) string {
	c, err := q.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

func (q *request) browser() admin.Browser {
	return admin.Browser{Address: q.RemoteAddr, UserAgent: q.UserAgent(), Known: q.cookie(knownCookie)}
}

// refused is what sign-in refuses as a problem, which stands at the field that it
// is about.
func refused(err error) error {
	var known *enroll.Error
	status := map[enroll.Kind]int{enroll.KindInvalid: http.StatusUnprocessableEntity, enroll.KindForbidden: http.StatusForbidden, enroll.KindUnauthorized: http.StatusUnauthorized,
		enroll.KindUnavailable: http.StatusServiceUnavailable, enroll.KindNotFound: http.StatusNotFound, enroll.KindConflict: http.StatusConflict}
	if !errors.As(err, &known) || status[known.Kind] == 0 {
		return err
	}
	p := &problem{Status: status[known.Kind], Code: known.Code, Detail: known.Text, Hint: known.Hint}
	if known.Code == "sign_in_blocked" {
		p.Status = http.StatusTooManyRequests
	}
	return p.place("password_short", "/password", "password_long", "/password", "password_weak", "/password", "email_invalid", "/email", "name_invalid", "/name",
		"set_up_code_wrong", "/code", "code_wrong", "/code")
}

// goal is where somebody wanted to go when they were asked to sign in.
type goal struct {
	Next string // path of a page
	Kept string // a form, see request.keep
}

// maxKept is how long a form may be that goes to the OpenID provider and back,
// since it is stored for who is not signed in.
const maxKept = 32 << 10

// goal reads it of the URL or the form. A path that leads elsewhere is none.
func (q *request) goal() goal {
	g := goal{Next: q.Param("next"), Kept: q.Typed("kept")}
	if next := q.Typed("next"); next != "" {
		g.Next = next
	}
	if !local(g.Next) {
		g.Next = ""
	}
	return g
}

// signInData is what the page of the sign-in shows.
type signInData struct {
	goal
	OIDC bool
}

// Unsent says that a form is waiting to be sent again.
func (d signInData) Unsent() bool {
	_, ok := readKept(d.Kept)
	return ok
}

func (q *request) signInPage(g goal, p *problem, status int) error {
	return q.page("sign-in", view{Title: text("signin.title"), Bare: true, Status: status, Problem: p, Data: signInData{g, q.console.Administrators.OIDC != nil}})
}

func signIn(q *request) error {
	if needed, err := q.console.Administrators.NeedsSetUp(q.Context()); err != nil {
		return err
	} else if needed {
		q.redirect("/set-up")
		return nil
	}
	return q.signInPage(q.goal(), nil, 0)
}

// signInAgain answers a form whose session is over with the sign-in, which takes
// what was typed along.
func (c *Console) signInAgain(q *request) error {
	field, err := q.keep()
	if err != nil {
		return err
	}
	next := ""
	if field == "" { // a file has to be chosen again
		next = q.URL.RequestURI()
	}
	return q.signInPage(goal{Next: next, Kept: field}, nil, http.StatusUnauthorized)
}

func takePassword(q *request) error {
	if err := q.readForm(); err != nil {
		return err
	}
	in, err := q.console.Administrators.SignIn(q.Context(), q.Typed("email"), q.form.Get("password"), q.browser())
	err = refused(err)
	if p := refusal(err); p != nil {
		return q.signInPage(q.goal(), p, 0)
	}
	if err != nil {
		return err
	}
	return q.enter(in, q.goal())
}

// enter goes on as who has signed in, or asks for the code of the second factor.
func (q *request) enter(in admin.SignedIn, to goal) error {
	if in.Ticket != "" {
		q.setCookie(ticketCookie, in.Ticket, ticketLife)
		return q.codePage(to, nil)
	}
	if old := secretOf(q.Request); old != "" {
		if err := q.console.Administrators.SignOut(q.Context(), old); err != nil {
			return err
		}
	}
	q.setCookie(ticketCookie, "", 0)
	q.setCookie(cookieName, in.Secret, admin.SessionLife)
	if in.Known != "" {
		q.setCookie(knownCookie, in.Known, admin.KnownLife)
	}
	q.Who, q.Session, q.CSRF = in.Administrator, in.Session, csrfOf(in.Secret)
	if k, ok := readKept(to.Kept); ok {
		return q.page("sign-in-kept", view{Title: text("signin.kept"), Bare: true, Data: k})
	}
	if to.Next == "" {
		to.Next = Prefix + "/"
	}
	http.Redirect(q.w, q.Request, to.Next, http.StatusSeeOther)
	return nil
}

func (q *request) codePage(g goal, p *problem) error {
	return q.page("sign-in-code", view{Title: text("signin.code"), Bare: true, Problem: p, Data: g})
}

func takeCode(q *request) error {
	if err := q.readForm(); err != nil {
		return err
	}
	in, err := q.console.Administrators.Confirm(q.Context(), q.cookie(ticketCookie), q.Typed("code"), q.browser())
	err = refused(err)
	if p := refusal(err); p != nil && p.Status == http.StatusUnauthorized {
		return q.signInPage(q.goal(), &problem{Status: p.Status, Detail: text("signin.late"), Hint: text("signin.late.hint")}, 0)
	} else if p != nil {
		return q.codePage(q.goal(), p)
	}
	if err != nil {
		return err
	}
	return q.enter(in, q.goal())
}

// startOIDC leads to the provider by a link, which is followed at once: a form
// must not lead away from here (form-action).
func startOIDC(q *request) error {
	if err := q.readForm(); err != nil {
		return err
	}
	goal := q.goal()
	if len(goal.Kept) > maxKept {
		goal.Kept = ""
	}
	next, err := json.Marshal(goal)
	if err != nil {
		return err
	}
	target, ticket, err := q.console.Administrators.StartOIDC(q.Context(), string(next))
	err = refused(err)
	if p := refusal(err); p != nil {
		return q.signInPage(goal, p, 0)
	}
	if err != nil {
		return err
	}
	q.setCookie(ticketCookie, ticket, ticketLife)
	q.w.Header().Set("Refresh", "0;url="+target)
	return q.page("sign-in-away", view{Title: text("signin.away"), Bare: true, Data: target})
}

func finishOIDC(q *request) error {
	in, err := q.console.Administrators.FinishOIDC(q.Context(), q.cookie(ticketCookie), q.URL.Query(), q.browser())
	err = refused(err)
	if p := refusal(err); p != nil {
		if p.Status == http.StatusUnauthorized || p.Code == "oidc_token" {
			p = &problem{Status: p.Status, Detail: text("signin.oidc.failed"), Hint: text("signin.late.hint")}
		}
		return q.signInPage(goal{}, p, 0)
	}
	if err != nil {
		return err
	}
	var to goal
	if err := json.Unmarshal([]byte(in.Next), &to); err != nil {
		return err
	}
	return q.enter(in, to)
}

// signOut is open to who is not signed in any more: the form is done then.
func signOut(q *request) error {
	if err := q.readForm(); err != nil {
		return err
	}
	secret := secretOf(q.Request)
	if q.CSRF = csrfOf(secret); !q.ours(q.Typed("csrf")) {
		return errForged
	}
	if err := q.console.Administrators.SignOut(q.Context(), secret); err != nil {
		return err
	}
	q.setCookie(cookieName, "", 0)
	return q.done("/sign-in", "signin.out")
}

func setUp(q *request) error {
	if needed, err := q.console.Administrators.NeedsSetUp(q.Context()); err != nil {
		return err
	} else if !needed {
		q.redirect("/sign-in")
		return nil
	}
	return q.setUpPage(nil)
}

func (q *request) setUpPage(p *problem) error {
	return q.page("set-up", view{Title: text("signin.setup"), Bare: true, Problem: p})
}

// twice says whether a new password was typed alike in both fields.
func (q *request) twice() *problem {
	if q.form.Get("password") == q.form.Get("again") {
		return nil
	}
	return (&problem{Status: http.StatusUnprocessableEntity, Code: "password_differs", Detail: text("signin.differs")}).place("password_differs", "/again")
}

func takeSetUp(q *request) error {
	if err := q.readForm(); err != nil {
		return err
	}
	if p := q.twice(); p != nil {
		return q.setUpPage(p)
	}
	in, err := q.console.Administrators.SetUp(q.Context(), q.Typed("code"), q.Typed("name"), q.Typed("email"), q.form.Get("password"), q.browser())
	err = refused(err)
	if p := refusal(err); p != nil {
		return q.setUpPage(p)
	}
	if err != nil {
		return err
	}
	return q.enter(in, goal{Next: Prefix + "/account/second-factor"})
}

func openInvitation(q *request) error {
	who, err := q.console.Administrators.Invited(q.Context(), q.PathValue("secret"))
	if err != nil {
		return refused(err)
	}
	return q.invitationPage(who, nil)
}

func (q *request) invitationPage(who admin.Administrator, p *problem) error {
	return q.page("invitation", view{Title: text("signin.welcome", who.Name), Bare: true, Problem: p, Data: who})
}

func takeInvitation(q *request) error {
	if err := q.readForm(); err != nil {
		return err
	}
	who, err := q.console.Administrators.Invited(q.Context(), q.PathValue("secret"))
	if err != nil {
		return refused(err)
	}
	if p := q.twice(); p != nil {
		return q.invitationPage(who, p)
	}
	in, err := q.console.Administrators.Accept(q.Context(), q.PathValue("secret"), q.form.Get("password"), q.browser())
	err = refused(err)
	if p := refusal(err); p != nil {
		return q.invitationPage(who, p)
	}
	if err != nil {
		return err
	}
	return q.enter(in, goal{Next: Prefix + "/account/second-factor"})
}

// Pairs are the fields of a form that was kept, in any order.
func (k kept) Pairs() []struct{ Name, Value string } {
	var out []struct{ Name, Value string }
	for name, values := range k.Values {
		for _, v := range values {
			out = append(out, struct{ Name, Value string }{name, v})
		}
	}
	return out
}

// Page is where a form that was kept came from, without its query.
func (k kept) Page() string {
	u, err := url.Parse(k.Path)
	if err != nil {
		return Prefix + "/"
	}
	return u.Path
}
