package enroll

import (
	"context"
	"time"
)

// Requests makes enrollment requests and follows them.
type Requests struct {
	RequestStore
	roll RollStore
	now  func() time.Time
}

// NewRequests makes the service; a nil clock is time.Now.
func NewRequests(store RequestStore, roll RollStore, now func() time.Time) *Requests {
	if now == nil {
		now = time.Now
	}
	return &Requests{RequestStore: store, roll: roll, now: now}
}

// Sent is a new request with the secret of its link, which exists only here.
type Sent struct {
	Request Request
	Serial  string
	Secret  string
}

// MaxRequests is how many requests one Send makes at most.
const MaxRequests = 1000

// Send makes one request for each serial. A device that is enrolled or blocked
// refuses the whole call: nobody is invited by half.
func (q *Requests) Send(ctx context.Context, serials []string, by string) ([]Sent, error) {
	if len(serials) == 0 || len(serials) > MaxRequests {
		return nil, Errorf(KindInvalid, "serials_count", "%d serials were given; 1 to %d are possible", len(serials), MaxRequests)
	}
	now := q.now().UTC()
	sent := make([]Sent, 0, len(serials))
	rows := make([]Request, 0, len(serials))
	seen := make(map[string]bool, len(serials))
	for _, raw := range serials {
		serial := NormalizeSerial(raw)
		if seen[serial] {
			continue
		}
		seen[serial] = true
		d, err := q.roll.Device(ctx, serial)
		if err != nil {
			return nil, err
		}
		switch d.Effective() {
		case StateEnrolled:
			return nil, Errorf(KindConflict, "device_enrolled", "the device %s is enrolled already", serial).WithHint("Leave it out, or disenroll it first.")
		case StateBlocked:
			return nil, Errorf(KindConflict, "device_blocked", "the device %s is blocked", serial).WithHint("Leave it out, or unblock it first.")
		}
		secret, hash := NewSecret()
		r := Request{ID: NewID(), DeviceID: d.ID, UserID: d.UserID, SecretHash: hash, State: RequestSent, CreatedBy: by,
			CreatedAt: now, ExpiresAt: now.Add(RequestLifetime)}
		rows = append(rows, r)
		sent = append(sent, Sent{Request: r, Serial: serial, Secret: secret})
	}
	if err := q.CreateRequests(ctx, rows); err != nil {
		return nil, err
	}
	return sent, nil
}

// Open is what the page of a request shows; it marks the request opened.
func (q *Requests) Open(ctx context.Context, secret string) (Invitation, error) {
	inv, err := q.find(ctx, secret)
	if err != nil || inv.Request.State != RequestSent && inv.Request.State != RequestQueued {
		return inv, err
	}
	inv.Request, err = q.ChangeRequest(ctx, inv.Request.ID, func(r Request) (Request, error) {
		if r.State == RequestSent || r.State == RequestQueued {
			r.State, r.OpenedAt = RequestOpened, q.now().UTC()
		}
		return r, nil
	})
	return inv, err
}

// Accept is the user's consent. ownership is the user's choice and only taken
// where the row leaves it to the user.
func (q *Requests) Accept(ctx context.Context, secret string, ownership Ownership) (Invitation, error) {
	inv, err := q.find(ctx, secret)
	if err != nil {
		return inv, err
	}
	asked := inv.Device.Ownership == OwnershipSelectUser
	if asked && ownership != OwnershipPersonal && ownership != OwnershipCorporate {
		return inv, Errorf(KindInvalid, "ownership_missing", "Please choose whose device this is.")
	}
	inv.Request, err = q.ChangeRequest(ctx, inv.Request.ID, func(r Request) (Request, error) {
		now := q.now().UTC()
		if err := r.Usable(now); err != nil {
			return r, err
		}
		if r.OpenedAt.IsZero() {
			r.OpenedAt = now
		}
		if r.AcceptedAt.IsZero() {
			r.State, r.AcceptedAt = RequestAccepted, now
		}
		if asked && r.Ownership == "" { // else another tap was faster
			r.Ownership = ownership
		}
		return r, nil
	})
	return inv, err
}

// Accepted finds a request whose user has accepted it and that can still be
// used: the profile is handed out for such a request only.
func (q *Requests) Accepted(ctx context.Context, secret string) (Invitation, error) {
	inv, err := q.find(ctx, secret)
	if err == nil && inv.Request.AcceptedAt.IsZero() {
		err = Errorf(KindConflict, "request_not_accepted", "This invitation has not been accepted yet.").WithHint("Open its link and accept it first.")
	}
	return inv, err
}

func (q *Requests) find(ctx context.Context, secret string) (Invitation, error) {
	inv, err := q.Invitation(ctx, HashSecret(secret))
	if KindOf(err) == KindNotFound {
		return inv, Errorf(KindNotFound, "request_unknown", "This invitation does not exist.").WithHint("Check that the whole link was copied, or ask your administrator for a new one.")
	}
	if err != nil {
		return inv, err
	}
	return inv, inv.Request.Usable(q.now())
}

// Cancel withdraws a request that has not been used.
func (q *Requests) Cancel(ctx context.Context, id string) (Request, error) {
	return q.ChangeRequest(ctx, id, func(r Request) (Request, error) {
		if r.State == RequestCompleted {
			return r, Errorf(KindConflict, "request_used", "the request has been used: its device is enrolled").WithHint("Disenroll the device instead.")
		}
		if r.State != RequestCancelled {
			r.State, r.ClosedAt = RequestCancelled, q.now().UTC()
		}
		return r, nil
	})
}
