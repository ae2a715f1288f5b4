package apns

import (
	"context"
	"time"
)

// Push is one due push, leased to a worker.
type Push struct {
	EnrollmentID string
	Generation   int64 // grows with every new reason to push
	Attempts     int   // failed attempts so far
	Topic        string
	Token        []byte
	PushMagic    string
}

// Outcome is what became of a push.
type Outcome string

// The outcomes. Sent and Dropped close the push, unless a new reason came
// meanwhile; Inactive also marks the enrollment until its next TokenUpdate.
const (
	Sent     Outcome = "sent"
	Retry    Outcome = "retry"
	Inactive Outcome = "inactive"
	Dropped  Outcome = "dropped"
)

// Result reports a push back to the outbox.
type Result struct {
	Push    Push
	Outcome Outcome
	RetryAt time.Time // of Retry
	Reason  string    // APNs reason, or a transport error's text
	At      time.Time
}

// Outbox is the durable push queue: at most one row an enrollment.
type Outbox interface {
	// ClaimPushes leases due pushes of active and reachable enrollments to
	// this worker until now+lease. Rows of ended or inactive ones are dropped.
	ClaimPushes(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]Push, error)
	// FinishPushes reports a batch in one transaction.
	FinishPushes(ctx context.Context, results []Result) error
}

// Secrets keeps sealed values under names.
type Secrets interface {
	// Secret gives a value; enroll.KindNotFound when there is none.
	Secret(ctx context.Context, name string) ([]byte, error)
	PutSecret(ctx context.Context, name string, value []byte) error
	DeleteSecret(ctx context.Context, name string) error
}
