package enroll

import (
	"context"
	"time"
)

// EntryKind is what an entry of a device's timeline tells of.
type EntryKind string

// The kinds of entries.
const (
	EntryCreated    EntryKind = "created"    // the row came onto the roll
	EntryChanged    EntryKind = "changed"    // an edit, or a change of state
	EntryRequest    EntryKind = "request"    // an enrollment request was sent, opened, accepted or closed
	EntryDecision   EntryKind = "decision"   // the gate decided
	EntryEnrollment EntryKind = "enrollment" // an enrollment began, was completed or ended
	EntryCommand    EntryKind = "command"    // a command was queued
)

// Entry is one thing that happened to a device. It holds no facts of the
// device, so it may be shown before the user has accepted.
type Entry struct {
	ID       string // of the change, request, decision, enrollment or command
	At       time.Time
	Kind     EntryKind
	What     string // "sent", "enrolled", the code of a decision, the RequestType of a command
	State    string // of a command; the outcome of a decision
	Detail   string // error of a command, channel of a decision
	Actor    string // who did it; empty: the device or the server
	ImportID string // the import that did it; empty: none
	Changes  []FieldChange
}

// Timeline is the history of a device over all its enrollments.
type Timeline interface {
	// Timeline lists newest first; Page.After is what Next of the previous page
	// was. Next is empty at the end.
	Timeline(ctx context.Context, deviceID string, p Page) (entries []Entry, next string, err error)
}
