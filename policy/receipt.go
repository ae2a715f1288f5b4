package policy

import "time"

// Receipt is what a device got of its policies, for the admin.
type Receipt struct {
	EnrollmentID string
	EnrolledAt   time.Time
	CompletedAt  time.Time // last final answer, once nothing is open; zero before
	Items        []ReceiptItem
	Notes        []Note // what is not sent, and why
}

// TimeToPolicy is the time from the enrollment to the last final answer; zero
// while something is open.
func (r Receipt) TimeToPolicy() time.Duration {
	if r.CompletedAt.IsZero() || r.EnrolledAt.IsZero() {
		return 0
	}
	return r.CompletedAt.Sub(r.EnrolledAt)
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
