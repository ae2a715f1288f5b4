package android

import (
	"context"
	"crypto"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"

	"rollcall/enroll"
	"rollcall/policy"
)

// Enrollment is the enrollment of a device that an agent manages.
type Enrollment struct {
	ID        string // UUIDv7; the protocol's device_id
	DeviceID  string
	PublicKey []byte // SubjectPublicKeyInfo
	Counter   int64  // of the last signed request
	TokenID   string // it enrolled with
	PushID    string // Firebase installation ID; empty: none
	EndedAt   time.Time
	Replaced  bool // it has ended, and the device has another one
	Wiped     bool // it has ended by a wipe that the device acknowledged
	Due       bool // a wake is due
	Open      bool // there are commands that have no result
	Ready     bool // one of them was neither put off nor handed out just now
}

// Start is an admitted enrollment.
type Start struct {
	DeviceID    string
	Fingerprint string // SHA-256 of the public key, hex
	PublicKey   []byte
	Token       Token
	PushID      string
	Facts       enroll.Facts
	DecisionID  string
	// Proven says that the device has shown to be the row's, by a token that is
	// bound to it or by attestation. Who merely says so does not take over the
	// enrollment of a row.
	Proven bool
	At     time.Time
}

// Command is a command as it is handed out.
type Command struct {
	ID   string
	Type string
	Body []byte // the parameters, a JSON object
}

// Result is what a device says of a command.
type Result struct {
	EnrollmentID string
	CommandID    string
	State        policy.CommandState // acknowledged or failed; ignored when NotNow
	NotNow       bool
	Error        string // device's own words
	Data         []byte // the result, JSON as received
	At           time.Time
}

// ErrorCode is the code of a result's error without the device's own words,
// which may name persons.
func (r Result) ErrorCode() string {
	code, _, _ := strings.Cut(r.Error, ":")
	if !errorCode.MatchString(code) {
		return ""
	}
	return code
}

var errorCode = regexp.MustCompile(`^[a-z0-9_.-]{1,64}$`)

// Reported is what the queue says to a result.
type Reported struct {
	Type  string // of the command; empty: it is not one of this device
	Fresh bool   // the result was taken; false: it had one before
	Next  *Command
}

// AgentStore keeps enrollments of agents and their queues. Every method is one
// transaction, or part of the one that Atomically makes.
type AgentStore interface {
	Atomically(ctx context.Context, fn func(ctx context.Context) error) error
	// UseNonce notes a nonce until it ends, and says whether it is new.
	UseNonce(ctx context.Context, hash [32]byte, expires time.Time) (fresh bool, err error)
	// ForgetNonces forgets those that have ended.
	ForgetNonces(ctx context.Context, now time.Time) error
	// StartAgent makes an active enrollment: all others of the device end,
	// its request is completed, its delivery due; it joins the token's group and
	// takes what the token says where the row leaves it open.
	// enroll.KindConflict with CodeTakeover where it may not.
	StartAgent(ctx context.Context, s Start) (Enrollment, error)
	// AgentByKey finds the enrollment of a public key that has not ended;
	// enroll.KindNotFound.
	AgentByKey(ctx context.Context, fingerprint string) (Enrollment, error)
	// Agent reads an enrollment, ended or not, by its ID; enroll.KindNotFound.
	// A command that was handed out longer than lease ago is ready again.
	Agent(ctx context.Context, id string, now time.Time, lease time.Duration) (Enrollment, error)
	// CountAgent takes the counter of a signed request if it is larger than the
	// last one, in one statement; else it gives the last one. idle does not
	// wait for the disk.
	CountAgent(ctx context.Context, id string, counter int64, idle bool) (taken bool, last int64, err error)
	// HandOutAgent opens a session like ReportAgent's, without a result.
	HandOutAgent(ctx context.Context, id string, now time.Time, lease time.Duration) (*Command, error)
	// ReportAgent records a result and hands out the next command. Where open
	// commands are left, a wake is due after retry.
	ReportAgent(ctx context.Context, r Result, retry time.Duration) (Reported, error)
	// SettleWake notes that the device has come.
	SettleWake(ctx context.Context, id string, now time.Time) error
	SetAgentPush(ctx context.Context, id, pushID string) error
	RecordFacts(ctx context.Context, deviceID string, f enroll.Facts) error
	// Removed ends the enrollment if the command is the one that disenrolls it,
	// and says whether.
	Removed(ctx context.Context, id, commandID string, at time.Time) (bool, error)
	// CheckOut ends the enrollment; the device becomes unenrolled.
	CheckOut(ctx context.Context, id string, at time.Time) error
}

