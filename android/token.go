package android

import (
	"context"
	"errors"
	"strings"
	"time"

	"rollcall/enroll"
)

// Token is an enrollment token as it is stored: its secret only as a hash.
type Token struct {
	ID         string // UUIDv7
	Name       string // what it is for
	MaxUses    int    // 1: one-time; 0: no limit
	Uses       int
	Ownership  enroll.Ownership // of the devices that enroll with it; empty: what the row or the device says
	Group      string           // group that they join; empty: none
	UserID     string           // who enrolls with it; owner of rows that have none. Empty: anybody
	DeviceID   string           // row of the roll that it is bound to; empty: none
	RequestID  string           // enrollment request that it was made for; empty: none
	CreatedBy  string
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: never
	LastUsedAt time.Time
	RevokedAt  time.Time
}

// Usable says whether a device may enroll with the token at a time. The error
// is enroll.KindGone, its code one of docs/android-agent.md.
func (t Token) Usable(now time.Time) error {
	gone := func(code, text string) error {
		return enroll.Errorf(enroll.KindGone, code, "%s", text).WithHint("Ask your administrator for a new one.")
	}
	switch {
	case !t.RevokedAt.IsZero():
		return gone(codeTokenRevoked, "This enrollment token was withdrawn.")
	case !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt):
		return gone(codeTokenExpired, "This enrollment token has expired.")
	case t.MaxUses > 0 && t.Uses >= t.MaxUses:
		return gone(codeTokenUsed, "This enrollment token was used as often as it may be.")
	}
	return nil
}

// State says in a word whether the token can be used at a time: usable, used,
// expired or revoked.
func (t Token) State(now time.Time) string {
	var known *enroll.Error
	if errors.As(t.Usable(now), &known) {
		return strings.TrimPrefix(known.Code, "token_")
	}
	return "usable"
}

// The codes of tokens that cannot be used, and of the gate for them.
const (
	codeTokenUsed    = "token_used"
	codeTokenExpired = "token_expired"
	codeTokenRevoked = "token_revoked"
	codeTokenUnknown = "token_unknown"
)

var tokenCodes = map[string]enroll.Code{codeTokenUsed: enroll.DenyTokenUsedUp, codeTokenExpired: enroll.DenyTokenExpired,
	codeTokenRevoked: enroll.DenyTokenRevoked, codeTokenUnknown: enroll.DenyTokenUnknown}

// TokenStore keeps enrollment tokens.
type TokenStore interface {
	// CreateEnrollmentToken stores a token. enroll.KindNotFound where its group or row is not there,
	// enroll.KindConflict where the members of the group are those of a rule.
	CreateEnrollmentToken(ctx context.Context, t Token, hash [32]byte) error
	EnrollmentToken(ctx context.Context, id string) (Token, error)                     // enroll.KindNotFound
	EnrollmentTokenByHash(ctx context.Context, hash [32]byte) (Token, error)           // enroll.KindNotFound
	EnrollmentTokens(ctx context.Context, p enroll.Page) ([]Token, error)              // newest first; After is an ID
	RevokeEnrollmentToken(ctx context.Context, id string, at time.Time) (Token, error) // again changes nothing
	// UseEnrollmentToken counts a use of a token that is Usable, in one
	// statement, and says whether it was. Where it was made for a request, all
	// others of that request that were not used are revoked.
	UseEnrollmentToken(ctx context.Context, id string, at time.Time) (used bool, err error)
}

// Tokens makes enrollment tokens.
type Tokens struct {
	Store TokenStore
	Now   func() time.Time // nil: time.Now
}

// MaxTokenUses bounds Token.MaxUses.
const MaxTokenUses = 1_000_000

// Create stores a new token and gives its secret, which exists only here.
// ID, times and uses of t are the token's own.
func (s *Tokens) Create(ctx context.Context, t Token) (Token, string, error) {
	now := clock(s.Now)
	invalid := func(code, format string, args ...any) (Token, string, error) {
		return Token{}, "", enroll.Errorf(enroll.KindInvalid, code, format, args...)
	}
	switch {
	case t.MaxUses < 0 || t.MaxUses > MaxTokenUses:
		return invalid("max_uses_invalid", "max_uses is between 0 (no limit) and %d", MaxTokenUses)
	case !t.ExpiresAt.IsZero() && !t.ExpiresAt.After(now):
		return invalid("expires_past", "expires_at is in the past")
	case t.Ownership != "" && t.Ownership != enroll.OwnershipCorporate && t.Ownership != enroll.OwnershipPersonal:
		return invalid("ownership_invalid", "a token is for corporate or personal devices, or says nothing of it")
	case t.DeviceID != "" && t.MaxUses == 0:
		return invalid("max_uses_invalid", "a token that is bound to a row has a number of uses")
	}
	secret, hash := enroll.NewSecret()
	t.ID, t.CreatedAt, t.Uses, t.LastUsedAt, t.RevokedAt = enroll.NewID(), now, 0, time.Time{}, time.Time{}
	return t, secret, s.Store.CreateEnrollmentToken(ctx, t, hash)
}

// requestTokenLife is how long a token is good that the page of an enrollment
// request hands out; the page makes another one.
const requestTokenLife = time.Hour

// ForRequest makes the one-time token that the page of an accepted enrollment
// request hands to an Android device. It is bound to the row. Those that
// the page handed out before stay good until one of them is used: whoever opens
// the page again must not stop the device that is enrolling.
func (s *Tokens) ForRequest(ctx context.Context, inv enroll.Invitation) (secret string, err error) {
	ends := clock(s.Now).Add(requestTokenLife)
	if inv.Request.ExpiresAt.Before(ends) {
		ends = inv.Request.ExpiresAt
	}
	_, secret, err = s.Create(ctx, Token{Name: "enrollment request", MaxUses: 1, UserID: inv.Request.UserID, DeviceID: inv.Device.ID,
		RequestID: inv.Request.ID, CreatedBy: inv.Request.CreatedBy, ExpiresAt: ends})
	return secret, err
}

// clock is the time of a clock that may be nil, as precise as it is stored.
func clock(now func() time.Time) time.Time {
	if now == nil {
		now = time.Now
	}
	return now().UTC().Truncate(time.Microsecond)
}
