package portal

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"html/template"
	"log/slog"
	"net/http"

	"rollcall/enroll"
)

// Requests is the part of enroll.Requests that a page needs.
type Requests interface {
	Open(ctx context.Context, secret string) (enroll.Invitation, error)
	Accept(ctx context.Context, secret string, ownership enroll.Ownership) (enroll.Invitation, error)
	Accepted(ctx context.Context, secret string) (enroll.Invitation, error)
}

// Portal serves the pages. Secret, TrustURL and Logger may
// be left out.
type Portal struct {
	Requests     Requests
	Organization string
	OwnCA        bool                                                                   // the profile is signed by an authority that devices do not know
	ProfileURL   func(secret string) string                                             // where a phone gets its profile; "" is a device without a request
	Android      func(ctx context.Context, inv enroll.Invitation) (AndroidEntry, error) // hands a token out to an Android device; nil: there is no such way
	TrustURL     string                                                                 // profile with the anchor of that authority, offered first; empty: none
	Secret       func(r *http.Request) string                                           // {secret} of the path; nil: r.PathValue("secret")
	Logger       *slog.Logger
}

// AndroidEntry is the way of one Android device.
type AndroidEntry struct {
	Link string // opens the agent
	QR   []byte // SVG of the code that is scanned in setup, or by the agent
	InQR bool   // the code works in setup, on a device that was reset
}

// Mount routes the pages. The patterns are understood alike by net/http and
// gorilla/mux; each handler looks at the method itself.
func (p *Portal) Mount(handle func(pattern string, h http.Handler)) {
	if p.Logger == nil {
		p.Logger = slog.Default()
	}
	handle("/enroll", p.methods(map[string]http.HandlerFunc{http.MethodGet: p.welcome}))
	handle("/enroll/r/{secret}", p.methods(map[string]http.HandlerFunc{http.MethodGet: p.invitation, http.MethodPost: p.accept}))
	handle("/enroll/r/{secret}/next", p.methods(map[string]http.HandlerFunc{http.MethodGet: p.next}))
}

//go:embed style.css
var style string

//go:embed pages.html
var source string

var pages = template.Must(template.New("").Parse(source))

// policy allows this style sheet and a form to ourselves, and nothing else.
var policy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}()

// page is what the templates show.
type page struct {
	Title        string
	Style        template.CSS
	Organization string
	OwnCA        bool
	TrustURL     string
	ProfileURL   string // empty: no profile for this kind of device
	AndroidLink  template.URL
	AndroidQR    template.HTML
	AndroidSetup bool // the code works in setup
	Invitation   enroll.Invitation
	Kind         string
	AskOwnership bool
	Missing      string // what was left out of the form
	Text, Hint   string // of a message
}

func (p *Portal) render(w http.ResponseWriter, r *http.Request, status int, name string, data page) {
	data.Style, data.Organization, data.OwnCA, data.TrustURL = template.CSS(style), p.Organization, p.OwnCA, p.TrustURL
	if data.Organization == "" {
		data.Organization = "Your organisation"
	}
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		p.Logger.ErrorContext(r.Context(), "portal page not made", "page", name, "error", err)
		http.Error(w, "The server failed to show this page.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	if _, err := b.WriteTo(w); err != nil {
		p.Logger.DebugContext(r.Context(), "portal page not delivered", "page", name, "error", err)
	}
}

// methods sets what every answer needs, and picks the handler.
func (p *Portal) methods(byMethod map[string]http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Robots-Tag", "noindex")
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		handler, ok := byMethod[method]
		if !ok {
			h.Set("Allow", "GET, HEAD, POST")
			if byMethod[http.MethodPost] == nil {
				h.Set("Allow", "GET, HEAD")
			}
			p.render(w, r, http.StatusMethodNotAllowed, "message", page{Title: "Not possible", Text: "This page cannot be used this way.", Hint: "Open the link again."})
			return
		}
		handler(w, r)
	})
}

func (p *Portal) secret(r *http.Request) string {
	if p.Secret == nil {
		return r.PathValue("secret")
	}
	return p.Secret(r)
}

func (p *Portal) welcome(w http.ResponseWriter, r *http.Request) {
	p.render(w, r, http.StatusOK, "welcome", page{Title: "Enroll this device", ProfileURL: p.ProfileURL("")})
}

