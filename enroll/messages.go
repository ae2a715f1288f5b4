package enroll

import (
	"slices"
	"time"
)

// Via is how the link of a request reaches its user.
type Via string

// The ways. ViaLink hands the links to the admin, and nothing is sent.
const (
	ViaLink  Via = "link"
	ViaEmail Via = "email"
	ViaSMS   Via = "sms"
)

// Vias lists the ways.
var Vias = []Via{ViaLink, ViaEmail, ViaSMS}

// address is where a user is reached; empty: not at all.
func (v Via) address(u User) string {
	if v == ViaSMS {
		return u.Mobile
	}
	return u.Email
}

// handedOver is the state of a request whose new link goes this way.
func (v Via) handedOver() RequestState {
	if v == ViaLink {
		return RequestSent
	}
	return RequestQueued
}

// Languages are those that messages are written in.
var Languages = []string{"en", "de"}

// MessageKind says why a message is sent.
type MessageKind string

// The kinds of messages.
const (
	MessageInvitation MessageKind = "invitation"
	MessageReminder   MessageKind = "reminder"
)

// Message carries a link of a request to its user. It waits in an outbox until
// it has been sent or given up.
type Message struct {
	ID         string // UUIDv7; the receiving server sees it, so that a repetition can be told
	RequestID  string
	Kind       MessageKind
	Via        Via
	Secret     string // of the link; sealed, and gone as soon as the message is finished. Never read back but by a Letter
	CreatedAt  time.Time
	DueAt      time.Time // next attempt; zero: finished
	Attempts   int
	Error      string // the server's words, or why it was not sent
	SentAt     time.Time
	FinishedAt time.Time
}

// Letter is a message that is about to be sent, with everything that is
// written in it. The address is the one that the user has now.
type Letter struct {
	Message
	Problem   string // why it cannot be sent to anybody; empty: it can
	Address   string
	Name      string // of the user; may be empty
	Language  string // of the user, BCP 47; empty: not known
	Serial    string
	Platform  Platform
	SentBy    string
	ExpiresAt time.Time
}

// MessageOutcome is what became of an attempt to send a message.
type MessageOutcome string

// The outcomes. A released message was not tried.
const (
	MessageSent     MessageOutcome = "sent"
	MessageRetry    MessageOutcome = "retry"
	MessageBounced  MessageOutcome = "bounced"
	MessageReleased MessageOutcome = "released"
)

// MessageResult reports an attempt.
type MessageResult struct {
	Letter  Letter
	Outcome MessageOutcome
	RetryAt time.Time // of MessageRetry
	Error   string    // of MessageRetry and MessageBounced, for the admin
	At      time.Time
}

// Link is a new link of a request. Each has a secret of its own; those before
// stay good.
type Link struct {
	SecretHash [32]byte
	Message    *Message // that carries it; nil: the admin does
}

// newLink makes a link for a request and the secret in it.
func newLink(requestID string, kind MessageKind, via Via, now time.Time) (l Link, secret string) {
	secret, l.SecretHash = NewSecret()
	if via != ViaLink {
		l.Message = &Message{ID: NewID(), RequestID: requestID, Kind: kind, Via: via, Secret: secret, CreatedAt: now, DueAt: now}
	}
	return l, secret
}

// offers says whether a message can go a way at all.
func offers(channels []Via, via Via) error {
	switch {
	case !slices.Contains(Vias, via):
		return Errorf(KindInvalid, "via_unknown", "%q is not a way to send enrollment requests", via).WithHint("Use link, email or sms.")
	case via == ViaLink || slices.Contains(channels, via):
		return nil
	case via == ViaEmail:
		return Errorf(KindConflict, "mail_not_configured", "this server has no mail server to send with").WithHint("Set --smtp-url and --mail-from, or use link.")
	}
	return Errorf(KindConflict, "sms_not_configured", "this server has no SMS gateway to send with").WithHint("Set --sms-url, or use link.")
}
