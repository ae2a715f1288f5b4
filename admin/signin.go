package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"rollcall/admin/credential"
	"rollcall/dep/signin"
	"rollcall/enroll"
)

// Browser is where somebody signs in.
type Browser struct {
	Address   string // remote address, with or without a port
	UserAgent string
	Known     string // what an earlier sign-in gave as SignedIn.Known; empty: nothing
}

func (b Browser) host() string {
	if host, _, err := net.SplitHostPort(b.Address); err == nil {
		return host
	}
	return b.Address
}

// SignedIn is a new session and its secret, which is kept nowhere else; or
// Ticket, where a code of the second factor is still to come.
type SignedIn struct {
	Administrator Administrator
	Session       Session
	Secret        string
	Known         string // for this browser to keep for KnownLife; empty: what it has is good
	Ticket        string
	Next          string // what was given to StartOIDC
}

// Failed sign-ins have no consequence up to these numbers. Each one beyond
// doubles the time in which no further try is made, from blockFirst to blockMost.
const (
	freeByEmail   = 5
	freeByAddress = 20
	BlockFirst    = 30 * time.Second
	BlockMost     = 15 * time.Minute
	// FailureLife is after how long without another one failures are forgotten.
	FailureLife = 24 * time.Hour
)

// BlockOf is for how long no further try is made after so many failures.
func (t TrySource) BlockOf(failures int) time.Duration {
	if failures < t.Free {
		return 0
	}
	return time.Duration(min(float64(BlockMost), float64(BlockFirst)*math.Pow(2, float64(failures-t.Free))))
}

// ticketLife is how long somebody may take to find the phone, and to come back
// from the OpenID provider.
const ticketLife = 10 * time.Minute

// ticket is a sign-in under way, in the store under the hash of its secret.
type ticket struct {
	Kind            string `json:"kind"` // so that one of a device's sign-in is none
	AdministratorID string `json:"administrator_id,omitempty"`
	Email           string `json:"email,omitempty"`    // of ticketKnown
	Password        string `json:"password,omitempty"` // which one was right, as proofOf tells it
	Next            string `json:"next,omitempty"`
	signin.Round
}

const (
	ticketCode = "console_code"
	ticketOIDC = "console_oidc"
	// ticketKnown is kept by a browser that somebody has signed in with. Its failures
	// are counted apart, so that strangers who guess at an address cannot lock its
	// owner out.
	ticketKnown = "console_known"
)

// KnownLife is for how long a browser is known as one that somebody has signed in
// with.
const KnownLife = 90 * 24 * time.Hour

func wrongCredentials() error {
	return enroll.Errorf(enroll.KindForbidden, "credentials_wrong", "the e-mail address or the password is wrong")
}

func blocked(now, until time.Time) error {
	return enroll.Errorf(enroll.KindForbidden, "sign_in_blocked", "there were too many failed sign-ins").
		WithHint("Try again in %s.", until.Sub(now).Round(time.Second))
}

// sources are what a try counts for: the person, known or not, and the address.
func sources(email string, from Browser) []TrySource {
	return []TrySource{sourceOf("email", email, freeByEmail), sourceOf("address", RemoteClient(from.host()), freeByAddress)}
}

// sourcesOf are those of a person at a browser; of one that is known as theirs, it
// alone.
func (s *Administrators) sourcesOf(ctx context.Context, email string, from Browser) ([]TrySource, error) {
	known, err := s.knows(ctx, email, from)
	if known {
		return []TrySource{sourceOf("browser", from.Known, freeByEmail)}, err
	}
	return sources(email, from), err
}

// knows says whether the owner of an address has signed in with a browser before.
func (s *Administrators) knows(ctx context.Context, email string, from Browser) (bool, error) {
	if from.Known == "" {
		return false, nil
	}
	t, err := s.ticketOf(ctx, from.Known, ticketKnown)
	if enroll.KindOf(err) == enroll.KindUnauthorized {
		return false, nil
	}
	return err == nil && t.Email == email, err
}

func sourceOf(kind, value string, free int) TrySource {
	sum := sha256.Sum256([]byte(kind + " " + value))
	return TrySource{Name: hex.EncodeToString(sum[:]), Free: free}
}

// try runs check as one try of these sources. A failed one has been counted
// before, so that many at once are no way around the limit.
func (s *Administrators) try(ctx context.Context, of []TrySource, check func() (final bool, err error)) error {
	now := s.Now()
	until, err := s.Store.TrySignIn(ctx, of, now)
	if err != nil {
		return err
	}
	if !until.IsZero() {
		s.Logger.WarnContext(ctx, "sign-in to the console blocked", "until", until)
		return blocked(now, until)
	}
	final, err := check()
	switch enroll.KindOf(err) {
	case enroll.KindForbidden:
		s.Logger.InfoContext(ctx, "sign-in to the console failed")
		return err
	case "":
		var forget []string
		if final { // a password alone does not give new tries for the code
			forget = []string{of[0].Name}
		}
		return s.Store.SignInTried(ctx, of, forget...)
	}
	if back := s.Store.SignInTried(context.WithoutCancel(ctx), of); back != nil {
		s.Logger.WarnContext(ctx, "try to sign in not taken back", "error", back)
	}
	return err
}

