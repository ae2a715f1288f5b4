package enroll

import (
	"slices"
	"time"
)

// Channel is the way a device arrives by.
type Channel string

// The channels. The protocol rooms translate their wire into an Attempt on one
// of these.
const (
	ChannelOTA     Channel = "ota"     // Apple Profile Service
	ChannelProfile Channel = "profile" // plain enrollment profile
	ChannelADE     Channel = "ade"     // Automated Device Enrollment
	ChannelAccount Channel = "account" // account-driven enrollment
	ChannelAgent   Channel = "agent"   // Android agent protocol
	ChannelAMAPI   Channel = "amapi"   // Android Management API
)

// Channels lists the channels in the order the documentation names them.
var Channels = []Channel{ChannelOTA, ChannelProfile, ChannelADE, ChannelAccount, ChannelAgent, ChannelAMAPI}

// Evidence is how the serial of an attempt is known, from weak to strong.
type Evidence string

// The levels of evidence. An empty Evidence counts as claimed.
const (
	EvidenceClaimed  Evidence = "claimed"  // the device just says so
	EvidenceToken    Evidence = "token"    // a one-time token or request bound to the row
	EvidenceSigned   Evidence = "signed"   // machine info signed by Apple's device CA, Google's provisioning info
	EvidenceAttested Evidence = "attested" // hardware attestation
)

// Evidences lists the levels from weak to strong.
var Evidences = []Evidence{EvidenceClaimed, EvidenceToken, EvidenceSigned, EvidenceAttested}

// rank is the place of a level among Evidences; -1: there is no such level.
func (e Evidence) rank() int {
	if e == "" {
		return 0
	}
	return slices.Index(Evidences, e)
}

// Attempt is one arrival of a device, told by a protocol room.
type Attempt struct {
	At       time.Time
	Channel  Channel
	Platform Platform // what the device presents itself as
	Serial   string   // any form; the gate normalises it
	Evidence Evidence
	Facts    Facts // identifiers and versions the device named

	// RequestSecret is the secret of the enrollment request the device came
	// with; empty: none. RequestID names the request where the secret was
	// checked at an earlier step of the same attempt.
	RequestSecret string
	RequestID     string

	// UserID is the user who enrolls, where the channel knows it by itself;
	// empty: the user of the request. Ownership is what was chosen on the way;
	// empty: what request and row say.
	UserID    string
	Ownership Ownership

	RemoteAddr string

	// Notes go into the trace of the decision before the checks: what the
	// protocol room knows beyond the attempt. They decide nothing.
	Notes []Step
}

// Outcome is what the gate answers.
type Outcome string

// The outcomes.
const (
	OutcomeAllow Outcome = "allow"
	OutcomeHold  Outcome = "hold"
	OutcomeDeny  Outcome = "deny"
	OutcomeError Outcome = "error"
)

// Decision is the recorded answer to an attempt. Its ID is what challenges and
// certificates of the attempt are bound to.
type Decision struct {
	ID         string // UUIDv7
	At         time.Time
	Channel    Channel
	Platform   Platform
	Serial     string // normal form
	Evidence   Evidence
	Facts      Facts
	Mode       Mode
	Outcome    Outcome
	Code       Code
	Enforced   Code   // in audit mode: what enforcing would have answered; else equal to Code
	DeviceID   string // the row it matched or made; empty: none
	RequestID  string // the enrollment request it came with; empty: none
	Trace      []Step // every check and every rule with its result, in order
	RemoteAddr string

	NearMisses []NearMiss // rows that the serial may have been meant for
	Repair     *Repair    // what an admin made of a near miss; nil: nothing
}

// Allowed says whether the device may go on.
func (d Decision) Allowed() bool { return d.Outcome == OutcomeAllow }

// Step is one check of the gate and what it found.
type Step struct {
	Check  string `json:"check"`  // "listed"
	Result string `json:"result"` // "pass", "fail", "warn", "hold", "skip"
	Detail string `json:"detail"` // for the admin
}

// Mode is the setting "Pre-enrolled Devices Only".
type Mode string

// The modes: off admits unknown devices, audit admits them and records what
// enforcing would have done, enforce refuses them.
const (
	ModeOff     Mode = "off"
	ModeAudit   Mode = "audit"
	ModeEnforce Mode = "enforce"
)

// Modes lists the modes.
var Modes = []Mode{ModeOff, ModeAudit, ModeEnforce}
