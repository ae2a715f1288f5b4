package mdm

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"rollcall/certs"
	"rollcall/enroll"
	"rollcall/policy"
)

// Gate is the one gate, as the protocol asks it.
type Gate interface {
	Decide(ctx context.Context, a enroll.Attempt) (enroll.Decision, error)
	Explain(ctx context.Context, a enroll.Attempt) (enroll.Decision, error)
	Refuse(ctx context.Context, a enroll.Attempt, code enroll.Code, detail string) (enroll.Decision, error)
}

// Issued looks up identities that were issued.
type Issued interface {
	Identity(ctx context.Context, fingerprint string) (certs.Identity, error) // certs.ErrIdentityUnknown
}

// Server answers enrolled and enrolling devices: check-in and connect. Its
// dependencies are exported; Kick, Now and Log may be nil.
type Server struct {
	Identity     ClientIdentity
	Gate         Gate
	Issued       Issued
	Enrollments  EnrollmentStore
	Queue        QueueStore
	Declarations policy.DeclarationStore
	Accounts     Accounts // nil: there are no account-driven enrollments
	Returns      Returns  // nil: no device returns to service
	Seen         *Seen
	Strangers    func(http.ResponseWriter, *http.Request) bool // says whether an Authenticate is heard, or has answered it; nil: each is
	Kick         func()                                        // wakes the delivery and push workers
	Now          func() time.Time
	Log          *slog.Logger
}

const (
	// handOutLease is how long a command stays with the connection it was
	// handed to. A second connection of the same device within it gets nothing,
	// and a push when it ends.
	handOutLease = 3 * time.Second
	// notNowRetry is when a device is pushed again that has put off a command
	// and then answered another one: it comes back by itself only if NotNow
	// was its last word.
	notNowRetry = 5 * time.Minute
)

func (s *Server) now() time.Time { return clock(s.Now) }

func (s *Server) log() *slog.Logger {
	if s.Log == nil {
		return slog.Default()
	}
	return s.Log
}

func (s *Server) kick() {
	if s.Kick != nil {
		s.Kick()
	}
}
