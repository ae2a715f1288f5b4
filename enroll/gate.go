package enroll

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// Known is what the store knows about an attempt, read in the transaction that
// records the decision.
type Known struct {
	Settings Settings
	Rules    []Rule    // the enabled ones, in their order
	Device   *Device   // row with this serial; nil: not on the roll
	Approval *Approval // of this serial, unless an admin put it on the roll; nil: none
	Request  *Request  // request the device came with; nil: none, or unknown
	Holder   *Device   // row whose current enrollment has the attempt's UDID; nil: none
	Groups   []string  // names of the row's groups; read only where a rule asks
	// UserDevices is how many other devices of CountedUser are enrolled, or
	// were admitted within the hour, up to the limit; read only where there is
	// a limit.
	UserDevices int
}

// GateStore gives the gate what it knows and keeps what it decides.
type GateStore interface {
	// Decide reads what is known about the attempt (the row with its serial,
	// locked; the request with its secret hash or ID, locked; the row that is
	// enrolled under its UDID; the settings), calls decide, and in the same
	// transaction records the decision and, when it admits, its effect: the row
	// (made from RowFor where there is none) becomes enrolling and takes the
	// attempt's facts, unless it is enrolled; it takes the ownership chosen in
	// the request, and the attempt's user as its owner if it has none. A decision
	// that holds makes or keeps a row in pending_approval, unless it is enrolled,
	// and an approval that is pending.
	// Decision.DeviceID of the returned decision names the row. decide may be
	// called again when the transaction has to be repeated.
	Decide(ctx context.Context, a Attempt, decide func(Known) Decision) (Decision, error)

	// Known reads the same without locks and records nothing.
	Known(ctx context.Context, a Attempt) (Known, error)

	// RecordDecision stores a decision that was made without the roll.
	RecordDecision(ctx context.Context, d Decision) error

	// OpenRows finds the rows with these serials that are pre_enrolled or
	// invited and not blocked, up to 20.
	OpenRows(ctx context.Context, serials []string) ([]Device, error)

	// NoteNearMisses adds near misses to a decision.
	NoteNearMisses(ctx context.Context, decisionID string, near []NearMiss) error

	// RepairSerial gives the row with a serial the serial of a decision and
	// notes the repair with the decision, all locked. check is asked first. A
	// row that is only there because a device with the decision's serial
	// arrived is replaced, unless it is enrolled or enrolling; any other is
	// KindConflict.
	RepairSerial(ctx context.Context, decisionID, serial string, check func(Decision, Device) (Repair, error)) (Device, error)
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
	g.lookAround(ctx, &d)
	return d, nil
}

// lookAround adds near misses to a decision about a device that is not on the
// roll. The decision stands without them: they are help for the admin.
func (g *Gate) lookAround(ctx context.Context, d *Decision) {
	if d.Enforced != DenyNotPreEnrolled && d.Enforced != HoldPendingApproval {
		return
	}
	near, err := nearMisses(ctx, g.store, d.Serial, d.Platform)
	if err == nil && len(near) > 0 {
		if err = g.store.NoteNearMisses(ctx, d.ID, near); err == nil {
			d.NearMisses = near
		}
	}
	if err != nil {
		g.log().WarnContext(ctx, "near misses not looked for", "decision", d.ID, "error", err)
	}
}