// CodeTakeover is the code of an enrollment that would take over another one.
const CodeTakeover = "enrollment_taken_over"

// Attested is what the hardware says of a key and its device. Fields are empty
// where the attestation does not name them.
type Attested struct {
	Serial       string
	IMEI         string
	Brand        string
	Manufacturer string
	Model        string
	VerifiedBoot bool // locked boot loader, system verified
}

// Attestor verifies Android key attestation: chain is from the key's own
// certificate to the root, in DER.
type Attestor interface {
	Verify(chain [][]byte, challenge []byte, key crypto.PublicKey) (Attested, error)
}

// deviceInfo is what an agent tells of its device; all may be left out.
type deviceInfo struct {
	Serial               string `json:"serial"`
	IMEI                 string `json:"imei"`
	IMEI2                string `json:"imei2"`
	MEID                 string `json:"meid"`
	Manufacturer         string `json:"manufacturer"`
	Brand                string `json:"brand"`
	Model                string `json:"model"`
	OSVersion            string `json:"os_version"`
	APILevel             int    `json:"api_level"`
	SecurityPatch        string `json:"security_patch"`
	Management           string `json:"management"`
	EnterpriseSpecificID string `json:"enterprise_specific_id"`

	BatteryLevel *float64 `json:"battery_level"`
	StorageTotal *float64 `json:"storage_total"`
	StorageFree  *float64 `json:"storage_free"`
	Encrypted    *bool    `json:"encrypted"`
	PasscodeSet  *bool    `json:"passcode_set"`
}

// texts are the fields that are text.
func (d *deviceInfo) texts() []*string {
	return []*string{&d.Serial, &d.IMEI, &d.IMEI2, &d.MEID, &d.Manufacturer, &d.Brand, &d.Model, &d.OSVersion, &d.SecurityPatch, &d.Management, &d.EnterpriseSpecificID}
}

// maxText bounds ids and names, in bytes.
const maxText = 255

func (d *deviceInfo) check() error {
	for _, s := range d.texts() {
		if len(*s) > maxText {
			return wrong("field_too_long", "a field of the device has more than 255 bytes")
		}
	}
	return nil
}

// The names of an Android device's facts among enroll.Facts.Extra; the
// manufacturer is enroll.ManufacturerFact.
const (
	factIMEI2      = "imei2"
	factBrand      = "brand"
	factAPILevel   = policy.APILevelFact
	factPatch      = "security_patch"
	factManagement = policy.ManagementFact
	factESID       = "enterprise_specific_id"
)

// facts are what of it is kept.
func (d *deviceInfo) facts() enroll.Facts {
	f := enroll.Facts{IMEI: d.IMEI, MEID: d.MEID, Product: d.Model, Model: d.Model, OSVersion: d.OSVersion}
	extra := map[string]string{}
	put := func(name, value string) {
		if value != "" {
			extra[name] = value
		}
	}
	put(enroll.ManufacturerFact, d.Manufacturer)
	put(factBrand, d.Brand)
	put(factIMEI2, d.IMEI2)
	put(factPatch, d.SecurityPatch)
	put(factManagement, d.Management)
	put(factESID, d.EnterpriseSpecificID)
	if d.APILevel > 0 {
		put(factAPILevel, strconv.Itoa(d.APILevel))
	}
	number := func(name string, v *float64) {
		if v != nil {
			put(name, strconv.FormatFloat(*v, 'f', -1, 64))
		}
	}
	flag := func(name string, v *bool) {
		if v != nil {
			put(name, strconv.FormatBool(*v))
		}
	}
	number("battery_level", d.BatteryLevel)
	number("storage_total", d.StorageTotal)
	number("storage_free", d.StorageFree)
	flag("encrypted", d.Encrypted)
	flag("passcode_set", d.PasscodeSet)
	if len(extra) > 0 {
		f.Extra = extra
	}
	return f
}

// NotApplied are the parts of a policy that an agent could not carry out, as
// its result of set_policy tells.
func NotApplied(result []byte) []policy.Note {
	var r struct {
		Data struct {
			NotApplied []struct{ Pointer, Code, Message string } `json:"not_applied"`
		} `json:"data"`
	}
	if json.Unmarshal(result, &r) != nil {
		return nil
	}
	var notes []policy.Note
	for _, n := range r.Data.NotApplied {
		notes = append(notes, policy.Note{State: policy.NoteFailed, Pointer: n.Pointer, Code: n.Code, Text: n.Message})
	}
	return notes
}
