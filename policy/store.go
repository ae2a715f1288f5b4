package policy

import (
	"context"
	"time"

	"rollcall/enroll"
)

// Store keeps policies and their bindings. A change of a policy, a binding or
// a membership makes the delivery of every enrolled device it touches due, in
// the same transaction.
type Store interface {
	Policy(ctx context.Context, name string) (Policy, error) // enroll.KindNotFound
	Policies(ctx context.Context) ([]Policy, error)          // by name
	// ChangePolicy reads (nil: there is none), changes and writes a policy,
	// locked. Where change returns the policy as it was, nothing is written.
	ChangePolicy(ctx context.Context, name string, change func(old *Policy) (Policy, error)) (p Policy, changed bool, err error)
	DeletePolicy(ctx context.Context, name string) error // with its bindings
	// Bind and Unbind bind a policy to a group (by name) or a device (by
	// serial). Both say whether anything changed.
	Bind(ctx context.Context, policy string, to Target) (bool, error)
	Unbind(ctx context.Context, policy string, from Target) (bool, error)
	Bindings(ctx context.Context, policy string) ([]Target, error)
	// Effective lists the policies of a device: its own, then its groups', in
	// the order of binding.
	Effective(ctx context.Context, deviceID string) ([]Policy, error)
}

// Target is what a policy is bound to; exactly one field is set.
type Target struct {
	Group  string // name
	Serial string // normal form
}

// Due is a device whose delivery has to be planned.
type Due struct {
	DeviceID   string
	Generation int64 // grows with every change; a plan made for an older one leaves the device due
}

// Situation is what a plan is made from.
type Situation struct {
	Device       enroll.Device
	EnrollmentID string // active device-channel enrollment; empty: none
	Awaiting     bool   // the device waits in Setup Assistant
	Policies     []Policy
	Delivered    []Delivered

	// The identity certificate pinned to the enrollment.
	Fingerprint  string
	IdentityEnds time.Time // zero: unknown
	DecisionID   string
	UDID         string
}

// Command is a step in its wire form, ready for the queue.
type Command struct {
	ID          string // CommandUUID, a UUIDv7
	RequestType string
	Body        []byte
	ItemKey     string
	Title       string
	Hash        string
	Removal     bool
}

// DeliveryStore is the durable part of the delivery.
type DeliveryStore interface {
	// ClaimDue leases devices that are due to this worker until now+lease.
	ClaimDue(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]Due, error)
	Situation(ctx context.Context, deviceID string) (Situation, error)
	// Commit writes a plan in one transaction: the open commands in cancel are
	// cancelled, forget is dropped, commands are queued in order with their
	// items, a push is due if there are any, and the device is no longer due
	// unless its generation has moved on. An enrollment that is no longer the
	// active one of its device gets nothing. Where an item of forget has its
	// command in cancel and that was handed out meanwhile (it has attempts),
	// the plan is stale: nothing is written and the device stays due.
	Commit(ctx context.Context, due Due, enrollmentID string, commands []Command, cancel, forget []string, now time.Time) error
	// Receipt of the current (or last) enrollment of a device.
	Receipt(ctx context.Context, deviceID string) (Receipt, error)
}

// Encoder turns steps into commands of a protocol.
type Encoder interface {
	// Encode gives the RequestType and the body of a command with this ID.
	Encode(ctx context.Context, id string, s Step) (requestType string, body []byte, err error)
}