// SignIn takes an e-mail address and a password. enroll.KindForbidden where they
// are wrong, the administrator is disabled, or there were too many tries;
// enroll.KindUnavailable where too many sign in at the moment.
func (s *Administrators) SignIn(ctx context.Context, email, password string, from Browser) (SignedIn, error) {
	var out SignedIn
	email = strings.ToLower(strings.TrimSpace(email))
	of, err := s.sourcesOf(ctx, email, from)
	if err != nil {
		return out, err
	}
	err = s.try(ctx, of, func() (bool, error) {
		account, err := s.Store.AdministratorByEmail(ctx, email)
		if err != nil && enroll.KindOf(err) != enroll.KindNotFound {
			return false, err
		}
		ok, outdated, err := s.Hasher.Verify(ctx, account.Password, password) // takes as long where there is nobody
		if err != nil {
			return false, err
		}
		if !ok || !account.DisabledAt.IsZero() {
			return false, wrongCredentials()
		}
		if outdated {
			if account.Password, err = s.rehash(ctx, account, password); err != nil {
				return false, err
			}
		}
		if account.SecondFactor {
			out.Ticket, err = s.issue(ctx, ticket{Kind: ticketCode, AdministratorID: account.ID, Password: proofOf(account.Password)}, ticketLife)
			return false, err
		}
		if out, err = s.begin(ctx, account.Administrator, ByPassword, from); err != nil {
			return false, err
		}
		return true, s.unchanged(ctx, account, out.Session)
	})
	return out, err
}

// unchanged ends a session whose password was taken away between the look at it
// and the session's beginning: it came too late to end with the others.
func (s *Administrators) unchanged(ctx context.Context, seen Account, begun Session) error {
	now, err := s.Store.Administrator(ctx, seen.ID)
	if err == nil && now.Password == seen.Password {
		return nil
	}
	if err != nil && enroll.KindOf(err) != enroll.KindNotFound {
		return err
	}
	if err := s.Store.EndSession(ctx, begun.ID, seen.ID); err != nil && enroll.KindOf(err) != enroll.KindNotFound {
		return err
	}
	return sessionEnded()
}

// rehash stores a password under today's parameters.
func (s *Administrators) rehash(ctx context.Context, account Account, password string) (hash string, err error) {
	if hash, err = s.Hasher.Hash(ctx, password); err != nil {
		return "", err
	}
	_, err = s.Store.ChangeAdministrator(ctx, account.ID, func(a *Account) (SessionEnd, error) {
		if a.Password == account.Password {
			a.Password = hash
		}
		return SessionEnd{}, nil
	})
	return hash, err
}

// proofOf tells one password hash from another.
func proofOf(hash string) string {
	sum := sha256.Sum256([]byte(hash))
	return hex.EncodeToString(sum[:])
}

// Confirm takes the code of the second factor, or a recovery code, for the ticket
// that SignIn gave. The ticket stays good after a wrong code. Errors are those of
// SignIn; enroll.KindUnauthorized where the ticket is over.
func (s *Administrators) Confirm(ctx context.Context, secret, code string, from Browser) (SignedIn, error) {
	t, err := s.ticketOf(ctx, secret, ticketCode)
	if err != nil {
		return SignedIn{}, err
	}
	account, err := s.Store.Administrator(ctx, t.AdministratorID)
	if enroll.KindOf(err) == enroll.KindNotFound {
		return SignedIn{}, sessionEnded()
	}
	if err != nil {
		return SignedIn{}, err
	}
	of, err := s.sourcesOf(ctx, account.Email, from)
	if err != nil {
		return SignedIn{}, err
	}
	var out SignedIn
	err = s.try(ctx, of, func() (bool, error) {
		var method SignInMethod
		who, err := s.Store.ChangeAdministrator(ctx, account.ID, func(a *Account) (SessionEnd, error) {
			if !a.DisabledAt.IsZero() || proofOf(a.Password) != t.Password {
				return SessionEnd{}, sessionEnded()
			}
			var err error
			method, err = a.use(code, s.Now())
			return SessionEnd{}, err
		})
		if err != nil {
			return false, err
		}
		if err := s.redeem(ctx, secret); err != nil {
			return false, err
		}
		out, err = s.begin(ctx, who, method, from)
		return true, err
	})
	return out, err
}

// use spends a code of the second factor, or a recovery code.
func (a *Account) use(code string, now time.Time) (SignInMethod, error) {
	if step, ok := a.Key.Verify(code, now, a.Step); ok && a.Key != nil {
		a.Step = step
		return BySecondFactor, nil
	}
	hash := credential.HashRecoveryCode(code)
	for i, h := range a.RecoveryCodes {
		if subtle.ConstantTimeCompare(h, hash) == 1 {
			a.RecoveryCodes = slices.Delete(slices.Clone(a.RecoveryCodes), i, i+1)
			return ByRecoveryCode, nil
		}
	}
	return "", enroll.Errorf(enroll.KindForbidden, "code_wrong", "the code is wrong, or was used").WithHint("Wait for the next one. If none is right, look at the clock of the phone.")
}

