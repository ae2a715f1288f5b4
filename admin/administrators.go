package admin

import (
	"context"
	"log/slog"
	"time"

	"rollcall/admin/credential"
	"rollcall/dep/signin"
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
	SecondFactor bool      // a code of an authenticator app is asked for
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

// Account is an administrator with what proves who they are.
type Account struct {
	Administrator
	Password      string         // as credential.Hasher made it; empty: none
	Invitation    []byte         // hash of the secret of a link; nil: none
	Key           credential.Key // of the second factor; nil: none
	NewKey        credential.Key // one that no code has confirmed yet
	Step          int64          // time step of the last code that was used
	RecoveryCodes [][]byte       // hashes of those that are left
}

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
	ByInvitation   SignInMethod = "invitation" // with the link, or the code of the set-up
)

// A session ends when it was not used for SessionIdle, and after SessionLife
// whatever happens.
const (
	SessionIdle = 12 * time.Hour
	SessionLife = 7 * 24 * time.Hour
)

// SessionEnd says which sessions end with a change of an account.
type SessionEnd struct {
	All    bool
	Except string // ID of the one that stays; empty: none
}

// AdministratorStore keeps administrators, their sessions, and what was tried at
// the sign-in. What it cannot find is enroll.KindNotFound. The audit log tells of
// changes, without passwords, keys, codes and hashes of them.
type AdministratorStore interface {
	signin.Store // of people who are on their way through the sign-in

	Administrators(ctx context.Context) ([]Administrator, error) // by e-mail address
	// Administrator finds one by its ID, AdministratorByEmail by its address in lower case,
	// AdministratorByInvitation by the hash of the secret in the link.
	Administrator(ctx context.Context, id string) (Account, error)
	AdministratorByEmail(ctx context.Context, email string) (Account, error)
	AdministratorByInvitation(ctx context.Context, hash []byte) (Account, error)
	// CreateAdministrator is enroll.KindConflict where the address is taken.
	CreateAdministrator(ctx context.Context, a Account) error
	// CreateFirstAdministrator takes the code of the set-up, and false where that is
	// another one, was used, or there is an administrator already.
	CreateFirstAdministrator(ctx context.Context, a Account, code [32]byte) (bool, error)
	// ChangeAdministrator lets change decide on an account as it is, under lock, and
	// counts its version; change may run again. enroll.KindConflict where the
	// address is taken, or where nobody with the role admin could sign in any more.
	ChangeAdministrator(ctx context.Context, id string, change func(a *Account) (SessionEnd, error)) (Administrator, error)
	// DeleteAdministrator takes sessions and saved views along; enroll.KindConflict as
	// above.
	DeleteAdministrator(ctx context.Context, id string) error
	// PutSetUpCode replaces the code of the set-up, and gives false where there is
	// an administrator.
	PutSetUpCode(ctx context.Context, code [32]byte, at time.Time) (bool, error)

	CreateSession(ctx context.Context, s Session, hash [32]byte) error
	// SessionByHash finds a session by the hash of its secret, and whose it is.
	SessionByHash(ctx context.Context, hash [32]byte) (Session, Administrator, error)
	// Sessions lists those of an administrator, or of all where that is empty,
	// which were seen since idle and go on beyond now; newest first.
	Sessions(ctx context.Context, administratorID string, now, idle time.Time) ([]Session, error)
	// EndSession ends one of an administrator, or of anybody where that is empty.
	EndSession(ctx context.Context, id, administratorID string) error
	// SessionSeen notes that a session and its administrator were seen, without
	// waiting for the disk.
	SessionSeen(ctx context.Context, id string, at time.Time) error

	// TrySignIn counts a try as a failure of all sources, in one transaction, and
	// gives the zero time; or it counts nothing and says until when one of them is
	// blocked.
	TrySignIn(ctx context.Context, sources []TrySource, now time.Time) (blocked time.Time, err error)
	// SignInTried takes the failure back that TrySignIn counted, or all failures of
	// those that are named in forget.
	SignInTried(ctx context.Context, sources []TrySource, forget ...string) error
}

// TrySource is what failed sign-ins are counted for.
type TrySource struct {
	Name string // a hash
	Free int    // failures that have no consequence
}

// Administrators lets people sign in, and keeps their sessions. Store, Now and
// Logger are needed.
type Administrators struct {
	Store     AdministratorStore
	Now       func() time.Time
	Logger    *slog.Logger
	Hasher    *credential.Hasher
	OIDC      *signin.OIDC // nil: people have passwords
	PublicURL string
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

// SignOut ends the session that a secret stands for.
func (s *Administrators) SignOut(ctx context.Context, secret string) error {
	who, session, err := s.SessionOf(ctx, secret)
	if enroll.KindOf(err) == enroll.KindUnauthorized {
		return nil
	}
	if err != nil {
		return err
	}
	err = s.Store.EndSession(called(ctx, who, "sign-out", session.Address), session.ID, who.ID)
	if enroll.KindOf(err) == enroll.KindNotFound {
		return nil // by somebody else meanwhile
	}
	return err
}

// Caller is the administrator as a caller of the API. still says why the session
// cannot go on; see Caller.Still.
func (a Administrator) Caller(session Session, still func(ctx context.Context) error) Caller {
	return Caller{Kind: CallerAdministrator, ID: a.ID, Name: a.Name, Role: a.Role, SessionID: session.ID, Still: still}
}

// NeedsSetUp says whether there is no administrator yet.
func (s *Administrators) NeedsSetUp(ctx context.Context) (bool, error) {
	all, err := s.Store.Administrators(ctx)
	return len(all) == 0, err
}

// called makes what follows part of the audit log: what is done at the sign-in is
// no operation of the API.
func called(ctx context.Context, who Administrator, operation, address string) context.Context {
	return enroll.WithCall(enroll.WithActor(ctx, who.Name), enroll.Call{ActorKind: string(CallerAdministrator), ActorID: who.ID, ActorName: who.Name,
		Operation: operation, Path: "/console", RemoteAddr: address})
}
