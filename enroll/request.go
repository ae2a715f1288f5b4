package enroll

import (
	"context"
	"time"
)

// RequestState is where an enrollment request stands.
type RequestState string

// The states of an enrollment request.
const (
	RequestQueued    RequestState = "queued"  // made, its link not yet handed over
	RequestSent      RequestState = "sent"    // link handed to the admin, a mail server or an SMS gateway
	RequestBounced   RequestState = "bounced" // its message was refused, or not delivered within a day; it can be sent again
	RequestOpened    RequestState = "opened"
	RequestAccepted  RequestState = "accepted"
	RequestCompleted RequestState = "completed" // its device enrolled
	RequestExpired   RequestState = "expired"
	RequestCancelled RequestState = "cancelled"
)

// RequestStates lists all of them in the order of a request's life.
var RequestStates = []RequestState{RequestQueued, RequestSent, RequestBounced, RequestOpened, RequestAccepted, RequestCompleted, RequestExpired, RequestCancelled}

// unopened says that the user has not been seen yet.
func (s RequestState) unopened() bool {
	return s == RequestQueued || s == RequestSent || s == RequestBounced
}

// RequestLifetime is how long an enrollment request can be used.
const RequestLifetime = 30 * 24 * time.Hour

// Request is an enrollment request: the invitation of a user to enroll one
// device. Each of its links has a secret, which is stored hashed.
type Request struct {
	ID         string // UUIDv7
	DeviceID   string // the row it is bound to
	UserID     string // empty: the row has no user
	Via        Via    // how its last link was sent
	State      RequestState
	Problem    string    // why it bounced: the server's words
	Ownership  Ownership // chosen by the user while accepting; empty: not asked or not yet
	CreatedBy  string    // the admin who sent it, as shown on the page
	CreatedAt  time.Time
	ExpiresAt  time.Time
	OpenedAt   time.Time
	AcceptedAt time.Time
	RemindedAt time.Time
	ClosedAt   time.Time // completed, expired or cancelled
}

// sendable says whether a request can be sent again, in words for an admin.
func (r Request) sendable(now time.Time) error {
	if r.Usable(now) == nil {
		return nil
	}
	state := r.State
	if r.ClosedAt.IsZero() {
		state = RequestExpired
	}
	return Errorf(KindConflict, "request_closed", "the request is %s", state).WithHint("Make a new one.")
}

// Usable says whether the request may still be opened, accepted and enrolled
// with, at the time now; the error is what the person at the phone reads.
func (r Request) Usable(now time.Time) error {
	switch {
	case r.State == RequestCancelled:
		return Errorf(KindGone, "request_cancelled", "This invitation was withdrawn.").WithHint("Ask your administrator for a new one.")
	case r.State == RequestCompleted:
		return Errorf(KindGone, "request_used", "This invitation has been used: the device is enrolled.").WithHint("Ask your administrator for a new one if you need to enroll again.")
	case r.State == RequestExpired, now.After(r.ExpiresAt):
		return Errorf(KindGone, "request_expired", "This invitation has expired.").WithHint("Ask your administrator to send it again.")
	}
	return nil
}

// Invitation is a request together with what its page shows.
type Invitation struct {
	Request Request
	Device  Device
	User    User // zero: the row has no user
}

// Invite is a new request with its first link.
type Invite struct {
	Request
	Link
}

// RequestFilter narrows a list of requests; zero fields do not filter.
type RequestFilter struct {
	DeviceID string
	State    RequestState
}

// RequestStore keeps enrollment requests and the messages that carry their
// links.
type RequestStore interface {
	// CreateRequests stores new requests with their links and messages, all or
	// none, and moves their devices from pre_enrolled or unenrolled to invited.
	// Earlier open requests of the same devices become cancelled.
	CreateRequests(ctx context.Context, invites []Invite) error
	Request(ctx context.Context, id string) (Request, error)
	Requests(ctx context.Context, f RequestFilter, p Page) ([]Request, error) // newest first; After is an ID
	// Invitation finds a request by the hash of the secret of any of its links.
	Invitation(ctx context.Context, secretHash [32]byte) (Invitation, error)
	// ChangeRequest reads, changes and writes a request, locked. When the
	// changed request is accepted, its device's AcceptedAt is set with it, and
	// the ownership of a selectuser row becomes the chosen one. When it is
	// closed, messages that still wait are dropped.
	ChangeRequest(ctx context.Context, id string, change func(Request) (Request, error)) (Request, error)
	// AddLink changes a request and gives it a further link, in one
	// transaction. Messages of the request that still wait are dropped.
	AddLink(ctx context.Context, id string, link Link, change func(Request) (Request, error)) (Request, error)
	// RequestsToRemind are open requests that were sent one of these ways
	// before sent, end after now and until then, and were neither accepted nor
	// reminded of.
	RequestsToRemind(ctx context.Context, vias []Via, sent, now, until time.Time, limit int) ([]Request, error)
	// Messages of a request, oldest first, without their secrets.
	Messages(ctx context.Context, requestID string) ([]Message, error)
	// ExpireRequests closes requests that ended before now and takes their
	// devices from invited back to pre_enrolled.
	ExpireRequests(ctx context.Context, now time.Time) (int, error)
}
