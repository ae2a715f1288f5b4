package enroll

import (
	"slices"
	"strings"
	"time"
)

// EventType names what happened, as "object.verb".
type EventType string

// The types of events.
const (
	EventDeviceImported   EventType = "device.imported" // an import was applied: one event for all of its rows
	EventDeviceReverted   EventType = "device.import_reverted"
	EventDeviceCreated    EventType = "device.created" // put on the roll in any other way
	EventDeviceChanged    EventType = "device.changed"
	EventDeviceDeleted    EventType = "device.deleted"
	EventDeviceBlocked    EventType = "device.blocked"
	EventDeviceUnblocked  EventType = "device.unblocked"
	EventDeviceEnrolled   EventType = "device.enrolled"
	EventDeviceUnenrolled EventType = "device.unenrolled"

	EventRequestQueued    EventType = "request.queued"
	EventRequestSent      EventType = "request.sent"
	EventRequestBounced   EventType = "request.bounced"
	EventRequestOpened    EventType = "request.opened"
	EventRequestAccepted  EventType = "request.accepted"
	EventRequestCompleted EventType = "request.completed"
	EventRequestExpired   EventType = "request.expired"
	EventRequestCancelled EventType = "request.cancelled"

	EventGateDecided EventType = "gate.decided"

	EventPolicyCompleted EventType = "policy.completed" // a device has all of its policies
	EventPolicyFailed    EventType = "policy.failed"    // a device refused a part of one

	EventPushCertificateExpiring EventType = "push_certificate.expiring"
	EventWebhookDisabled         EventType = "webhook.disabled"

	EventDEPAccountProblem EventType = "dep_account.problem"  // it cannot be brought up to date, for a reason that is new
	EventDEPTokenExpiring  EventType = "dep_account.expiring" // its server token ends soon

	EventZeroTouchProblem EventType = "zero_touch.problem" // Google's list cannot be brought up to date, for a reason that is new
)

// EventTypes lists all of them.
var EventTypes = []EventType{
	EventDeviceImported, EventDeviceReverted, EventDeviceCreated, EventDeviceChanged, EventDeviceDeleted, EventDeviceBlocked, EventDeviceUnblocked, EventDeviceEnrolled, EventDeviceUnenrolled,
	EventRequestQueued, EventRequestSent, EventRequestBounced, EventRequestOpened, EventRequestAccepted, EventRequestCompleted, EventRequestExpired, EventRequestCancelled,
	EventGateDecided, EventPolicyCompleted, EventPolicyFailed, EventPushCertificateExpiring, EventWebhookDisabled, EventDEPAccountProblem, EventDEPTokenExpiring, EventZeroTouchProblem,
}

// Event tells that something happened. It is written in the transaction of
// what it tells, and says of a device nothing but its serial: who wants to
// know more asks the API, which knows what may be shown.
type Event struct {
	ID   string // UUIDv7
	Seq  int64  // place in the stream, from 1; 0: not in it yet
	Type EventType
	At   time.Time
	Refs EventRefs
}

// EventRefs name what an event is about; empty ones do not apply.
type EventRefs struct {
	Serial     string     `json:"serial,omitempty" doc:"The device."`
	Fields     []string   `json:"fields,omitempty" doc:"Names of the device's fields that changed."`
	RequestID  string     `json:"request_id,omitempty"`
	DecisionID string     `json:"decision_id,omitempty"`
	Channel    Channel    `json:"channel,omitempty" doc:"The way a device arrived by."`
	Outcome    Outcome    `json:"outcome,omitempty" doc:"allow, hold, deny or error."`
	Code       Code       `json:"code,omitempty" doc:"Reason of a decision."`
	CommandID  string     `json:"command_id,omitempty"`
	ImportID   string     `json:"import_id,omitempty" doc:"GET /imports/{id}/rows names the devices."`
	New        int        `json:"new,omitempty" doc:"Devices that an import put on the roll."`
	Changed    int        `json:"changed,omitempty" doc:"Devices that an import, or its revert, changed."`
	Deleted    int        `json:"deleted,omitempty" doc:"Devices that a revert took off the roll."`
	WebhookID  string     `json:"webhook_id,omitempty"`
	EndsAt     *time.Time `json:"ends_at,omitempty" doc:"When the certificate or token ends."`
	Account    string     `json:"account,omitempty" doc:"Name of a DEP account."`
	Problem    string     `json:"problem,omitempty" doc:"Code of what keeps the account from being up to date."`
}

// NewEvent makes an event that happened at a time.
func NewEvent(t EventType, at time.Time, refs EventRefs) Event {
	return Event{ID: NewID(), Type: t, At: at.UTC(), Refs: refs}
}

// Matches says whether one of the patterns names the type: the type itself, or
// its object with ".*". No patterns match everything.
func (t EventType) Matches(patterns []string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool {
		object, all := strings.CutSuffix(p, "*")
		return p == string(t) || all && strings.HasSuffix(object, ".") && strings.HasPrefix(string(t), object)
	})
}

// CheckEventPattern says what is wrong with a pattern, or nil: one that no
// event can match would wait for ever.
func CheckEventPattern(p string) error {
	if slices.ContainsFunc(EventTypes, func(t EventType) bool { return t.Matches([]string{p}) }) {
		return nil
	}
	return Errorf(KindInvalid, "event_type_unknown", "no event has the type %q", p).WithHint("Use a type such as device.enrolled, or all of an object: device.*.")
}

// requestEvents names the event by which a request comes into a state.
var requestEvents = map[RequestState]EventType{
	RequestQueued: EventRequestQueued, RequestSent: EventRequestSent, "bounced": EventRequestBounced, RequestOpened: EventRequestOpened, RequestAccepted: EventRequestAccepted,
	RequestCompleted: EventRequestCompleted, RequestExpired: EventRequestExpired, RequestCancelled: EventRequestCancelled,
}

// Event is the type of event that tells of a request's new state; ok is false
// where none does.
func (s RequestState) Event() (t EventType, ok bool) {
	t, ok = requestEvents[s]
	return t, ok
}
