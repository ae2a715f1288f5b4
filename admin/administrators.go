package admin

import (
	"context"
	"log/slog"
	"time"

	"rollcall/enroll"
)

// Administrator is a person who signs in to the console.
type Administrator struct {
	ID           string // UUIDv7
	Email        string // in lower case; unique
	Name         string
	Role         Role
	TimeZone     string // IANA name, such as "Europe/Berlin"; empty: UTC
	Theme        Theme
	HasPassword  bool
	SecondFactor bool      // codes of an authenticator app are asked for
	InvitedUntil time.Time // until then a link to choose a password is good; zero: there is none
	CreatedAt    time.Time
	UpdatedAt    time.Time
	LastSeenAt   time.Time // to the minute
	DisabledAt   time.Time // zero: may sign in
	Version      int64     // counts changes
}

// Theme is how the console looks.
type Theme string

// The themes; the empty one is that of the person's system.
const (
	ThemeSystem Theme = ""
	ThemeLight  Theme = "light"
	ThemeDark   Theme = "dark"
)

// Session is a browser that an administrator has signed in with.
type Session struct {
	ID              string // UUIDv7
	AdministratorID string
	CreatedAt       time.Time
	SeenAt          time.Time // to the minute
	ExpiresAt       time.Time
	Address         string // remote address of the sign-in, without its port
	UserAgent       string // shortened
	Method          SignInMethod
}

// SignInMethod is how a person signed in.
type SignInMethod string

// The methods.
const (
	ByPassword     SignInMethod = "password"
	BySecondFactor SignInMethod = "second_factor" // password and a code
	ByRecoveryCode SignInMethod = "recovery_code" // password and a recovery code
	ByOIDC         SignInMethod = "oidc"
)

// A session ends when it was not used for SessionIdle, and after SessionLife
// whatever happens.
const (
	SessionIdle = 12 * time.Hour
	SessionLife = 7 * 24 * time.Hour
)

// AdministratorStore keeps administrators and their sessions.
type AdministratorStore interface {
	// SessionByHash finds a session by the hash of its secret, and whose it is;
	// enroll.KindNotFound.
	SessionByHash(ctx context.Context, hash [32]byte) (Session, Administrator, error)
	// SessionSeen notes that a session and its administrator were seen, without
	// waiting for the disk.
	SessionSeen(ctx context.Context, id string, at time.Time) error
}

// Administrators lets people sign in, and keeps their sessions.
type Administrators struct {
	Store  AdministratorStore
	Now    func() time.Time
	Logger *slog.Logger
}

func sessionEnded() error {
	return enroll.Errorf(enroll.KindUnauthorized, "session_ended", "you are not signed in, or not any more").WithHint("Sign in.")
}

// SessionOf finds the session that a secret stands for, and whose it is.
// enroll.KindUnauthorized where it is not known, was ended, was idle for
// SessionIdle or is older than SessionLife, or where its administrator is gone
// or disabled.
func (s *Administrators) SessionOf(ctx context.Context, secret string) (Administrator, Session, error) {
	if secret == "" {
		return Administrator{}, Session{}, sessionEnded()
	}
	session, administrator, err := s.Store.SessionByHash(ctx, enroll.HashSecret(secret))
	if enroll.KindOf(err) == enroll.KindNotFound {
		return Administrator{}, Session{}, sessionEnded()
	}
	if err != nil {
		return Administrator{}, Session{}, err
	}
	now := s.Now()
	if !now.Before(session.ExpiresAt) || now.Sub(session.SeenAt) >= SessionIdle || !administrator.DisabledAt.IsZero() {
		return Administrator{}, Session{}, sessionEnded()
	}
	if minute := now.UTC().Truncate(time.Minute); minute.After(session.SeenAt) {
		if err := s.Store.SessionSeen(ctx, session.ID, minute); err != nil {
			s.Logger.WarnContext(ctx, "use of console session not noted", "session", session.ID, "error", err)
		}
		session.SeenAt = minute
	}
	return administrator, session, nil
}

// Caller is the administrator as a caller of the API. still says why a session
// cannot go on; see Caller.Still.
func (a Administrator) Caller(still func(ctx context.Context) error) Caller {
	return Caller{Kind: CallerAdministrator, ID: a.ID, Name: a.Name, Role: a.Role, Still: still}
}