func (p *Portal) invitation(w http.ResponseWriter, r *http.Request) {
	inv, err := p.Requests.Open(r.Context(), p.secret(r))
	switch {
	case err != nil:
		p.sorry(w, r, err)
	case !inv.Request.AcceptedAt.IsZero():
		p.toNext(w, r)
	default:
		p.ask(w, r, http.StatusOK, inv, "")
	}
}

func (p *Portal) ask(w http.ResponseWriter, r *http.Request, status int, inv enroll.Invitation, missing string) {
	p.render(w, r, status, "invitation", page{Title: "Enroll your device", Invitation: inv, Kind: kinds[inv.Device.Platform],
		AskOwnership: inv.Device.Ownership == enroll.OwnershipSelectUser, Missing: missing})
}

// formLimit is far more than the one field needs.
const formLimit = 4 << 10

func (p *Portal) accept(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, formLimit)
	if err := r.ParseForm(); err != nil {
		p.render(w, r, http.StatusBadRequest, "message", page{Title: "Not understood", Text: "The form did not arrive as it was sent.", Hint: "Open the link again."})
		return
	}
	inv, err := p.Requests.Accept(r.Context(), p.secret(r), enroll.Ownership(r.PostForm.Get("ownership")))
	switch known := (*enroll.Error)(nil); {
	case errors.As(err, &known) && known.Kind == enroll.KindInvalid:
		p.ask(w, r, http.StatusUnprocessableEntity, inv, known.Text)
	case err != nil:
		p.sorry(w, r, err)
	default:
		p.toNext(w, r)
	}
}

func (p *Portal) next(w http.ResponseWriter, r *http.Request) {
	secret := p.secret(r)
	inv, err := p.Requests.Accepted(r.Context(), secret)
	switch {
	case enroll.KindOf(err) == enroll.KindConflict: // not accepted yet
		http.Redirect(w, r, "/enroll/r/"+secret, http.StatusSeeOther)
	case err != nil:
		p.sorry(w, r, err)
	default:
		data := page{Title: "Two steps on your device", Invitation: inv, Kind: kinds[inv.Device.Platform]}
		if inv.Device.Platform == enroll.PlatformAndroid {
			data.Title = "Invitation accepted"
			if p.Android != nil {
				entry, err := p.Android(r.Context(), inv)
				if err != nil {
					p.sorry(w, r, err)
					return
				}
				data.Title = "Enroll your Android device"
				// Both are made by this server: the link of its own URL and a
				// random token, the drawing of modules.
				data.AndroidLink, data.AndroidQR, data.AndroidSetup = template.URL(entry.Link), template.HTML(entry.QR), entry.InQR
			}
		} else {
			data.ProfileURL = p.ProfileURL(secret)
		}
		p.render(w, r, http.StatusOK, "next", data)
	}
}

func (p *Portal) toNext(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "/enroll/r/"+p.secret(r)+"/next", http.StatusSeeOther)
}

var kinds = map[enroll.Platform]string{
	enroll.PlatformIOS:     "iPhone or iPad",
	enroll.PlatformApple:   "Apple device",
	enroll.PlatformAndroid: "Android device",
}

// sorry says plainly why it does not go on. What is not meant for people stays
// in the log.
func (p *Portal) sorry(w http.ResponseWriter, r *http.Request, err error) {
	var known *enroll.Error
	if errors.As(err, &known) {
		switch known.Kind {
		case enroll.KindNotFound:
			p.render(w, r, http.StatusNotFound, "message", page{Title: "Invitation not found", Text: known.Text, Hint: known.Hint})
			return
		case enroll.KindGone:
			p.render(w, r, http.StatusGone, "message", page{Title: "This link cannot be used any more", Text: known.Text, Hint: known.Hint})
			return
		}
	}
	status, text := http.StatusInternalServerError, "The server failed to do this."
	if enroll.KindOf(err) == enroll.KindUnavailable {
		status, text = http.StatusServiceUnavailable, "The server cannot answer at the moment."
	}
	p.Logger.ErrorContext(r.Context(), "portal failed", "error", err)
	p.render(w, r, status, "message", page{Title: "Please try again", Text: text, Hint: "Try again in a few minutes. If it stays like this, tell your administrator."})
}
