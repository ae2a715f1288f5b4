package signin

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"rollcall/enroll"
)

// Codes takes the codes of enrollment requests; enroll.Codes does.
type Codes interface {
	Redeem(ctx context.Context, code, source string, ownership enroll.Ownership) (enroll.Request, error)
}

// Users finds the people of the roll.
type Users interface {
	UserByEmail(ctx context.Context, domain, email string) (enroll.User, error)
}

// Finish goes on with a person who has signed in, and answers the browser.
type Finish func(w http.ResponseWriter, r *http.Request, s Session, p Person)

// Pages serves the pages of all rooms.
type Pages struct {
	Organization string
	Store        Store
	Codes        Codes
	Users        Users
	Domain       string // directory whose users the provider knows
	OIDC         *OIDC  // nil: no provider is configured
	Now          func() time.Time
	Log          *slog.Logger

	finish map[Kind]Finish
}

// On says what follows when somebody has signed in to a room.
func (p *Pages) On(k Kind, f Finish) {
	if p.finish == nil {
		p.finish = map[Kind]Finish{}
	}
	p.finish[k] = f
}

// Begin starts a sign-in and shows its first page. s.Method says how; a
// provider that is not configured is KindUnavailable.
func (p *Pages) Begin(w http.ResponseWriter, r *http.Request, s Session) {
	if s.Method != MethodOIDC {
		if err := p.open(w, r, s); err != nil {
			p.Sorry(w, r, err)
			return
		}
		p.ask(w, r, http.StatusOK, "")
		return
	}
	if p.OIDC == nil {
		p.Sorry(w, r, enroll.Errorf(enroll.KindUnavailable, "oidc_missing", "Signing in is not set up on this server.").WithHint("Tell your administrator: the option --oidc-issuer is missing."))
		return
	}
	s.Round = NewRound()
	target, err := p.OIDC.Start(r.Context(), s.Round, s.Hint)
	if err == nil {
		err = p.open(w, r, s)
	}
	if err != nil {
		p.Sorry(w, r, err)
		return
	}
	p.headers(w)
	http.Redirect(w, r, target, http.StatusFound)
}

// Resume shows the page of a session again, or takes the code that was typed on
// it. The session must belong to this room and page.
func (p *Pages) Resume(w http.ResponseWriter, r *http.Request, k Kind) {
	s, err := p.session(r)
	if err == nil && (s.Kind != k || s.Page != r.URL.Path || s.Method != MethodCode) {
		err = errNoSession
	}
	switch {
	case err != nil:
		p.Sorry(w, r, err)
	case r.Method == http.MethodPost:
		p.takeCode(w, r, s)
	default:
		p.ask(w, r, http.StatusOK, "")
	}
}

// formLimit is far more than the one field needs.
const formLimit = 4 << 10

// ownership is whose device it is by the way it enrolls.
var ownership = map[Kind]enroll.Ownership{KindADE: enroll.OwnershipCorporate, KindAccount: enroll.OwnershipPersonal}

func (p *Pages) takeCode(w http.ResponseWriter, r *http.Request, s Session) {
	r.Body = http.MaxBytesReader(w, r.Body, formLimit)
	if err := r.ParseForm(); err != nil {
		p.ask(w, r, http.StatusBadRequest, "The form did not arrive as it was sent.")
		return
	}
	req, err := p.Codes.Redeem(r.Context(), r.PostForm.Get("code"), SourceOf(r.RemoteAddr), ownership[s.Kind])
	var known *enroll.Error
	switch {
	case err == nil:
		p.done(w, r, s, Person{UserID: req.UserID, RequestID: req.ID})
	case errors.As(err, &known) && known.Kind == enroll.KindForbidden:
		p.ask(w, r, http.StatusTooManyRequests, known.Text+" "+known.Hint)
	case errors.As(err, &known) && (known.Kind == enroll.KindNotFound || known.Kind == enroll.KindGone):
		p.ask(w, r, http.StatusUnprocessableEntity, known.Text+" "+known.Hint)
	default:
		p.Sorry(w, r, err)
	}
}

// ServeCallback is where the provider sends people back to.
func (p *Pages) ServeCallback(w http.ResponseWriter, r *http.Request) {
	person, s, err := p.callback(r)
	if err != nil {
		p.Sorry(w, r, err)
		return
	}
	p.done(w, r, s, person)
}

