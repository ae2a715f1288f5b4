package enroll

import (
	"context"
	"time"
)

// ApprovalState is what an admin made of a device that asked to be let in.
type ApprovalState string

// The states of an approval.
const (
	ApprovalPending  ApprovalState = "pending"
	ApprovalApproved ApprovalState = "approved"
	ApprovalRejected ApprovalState = "rejected" // refused as not pre-enrolled, until decided otherwise
)

// ApprovalStates lists the states.
var ApprovalStates = []ApprovalState{ApprovalPending, ApprovalApproved, ApprovalRejected}

// Approval is a device that the gate held, and what an admin decided about it.
type Approval struct {
	Serial     string
	State      ApprovalState
	DecisionID string // of the last attempt that was held
	Attempts   int    // how many were held
	AskedAt    time.Time
	LastAt     time.Time
	DecidedAt  time.Time // zero: pending
	DecidedBy  string
}

// ApprovalStore keeps approvals. Putting a device on the roll or deleting its
// row ends its approval, unless that is a rejection.
type ApprovalStore interface {
	// Approvals lists in the order of serials; Page.After is a serial.
	Approvals(ctx context.Context, state ApprovalState, p Page) ([]Approval, error)
	Approval(ctx context.Context, serial string) (Approval, error)
	// ChangeApproval reads an approval, the decision that asked for it and the
	// row of its serial, all locked, and writes what change makes of them: no
	// approval (nil) forgets it, no row (nil) removes the row. user is found or
	// made first, unless nil. KindNotFound where the serial has no approval.
	ChangeApproval(ctx context.Context, serial string, user *User, change func(a Approval, asked Decision, row *Device, userID string) (*Approval, *Device, error)) error
}

// Approvals is what admins do with devices that wait for approval.
type Approvals struct {
	ApprovalStore
	roll *Roll
	now  func() time.Time
}

// NewApprovals makes the service; a nil clock is time.Now.
func NewApprovals(store ApprovalStore, roll *Roll, now func() time.Time) *Approvals {
	if now == nil {
		now = time.Now
	}
	return &Approvals{ApprovalStore: store, roll: roll, now: now}
}

// NoApproval is the error for a serial that did not ask.
func NoApproval(serial string) *Error {
	return Errorf(KindNotFound, "approval_unknown", "no device with the serial %q has asked to be approved", serial).
		WithHint("Compare the serial with the one on the device; a device asks when it is held at the gate.")
}

// Approve lets the device enroll at its next attempt, without putting it on
// the roll. It also takes back a rejection.
func (q *Approvals) Approve(ctx context.Context, serial, by string) (Approval, error) {
	var out Approval
	err := q.ChangeApproval(ctx, NormalizeSerial(serial), nil, func(a Approval, asked Decision, row *Device, _ string) (*Approval, *Device, error) {
		row = waiting(row, asked)
		row.stopWaiting()
		a.decide(ApprovalApproved, by, q.now())
		out = a
		return &a, row, nil
	})
	return out, err
}

// Reject refuses the device until it is approved or put on the roll. A row
// that was only there because it asked goes away.
func (q *Approvals) Reject(ctx context.Context, serial, by string) (Approval, error) {
	var out Approval
	err := q.ChangeApproval(ctx, NormalizeSerial(serial), nil, func(a Approval, _ Decision, row *Device, _ string) (*Approval, *Device, error) {
		switch {
		case row == nil:
		case row.State == StateEnrolled || row.State == StateEnrolling:
			return nil, nil, Errorf(KindConflict, "device_enrolled", "the device %s is %s", row.Serial, row.State).WithHint("Disenroll it first, or block it.")
		case onRoll(row):
			return nil, nil, Errorf(KindConflict, "device_on_roll", "the device %s is on the roll", row.Serial).WithHint("Delete its row, or block it.")
		case row.EnrolledAt.IsZero():
			row = nil
		default:
			row.State = StateUnenrolled
		}
		a.decide(ApprovalRejected, by, q.now())
		out = a
		return &a, row, nil
	})
	return out, err
}

// ApproveAndAdd puts the device on the roll as an admin's row, which ends the
// approval. Platform and ownership may be left out: then they are what the
// device is, and the user's choice.
func (q *Approvals) ApproveAndAdd(ctx context.Context, serial string, in DeviceInput) (Device, error) {
	if err := q.roll.checked(ctx, in); err != nil {
		return Device{}, err
	}
	serial = NormalizeSerial(serial)
	err := q.ChangeApproval(ctx, serial, in.User, func(_ Approval, asked Decision, row *Device, userID string) (*Approval, *Device, error) {
		row = waiting(row, asked)
		row.Sources = sourcesOf(*row)
		in.applyTo(row, userID)
		row.Sources["serial"] = keepAdmin(row.Sources["serial"])
		row.stopWaiting()
		return nil, row, checkWindow(*row)
	})
	if err != nil {
		return Device{}, err
	}
	return q.roll.Device(ctx, serial)
}

func (a *Approval) decide(s ApprovalState, by string, now time.Time) {
	if a.State != s {
		a.State, a.DecidedAt, a.DecidedBy = s, now.UTC(), by
	}
}

// stopWaiting is what an approval, or a place on the roll, does to the state.
func (d *Device) stopWaiting() {
	if d.State == StatePendingApproval {
		d.State = StatePreEnrolled
	}
}

// waiting is the row of a device that waits, made anew where a rejection took
// it away.
func waiting(row *Device, asked Decision) *Device {
	if row != nil {
		return row
	}
	made := WaitingRow(asked)
	return &made
}

// WaitingRow is the row made for a device that the gate holds.
func WaitingRow(d Decision) Device {
	row := RowFor(d)
	row.State = StatePendingApproval
	return row
}
