package mdm

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"rollcall/enroll"
)

// Accounts knows the access tokens of account-driven enrollments.
type Accounts interface {
	// Authorized says whether the token is good for this account and
	// enrollment at this time, and binds one that is not bound yet. An empty
	// enrollmentID is an enrollment that begins.
	Authorized(ctx context.Context, token, account, enrollmentID string, now time.Time) (bool, error)
	// SignIn is the value of WWW-Authenticate that tells a device where its
	// user gets a new token.
	SignIn() string
}

// errSignInAgain: the user has to sign in again before the device goes on.
var errSignInAgain = errors.New("mdm: no access token that is good")

// authorize wants a good access token of the requests of an account-driven
// enrollment. Of all others it wants nothing and looks at nothing.
func (s *Server) authorize(r *http.Request, account, enrollmentID string) error {
	if account == "" {
		return nil
	}
	if s.Accounts == nil {
		return enroll.Errorf(enroll.KindUnavailable, "accounts_off", "account-driven enrollment is not offered")
	}
	good, err := s.Accounts.Authorized(r.Context(), BearerToken(r), account, enrollmentID, s.now())
	if err == nil && !good {
		err = errSignInAgain
	}
	return err
}

// BearerToken is the access token a request carries (RFC 6750, section 2.1);
// empty: none.
func BearerToken(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || len(token) > maxIdentifier {
		return ""
	}
	return strings.TrimSpace(token)
}

// AskToSignIn answers 401. To a device that is being enrolled, or is enrolled,
// by its user's account that means: let the user sign in, then try again. No
// other device may ever get it, since those remove their management.
func AskToSignIn(w http.ResponseWriter, where string) {
	w.Header().Set("WWW-Authenticate", where)
	http.Error(w, "Sign in to go on.", http.StatusUnauthorized)
}

// fail answers a device with an error.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errSignInAgain) {
		s.log().InfoContext(r.Context(), "user of an account-driven enrollment has to sign in again")
		AskToSignIn(w, s.Accounts.SignIn())
		return
	}
	Fail(w, r, s.log(), err)
}