// StartOIDC sends a browser to the OpenID provider. The ticket belongs into a
// cookie of that browser; next is given back by FinishOIDC.
func (s *Administrators) StartOIDC(ctx context.Context, next string) (target, secret string, err error) {
	if s.OIDC == nil {
		return "", "", enroll.Errorf(enroll.KindNotFound, "oidc_missing", "there is no OpenID provider").WithHint("Start the server with --console-oidc-issuer.")
	}
	t := ticket{Kind: ticketOIDC, Next: next, Round: signin.NewRound()}
	if target, err = s.OIDC.Start(ctx, t.Round, ""); err != nil {
		return "", "", err
	}
	secret, err = s.issue(ctx, t, ticketLife)
	return target, secret, err
}

// FinishOIDC takes what a browser brings back from the provider, with the ticket
// of its cookie. The e-mail address that the provider has verified must be that
// of an administrator. enroll.KindUnauthorized where the browser did not go there
// or was too slow, enroll.KindForbidden where nobody was signed in.
func (s *Administrators) FinishOIDC(ctx context.Context, secret string, query url.Values, from Browser) (SignedIn, error) {
	t, err := s.ticketOf(ctx, secret, ticketOIDC)
	if err != nil {
		return SignedIn{}, err
	}
	if s.OIDC == nil || !t.Back(query) {
		return SignedIn{}, sessionEnded()
	}
	if err := s.redeem(ctx, secret); err != nil { // before the code is, so that it is exchanged once
		return SignedIn{}, err
	}
	if query.Get("code") == "" {
		s.Logger.InfoContext(ctx, "provider did not sign an administrator in")
		return SignedIn{}, enroll.Errorf(enroll.KindForbidden, "oidc_refused", "you were not signed in")
	}
	email, err := s.OIDC.Finish(ctx, t.Round, query.Get("code"))
	if err != nil {
		return SignedIn{}, err
	}
	account, err := s.Store.AdministratorByEmail(ctx, email)
	if enroll.KindOf(err) == enroll.KindNotFound || err == nil && !account.DisabledAt.IsZero() {
		return SignedIn{}, enroll.Errorf(enroll.KindForbidden, "administrator_unknown", "you are not an administrator of this server").WithHint("Ask one to add you.")
	}
	if err != nil {
		return SignedIn{}, err
	}
	out, err := s.begin(ctx, account.Administrator, ByOIDC, from)
	out.Next = t.Next
	return out, err
}

// begin makes a session.
func (s *Administrators) begin(ctx context.Context, who Administrator, method SignInMethod, from Browser) (SignedIn, error) {
	now := s.Now().UTC()
	secret, hash := enroll.NewSecret()
	session := Session{ID: enroll.NewID(), AdministratorID: who.ID, CreatedAt: now, SeenAt: now.Truncate(time.Minute), ExpiresAt: now.Add(SessionLife),
		Address: from.host(), UserAgent: shortened(from.UserAgent), Method: method}
	if err := s.Store.CreateSession(called(ctx, who, "sign-in", session.Address), session, hash); err != nil {
		return SignedIn{}, err
	}
	out := SignedIn{Administrator: who, Session: session, Secret: secret}
	known, err := s.knows(ctx, who.Email, from)
	if err == nil && !known {
		out.Known, err = s.issue(ctx, ticket{Kind: ticketKnown, Email: who.Email}, KnownLife)
	}
	return out, err
}

// shortened bounds what a browser says of itself.
func shortened(userAgent string) string {
	const most = 200
	if len(userAgent) <= most {
		return userAgent
	}
	cut := userAgent[:most]
	for !utf8.ValidString(cut) && len(cut) > most-utf8.UTFMax {
		cut = cut[:len(cut)-1]
	}
	return cut
}

func (s *Administrators) issue(ctx context.Context, t ticket, life time.Duration) (secret string, err error) {
	data, err := json.Marshal(t)
	if err != nil {
		return "", err
	}
	secret, hash := enroll.NewSecret()
	return secret, s.Store.PutSignIn(ctx, hash, data, s.Now().Add(life))
}

func (s *Administrators) ticketOf(ctx context.Context, secret, kind string) (t ticket, err error) {
	data, err := s.Store.SignIn(ctx, enroll.HashSecret(secret), s.Now())
	if enroll.KindOf(err) == enroll.KindNotFound {
		return t, sessionEnded()
	}
	if err != nil {
		return t, err
	}
	if err := json.Unmarshal(data, &t); err != nil {
		return t, fmt.Errorf("ticket of a sign-in: %w", err)
	}
	if t.Kind != kind {
		return t, sessionEnded()
	}
	return t, nil
}

// redeem ends a ticket, once.
func (s *Administrators) redeem(ctx context.Context, secret string) error {
	first, err := s.Store.FinishSignIn(ctx, enroll.HashSecret(secret), s.Now())
	if err == nil && !first {
		err = sessionEnded()
	}
	return err
}
