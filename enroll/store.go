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
	State    State // effective state
	Platform Platform
	GroupID  string
	UserID   string
	Search   string // prefix of the serial, the device name or the user's e-mail
}

// RollStore keeps devices, users and groups. Every method is one transaction.
// A missing object is an *Error of KindNotFound.
type RollStore interface {
	Device(ctx context.Context, serial string) (Device, error)
	DeviceByID(ctx context.Context, id string) (Device, error)
	// Devices lists in the order of serials; Page.After is a serial.
	Devices(ctx context.Context, f DeviceFilter, p Page) ([]Device, error)
	// ChangeDevice reads the row (nil: there is none), lets change make the
	// new one and writes it, all locked. change may be called again. user,
	// unless nil, is found or made by domain and e-mail first, and its ID is
	// handed to change. When change returns the row as it was, nothing is
	// written and changed is false; else Version grows by one. A change of an
	// enrolled device marks its delivery due.
	ChangeDevice(ctx context.Context, serial string, user *User, change func(old *Device, userID string) (Device, error)) (d Device, changed bool, err error)
	// DeleteDevice removes the row with its memberships, bindings and
	// requests, if Deletable says so; else KindConflict. Decisions stay.
	DeleteDevice(ctx context.Context, serial string) error
	// ApplyImport writes the rows of a checked file in one transaction, or
	// nothing. merge is called for each row with the row of the roll that has
	// its serial (nil: none) and the ID of its user, who is found or made by
	// domain and e-mail; a RowError from it is collected and undoes all.
	ApplyImport(ctx context.Context, imp Import, merge func(old *Device, row ImportRow, userID string) (Device, *RowError)) (ImportReport, error)
	Imports(ctx context.Context, p Page) ([]ImportReport, error) // newest first; After is an ID

	User(ctx context.Context, id string) (User, error)

	Group(ctx context.Context, name string) (Group, error)
	Groups(ctx context.Context) ([]Group, error)        // by name
	CreateGroup(ctx context.Context, g Group) error     // KindConflict when the name is taken
	DeleteGroup(ctx context.Context, name string) error // with memberships and bindings; members' delivery becomes due
	GroupsOf(ctx context.Context, deviceID string) ([]Group, error)
	// ChangeMembers adds and removes members by serial; a serial that is not
	// on the roll is KindNotFound and nothing is changed. The delivery of
	// enrolled devices among them becomes due.
	ChangeMembers(ctx context.Context, group string, add, remove []string) error

	Settings(ctx context.Context) (Settings, error) // ModeOff before the first change
	PutSettings(ctx context.Context, s Settings) error
}

// RequestStore keeps enrollment requests.
type RequestStore interface {
	// CreateRequests stores new requests and moves their devices from
	// pre_enrolled or unenrolled to invited; earlier open requests of the same
	// devices become cancelled.
	CreateRequests(ctx context.Context, rs []Request) error
	Request(ctx context.Context, id string) (Request, error)
	Requests(ctx context.Context, deviceID string, p Page) ([]Request, error) // newest first; empty deviceID: all
	// Invitation finds a request by the hash of its secret.
	Invitation(ctx context.Context, secretHash [32]byte) (Invitation, error)
	// ChangeRequest reads, changes and writes a request, locked. When the
	// changed request is accepted, its device's AcceptedAt is set with it, and
	// the ownership of a selectuser row becomes the chosen one.
	ChangeRequest(ctx context.Context, id string, change func(Request) (Request, error)) (Request, error)
	// ExpireRequests closes requests that ended before now and takes their
	// devices from invited back to pre_enrolled.
	ExpireRequests(ctx context.Context, now time.Time) (int, error)
}

// DecisionFilter narrows a list of decisions; zero fields do not filter.
type DecisionFilter struct {
	Serial  string
	Outcome Outcome
	Code    Code
	Since   time.Time
}

// DecisionStore reads decisions.
type DecisionStore interface {
	Decision(ctx context.Context, id string) (Decision, error)
	Decisions(ctx context.Context, f DecisionFilter, p Page) ([]Decision, error) // newest first; After is an ID
}
