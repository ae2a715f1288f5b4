package signin

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"rollcall/enroll"
	"rollcall/mdm"
)

// Kind is the room a session belongs to.
type Kind string

// The rooms.
const (
	KindADE     Kind = "ade"
	KindAccount Kind = "account"
)

// Session is one person on the way through the pages, and what the room wants
// to know again when they have signed in.
type Session struct {
	Kind    Kind            `json:"kind"`
	Method  Method          `json:"method"`
	Page    string          `json:"page"`    // path of the page that the session began on
	Profile string          `json:"profile"` // KindADE: secret in the URL of the ADE profile
	Info    mdm.MachineInfo `json:"info"`    // KindADE: of the device, signed
	Hint    string          `json:"hint"`    // KindAccount: the account on the device
	Round                   // MethodOIDC

	hash [32]byte
}

// Method is how a person signs in.
type Method string

// The methods: the code of an enrollment request, or OpenID Connect.
const (
	MethodCode Method = "code"
	MethodOIDC Method = "oidc"
)

// Person is who has signed in: at least one of the two is not empty.
type Person struct {
	UserID    string
	RequestID string // the enrollment request whose code was typed
}

// Store keeps sessions, sealed, under the hash of their secret.
type Store interface {
	PutSignIn(ctx context.Context, hash [32]byte, data []byte, expiresAt time.Time) error
	// SignIn reads a session that is neither finished nor over; KindNotFound.
	SignIn(ctx context.Context, hash [32]byte, now time.Time) ([]byte, error)
	// FinishSignIn ends a session, by one atomic statement. Of any number of
	// calls one gets true.
	FinishSignIn(ctx context.Context, hash [32]byte, now time.Time) (bool, error)
}

// sessionLife is how long a person may take.
const sessionLife = 30 * time.Minute

// cookie carries the secret. The prefix makes browsers hold it to this host,
// path / and TLS.
const cookie = "__Host-rollcall-signin"

var errNoSession = enroll.Errorf(enroll.KindNotFound, "sign_in_unknown", "This page was open for too long, or was opened outside of the enrollment.").
	WithHint("Go back on the device, and begin again.")

// open stores a new session and gives its secret to the browser.
func (p *Pages) open(w http.ResponseWriter, r *http.Request, s Session) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	secret, hash := enroll.NewSecret()
	if err := p.Store.PutSignIn(r.Context(), hash, data, p.Now().Add(sessionLife)); err != nil {
		return err
	}
	// Lax, not Strict: the person comes back from the provider by a link.
	http.SetCookie(w, &http.Cookie{Name: cookie, Value: secret, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(sessionLife / time.Second)})
	return nil
}

// session finds the session of a request.
func (p *Pages) session(r *http.Request) (Session, error) {
	c, err := r.Cookie(cookie)
	if err != nil {
		return Session{}, errNoSession
	}
	s := Session{hash: enroll.HashSecret(c.Value)}
	data, err := p.Store.SignIn(r.Context(), s.hash, p.Now())
	if enroll.KindOf(err) == enroll.KindNotFound {
		return s, errNoSession
	}
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	return s, err
}
