package enroll

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Known is what the store knows about an attempt, read in the transaction that
// records the decision.
type Known struct {
	Mode    Mode
	Device  *Device  // row with this serial; nil: not on the roll
	Request *Request // request the device came with; nil: none, or unknown
	Holder  *Device  // row whose current enrollment has the attempt's UDID; nil: none
}

// GateStore gives the gate what it knows and keeps what it decides.
type GateStore interface {
	// Decide reads what is known about the attempt (the row with its serial,
	// locked; the request with its secret hash or ID, locked; the row that is
	// enrolled under its UDID; the settings), calls decide, and in the same
	// transaction records the decision and, when it admits, its effect: the row
	// (made from RowFor where there is none) becomes enrolling and takes the
	// attempt's facts, unless it is enrolled, and takes the ownership chosen in
	// the request. Decision.DeviceID of the returned
	// decision names the row. decide may be called again when the transaction
	// has to be repeated.
	Decide(ctx context.Context, a Attempt, decide func(Known) Decision) (Decision, error)

	// Known reads the same without locks and records nothing.
	Known(ctx context.Context, a Attempt) (Known, error)

	// RecordDecision stores a decision that was made without the roll.
	RecordDecision(ctx context.Context, d Decision) error
}

// Gate is the one gate every device passes, on every channel.
type Gate struct {
	Log *slog.Logger // nil: slog.Default

	store GateStore
	now   func() time.Time
}

// NewGate makes the gate; a nil clock is time.Now.
func NewGate(store GateStore, now func() time.Time) *Gate {
	if now == nil {
		now = time.Now
	}
	return &Gate{store: store, now: now}
}

// Decide answers an attempt and records the answer. It never fails open: when
// the store does not answer, the decision is error.store_unavailable and the
// error says why; the protocol room then answers the device with a 5xx.
func (g *Gate) Decide(ctx context.Context, a Attempt) (Decision, error) {
	a = g.prepare(a)
	id := NewID()
	d, err := g.store.Decide(ctx, a, func(k Known) Decision {
		d := Evaluate(a, k)
		d.ID = id
		return d
	})
	if err != nil {
		failed := g.blank(a, id)
		failed.Code, failed.Enforced, failed.Outcome = ErrorStoreUnavailable, ErrorStoreUnavailable, OutcomeError
		g.log().ErrorContext(ctx, "gate failed closed", "decision", id, "channel", a.Channel, "error", err)
		return failed, &Error{Kind: KindUnavailable, Code: string(ErrorStoreUnavailable), Op: "enroll.Gate.Decide",
			Text: ErrorStoreUnavailable.Reason().Person, Err: err}
	}
	g.log().InfoContext(ctx, "gate decided", "decision", d.ID, "channel", d.Channel, "evidence", d.Evidence, "outcome", d.Outcome, "code", d.Code)
	return d, nil
}

// Refuse records a refusal that a protocol room found before or after the
// gate's own checks: a certificate issued for another serial, a forged
// challenge. Such a code is always a denial.
func (g *Gate) Refuse(ctx context.Context, a Attempt, code Code, detail string) (Decision, error) {
	a = g.prepare(a)
	d := g.blank(a, NewID())
	d.Code, d.Enforced, d.Outcome = code, code, code.Outcome()
	d.Trace = []Step{{Check: "protocol", Result: "fail", Detail: detail}}
	if err := g.store.RecordDecision(ctx, d); err != nil {
		return d, &Error{Kind: KindUnavailable, Code: string(ErrorStoreUnavailable), Op: "enroll.Gate.Refuse",
			Text: ErrorStoreUnavailable.Reason().Person, Err: err}
	}
	g.log().InfoContext(ctx, "gate refused", "decision", d.ID, "channel", d.Channel, "code", d.Code)
	return d, nil
}

// Explain says what would happen to an attempt, without recording anything.
func (g *Gate) Explain(ctx context.Context, a Attempt) (Decision, error) {
	a = g.prepare(a)
	k, err := g.store.Known(ctx, a)
	if err != nil {
		return Decision{}, err
	}
	return Evaluate(a, k), nil
}

func (g *Gate) log() *slog.Logger {
	if g.Log == nil {
		return slog.Default()
	}
	return g.Log
}

// recordedSerial is how much of an absurdly long serial is kept, in bytes: too
// much to be accepted, and little enough for any index.
const recordedSerial = 2 * MaxSerial

func (g *Gate) prepare(a Attempt) Attempt {
	if a.At.IsZero() {
		a.At = g.now().UTC()
	}
	if a.Evidence == "" {
		a.Evidence = EvidenceClaimed
	}
	a.Serial = NormalizeSerial(a.Serial)
	if len(a.Serial) > recordedSerial {
		a.Serial = strings.ToValidUTF8(a.Serial[:recordedSerial], "")
	}
	return a
}

func (g *Gate) blank(a Attempt, id string) Decision {
	return Decision{ID: id, At: a.At, Channel: a.Channel, Platform: a.Platform, Serial: a.Serial, Evidence: a.Evidence,
		Facts: a.Facts, RequestID: a.RequestID, RemoteAddr: a.RemoteAddr}
}