// Refuse records a refusal that a protocol room found before or after the
// gate's own checks: a certificate issued for another serial, a forged
// challenge. Such a code is always a denial.
func (g *Gate) Refuse(ctx context.Context, a Attempt, code Code, detail string) (Decision, error) {
	a = g.prepare(a)
	d := g.blank(a, NewID())
	d.Code, d.Enforced, d.Outcome = code, code, code.Outcome()
	d.Trace = append(slices.Clone(a.Notes), Step{Check: "protocol", Result: "fail", Detail: detail})
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

// NearMisses are the open rows that a device with this serial and platform may
// have been meant for.
func (g *Gate) NearMisses(ctx context.Context, serial string, p Platform) ([]NearMiss, error) {
	return nearMisses(ctx, g.store, NormalizeSerial(serial), p)
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
	if a.Platform == PlatformAndroid && PlaceholderSerial(a.Serial) {
		a.Serial = ""
	}
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
// checks run in a fixed order, then the rules, and the first failure decides;
// deny beats allow. Only "listed" looks at the mode: everything else refuses in
// every mode.
func Evaluate(a Attempt, k Known) Decision {
	d := Decision{At: a.At, Channel: a.Channel, Platform: a.Platform, Serial: a.Serial, Evidence: a.Evidence,
		Facts: a.Facts, Mode: k.Settings.PreEnrolledDevicesOnly, RequestID: a.RequestID, RemoteAddr: a.RemoteAddr, Trace: slices.Clone(a.Notes)}
	if k.Device != nil {
		d.DeviceID = k.Device.ID
	}
	if k.Request != nil {
		d.RequestID = k.Request.ID
	}
	for _, c := range checks {
		code, step := c.run(a, k)
		if step.Check = c.name; step.Result == "" {
			step.Result = "pass"
		}
		if code != "" {
			step.Result = "fail"
		}
		d.Trace = append(d.Trace, step)
		if code != "" {
			for _, r := range k.Rules {
				d.Trace = append(d.Trace, Step{Check: r.check(), Result: "skip", Detail: "not asked: " + c.name + " refused"})
			}
			d.Code, d.Enforced, d.Outcome = code, code, OutcomeDeny
			return d
		}
	}
	var denied, admits Code // by the first rule that refuses, and that admits or holds
	for _, r := range k.Rules {
		code, step := r.apply(a, k)
		d.Trace = append(d.Trace, step)
		switch {
		case code == "":
		case code.Outcome() == OutcomeDeny:
			denied = cmp.Or(denied, code)
		default:
			admits = cmp.Or(admits, code)
		}
	}
	if denied != "" {
		d.Code, d.Enforced, d.Outcome = denied, denied, OutcomeDeny
		return d
	}
	return listed(d, k, admits)
}

// listed is the last check, the restriction itself. admits is what the rules
// say of a device that is not on the roll; empty: nothing.
func listed(d Decision, k Known, admits Code) Decision {
	step := Step{Check: "listed", Result: "pass", Detail: "the serial is on the roll"}
	d.Code, d.Enforced = AllowListed, AllowListed
	if !onRoll(k.Device) {
		d.Enforced, step.Detail = ifUnlisted(k, admits)
		d.Code = d.Enforced
		if d.Mode == ModeOff || d.Mode == ModeAudit { // a mode that was never read enforces
			step.Detail += fmt.Sprintf("; Pre-enrolled Devices Only is %s", d.Mode)
			if d.Code != AllowApproved && (d.Mode == ModeOff || d.Code.Outcome() != OutcomeAllow) {
				d.Code = AllowOpen
			}
		}
	}
	if d.Mode == ModeOff {
		d.Enforced = d.Code
	}
	switch d.Outcome = d.Code.Outcome(); d.Outcome {
	case OutcomeDeny:
		step.Result = "fail"
	case OutcomeHold:
		step.Result = "hold"
	}
	d.Trace = append(d.Trace, step)
	return d
}

// ifUnlisted is what enforcing answers a device that is not on the roll.
func ifUnlisted(k Known, admits Code) (Code, string) {
	switch {
	case k.Approval != nil && k.Approval.State == ApprovalApproved:
		return AllowApproved, "the serial is not on the roll; an admin approved it"
	case k.Approval != nil && k.Approval.State == ApprovalRejected:
		return DenyNotPreEnrolled, "the serial is not on the roll; an admin rejected it"
	case admits != "":
		return admits, "the serial is not on the roll; a rule says what becomes of it"
	case k.Settings.UnlistedDevices == UnlistedHold:
		return HoldPendingApproval, "the serial is not on the roll; such devices wait for approval"
	}
	return DenyNotPreEnrolled, "the serial is not on the roll"
}

// SelfReported says that the row is there only because the device arrived: it
// was admitted while the restriction was off, or waits for approval. Such a row
// is not pre-enrolled.
func (d Device) SelfReported() bool { return d.Sources["serial"] == SourceDevice }

// onRoll says whether an admin put the row there.
func onRoll(d *Device) bool { return d != nil && !d.SelfReported() }

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
