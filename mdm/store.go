package mdm

import (
	"context"
	"time"

	"rollcall/enroll"
	"rollcall/policy"
)

// EnrollmentState is where an enrollment stands.
type EnrollmentState string

// The states of an enrollment: authenticated until the first TokenUpdate.
const (
	EnrollmentAuthenticated EnrollmentState = "authenticated"
	EnrollmentActive        EnrollmentState = "active"
	EnrollmentEnded         EnrollmentState = "ended"
)

// Enrollment is one MDM channel of a device: the device channel, or the
// channel of one user of it.
type Enrollment struct {
	ID              string // UUIDv7
	DeviceID        string
	UDID            string // UDID, or EnrollmentID of a user enrollment; as sent
	UserID          string // user channel; empty: device channel
	State           EnrollmentState
	Fingerprint     string // SHA-256 of the pinned identity certificate, hex
	NextFingerprint string // of a renewal that has not sent its TokenUpdate yet; else empty
	Topic           string
	Token           []byte
	PushMagic       string
	Awaiting        bool // AwaitingConfiguration
	DecisionID      string
	RequestID       string
	Account         string // account-driven enrollment: whose access tokens its requests carry; else empty
	AuthenticatedAt time.Time
	EnrolledAt      time.Time // first TokenUpdate
	LastSeenAt      time.Time
	PushInactiveAt  time.Time // APNs said the token is gone; zero: reachable
	EndedAt         time.Time
}

// Authentication is an admitted Authenticate message.
type Authentication struct {
	DeviceID    string
	UDID        string
	Fingerprint string
	Topic       string
	Facts       enroll.Facts
	DecisionID  string
	RequestID   string
	Account     string // of an account-driven enrollment
	Renews      string // ID of the active enrollment that this certificate renews; empty: a new enrollment
	At          time.Time
}

// TokenUpdate is what a TokenUpdate message tells. Nil fields were absent, and
// absence does not clear what is stored.
type TokenUpdate struct {
	Enrollment  Enrollment // device-channel enrollment the identity certificate is pinned to
	UserID      string     // user channel; empty: device channel
	Fingerprint string     // of the certificate that sent it
	Topic       string
	Token       []byte
	PushMagic   string
	UnlockToken []byte
	Awaiting    *bool
	At          time.Time
}

// EnrollmentStore keeps enrollments. Every method is one transaction.
type EnrollmentStore interface {
	// Enrollment finds the device-channel enrollment, ended or not, that this
	// certificate is or was last pinned to, a renewal's next certificate
	// included; enroll.KindNotFound otherwise.
	Enrollment(ctx context.Context, fingerprint string) (Enrollment, error)
	EnrollmentByID(ctx context.Context, id string) (Enrollment, error)
	// Authenticate starts an enrollment, or a renewal where Renews is set.
	//
	// A new enrollment ends every other enrollment of the same device or UDID
	// with its user channels: their tokens go, their open commands are
	// cancelled, their pushes dropped; history stays. The device becomes
	// enrolling and takes the facts. A repeated Authenticate with the
	// fingerprint of an enrollment that is still authenticated gives the same
	// enrollment again.
	//
	// A renewal only sets NextFingerprint; all state stays.
	Authenticate(ctx context.Context, a Authentication) (Enrollment, error)
	// Repin replaces the pinned certificate of every open channel that has it,
	// after the device renewed it by SCEP alone.
	Repin(ctx context.Context, from, to string) error
	// TokenUpdate stores push data, makes a push-inactive enrollment reachable
	// again, completes a renewal when Fingerprint is NextFingerprint, and on
	// the first of a device channel makes the enrollment active, its device
	// enrolled (accepted if it was not), its request completed, the delivery
	// due. first tells that. A user channel's first TokenUpdate makes its
	// enrollment.
	TokenUpdate(ctx context.Context, u TokenUpdate) (first bool, err error)
	// CheckOut ends a channel; of a device channel also its user channels, and
	// the device becomes unenrolled. Open commands are cancelled.
	CheckOut(ctx context.Context, enrollmentID string, at time.Time) error
	// Disenrolling notes which command removes the enrollment profile.
	Disenrolling(ctx context.Context, enrollmentID, commandID string) error
	// Removed ends the enrollment, like CheckOut, if this is the command that
	// Disenrolling named; it says whether it was. A device that has removed the
	// profile may never send CheckOut.
	Removed(ctx context.Context, enrollmentID, commandID string, at time.Time) (bool, error)
	// RecordFacts lays what the device reported over what is known of it.
	RecordFacts(ctx context.Context, deviceID string, f enroll.Facts) error
	// Seen stores when enrollments were last heard of, without waiting for the
	// disk.
	Seen(ctx context.Context, at map[string]time.Time) error
	// SetBootstrapToken stores (sealed) or, if empty, deletes the token.
	SetBootstrapToken(ctx context.Context, enrollmentID string, token []byte) error
	BootstrapToken(ctx context.Context, enrollmentID string) ([]byte, error) // nil: none
	UnlockToken(ctx context.Context, enrollmentID string) ([]byte, error)    // nil: none
}

