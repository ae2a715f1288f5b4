package amapi

import (
	"context"
	"time"

	"rollcall/enroll"
)

// OrganizationStore keeps the organization and what only one replica does at a
// time.
type OrganizationStore interface {
	Organization(ctx context.Context) (Organization, error) // NoOrganization
	// ChangeOrganization reads (nil: there is none), changes and writes it,
	// locked.
	ChangeOrganization(ctx context.Context, change func(old *Organization) (Organization, error)) (Organization, error)
	// DeleteOrganization forgets it with its devices, tokens and policies. The
	// enrollments of its devices end.
	DeleteOrganization(ctx context.Context, at time.Time) error
	// ClaimJob takes a job that is due. HoldJob keeps it; enroll.ErrLeaseLost.
	ClaimJob(ctx context.Context, job, worker string, now time.Time, lease time.Duration) (bool, error)
	HoldJob(ctx context.Context, job, worker string, until time.Time) error
	FinishJob(ctx context.Context, job, worker string, dueAt time.Time) error
	// JobDue makes a job due.
	JobDue(ctx context.Context, job string, at time.Time) error

	// The service account's key is a secret.
	Secret(ctx context.Context, name string) ([]byte, error)
	PutSecret(ctx context.Context, name string, value []byte) error
	DeleteSecret(ctx context.Context, name string) error
	// Atomically makes what fn stores with its context one transaction; fn may be
	// called again.
	Atomically(ctx context.Context, fn func(ctx context.Context) error) error
	Budget
	// TakeSignIn takes a lookup of the sign-in page out of its own, smaller
	// bucket: strangers can empty that one only.
	TakeSignIn(ctx context.Context, project string, now time.Time) (wait time.Duration, err error)
}

// TokenStore keeps bound tokens, each before Google is asked for it.
type TokenStore interface {
	AddBoundToken(ctx context.Context, t BoundToken) error
	BoundTokenMade(ctx context.Context, id, name string) error
	BoundToken(ctx context.Context, id string) (BoundToken, error) // enroll.KindNotFound
}

// MessageState is what became of a notification.
type MessageState string

// The states of a notification. Poison is what can never be processed.
const (
	MessageNew    MessageState = "new"
	MessageDone   MessageState = "done"
	MessagePoison MessageState = "poison"
)

// Message is a notification as it was received.
type Message struct {
	ID          string // Pub/Sub's messageId
	Kind        string // attribute notificationType
	Data        []byte // JSON of the resource; empty once it is done
	PublishedAt time.Time
	ReceivedAt  time.Time
	State       MessageState
	Problem     string
	Attempts    int
}

// Finished is the end of an attempt to process a notification.
type Finished struct {
	ID      string
	State   MessageState
	Problem string
	RetryAt time.Time // of MessageNew
}

// Inbox keeps notifications.
type Inbox interface {
	// StoreNotifications keeps what is new among messages, and says how many were.
	StoreNotifications(ctx context.Context, messages []Message) (int, error)
	ClaimNotifications(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]Message, error)
	FinishNotifications(ctx context.Context, done []Finished) error
	// PoisonedNotifications are the newest first; After is an ID.
	PoisonedNotifications(ctx context.Context, p enroll.Page) ([]Message, error)
	// ForgetNotifications drops what was received before and is not new.
	ForgetNotifications(ctx context.Context, before time.Time) error
}

// Report is what a STATUS_REPORT tells of a device that is enrolled here.
type Report struct {
	Name           string
	At             time.Time // of the event
	ReportedAt     time.Time
	Facts          enroll.Facts
	Applied        string
	AppliedVersion int64
	Complaints     []Complaint
}

// Admission is a device that the gate admitted.
type Admission struct {
	Record  Record // DeviceID and DecisionID say who admitted whom
	Facts   enroll.Facts
	TokenID string // bound token it came with; empty: none
	Held    bool   // only while the device is in quarantine; else it is stale
	At      time.Time
}

// ErrReplaced refuses a device that was enrolled for a row before the one that
// is enrolled for it now.
var ErrReplaced = enroll.Errorf(enroll.KindConflict, "amapi_replaced", "another device has enrolled for this row since")

// DeviceStore keeps the devices at Google. Every method is one transaction that
// locks the record first. An event that is older than the record's newest is
// stale: nothing is changed.
type DeviceStore interface {
	Record(ctx context.Context, name string) (Record, error) // enroll.KindNotFound
	// Records lists by name; state "" is all.
	Records(ctx context.Context, state RecordState, p enroll.Page) ([]Record, error)
	// Admit starts the enrollment of a device's row and ends those before,
	// active at once, and uses the token up. enroll.KindConflict where the token
	// was used by another device; ErrReplaced. A device that is enrolled already
	// stays so.
	Admit(ctx context.Context, a Admission) (stale bool, err error)
	// Keep writes a record of a device that is not enrolled here; an enrollment
	// that it had ends.
	Keep(ctx context.Context, r Record) (stale bool, err error)
	// Observe records a report, and finishes the command whose policy has been
	// applied. known is false where the device is not enrolled here.
	Observe(ctx context.Context, r Report) (known, stale bool, err error)
	// Missing are the names of devices that are enrolled or quarantined and of
	// which nothing was heard since a time, among those after a name.
	Missing(ctx context.Context, since time.Time, after string, limit int) ([]string, error)
	// SerialByIMEI finds the serial of the Android row with this IMEI or MEID;
	// empty: there is none, or more than one.
	SerialByIMEI(ctx context.Context, number string) (string, error)
}

// Store is all of it.
type Store interface {
	OrganizationStore
	TokenStore
	Inbox
	DeviceStore
	WorkStore
}
