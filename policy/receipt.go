package policy

import (
	"slices"
	"time"
)

// Receipt is what a device got of its policies, for the admin.
type Receipt struct {
	EnrollmentID string
	EnrolledAt   time.Time
	CompletedAt  time.Time // last final answer, once nothing is open; zero before
	PolicyAt     time.Time // when nothing was open for the first time; zero: not yet
	Items        []ReceiptItem
	Notes        []Note           // what is not sent, and why
	Versions     map[string]int64 // of the policies in the last plan, by their names
	Due          bool             // there is to be another plan
}

// Complete says when a receipt was complete.
func (r *Receipt) Complete() {
	r.CompletedAt = time.Time{}
	last := time.Time{}
	for _, i := range r.Items {
		if i.FinishedAt.IsZero() {
			return
		}
		if i.FinishedAt.After(last) {
			last = i.FinishedAt
		}
	}
	if !r.Due {
		r.CompletedAt = last
	}
}

// PolicyReceipt is what one device got of one policy.
type PolicyReceipt struct {
	Serial      string
	Enrolled    bool
	Version     int64 // in the last plan; 0: in none yet
	CompletedAt time.Time
	Items       []ReceiptItem
	Notes       []Note
	due         bool
}

// Of is the part of a receipt that comes from a policy.
func (r Receipt) Of(policy, serial string) PolicyReceipt {
	from := func(f From) bool { return f.Policy == policy }
	part := Receipt{Due: r.Due}
	for _, i := range r.Items {
		if slices.ContainsFunc(i.Policies, from) {
			part.Items = append(part.Items, i)
		}
	}
	for _, n := range r.Notes {
		if slices.ContainsFunc(n.Policies, from) {
			part.Notes = append(part.Notes, n)
		}
	}
	part.Complete()
	return PolicyReceipt{Serial: serial, Enrolled: r.EnrollmentID != "", Version: r.Versions[policy], CompletedAt: part.CompletedAt, Items: part.Items, Notes: part.Notes, due: r.Due}
}

// PolicyState is where a policy stands on a device.
type PolicyState string

// The states of a policy.
const (
	PolicyNotEnrolled PolicyState = "not_enrolled"
	PolicyWaiting     PolicyState = "waiting" // something of it is open
	PolicyFailed      PolicyState = "failed"  // something of it was refused, or cannot be sent
	PolicyApplied     PolicyState = "applied"
)

// State is where the policy stands.
func (r PolicyReceipt) State() PolicyState {
	if !r.Enrolled {
		return PolicyNotEnrolled
	}
	if r.due || r.Version == 0 {
		return PolicyWaiting
	}
	state := PolicyApplied
	for _, i := range r.Items {
		switch i.State() {
		case ItemApplied:
		case ItemFailed:
			state = PolicyFailed
		default:
			return PolicyWaiting
		}
	}
	if slices.ContainsFunc(r.Notes, func(n Note) bool { return n.State == NoteFailed }) {
		state = PolicyFailed
	}
	return state
}

// TimeToPolicy is the time from the enrollment until the device had answered
// everything for the first time, whatever has changed since; zero before.
func (r Receipt) TimeToPolicy() time.Duration {
	at := r.PolicyAt
	if at.IsZero() {
		at = r.CompletedAt
	}
	if at.IsZero() || r.EnrolledAt.IsZero() {
		return 0
	}
	return at.Sub(r.EnrolledAt)
}

// ItemState is where an item of a receipt stands.
type ItemState string

// The states of an item.
const (
	ItemWaiting ItemState = "waiting" // queued, not yet handed out
	ItemSent    ItemState = "sent"
	ItemNotNow  ItemState = "not_now" // the device put it off; it is asked again
	ItemApplied ItemState = "applied"
	ItemFailed  ItemState = "failed"
)

// ReceiptItem is one line of a receipt.
type ReceiptItem struct {
	Key         string
	Title       string
	Removal     bool
	Policies    []From // it comes from these
	CommandID   string
	RequestType string
	Command     CommandState
	NotNow      bool // the device answered NotNow last
	Attempts    int  // how often the command was handed out
	Tries       int  // how often the same content was sent
	Reason      string
	Error       string // the device's own words
	QueuedAt    time.Time
	SentAt      time.Time // first hand-out
	FinishedAt  time.Time
	RetryAt     time.Time // zero: it is not sent again by itself
}

// State is where the item stands.
func (i ReceiptItem) State() ItemState {
	switch {
	case i.Command == CommandAcknowledged:
		return ItemApplied
	case i.Command == CommandFailed:
		return ItemFailed
	case i.NotNow:
		return ItemNotNow
	case i.Command == CommandSent:
		return ItemSent
	}
	return ItemWaiting
}

// NextTry is when a failed item is sent again; zero: never.
func NextTry(d Delivered) time.Time {
	if d.State != CommandFailed || d.Removal {
		return time.Time{}
	}
	at, _ := retryAt(d)
	return at
}
