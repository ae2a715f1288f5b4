package amapi

import (
	"context"
	"time"
)

// Types of commands in the queue of a device that is managed by Google. The
// policy is carried out by the job of policies, the others one by one.
const (
	TypeSetPolicy = "set_policy"
	TypeWipe      = "wipe"
)

// Wake is a device that may have something to do.
type Wake struct {
	EnrollmentID string
	Generation   int64
	Attempts     int
	LeaseUntil   time.Time // it is another's then; what has another lease is not ours any more
}

// Woken is the end of a wake; RetryAt zero is done.
type Woken struct {
	Wake
	RetryAt time.Time
	Reason  string
}

// Work is a command of a device that Google was not told of, or of which it is
// not known whether Google was told.
type Work struct {
	CommandID    string
	EnrollmentID string
	Device       string // name at Google
	Type         string
	Body         []byte    // Command resource (JSON)
	AskedAt      time.Time // Google was told then, and its answer is not known; zero: it was not
}

// Issued is a command that Google has.
type Issued struct {
	CommandID    string
	EnrollmentID string
	Device       string
	Operation    string // name
	ExpiresAt    time.Time
}

// Outcome is the end of a command.
type Outcome struct {
	EnrollmentID string
	CommandID    string
	Failed       bool
	Error        string // Google's words
	Result       []byte // JSON
	At           time.Time
}

// PolicyWork is a command that asks for a policy.
type PolicyWork struct {
	CommandID string
	Device    string // name at Google
	Hash      string // of the policy's content
	Policy    string // that the device is assigned now
}

// Shared is a policy at Google, with whoever has it.
type Shared struct {
	Name      string
	Hash      string // of its content
	Version   int64
	Devices   int // that are assigned to it
	Unsettled int // of them, whose plan is not made yet
}

// WorkStore keeps what Google is to do.
type WorkStore interface {
	ClaimWork(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]Wake, error)
	// FinishWork ends wakes whose lease is held still.
	FinishWork(ctx context.Context, done []Woken) error
	// OpenWork lists what is to be done for enrollments, in the order of queueing
	// and without policies; policies says whether there are any of those.
	OpenWork(ctx context.Context, enrollmentIDs []string) (work []Work, policies bool, err error)
	// Asking notes that Google is about to be told, and makes the lease longer.
	// enroll.ErrLeaseLost where the wake is another's by now, or where somebody
	// asked or ended the command since w was read: then Google must not be told.
	Asking(ctx context.Context, held Wake, w Work, at, until time.Time) error
	// Unasked notes that Google was not told, when it was asked at w.AskedAt.
	Unasked(ctx context.Context, w Work) error
	Issued(ctx context.Context, i Issued) error
	// IssuedAs finds a command by its operation; enroll.KindNotFound.
	IssuedAs(ctx context.Context, operation string) (Issued, error)
	// Unanswered lists commands of a device that Google was told of with no
	// answer, the oldest first.
	Unanswered(ctx context.Context, device string) ([]Work, error)
	// Overdue lists commands that Google has and that ended before.
	Overdue(ctx context.Context, before time.Time, limit int) ([]Issued, error)
	// FinishCommand ends a command once. leaves says that the enrollment ends
	// with it: the device was wiped.
	FinishCommand(ctx context.Context, o Outcome, leaves bool) error

	// PendingPolicies lists commands that ask for a policy.
	PendingPolicies(ctx context.Context, limit int) ([]PolicyWork, error)
	CommandBody(ctx context.Context, commandID string) ([]byte, error)
	SharedPolicies(ctx context.Context) ([]Shared, error)
	PutShared(ctx context.Context, s Shared) error
	// Assigned notes that the devices of commands have a policy at Google, and
	// ends those whose device has reported that version already.
	Assigned(ctx context.Context, name string, version int64, work []PolicyWork, at time.Time) error
}
