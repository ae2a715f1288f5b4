package dep

import (
	"context"
	"time"

	"rollcall/dep/cloud"
)

// Wants says which profile of Apple's the devices of an account should have.
type Wants struct {
	Families map[Family]string // UUID by family, all of Families; empty: none
	Other    string            // of every other family
}

// Undecided stands in Wants for a profile that Apple does not know yet: the
// device stays as it is.
const Undecided = "undecided"

// Wanted is a device that has not the profile it should have.
type Wanted struct {
	Serial   string
	UUID     string // that it should have; empty: none
	Attempts int    // that came to nothing so far
}

// Assigned is what became of one attempt to give a device its profile.
type Assigned struct {
	Serial  string
	UUID    string // that was asked for; empty: to take it away
	Outcome cloud.Outcome
	RetryAt time.Time // zero on success
}

// Definition is a profile whose newest version Apple does not know, or has
// refused (Profile.Problem).
type Definition struct {
	Profile Profile
	Secret  string // in its URLs
}

// Run is how a run ended.
type Run struct {
	Apple    *cloud.Account // as Apple told; nil: as before
	Done     bool
	Problem  *Problem // nil where Done; Since is kept while the code stays the same
	DueAt    time.Time
	At       time.Time
	Failures int
}

// SyncStore keeps what synchronisation knows. Every method with a Lease is one
// transaction, and enroll.ErrLeaseLost where another worker has the account.
type SyncStore interface {
	// ClaimAccount takes an account that has a token and is due.
	ClaimAccount(ctx context.Context, worker string, now time.Time, lease time.Duration) (a Account, ok bool, err error)
	HoldAccount(ctx context.Context, l Lease, until time.Time) error
	// FinishRun ends a run and the lease, and tells of a problem that is new.
	// An account that has become due meanwhile stays so.
	FinishRun(ctx context.Context, l Lease, r Run) error

	// StartFull begins a full list with the next generation.
	StartFull(ctx context.Context, l Lease) (SyncState, error)
	// SavePage writes a page, without repeats of a serial, and its cursor. The
	// last page of a full list ends it when SweepDevices is through.
	SavePage(ctx context.Context, l Lease, p cloud.Page, full bool, at time.Time) error
	// SweepDevices marks a part of the devices as deleted that an ended full
	// list did not name.
	SweepDevices(ctx context.Context, l Lease, limit int, at time.Time) (more bool, err error)
	// SettleRoll brings the roll up to date with a part of what has changed:
	// new devices become rows, where the account says so; what Apple knows of a
	// device is merged; rows that came by DEP and are not enrolled go with the
	// device. Where there are other accounts, such a row waits until the device
	// was deleted before a time: it may have moved to one of them.
	SettleRoll(ctx context.Context, l Lease, limit int, before, at time.Time) (more bool, err error)

	// Definitions are the profiles of an account that Apple is to be told, and
	// those that it has refused.
	Definitions(ctx context.Context, accountID string) ([]Definition, error)
	Defined(ctx context.Context, l Lease, profileID string, version int64, uuid string, at time.Time) error
	DefinitionRefused(ctx context.Context, l Lease, profileID string, version int64, p Problem) error
	// Undefine forgets a UUID that Apple does not know any more.
	Undefine(ctx context.Context, l Lease, uuid string) error
	// UUIDs are those of the account's profiles by their ID.
	UUIDs(ctx context.Context, accountID string) (map[string]string, error)

	// ToAssign lists devices, in the order of serials, that Apple lists and that
	// have not what they should have; those that are to be tried later are left
	// out.
	ToAssign(ctx context.Context, accountID string, w Wants, after string, now time.Time, limit int) ([]Wanted, error)
	SaveAssigned(ctx context.Context, l Lease, done []Assigned, at time.Time) error
	// NextAttempt is when the next of those left out is to be tried; zero: there
	// is none.
	NextAttempt(ctx context.Context, accountID string, w Wants) (time.Time, error)
}

// Known is a device as an account lists it. More of it is not shown before its
// user has accepted.
type Known struct {
	Serial        string
	Family        Family
	ProfileStatus cloud.Status
	ProfileUUID   string
	Profile       string // name of the profile here; empty: none of ours
	Outcome       cloud.Outcome
	Attempts      int
	RetryAt       time.Time
	OnRoll        bool
	DeletedAt     time.Time // Apple lists it no more; zero: it does
}

// Finding is a difference between Apple's lists, the roll and the devices that
// are enrolled.
type Finding string

// The findings.
const (
	NotOnRoll     Finding = "not_on_roll"     // Apple lists it, the roll does not
	NotInDEP      Finding = "not_in_dep"      // the roll lists an Apple device that no account has
	NotAssigned   Finding = "not_assigned"    // it has no profile, or the attempt to give it the right one came to nothing
	Silent        Finding = "silent"          // it has a profile since long and never enrolled
	InTwoAccounts Finding = "in_two_accounts" // more than one account lists it
)

// Findings lists them in the order the documentation names them.
var Findings = []Finding{NotOnRoll, NotInDEP, NotAssigned, Silent, InTwoAccounts}

// SilentAfter is how long a device with a profile may take to enroll before the
// report names it.
const SilentAfter = 14 * 24 * time.Hour

// Difference is a row of a report.
type Difference struct {
	Serial  string
	Account string // name; empty: none
	Family  Family
	State   string        // of its row on the roll; empty: there is none
	Status  cloud.Status  // of its profile
	Outcome cloud.Outcome // of the last attempt to assign one
	Since   time.Time     // of Silent: since when it has the profile
}

// Key is the place of a row in the list of its finding.
func (d Difference) Key() string { return d.Serial + "\t" + d.Account }

// ReportStore compares. account "" is all of them; NotInDEP looks at all in any
// case.
type ReportStore interface {
	CountFindings(ctx context.Context, account string, silentSince time.Time) (map[Finding]int, error)
	// FindingRows are in the order of serials and accounts; after is the Key of
	// the last row of the page before.
	FindingRows(ctx context.Context, f Finding, account string, silentSince time.Time, after string, limit int) ([]Difference, error)
	// KnownDevices are in the order of serials, those that are deleted left out.
	KnownDevices(ctx context.Context, account string, after string, limit int) ([]Known, error)
}

// Store is all of it.
type Store interface {
	AccountStore
	ProfileStore
	SyncStore
	ReportStore
	Entries
}
