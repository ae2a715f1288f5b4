package enroll

import (
	"context"
	"errors"
	"time"
)

// Requests makes enrollment requests and follows them.
type Requests struct {
	RequestStore
	Channels []Via // that messages can be sent through; links need none

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

// Order is what an admin wants sent.
type Order struct {
	Serials []string // at most MaxRequests
	Group   string   // instead of serials: its members that are neither enrolled nor blocked
	Via     Via      // empty: ViaLink
	By      string   // the admin, as shown to the user
}

// Sent is a request with the secret of its new link, which exists only here.
// Secret is empty where a message carries it.
type Sent struct {
	Request Request
	Serial  string
	Secret  string
}

// MaxRequests is how many serials, and MaxGroupRequests how many members of a
// group, one Send makes requests for at most.
const (
	MaxRequests      = 1000
	MaxGroupRequests = 10_000
)

// Send makes one request for each device. With ViaEmail and ViaSMS a message
// for each is queued in the same transaction. One device that is enrolled,
// blocked or out of reach refuses the whole call: nobody is invited by half.
func (q *Requests) Send(ctx context.Context, o Order) ([]Sent, error) {
	if o.Via == "" {
		o.Via = ViaLink
	}
	if err := offers(q.Channels, o.Via); err != nil {
		return nil, err
	}
	devices, err := q.recipients(ctx, o)
	if err != nil {
		return nil, err
	}
	now := q.now().UTC()
	sent := make([]Sent, 0, len(devices))
	invites := make([]Invite, 0, len(devices))
	for _, d := range devices {
		if err := q.reachable(ctx, d, o.Via); err != nil {
			return nil, err
		}
		r := Request{ID: NewID(), DeviceID: d.ID, UserID: d.UserID, Via: o.Via, State: o.Via.handedOver(), CreatedBy: o.By,
			CreatedAt: now, ExpiresAt: now.Add(RequestLifetime)}
		link, secret := newLink(r.ID, MessageInvitation, o.Via, now)
		invites = append(invites, Invite{r, link})
		sent = append(sent, newSent(r, d, link, secret))
	}
	if err := q.CreateRequests(ctx, invites); err != nil {
		return nil, err
	}
	return sent, nil
}

// newSent keeps the secret only where no message has it.
func newSent(r Request, d Device, link Link, secret string) Sent {
	if link.Message != nil {
		secret = ""
	}
	return Sent{Request: r, Serial: d.Serial, Secret: secret}
}

// recipients are the devices of an order, each once.
func (q *Requests) recipients(ctx context.Context, o Order) ([]Device, error) {
	if (o.Group == "") == (len(o.Serials) == 0) {
		return nil, Errorf(KindInvalid, "recipients_missing", "either serials or a group has to be given")
	}
	if o.Group != "" {
		return q.members(ctx, o.Group)
	}
	if len(o.Serials) > MaxRequests {
		return nil, Errorf(KindInvalid, "serials_count", "%d serials were given; 1 to %d are possible", len(o.Serials), MaxRequests)
	}
	var devices []Device
	seen := make(map[string]bool, len(o.Serials))
	for _, raw := range o.Serials {
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
		devices = append(devices, d)
	}
	return devices, nil
}

func (q *Requests) members(ctx context.Context, name string) ([]Device, error) {
	g, err := q.roll.Group(ctx, name)
	if err != nil {
		return nil, err
	}
	var devices []Device
	for p := (Page{Limit: 1000}); ; {
		rows, err := q.roll.Devices(ctx, DeviceFilter{GroupID: g.ID}, p)
		if err != nil {
			return nil, err
		}
		for _, d := range rows {
			if s := d.Effective(); s != StateEnrolled && s != StateBlocked {
				devices = append(devices, d)
			}
		}
		if len(devices) > MaxGroupRequests {
			return nil, Errorf(KindInvalid, "group_too_large", "the group %s has more than %d devices to invite", name, MaxGroupRequests).WithHint("Use smaller groups.")
		}
		if len(rows) < p.Limit {
			break
		}
		p.After = rows[len(rows)-1].Serial
	}
	if len(devices) == 0 {
		return nil, Errorf(KindConflict, "group_done", "the group %s has no device that could be invited", name)
	}
	return devices, nil
}

// reachable says whether the user of a device has the address that a message
// needs.
func (q *Requests) reachable(ctx context.Context, d Device, via Via) error {
	if via == ViaLink {
		return nil
	}
	if d.UserID == "" {
		return Errorf(KindConflict, "user_missing", "the device %s has no user who could be written to", d.Serial).WithHint("Give it one, leave it out, or use link.")
	}
	u, err := q.roll.User(ctx, d.UserID)
	switch {
	case err != nil:
		return err
	case via.address(u) != "":
		return nil
	case via == ViaSMS:
		return Errorf(KindConflict, "mobile_missing", "the user of the device %s has no mobile number", d.Serial).WithHint("Add it, leave the device out, or use email or link.")
	}
	return Errorf(KindConflict, "email_missing", "the user of the device %s has no e-mail address", d.Serial).WithHint("Add it, leave the device out, or use sms or link.")
}

// Resend gives an open request a new link and sends that, another way if via is
// not empty. Links that were sent before stay good.
func (q *Requests) Resend(ctx context.Context, id string, via Via) (Sent, error) {
	r, err := q.Request(ctx, id)
	if err != nil {
		return Sent{}, err
	}
	if via == "" {
		via = r.Via
	}
	if err := offers(q.Channels, via); err != nil {
		return Sent{}, err
	}
	d, err := q.roll.DeviceByID(ctx, r.DeviceID)
	if err != nil {
		return Sent{}, err
	}
	now := q.now().UTC()
	if err := r.sendable(now); err != nil {
		return Sent{}, err
	}
	if d.UserID != r.UserID {
		return Sent{}, Errorf(KindConflict, "owner_changed", "the device %s has got another owner since the request was made", d.Serial).WithHint("Make a new one.")
	}
	if err := q.reachable(ctx, d, via); err != nil {
		return Sent{}, err
	}
	link, secret := newLink(id, MessageInvitation, via, now)
	r, err = q.AddLink(ctx, id, link, func(r Request) (Request, error) {
		if err := r.sendable(now); err != nil {
			return r, err
		}
		r.Via, r.Problem = via, ""
		if r.State.unopened() {
			r.State = via.handedOver()
		}
		return r, nil
	})
	if err != nil {
		return Sent{}, err
	}
	return newSent(r, d, link, secret), nil
}

// remindNot keeps a reminder from following its invitation at once.
const remindNot = 24 * time.Hour

// errReminded ends the change of a request that needs no reminder any more.
var errReminded = errors.New("enroll: reminded already")

// Remind queues one reminder, with a link of its own, for each request that
// was sent as a message, ends within before, and has not been accepted. It says
// how many there were.
func (q *Requests) Remind(ctx context.Context, before time.Duration) (int, error) {
	if before <= 0 || len(q.Channels) == 0 {
		return 0, nil
	}
	const batch = 100
	now := q.now().UTC()
	reminded := 0
	for {
		rs, err := q.RequestsToRemind(ctx, q.Channels, now.Add(-remindNot), now, now.Add(before), batch)
		if err != nil {
			return reminded, err
		}
		for _, r := range rs {
			link, _ := newLink(r.ID, MessageReminder, r.Via, now)
			_, err := q.AddLink(ctx, r.ID, link, func(r Request) (Request, error) {
				if !r.RemindedAt.IsZero() || !r.AcceptedAt.IsZero() || !r.ClosedAt.IsZero() {
					return r, errReminded
				}
				r.RemindedAt = now
				return r, nil
			})
			switch {
			case err == nil:
				reminded++
			case !errors.Is(err, errReminded) && KindOf(err) != KindNotFound:
				return reminded, err
			}
		}
		if len(rs) < batch {
			return reminded, nil
		}
	}
}

// Open is what the page of a request shows; it marks the request opened.
func (q *Requests) Open(ctx context.Context, secret string) (Invitation, error) {
	inv, err := q.find(ctx, secret)
	if err != nil || !inv.Request.State.unopened() {
		return inv, err
	}
	inv.Request, err = q.ChangeRequest(ctx, inv.Request.ID, func(r Request) (Request, error) {
		if r.State.unopened() {
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