func (p *Pages) callback(r *http.Request) (Person, Session, error) {
	s, err := p.session(r)
	if err != nil {
		return Person{}, s, err
	}
	q := r.URL.Query()
	if p.OIDC == nil || s.Method != MethodOIDC || !s.Back(q) {
		return Person{}, s, errNoSession
	}
	if q.Get("code") == "" {
		p.Log.InfoContext(r.Context(), "provider did not sign a person in", "error", q.Get("error"))
		return Person{}, s, enroll.Errorf(enroll.KindForbidden, "oidc_refused", "You were not signed in.").WithHint("Go back on the device, and begin again.")
	}
	email, err := p.OIDC.Finish(r.Context(), s.Round, q.Get("code"))
	if err != nil {
		return Person{}, s, err
	}
	u, err := p.Users.UserByEmail(r.Context(), p.Domain, email)
	if enroll.KindOf(err) == enroll.KindNotFound {
		err = enroll.Errorf(enroll.KindForbidden, "user_unknown", "You are not known to this server.").WithHint("Ask your administrator to add you before you enroll a device.")
	}
	return Person{UserID: u.ID}, s, err
}

// done ends the session and lets its room go on.
func (p *Pages) done(w http.ResponseWriter, r *http.Request, s Session, who Person) {
	first, err := p.Store.FinishSignIn(r.Context(), s.hash, p.Now())
	if err == nil && !first {
		err = errNoSession
	}
	if err != nil {
		p.Sorry(w, r, err)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: cookie, Path: "/", Secure: true, HttpOnly: true, MaxAge: -1})
	p.finish[s.Kind](w, r, s, who)
}

//go:embed pages.html
var source string

//go:embed style.css
var style string

var pages = template.Must(template.New("").Parse(source))

// policy allows this style sheet and a form to ourselves, which may lead on to
// the provider and back to the device, and nothing else.
var policy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'self' apple-remotemanagement-user-login:; base-uri 'none'; frame-ancestors 'none'"
}()

type page struct {
	Title, Organization, Text, Hint string
	Style                           template.CSS
}

// ask shows the field for the code; wrong is what was wrong with the last one.
func (p *Pages) ask(w http.ResponseWriter, r *http.Request, status int, wrong string) {
	p.render(w, r, status, "code", page{Title: "Enroll this device", Text: wrong})
}

// Sorry shows a person why it does not go on.
func (p *Pages) Sorry(w http.ResponseWriter, r *http.Request, err error) {
	var known *enroll.Error
	if errors.As(err, &known) {
		switch known.Kind {
		case enroll.KindInternal, enroll.KindUnavailable:
		default:
			p.Log.InfoContext(r.Context(), "sign-in does not go on", "error", err)
			p.Refuse(w, r, known.Text, known.Hint)
			return
		}
	}
	p.Log.ErrorContext(r.Context(), "sign-in failed", "error", err)
	status, text := http.StatusInternalServerError, "The server failed to do this."
	if enroll.KindOf(err) == enroll.KindUnavailable {
		status, text = http.StatusServiceUnavailable, "The server cannot do this at the moment."
	}
	p.render(w, r, status, "message", page{Title: "Please try again", Text: text, Hint: "Try again in a few minutes. If it stays like this, tell your administrator."})
}

// Refuse shows a person a refusal, with 403: never 401, which devices
// understand in their own way.
func (p *Pages) Refuse(w http.ResponseWriter, r *http.Request, text, hint string) {
	p.render(w, r, http.StatusForbidden, "message", page{Title: "This device cannot enroll", Text: text, Hint: hint})
}

func (p *Pages) headers(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Robots-Tag", "noindex")
}

func (p *Pages) render(w http.ResponseWriter, r *http.Request, status int, name string, data page) {
	data.Organization, data.Style = p.Organization, template.CSS(style)
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		p.Log.ErrorContext(r.Context(), "sign-in page not made", "page", name, "error", err)
		http.Error(w, "The server failed to show this page.", http.StatusInternalServerError)
		return
	}
	p.headers(w)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if _, err := b.WriteTo(w); err != nil {
		p.Log.DebugContext(r.Context(), "sign-in page not delivered", "error", err)
	}
}

// SourceOf is where wrong guesses are counted: the address; of IPv6 the network
// of one customer.
func SourceOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if addr = addr.Unmap(); addr.Is6() {
		network, _ := addr.WithZone("").Prefix(64) // 64 bits always fit
		return network.String()
	}
	return addr.String()
}
