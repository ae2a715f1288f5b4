package policy

import (
	"context"
	"time"

	"rollcall/enroll"
)

// Store keeps policies and their bindings. A change of a policy, a binding or
// a membership makes the delivery of every enrolled device it touches due, in
// the same transaction; where a roll-out is limited, one after the other.
type Store interface {
	Policy(ctx context.Context, name string) (Policy, error) // enroll.KindNotFound
	Policies(ctx context.Context) ([]Policy, error)          // by name
	// ChangePolicy reads (nil: there is none), changes and writes a policy,
	// locked. Where change returns the policy as it was, nothing is written;
	// else it is a new version, but for a description alone, which makes none.
	// The roll-out is not changed by it.
	ChangePolicy(ctx context.Context, name string, change func(old *Policy) (Policy, error)) (p Policy, changed bool, err error)
	DeletePolicy(ctx context.Context, name string) error // with its versions and bindings
	// Versions lists the versions of a policy, the newest first, without their
	// documents; the cursor of a page is the version it continues after.
	Versions(ctx context.Context, name string, p enroll.Page) ([]Policy, error)
	Version(ctx context.Context, name string, version int64) (Policy, error) // enroll.KindNotFound
	// ChangeRollout reads, changes and writes how versions reach devices.
	ChangeRollout(ctx context.Context, name string, change func(p Policy) (Rollout, error)) (p Policy, changed bool, err error)
	// Bind and Unbind bind a policy to a group, a device or a user. Both say
	// whether anything changed.
	Bind(ctx context.Context, policy string, to Target) (bool, error)
	Unbind(ctx context.Context, policy string, from Target) (bool, error)
	// Bindings lists what a policy is bound to: groups, then devices, then users;
	// the cursor of a page is the Key of a binding. enroll.KindNotFound.
	Bindings(ctx context.Context, policy string, p enroll.Page) ([]Binding, error)
	// BoundTo is what every policy is bound to, by its name; one that is bound
	// to nothing is left out.
	BoundTo(ctx context.Context) (map[string]BoundTo, error)
	// Reaching lists the policies that reach a device, each once: its own, its
	// user's, then its groups' by the groups' names.
	Reaching(ctx context.Context, r Reach) ([]Bound, error)
	// PolicyReceipts are what the devices that a policy is bound to got of it,
	// by serial; the cursor of a page is a serial. enroll.KindNotFound.
	PolicyReceipts(ctx context.Context, name string, p enroll.Page) ([]PolicyReceipt, error)
}

// Target is what a policy is bound to: a group, a device, or a user.
type Target struct {
	Group  string // name
	Serial string // normal form
	User   string // e-mail address
	Domain string // of the user
}

// Check says whether exactly one thing is named.
func (t Target) Check() error {
	n := 0
	for _, s := range []string{t.Group, t.Serial, t.User} {
		if s != "" {
			n++
		}
	}
	if n != 1 || (t.User == "") != (t.Domain == "") {
		return enroll.Errorf(enroll.KindInvalid, "target_invalid", "a binding names a group, a serial or a user")
	}
	return nil
}

// Binding is a target in the list of a policy's.
type Binding struct {
	Target
	Key string // opaque; where a page goes on
}

// BoundTo is what a policy is bound to.
type BoundTo struct {
	Groups  []string // names, in order
	Users   int
	Devices int // themselves, not as members or somebody's
}

// Reach is a device on the roll, one that is not there, or one as it would be:
// Groups and UserID are added to what the roll says.
type Reach struct {
	DeviceID string
	Groups   []string // names
	UserID   string
}

// Due is a device whose delivery has to be planned.
type Due struct {
	DeviceID   string
	Generation int64 // grows with every change; a plan made for an older one leaves the device due
}

// Situation is what a plan is made from.
type Situation struct {
	Device         enroll.Device
	Owner          Person
	EnrollmentID   string   // active device-channel enrollment; empty: none
	Protocol       Protocol // of the enrollment; empty: ProtocolApple
	EnrolledAt     time.Time
	UserEnrollment bool
	Awaiting       bool // the device waits in Setup Assistant
	Policies       []Bound
	Turn           time.Time // when its turn comes in a limited roll-out; zero: it came
	Delivered      []Delivered
	Supported      map[string]bool // types of declarations it knows; nil: it has not said

	DeclarationsToken string // of those it was given last; empty: none

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
	Identifier  string
	Title       string
	Hash        string
	Removal     bool
	Policies    []From
	Tries       int
	Reason      string
}

// Label is where an item comes from now that it was sent already.
type Label struct {
	ItemKey  string
	Policies []From
}

// Commit is the plan of one device as it is written.
type Commit struct {
	Due          Due
	EnrollmentID string // empty: there is none, and nothing to write
	Commands     []Command
	Cancel       []string // IDs of commands
	Forget       []string // keys of items
	Labels       []Label
	Declare      bool // Declarations are what the device is declared; else they stay
	Declarations []Declaration
	Notes        []Note
	Versions     map[string]int64 // of the policies in the plan, by their IDs
	Again        time.Time        // zero: never
}

// DeliveryStore is the durable part of the delivery.
type DeliveryStore interface {
	// ClaimDue leases devices that are due to this worker until now+lease.
	ClaimDue(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]Due, error)
	// Situations reads devices by their IDs; one that is gone is left out.
	Situations(ctx context.Context, deviceIDs []string) (map[string]Situation, error)
	// Commit writes plans in one transaction. For each: the open commands in
	// Cancel are cancelled, Forget is dropped, Commands are queued in order with
	// their items, a push is due if there are any, and the device is no longer
	// due unless its generation has moved on, or until Again. An enrollment that
	// is no longer the active one of its device gets nothing. Where an item of
	// Forget has its command in Cancel and that was handed out meanwhile (it has
	// attempts), the plan is stale: nothing of it is written and the device
	// stays due.
	Commit(ctx context.Context, plans []Commit, now time.Time) error
	// Receipt of the current (or last) enrollment of a device.
	Receipt(ctx context.Context, deviceID string) (Receipt, error)
}

// Encoder turns steps into commands of a protocol.
type Encoder interface {
	// Encode gives the RequestType and the body of a command with this ID. The
	// bodies of equal steps differ in the ID alone, which stands in them once;
	// only those of RenewIdentity are all different.
	Encode(ctx context.Context, id string, s Step) (requestType string, body []byte, err error)
	// Inventory reads from the answer to a command of a RequestType which
	// profiles or apps the device has, by identifier.
	Inventory(requestType string, result []byte) (map[string]bool, error)
}
