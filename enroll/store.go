package enroll

import (
	"context"
	"time"
)

// Page asks for a part of a list. Lists are ordered by key, so a cursor stays
// good while rows come and go.
type Page struct {
	Limit int    // 1 to 1,000
	After string // key of the last row of the previous page; empty: from the start
}

// DeviceFilter narrows a device list; zero fields do not filter.
type DeviceFilter struct {
	State     State // effective state
	Platform  Platform
	Ownership Ownership
	GroupID   string
	UserID    string
	Domain    string // of the owner
	Source    Source // who told the serial
	Tag       string
	Model     string // model or product name as the device reports it; any case

	// Rows that end after the one and not after the other, and have not enrolled.
	// They come in the order of their end, and in no other. Zero: all.
	EndsAfter, EndsBy time.Time
}

// RollStore keeps devices, users and groups. Every method is one transaction.
// A missing object is an *Error of KindNotFound. Devices that come out of it
// are Redacted; only the function given to ChangeDevice sees all.
type RollStore interface {
	Device(ctx context.Context, serial string) (Device, error)
	DeviceByID(ctx context.Context, id string) (Device, error)
	// Serials gives the serials of devices by their IDs; unknown ones are left out.
	Serials(ctx context.Context, ids []string) (map[string]string, error)
	// Devices lists in the order of serials; Page.After is a serial. A page is
	// full unless the list ends, so it suits whoever reads all of it.
	Devices(ctx context.Context, f DeviceFilter, p Page) ([]Device, error)
	// DeviceList answers a query; see DeviceQuery.
	DeviceList(ctx context.Context, q DeviceQuery, p Page) (DevicePage, error)
	// ExpireDevices brings the state of rows up to date whose time is over, and
	// says how many there were. Rule groups and lists look at that state.
	ExpireDevices(ctx context.Context, now time.Time) (int, error)
	// ReleaseDevice ends whatever enrollment the device has or has begun, on
	// the server alone: its tokens go, its open commands are cancelled. Enrolled
	// before, it becomes unenrolled; else it is back on the roll.
	ReleaseDevice(ctx context.Context, serial string, at time.Time) (Device, error)
	// ChangeDevice reads the row (nil: there is none), lets change make the
	// new one and writes it, all locked. change may be called again. user,
	// unless nil, is found or made by domain and e-mail first, and its ID is
	// handed to change. When change returns the row as it was, nothing is
	// written and changed is false; else Version grows by one. A change of an
	// enrolled device marks its delivery due.
	ChangeDevice(ctx context.Context, serial string, user *User, change func(old *Device, userID string) (Device, error)) (d Device, changed bool, err error)
	// DeleteDevice removes the row with its memberships, bindings and
	// requests, if Deletable says so; else KindConflict. An enrollment it had
	// begun ends. Decisions stay.
	DeleteDevice(ctx context.Context, serial string) error
	UserStore
	GroupStore
}

// DecisionFilter narrows a list of decisions; zero fields do not filter.
type DecisionFilter struct {
	Serial   string
	Outcome  Outcome
	Code     Code
	Channel  Channel
	Evidence Evidence
	NearMiss bool      // only those with a near miss that was not repaired
	Since    time.Time // not before
	Until    time.Time // before
	Newer    string    // than the decision with this ID
}

// DecisionStore reads decisions.
type DecisionStore interface {
	Decision(ctx context.Context, id string) (Decision, error)
	Decisions(ctx context.Context, f DecisionFilter, p Page) ([]Decision, error) // newest first; After is an ID
}
