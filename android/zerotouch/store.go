package zerotouch

import (
	"context"
	"time"

	"rollcall/enroll"
)

// AccountStore keeps the account.
type AccountStore interface {
	ZeroTouch(ctx context.Context) (Account, error) // NoAccount
	// ChangeZeroTouch reads (nil: there is none), changes and writes the account,
	// locked. A group that is named has to take members. Switching
	// AddAsPreEnrolled on lets every device that is known come to the roll;
	// another Group lets rows join that WaitsForGroup and are in no static group.
	// With a customer, it becomes due; with another one, a run that is under way
	// has lost it.
	ChangeZeroTouch(ctx context.Context, at time.Time, change func(old *Account) (Account, error)) (Account, error)
	// DeleteZeroTouch forgets it with the devices that are known; rows of the roll
	// stay.
	DeleteZeroTouch(ctx context.Context) error
	// ZeroTouchDue makes the account due.
	ZeroTouchDue(ctx context.Context, at time.Time) error
	// ChooseZeroTouch notes a choice for devices by serial, and makes the account
	// due. KindNotFound where one is not listed; then nothing changes.
	ChooseZeroTouch(ctx context.Context, serials []string, c Choice, at time.Time) error
	// ZeroTouchDevices are those that Google lists, by name; after is the name of
	// the last one of the page before.
	ZeroTouchDevices(ctx context.Context, p enroll.Page) ([]Known, error)

	// Keys are secrets.
	Secret(ctx context.Context, name string) ([]byte, error)
	PutSecret(ctx context.Context, name string, value []byte) error
	DeleteSecret(ctx context.Context, name string) error
	// Atomically makes what fn stores with its context one transaction; fn may be
	// called again.
	Atomically(ctx context.Context, fn func(ctx context.Context) error) error
}

// Known is a device that Google lists. More of it is not shown before its user
// has accepted.
type Known struct {
	Name          string
	Serial        string // empty: Google has none
	Configuration string // that it has
	Choice        Choice
	Outcome       string // of the last attempt to change its configuration: empty (it went well, or there was none), or a Code
	Attempts      int
	RetryAt       time.Time
	OnRoll        bool
}

// Wanted is a device whose configuration is not the one it should have.
type Wanted struct {
	Name     string
	Give     bool // ours; else it is taken away
	Attempts int  // that came to nothing so far
}

// Assigned is what became of an attempt.
type Assigned struct {
	Name          string
	Configuration string // that it has now; where it went well
	Outcome       Code   // empty: it went well
	RetryAt       time.Time
}

// Run is how a run ended.
type Run struct {
	At       time.Time
	Done     bool
	Problem  *Problem // nil: none; Since is kept while the code stays the same
	DueAt    time.Time
	Failures int
}

// SyncStore keeps what a sweep knows. Every method with a worker is one
// transaction, and enroll.ErrLeaseLost where another one has the account.
type SyncStore interface {
	// ClaimZeroTouch takes the account when it has a customer and is due.
	ClaimZeroTouch(ctx context.Context, worker string, now time.Time, lease time.Duration) (a Account, ok bool, err error)
	HoldZeroTouch(ctx context.Context, worker string, until time.Time) error
	// FinishZeroTouch ends a run and the lease, and tells of a problem that is
	// new. An account that has become due meanwhile stays so.
	FinishZeroTouch(ctx context.Context, worker string, r Run) error

	// StartZeroTouchSweep begins the next sweep.
	StartZeroTouchSweep(ctx context.Context, worker string) error
	SaveZeroTouchPage(ctx context.Context, worker string, page []Listed, at time.Time) error
	// EndZeroTouchSweep marks a part of the devices as gone that the sweep did not
	// see. To be called only when it has seen everything.
	EndZeroTouchSweep(ctx context.Context, worker string, limit int, at time.Time) (more bool, err error)
	// SettleZeroTouch brings the roll up to date with a part of what has changed:
	// new devices become rows, where the account says so; what Google knows of a
	// device is merged; rows that leave with their device go.
	SettleZeroTouch(ctx context.Context, worker string, limit int, at time.Time) (more bool, err error)

	// SetZeroTouchConfigured notes what our configuration is called at Google.
	SetZeroTouchConfigured(ctx context.Context, worker, name string) error
	// ZeroTouchToAssign lists devices, by name, that have not what they should;
	// those that are to be tried later are left out.
	ZeroTouchToAssign(ctx context.Context, after string, now time.Time, limit int) ([]Wanted, error)
	SaveZeroTouchAssigned(ctx context.Context, worker string, done Assigned) error
}

// Store is all of it.
type Store interface {
	AccountStore
	SyncStore
}
