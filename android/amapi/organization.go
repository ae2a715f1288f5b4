package amapi

import (
	"time"

	"rollcall/enroll"
)

// Delivery is how notifications arrive.
type Delivery string

// Pull asks Google for them, and works behind any firewall. Push lets Google
// call this server.
const (
	Pull Delivery = "pull"
	Push Delivery = "push"
)

// Organization is the one organization at Google that this server manages the
// devices of.
type Organization struct {
	Project      string // Google Cloud project of the service account
	Account      string // its address
	KeyID        string // of its key
	Name         string // "enterprises/LC0"; empty: not bound yet
	DisplayName  string
	Signup       *Signup // under way; nil: none
	Topic        string  // "projects/P/topics/T"
	Subscription string  // "projects/P/subscriptions/S"
	Delivery     Delivery
	PushAccount  string // service account that Pub/Sub signs pushes as
	Settings     Settings
	Ways         []Way // by which devices come to the sign-in page
	SetUpAt      time.Time
	ReconciledAt time.Time
	Problem      *Problem // nil: none
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

// Bound says whether there is an enterprise to manage devices of.
func (o Organization) Bound() bool { return o.Name != "" }

// Signup is a sign-up that an administrator has begun.
type Signup struct {
	Name      string    `json:"name"` // Google's
	URL       string    `json:"url"`
	StateHash []byte    `json:"state_hash"` // SHA-256 of what comes back with the callback
	CreatedAt time.Time `json:"created_at"`
}

// Way is what a device of a mode is set up with.
type Way struct {
	Mode   Mode   `json:"mode"`
	Token  string `json:"token"`
	QRCode string `json:"qr_code"`
}

// Problem is why the organization is not managed at the moment.
type Problem struct {
	Code  string    `json:"code"`
	Text  string    `json:"text"`
	Hint  string    `json:"hint,omitempty"`
	Since time.Time `json:"since"`
}

// NoOrganization says that none is connected.
func NoOrganization() *enroll.Error {
	return enroll.Errorf(enroll.KindNotFound, "amapi_not_connected", "no organization at Google is connected").
		WithHint("Give the service account's key: PUT /api/v1/android/enterprise, or rollcall android enterprise connect KEY.json.")
}

// notBound says that the sign-up is not done.
func notBound() *enroll.Error {
	return enroll.Errorf(enroll.KindConflict, "amapi_not_bound", "no enterprise is bound yet").
		WithHint("Begin the sign-up: POST /api/v1/android/enterprise/signup, or rollcall android enterprise signup.")
}

// TokenState is what became of an enrollment token that Google was asked for.
type TokenState string

// The states. An asked token whose answer was lost may exist: what it carries
// says whose it is.
const (
	TokenAsked TokenState = "asked"
	TokenMade  TokenState = "made"
	TokenUsed  TokenState = "used"
)

// BoundToken is an enrollment token that is good for one row of the roll.
type BoundToken struct {
	ID         string // UUIDv7
	DeviceID   string // the row
	Serial     string // its serial
	Mode       Mode
	Identified string // serial that Google told at the sign-in page; empty: it told none, or there was no page
	IMEI       string // likewise
	DecisionID string // that admitted it at the sign-in page; empty: there was no page
	NonceHash  []byte // SHA-256 of the nonce in the token
	Name       string // Google's; empty: not known
	State      TokenState
	UsedBy     string // name of the device that came with it
	CreatedAt  time.Time
	ExpiresAt  time.Time
}

// RecordState is where a device at Google stands here.
type RecordState string

// The states of a device at Google.
const (
	RecordEnrolled    RecordState = "enrolled"
	RecordQuarantined RecordState = "quarantined"
	RecordRemoved     RecordState = "removed" // by us
	RecordGone        RecordState = "gone"    // Google has it no more
)

// RecordStates lists them.
var RecordStates = []RecordState{RecordEnrolled, RecordQuarantined, RecordRemoved, RecordGone}

// Record is a device at Google.
type Record struct {
	Name         string // enterprises/LC0/devices/1
	DeviceID     string // row of the roll; empty: none
	EnrollmentID string // empty: not enrolled here
	Serial       string // of the row, else what Google told
	IMEI         string
	Mode         Mode
	Model        string
	State        RecordState
	Code         enroll.Code // of the last decision
	DecisionID   string
	EventAt      time.Time // of the newest event that counted
	ReportedAt   time.Time

	Policy         string // that it was assigned
	PolicyVersion  int64  // that it is to report for the open command
	CommandID      string // the open command that carries the policy; empty: none
	Applied        string // policy as it reported last
	AppliedVersion int64
	Complaints     []Complaint
}

// Complaint is a setting that a device does not comply with.
type Complaint struct {
	Pointer string `json:"pointer"` // into the policy document
	Setting string `json:"setting"` // Google's name
	Reason  string `json:"reason"`  // Google's word: API_LEVEL
	Package string `json:"package,omitempty"`
}
