package enroll

// Code is the stable reason of a decision.
type Code string

// The reason codes.
const (
	AllowListed   Code = "allow.listed"
	AllowRule     Code = "allow.rule"
	AllowOpen     Code = "allow.open"
	AllowApproved Code = "allow.approved"

	HoldPendingApproval Code = "hold.pending_approval"

	DenyNotPreEnrolled      Code = "deny.not_pre_enrolled"
	DenyBlocked             Code = "deny.blocked"
	DenyExpired             Code = "deny.expired"
	DenyNotYetValid         Code = "deny.not_yet_valid"
	DenyUsedUp              Code = "deny.used_up"
	DenyPlatform            Code = "deny.platform"
	DenyOSVersion           Code = "deny.os_version"
	DenyModel               Code = "deny.model"
	DenyOwnership           Code = "deny.ownership"
	DenyUserMismatch        Code = "deny.user_mismatch"
	DenyUserLimit           Code = "deny.user_limit"
	DenyChannel             Code = "deny.channel"
	DenyEvidenceTooWeak     Code = "deny.evidence_too_weak"
	DenyIdentityConflict    Code = "deny.identity_conflict"
	DenyTokenUnknown        Code = "deny.token_unknown"
	DenyTokenExpired        Code = "deny.token_expired"
	DenyTokenRevoked        Code = "deny.token_revoked"
	DenyTokenUsedUp         Code = "deny.token_used_up"
	DenyTokenSerialMismatch Code = "deny.token_serial_mismatch"

	ErrorStoreUnavailable Code = "error.store_unavailable"
)

// Reason is what a code says: to the admin, what the admin can do about it,
// and to the person who holds the device.
type Reason struct {
	Code   Code
	Admin  string
	Fix    string
	Person string
}

const askAdmin = "Ask your administrator, and name the serial number of this device."

// Reasons is the table of all codes in the order of the documentation.
var Reasons = []Reason{
	{AllowListed, "The serial is on the roll.", "Nothing to do.", "This device may enroll."},
	{AllowRule, "A rule admits this device although it is not on the roll.", "Nothing to do; to stop this, change the rule named in the trace.", "This device may enroll."},
	{AllowOpen, "The serial is not on the roll, and Pre-enrolled Devices Only does not refuse such devices.", "To refuse devices like this one, set Pre-enrolled Devices Only to enforce.", "This device may enroll."},
	{AllowApproved, "An admin approved this device.", "Nothing to do.", "This device may enroll."},
	{HoldPendingApproval, "The device is not on the roll and waits for approval.", "Approve or reject it (POST /api/v1/approvals/{serial}/approve or reject); the device goes on at its next attempt.", "This device waits for approval by your administrator. Try again later."},
	{DenyNotPreEnrolled, "The serial is not on the roll, and Pre-enrolled Devices Only, a rule or a rejection refuses such devices.", "If a near miss is the row that was meant, correct it (POST /api/v1/decisions/{id}/repair). If the device is yours, add its serial to the roll (import or PUT /api/v1/devices/{serial}) and let it try again.", "This device is not registered with your organisation. " + askAdmin},
	{DenyBlocked, "The device is blocked.", "If it may come back, unblock it (POST /api/v1/devices/{serial}/unblock).", "This device is blocked by your organisation. " + askAdmin},
	{DenyExpired, "The row on the roll has expired.", "Give the row a later expires_at and let the device try again.", "The registration of this device has expired. " + askAdmin},
	{DenyNotYetValid, "The row on the roll is not valid yet.", "Wait, or give the row an earlier not_before.", "This device may enroll at a later date. " + askAdmin},
	{DenyUsedUp, "The row has been used as often as it may.", "Raise the number of uses of the row.", "The registration of this device is used up. " + askAdmin},
	{DenyPlatform, "The row on the roll is for another platform than the device, or a rule does not accept this platform.", "Correct the platform of the row, check whether the serial belongs to another device, or change the rule named in the trace.", "This device is registered as another kind of device. " + askAdmin},
	{DenyOSVersion, "The operating system is outside the range that a rule asks for.", "Update the device, or change the rule named in the trace.", "The system version of this device is not accepted. Update it and try again."},
	{DenyModel, "A rule does not accept this model.", "Change the rule named in the trace, or use another device.", "This model is not accepted. " + askAdmin},
	{DenyOwnership, "A rule does not accept the ownership that the row has or the user chose.", "Correct the ownership of the row, or change the rule named in the trace.", "This device cannot be enrolled this way. " + askAdmin},
	{DenyUserMismatch, "The row belongs to another user than the one who enrolls.", "Give the row to that user, or send the enrollment request to its owner.", "This device is registered for somebody else. " + askAdmin},
	{DenyUserLimit, "The user has as many devices as a user may have.", "Disenroll a device of the user, or raise the limit.", "You have reached the number of devices you may enroll. " + askAdmin},
	{DenyChannel, "A rule does not accept this way of enrolling.", "Use another way to enroll, or change the rule named in the trace.", "This device cannot be enrolled this way. " + askAdmin},
	{DenyEvidenceTooWeak, "The device did not prove its serial as well as the settings or a rule require.", "Let it enroll by a stronger way (Automated Device Enrollment, or the enrollment link instead of a plain profile).", "This device could not prove which device it is. " + askAdmin},
	{DenyIdentityConflict, "Two sources disagree about which device this is.", "Compare the identifiers in the trace: a copied profile or certificate, or a tampered device, looks like this.", "This device presented contradictory identifiers. " + askAdmin},
	{DenyTokenUnknown, "The enrollment request or token is unknown.", "Send a new enrollment request.", "This invitation is not known. " + askAdmin},
	{DenyTokenExpired, "The enrollment request or token has expired.", "Send the enrollment request again.", "This invitation has expired. Ask your administrator to send it again."},
	{DenyTokenRevoked, "The enrollment request or token was withdrawn.", "Send a new enrollment request if the device may enroll.", "This invitation was withdrawn. " + askAdmin},
	{DenyTokenUsedUp, "The enrollment request or token has been used.", "Send a new enrollment request if the device is to enroll again.", "This invitation has been used already. " + askAdmin},
	{DenyTokenSerialMismatch, "The enrollment request is bound to another device.", "Send an enrollment request for this serial, or let the user enroll the device it was sent for.", "This invitation is for another device. " + askAdmin},
	{ErrorStoreUnavailable, "The database did not answer, so nobody was admitted.", "Bring the database back; devices go on by themselves at their next attempt.", "The server cannot answer at the moment. Try again in a few minutes."},
}

var reasons = func() map[Code]Reason {
	m := make(map[Code]Reason, len(Reasons))
	for _, r := range Reasons {
		m[r.Code] = r
	}
	return m
}()

// Reason gives the three texts of a code; of an unknown code, the code itself.
func (c Code) Reason() Reason {
	if r, ok := reasons[c]; ok {
		return r
	}
	return Reason{Code: c, Admin: string(c)}
}

// Outcome is the part of the code before the dot.
func (c Code) Outcome() Outcome {
	for _, o := range []Outcome{OutcomeAllow, OutcomeHold, OutcomeDeny} {
		if len(c) > len(o) && c[:len(o)] == Code(o) && c[len(o)] == '.' {
			return o
		}
	}
	return OutcomeError
}
