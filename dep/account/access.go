package account

import (
	"context"
	"time"

	"rollcall/enroll"
	"rollcall/mdm"
)

// Access is what a person may do who has signed in: enroll one device, and
// speak for it afterwards. It is held by a random token, which is stored hashed.
type Access struct {
	Account        string // who it is, the same at each sign-in: a user, or an enrollment request that names none
	UserID         string // empty: the request names none
	RequestID      string // the enrollment request of the person; empty: none is open
	Serial         string // of the row that the device takes: that of the request, or a name made up
	ManagedAppleID string // the account on the device
	CreatedAt      time.Time
	ExpiresAt      time.Time // zero: never
}

// AccessStore keeps access tokens under their hash.
type AccessStore interface {
	// PutAccess stores a token. One without a request takes over the serial of
	// an earlier one of the account that no device has enrolled with, so that
	// an approval for it stays good; it returns what was stored.
	PutAccess(ctx context.Context, hash [32]byte, a Access) (Access, error)
	// Access is that of a token which has not ended, and which no device has
	// enrolled with yet; KindNotFound.
	Access(ctx context.Context, hash [32]byte, now time.Time) (Access, error)
	// UseAccess says whether the token is good for the account's enrollment,
	// and binds one that is not bound yet. It reads only, where there is
	// nothing to bind. With an empty enrollmentID it does not look at that.
	UseAccess(ctx context.Context, hash [32]byte, account, enrollmentID string, now time.Time) (bool, error)
}

// Misses counts, by where they come from, questions about users who do not
// exist: who may ask as often as they like finds out who does.
type Misses interface {
	// TooMany says whether source has missed so often within its window, which
	// begins with a miss.
	TooMany(ctx context.Context, source string, tries int, window time.Duration, now time.Time) (bool, error)
	Missed(ctx context.Context, source string, window time.Duration, now time.Time) error
}

// Tokens holds the access tokens of requests against the enrollments that they
// are for.
type Tokens struct {
	Store      AccessStore
	SignInPage string // URL of ServeSignIn
}

var _ mdm.Accounts = Tokens{}

// Authorized implements mdm.Accounts.
func (t Tokens) Authorized(ctx context.Context, token, account, enrollmentID string, now time.Time) (bool, error) {
	if token == "" {
		return false, nil
	}
	return t.Store.UseAccess(ctx, enroll.HashSecret(token), account, enrollmentID, now)
}

// SignIn implements mdm.Accounts: the person signs in on a page of ours.
func (t Tokens) SignIn() string {
	return `Bearer method="apple-as-web", url="` + t.SignInPage + `"`
}