// Command is a queued command.
type Command struct {
	ID          string // CommandUUID
	RequestType string
	Body        []byte // the whole plist, as sent
}

// CommandRecord is a command with its history.
type CommandRecord struct {
	ID           string
	EnrollmentID string
	RequestType  string
	State        policy.CommandState
	NotNow       bool
	Attempts     int
	Error        string
	QueuedAt     time.Time
	SentAt       time.Time // first hand-out
	FinishedAt   time.Time
	Result       []byte // the answer's plist; filled by CommandRecord only
}

// Report is the result of a command, told by a connect.
type Report struct {
	EnrollmentID string
	CommandID    string
	State        policy.CommandState // CommandAcknowledged or CommandFailed; ignored when NotNow
	NotNow       bool
	Error        string // device's own words
	Result       []byte // plist as received
	At           time.Time
}

// Reported is what the queue says to a result.
type Reported struct {
	Known       bool   // the command belongs to this enrollment
	Repeated    bool   // it had its final result already; nothing was changed
	RequestType string // of the command
	Next        *Command
	Open        bool // open commands are left that were not handed out: deferred by NotNow or leased
}

// QueueStore is the command queue of every channel. A command is handed to one
// connection at a time, stays until its final result, and a result counts once.
type QueueStore interface {
	// Poll finds the enrollment that is not ended and whose pinned certificate
	// has this fingerprint, on this user's channel ("": device), and says
	// whether it has open commands. One statement; enroll.KindNotFound.
	Poll(ctx context.Context, fingerprint, userID string) (e Enrollment, open bool, err error)
	// HandOut opens a session: NotNow marks of the channel are cleared, and
	// the first open command is handed out, unless one was handed out less
	// than lease ago: then none is, and a push is due when the lease ends.
	HandOut(ctx context.Context, enrollmentID string, now time.Time, lease time.Duration) (*Command, error)
	// Report records a result and hands out the next open command that was not
	// NotNow'd in this session, in one transaction. A NotNow keeps the command
	// open and marks it. When nothing is handed out, open commands are left and
	// the result was not NotNow, a push is due after retry: the device comes
	// back by itself only when NotNow was its last word.
	Report(ctx context.Context, r Report, retry time.Duration) (Reported, error)
	// Enqueue adds commands in order and makes a push due, in one transaction.
	// enroll.KindConflict when the enrollment has ended.
	Enqueue(ctx context.Context, enrollmentID string, commands []Command, now time.Time) error
	// PushDue asks for a push to an enrollment at a time.
	PushDue(ctx context.Context, enrollmentID string, at time.Time) error
	Commands(ctx context.Context, enrollmentID string, p enroll.Page) ([]CommandRecord, error) // newest first; After is an ID
	CommandRecord(ctx context.Context, id string) (CommandRecord, error)
	// Stale makes a push due for enrollments that have open commands queued
	// before cutoff and were not pushed since: the safety net for lost wakes.
	Stale(ctx context.Context, cutoff, now time.Time) (int, error)
}

// DeviceHistory reads the commands of a device over all its enrollments, also
// those that have ended.
type DeviceHistory interface {
	// DeviceCommands lists those of the newest enrollment first, in it the
	// newest command first; Page.After is an ID.
	DeviceCommands(ctx context.Context, deviceID string, p enroll.Page) ([]CommandRecord, error)
	// DeviceCommand is KindNotFound where the command is not one of the device.
	DeviceCommand(ctx context.Context, deviceID, commandID string) (CommandRecord, error)
}
