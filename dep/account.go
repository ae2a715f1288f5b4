package dep

import (
	"context"
	"strings"
	"time"
	"unicode"

	"rollcall/dep/cloud"
	"rollcall/enroll"
)

// DefaultName is what a device is called that nobody has named: it came by DEP,
// and more is not to be shown of it.
const DefaultName = "DEP_device"

// Family is a kind of device, as Apple writes it.
type Family string

// The families that can have defaults of their own.
const (
	FamilyIPhone  Family = "iPhone"
	FamilyIPad    Family = "iPad"
	FamilyMac     Family = "Mac"
	FamilyAppleTV Family = "AppleTV"
)

// Families lists them in the order the documentation names them.
var Families = []Family{FamilyIPhone, FamilyIPad, FamilyMac, FamilyAppleTV}

// Default is what devices of an account, or of a family in it, get.
type Default struct {
	Group     string `json:"group,omitempty"`      // name of a static group; empty: none
	ProfileID string `json:"profile_id,omitempty"` // of this account; empty: none
}

// Account is a device management service in Apple Business or School Manager,
// which Apple calls a server.
type Account struct {
	ID   string // UUIDv7
	Name string // unique

	// AddAsPreEnrolled is the setting "Add as Pre-enrolled Device": every device
	// that Apple lists becomes a row of the roll. Off, it is known here and
	// nothing more.
	AddAsPreEnrolled bool
	Default          Default
	Families         map[Family]Default // of a family; an empty field: Default's

	CertificatePEM []byte
	Token          TokenInfo
	Apple          cloud.Account // what Apple said last; zero: nothing yet
	Sync           SyncState
	Devices        int // that Apple lists; filled on reading
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// TokenInfo is what is known of an account's token without opening it.
type TokenInfo struct {
	InstalledAt time.Time // zero: there is none
	ExpiresAt   time.Time // zero: Apple did not say
}

// Installed says whether there is a token.
func (t TokenInfo) Installed() bool { return !t.InstalledAt.IsZero() }

// DaysLeft is how many whole days a token is good for yet.
func (t TokenInfo) DaysLeft(now time.Time) int { return int(t.ExpiresAt.Sub(now) / (24 * time.Hour)) }

// SyncState is how far an account has been brought up to date.
type SyncState struct {
	Cursor     string // of the last page that was taken; empty: none yet
	CursorAt   time.Time
	Full       bool  // the pages are those of a full list, which is not through
	Generation int64 // number of that list; devices of an older one are gone when it ends

	DueAt     time.Time // when a worker looks again; zero: never
	Running   bool      // a worker has the account
	StartedAt time.Time // of the last run
	DoneAt    time.Time // last run that went through
	Failures  int       // runs in a row that did not
	Problem   *Problem  // why the last one did not; nil: it did
}

// Problem is what keeps an account from being up to date, worded for an admin.
type Problem struct {
	Code  string    `json:"code"`
	Text  string    `json:"text"`
	Hint  string    `json:"hint,omitempty"`
	Since time.Time `json:"since"`
}

// For gives the defaults of a family.
func (a Account) For(f Family) Default {
	d := a.Families[f]
	if d.Group == "" {
		d.Group = a.Default.Group
	}
	if d.ProfileID == "" {
		d.ProfileID = a.Default.ProfileID
	}
	return d
}

// SameGroups says whether new devices join the same groups in both.
func (a Account) SameGroups(other Account) bool {
	for _, f := range Families {
		if a.For(f).Group != other.For(f).Group {
			return false
		}
	}
	return a.Default.Group == other.Default.Group
}

// Uses says whether a profile is a default of the account.
func (a Account) Uses(profileID string) bool {
	if a.Default.ProfileID == profileID {
		return true
	}
	for _, d := range a.Families {
		if d.ProfileID == profileID {
			return true
		}
	}
	return false
}

// Lease is a worker's right to an account.
type Lease struct {
	AccountID string
	Worker    string
}

// AccountStore keeps accounts. A missing one is KindNotFound.
type AccountStore interface {
	// CreateAccount is KindConflict where the name is taken.
	CreateAccount(ctx context.Context, a Account, keyPEM []byte) error
	Accounts(ctx context.Context) ([]Account, error) // by name
	Account(ctx context.Context, name string) (Account, error)
	// ChangeAccount writes the name, the setting and the defaults that change
	// makes of the account. Groups and profiles that are named have to be
	// there. Switching AddAsPreEnrolled on lets every device that is known come
	// to the roll; other default groups let rows join that WaitsForGroup and are
	// in no static group; every change makes the account due.
	ChangeAccount(ctx context.Context, name string, change func(Account) (Account, error)) (Account, error)
	// DeleteAccount takes its profiles and known devices along; rows of the
	// roll stay.
	DeleteAccount(ctx context.Context, name string) error
	// AccountKeys is the key pair.
	AccountKeys(ctx context.Context, id string) (KeyPair, error)
	// AccountToken is KindNotFound where there is none.
	AccountToken(ctx context.Context, id string) (cloud.Token, error)
	// PutToken stores a token that is proven, with what Apple said of it, and
	// the session it was proven with. anew says that it is another server's:
	// what is known of the old one's list is not, and its profiles are
	// unknown. KindConflict where another account is the same server.
	PutToken(ctx context.Context, id string, t cloud.Token, says cloud.Account, session string, anew bool, at time.Time) (Account, error)
	// SyncNow makes an account due. full starts with a full list.
	SyncNow(ctx context.Context, name string, full bool, at time.Time) (Account, error)
	// AccountSession and SetAccountSession share the session of the token that
	// was installed at a time; with another token nothing is found or kept.
	AccountSession(ctx context.Context, id string, installed time.Time) (string, error)
	SetAccountSession(ctx context.Context, id string, installed time.Time, session string) error
}

// NoAccount is the error for an account that does not exist.
func NoAccount(name string) *enroll.Error {
	return enroll.Errorf(enroll.KindNotFound, "dep_account_unknown", "there is no DEP account %q", name)
}

// NoToken is the error for an account without a token.
func NoToken(name string) *enroll.Error {
	return enroll.Errorf(enroll.KindConflict, "dep_token_missing", "the DEP account %q has no server token yet", name).
		WithHint("Upload its certificate in Apple's portal, download the token there, and upload it here.")
}

// checkName keeps names out that no path and no screen can hold.
func checkName(what, name string) error {
	switch {
	case strings.TrimSpace(name) == "" || name != strings.TrimSpace(name):
		return enroll.Errorf(enroll.KindInvalid, "name_invalid", "%s needs a name that neither begins nor ends with a space", what)
	case len(name) > enroll.MaxName:
		return enroll.Errorf(enroll.KindInvalid, "name_too_long", "%s has a name of %d bytes; at most %d are possible", what, len(name), enroll.MaxName)
	case strings.ContainsFunc(name, unicode.IsControl):
		return enroll.Errorf(enroll.KindInvalid, "name_characters", "%s has a control character in its name", what)
	}
	return nil
}
