package console

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"rollcall/admin"
	"rollcall/enroll"
)

// Prefix starts the path of every page.
const Prefix = "/console"

// Console serves the pages. The fields up to Log are needed.
type Console struct {
	API            http.Handler // the admin API, which takes admin.WithCaller
	Administrators *admin.Administrators
	PublicURL      string // "https://mdm.example.com"
	Organization   string
	Now            func() time.Time
	Log            *slog.Logger

	pages      *pages
	operations operations
	decoded    func(method, path string, out any) // of tests
}

// Handler is everything below Prefix.
func (c *Console) Handler() (http.Handler, error) {
	var err error
	if c.operations, err = readOperations(c.API); err != nil {
		return nil, err
	}
	if c.pages, err = parsePages(); err != nil {
		return nil, err
	}
	m := http.NewServeMux()
	m.HandleFunc("GET "+staticPath+"{name}", serveStatic)
	for _, r := range c.doors() {
		m.Handle(r.method+" "+Prefix+r.path, c.open(r.handle))
	}
	for _, r := range c.routes() {
		m.Handle(r.method+" "+Prefix+r.path, c.signedIn(r))
	}
	m.Handle(Prefix+"/", c.signedIn(route{handle: func(*request) error { return errNoPage }}))
	return c.guarded(m), nil
}

// route is one page or form. Its path follows Prefix.
type route struct {
	method, path string
	handle       func(*request) error
	streamed     bool
}

func get(path string, handle func(*request) error) route {
	return route{method: http.MethodGet, path: path, handle: handle}
}

func post(path string, handle func(*request) error) route {
	return route{method: http.MethodPost, path: path, handle: handle}
}

// upload is a form whose handler reads it by request.parts.
func upload(path string, handle func(*request) error) route {
	return route{method: http.MethodPost, path: path, handle: handle, streamed: true}
}

// routes are the pages for who is signed in, area by area.
func (c *Console) routes() []route {
	var all []route
	for _, area := range [][]route{
		devicePages,
		accountPages,
		importPages,
		overviewPages,
		gatePages,
		enrollmentPages,
		settingsPages,
		groupPages, policyPages,
	} {
		all = append(all, area...)
	}
	return all
}

// doors are the pages for who is not.
func (c *Console) doors() []route { return signInDoors }

// contentPolicy allows what this server serves as a file, and pictures that are
// part of a page.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// guarded sets what every answer needs, and refuses forms of other sites.
func (c *Console) guarded(next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.fail(c.request(w, r), &problem{Status: http.StatusForbidden, Detail: text("frame.foreign"), Hint: text("frame.foreign.hint")})
	}))
	checked := origin.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		defer func() {
			if p := recover(); p == http.ErrAbortHandler {
				panic(p)
			} else if p != nil {
				c.Log.ErrorContext(r.Context(), "console panicked", "panic", p, "stack", string(debug.Stack()))
				c.fail(c.request(w, r), errInternal)
			}
		}()
		checked.ServeHTTP(w, r)
	})
}

// cookieName holds the secret of a session. The prefix makes browsers hold it to
// this host, path / and TLS.
const cookieName = "__Host-rollcall-console"

func secretOf(r *http.Request) string {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return ""
	}
	return cookie.Value
}

// open serves who is not signed in.
func (c *Console) open(handle func(*request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := c.request(w, r)
		if err := handle(q); err != nil {
			c.fail(q, err)
		}
	})
}

// signedIn serves who is signed in, and takes others to the sign-in. What they
// typed goes with them.
func (c *Console) signedIn(to route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := c.request(w, r)
		secret := secretOf(r)
		who, session, err := c.Administrators.SessionOf(r.Context(), secret)
		switch {
		case enroll.KindOf(err) == enroll.KindUnauthorized && r.Header.Get("HX-Request") != "":
			w.Header().Set("HX-Refresh", "true") // the whole page goes to the sign-in
			w.WriteHeader(http.StatusUnauthorized)
			return
		case enroll.KindOf(err) == enroll.KindUnauthorized && r.Method == http.MethodPost:
			err = c.signInAgain(q)
		case enroll.KindOf(err) == enroll.KindUnauthorized:
			q.redirect("/sign-in?next=" + url.QueryEscape(r.URL.RequestURI()))
			return
		case err == nil:
			q.Who, q.Session, q.CSRF = who, session, csrfOf(secret)
			q.Request = r.WithContext(admin.WithCaller(r.Context(), who.Caller(session, func(ctx context.Context) error {
				_, _, err := c.Administrators.SessionOf(ctx, secret)
				return err
			})))
			if r.Method == http.MethodPost && !to.streamed {
				if err = q.readForm(); err == nil && !q.ours(q.Typed("csrf")) {
					err = errForged
				}
			}
			if err == nil {
				err = to.handle(q)
			}
		}
		if err != nil {
			c.fail(q, err)
		}
	})
}

// csrfOf is the token that forms of a session carry. It tells nothing of the
// secret it is made of.
func csrfOf(secret string) string {
	sum := sha256.Sum256([]byte("rollcall console form " + secret))
	return base64.RawURLEncoding.EncodeToString(sum[:18])
}

// ours says whether the token of a form is that of this session.
func (q *request) ours(token string) bool {
	return subtle.ConstantTimeCompare([]byte(token), []byte(q.CSRF)) == 1
}

// local says whether a path is one of this console, so that a link from
// elsewhere cannot lead a person away after the sign-in.
func local(path string) bool {
	u, err := url.Parse(path)
	return err == nil && u.Scheme == "" && u.Host == "" && u.User == nil && (u.Path == Prefix || strings.HasPrefix(u.Path, Prefix+"/")) && !strings.ContainsAny(path, "\\\r\n\t")
}