// Evaluate is the decision function: pure, the same for every channel. The
// checks run in a fixed order and the first failure decides; deny beats allow.
// Only "listed" looks at the mode: a block, another platform, a foreign
// request or a missing serial refuse in every mode.
func Evaluate(a Attempt, k Known) Decision {
	d := Decision{At: a.At, Channel: a.Channel, Platform: a.Platform, Serial: a.Serial, Evidence: a.Evidence,
		Facts: a.Facts, Mode: k.Mode, RequestID: a.RequestID, RemoteAddr: a.RemoteAddr}
	if k.Device != nil {
		d.DeviceID = k.Device.ID
	}
	if k.Request != nil {
		d.RequestID = k.Request.ID
	}
	for _, c := range checks {
		code, detail := c.run(a, k)
		step := Step{Check: c.name, Result: "pass", Detail: detail}
		if code != "" {
			step.Result = "fail"
		}
		d.Trace = append(d.Trace, step)
		if code != "" {
			d.Code, d.Enforced, d.Outcome = code, code, OutcomeDeny
			return d
		}
	}
	return listed(d, k)
}

// listed is the last check, the restriction itself.
func listed(d Decision, k Known) Decision {
	step := Step{Check: "listed", Result: "pass", Detail: "the serial is on the roll"}
	d.Code, d.Enforced, d.Outcome = AllowListed, AllowListed, OutcomeAllow
	if !onRoll(k.Device) {
		d.Enforced = DenyNotPreEnrolled
		step.Detail = fmt.Sprintf("the serial is not on the roll; Pre-enrolled Devices Only is %s", k.Mode)
		switch k.Mode {
		case ModeOff, ModeAudit:
			d.Code = AllowOpen
		default: // also a mode that was never read
			step.Result = "fail"
			d.Code, d.Outcome = DenyNotPreEnrolled, OutcomeDeny
		}
	}
	if k.Mode == ModeOff {
		d.Enforced = d.Code
	}
	d.Trace = append(d.Trace, step)
	return d
}

// onRoll says whether an admin put the row there. A device that came in by
// itself while the restriction was off has a row too, but is not pre-enrolled.
func onRoll(d *Device) bool {
	return d != nil && d.Sources["serial"] != SourceDevice
}

// checks are what refuses in every mode, in order. A check answers the code of
// its refusal, or "".
var checks = []struct {
	name string
	run  func(Attempt, Known) (Code, string)
}{
	{"serial", func(a Attempt, _ Known) (Code, string) {
		if err := CheckSerial(a.Serial); err != nil {
			return DenyEvidenceTooWeak, "the device named no usable serial: " + err.Error()
		}
		return "", "the device named a serial"
	}},
	{"blocked", func(_ Attempt, k Known) (Code, string) {
		if k.Device != nil && !k.Device.BlockedAt.IsZero() {
			return DenyBlocked, "blocked: " + k.Device.BlockReason
		}
		return "", "not blocked"
	}},
	{"request", checkRequest},
	{"platform", func(a Attempt, k Known) (Code, string) {
		if k.Device == nil || k.Device.Platform.Admits(a.Platform) {
			return "", fmt.Sprintf("the device is %s", a.Platform)
		}
		return DenyPlatform, fmt.Sprintf("the row is for %s, the device is %s", k.Device.Platform, a.Platform)
	}},
	{"identity", checkIdentity},
}

// checkIdentity keeps who merely says to be a device from taking over the
// enrollment of the real one. What the device's maker signed is believed: then
// the older enrollment is the one that is wrong.
func checkIdentity(a Attempt, k Known) (Code, string) {
	switch {
	case a.Evidence == EvidenceSigned || a.Evidence == EvidenceAttested:
		return "", "the identifiers are signed"
	case k.Holder != nil && (k.Device == nil || k.Holder.ID != k.Device.ID):
		return DenyIdentityConflict, "another row is enrolled under the UDID that the device names"
	case k.Device != nil && k.Device.State == StateEnrolled && k.Device.Facts.UDID != "" && a.Facts.UDID != "" && k.Device.Facts.UDID != a.Facts.UDID:
		return DenyIdentityConflict, "the row is enrolled under another UDID than the device names; disenroll it first if the device was replaced"
	}
	return "", "no other device is enrolled under these identifiers"
}

func checkRequest(a Attempt, k Known) (Code, string) {
	switch {
	case a.RequestSecret == "" && a.RequestID == "":
		return "", "no enrollment request was presented"
	case k.Request == nil:
		return DenyTokenUnknown, "no enrollment request has this secret"
	case k.Request.State == RequestCancelled:
		return DenyTokenRevoked, "the enrollment request was cancelled"
	case k.Request.State == RequestCompleted:
		return DenyTokenUsedUp, "a device has enrolled with this enrollment request"
	case k.Request.State == RequestExpired, a.At.After(k.Request.ExpiresAt):
		return DenyTokenExpired, "the enrollment request ended at " + k.Request.ExpiresAt.UTC().Format(time.RFC3339)
	case k.Device == nil || k.Device.ID != k.Request.DeviceID:
		return DenyTokenSerialMismatch, "the enrollment request is bound to another row"
	}
	return "", "the enrollment request is bound to this row"
}

// RowFor is the row made for a device that the gate admitted although it is
// not on the roll. Its serial came from the device, so it does not count as
// pre-enrolled when it arrives again.
func RowFor(d Decision) Device {
	return Device{
		ID: NewID(), Serial: d.Serial, SerialRaw: d.Serial, Platform: d.Platform, Ownership: OwnershipSelectUser,
		State: StateEnrolling, Facts: d.Facts,
		Sources:   map[string]Source{"serial": SourceDevice, "platform": SourceDevice},
		CreatedAt: d.At, UpdatedAt: d.At, Version: 1,
	}
}
