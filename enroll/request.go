package enroll

import "time"

// RequestState is where an enrollment request stands.
type RequestState string

// The states of an enrollment request.
const (
	RequestQueued    RequestState = "queued" // made, its link not yet handed over
	RequestSent      RequestState = "sent"   // link handed to the admin or to a mail server
	RequestOpened    RequestState = "opened"
	RequestAccepted  RequestState = "accepted"
	RequestCompleted RequestState = "completed" // its device enrolled
	RequestExpired   RequestState = "expired"
	RequestCancelled RequestState = "cancelled"
)

// RequestLifetime is how long an enrollment request can be used.
const RequestLifetime = 30 * 24 * time.Hour

// Request is an enrollment request: the invitation of a user to enroll one
// device. Its secret is part of the link and stored hashed.
type Request struct {
	ID         string // UUIDv7
	DeviceID   string // the row it is bound to
	UserID     string // empty: the row has no user
	SecretHash [32]byte
	State      RequestState
	Ownership  Ownership // chosen by the user while accepting; empty: not asked or not yet
	CreatedBy  string    // the admin who sent it, as shown on the page
	CreatedAt  time.Time
	ExpiresAt  time.Time
	OpenedAt   time.Time
	AcceptedAt time.Time
	ClosedAt   time.Time // completed, expired or cancelled
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
