package enroll

import (
	"fmt"
	"time"
)

// checks are what refuses in every mode, in order. A check answers the code of
// its refusal, or "", and what it found; its result is "pass" or "fail" where
// the check does not say otherwise.
var checks = []struct {
	name string
	run  func(Attempt, Known) (Code, Step)
}{
	{"serial", checkSerial},
	{"blocked", checkBlocked},
	{"request", checkRequest},
	{"platform", checkPlatform},
	{"identity", checkIdentity},
	{"validity", checkValidity},
	{"owner", checkOwner},
	{"user limit", checkUserLimit},
	{"evidence", checkEvidence},
}

func found(format string, args ...any) Step { return Step{Detail: fmt.Sprintf(format, args...)} }

func checkSerial(a Attempt, _ Known) (Code, Step) {
	if err := CheckSerial(a.Serial); err != nil {
		return DenyEvidenceTooWeak, found("the device named no usable serial: %v", err)
	}
	return "", found("the device named a serial")
}

func checkBlocked(_ Attempt, k Known) (Code, Step) {
	if k.Device != nil && !k.Device.BlockedAt.IsZero() {
		return DenyBlocked, found("blocked: %s", k.Device.BlockReason)
	}
	return "", found("not blocked")
}

func checkRequest(a Attempt, k Known) (Code, Step) {
	switch {
	case a.RequestSecret == "" && a.RequestID == "":
		return "", found("no enrollment request was presented")
	case k.Request == nil:
		return DenyTokenUnknown, found("no enrollment request has this secret")
	case k.Request.State == RequestCancelled:
		return DenyTokenRevoked, found("the enrollment request was cancelled")
	case k.Request.State == RequestCompleted:
		return DenyTokenUsedUp, found("a device has enrolled with this enrollment request")
	case k.Request.State == RequestExpired, a.At.After(k.Request.ExpiresAt):
		return DenyTokenExpired, found("the enrollment request ended at %s", utcText(k.Request.ExpiresAt))
	case k.Device == nil || k.Device.ID != k.Request.DeviceID:
		return DenyTokenSerialMismatch, found("the enrollment request is bound to another row")
	}
	return "", found("the enrollment request is bound to this row")
}

func checkPlatform(a Attempt, k Known) (Code, Step) {
	if k.Device == nil || k.Device.Platform.Admits(a.Platform) {
		return "", found("the device is %s", a.Platform)
	}
	return DenyPlatform, found("the row is for %s, the device is %s", k.Device.Platform, a.Platform)
}

// checkIdentity keeps who merely says to be a device from taking over the
// enrollment of the real one. What the device's maker signed is believed: then
// the older enrollment is the one that is wrong.
func checkIdentity(a Attempt, k Known) (Code, Step) {
	switch {
	case a.Evidence == EvidenceSigned || a.Evidence == EvidenceAttested:
		return "", found("the identifiers are signed")
	case k.Holder != nil && (k.Device == nil || k.Holder.ID != k.Device.ID):
		return DenyIdentityConflict, found("another row is enrolled under the UDID that the device names")
	case k.Device != nil && k.Device.State == StateEnrolled && k.Device.Facts.UDID != "" && a.Facts.UDID != "" && k.Device.Facts.UDID != a.Facts.UDID:
		return DenyIdentityConflict, found("the row is enrolled under another UDID than the device names; disenroll it first if the device was replaced")
	}
	return "", found("no other device is enrolled under these identifiers")
}

// enrollsAgain says whether this is the device that is enrolled, wiped and on
// its way back: what limits new enrollments does not stop it. After the end of
// an enrollment the row is unenrolled, and enrolling again is a new one.
func enrollsAgain(k Known) bool {
	d := k.Device
	return d != nil && (d.State == StateEnrolled || d.State == StateEnrolling && !d.EnrolledAt.IsZero())
}

func checkValidity(a Attempt, k Known) (Code, Step) {
	d := k.Device
	switch {
	case d == nil:
		return "", Step{Result: "skip", Detail: "there is no row"}
	case a.At.Before(d.NotBefore):
		return DenyNotYetValid, found("the row is valid from %s", utcText(d.NotBefore))
	case !d.ExpiresAt.IsZero() && !a.At.Before(d.ExpiresAt):
		return DenyExpired, found("the row was valid until %s", utcText(d.ExpiresAt))
	case d.MaxUses > 0 && d.Uses >= d.MaxUses && enrollsAgain(k):
		return "", found("the row has been used %d of %d times; the device that is enrolled may enroll again", d.Uses, d.MaxUses)
	case d.MaxUses > 0 && d.Uses >= d.MaxUses:
		return DenyUsedUp, found("the row has been used %d of %d times", d.Uses, d.MaxUses)
	}
	return "", found("the row is valid")
}

func utcText(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// checkOwner holds the user who enrolls against the owner of the row, which
// may have changed since the request was sent.
func checkOwner(a Attempt, k Known) (Code, Step) {
	user := a.UserID
	if user == "" && k.Request != nil {
		user = k.Request.UserID
	}
	switch {
	case k.Device == nil || k.Device.UserID == "":
		return "", Step{Result: "skip", Detail: "the row belongs to nobody"}
	case user == "":
		return "", Step{Result: "skip", Detail: "it is not known who enrolls"}
	case user == k.Device.UserID:
		return "", found("the owner of the row enrolls")
	}
	const other = "the row belongs to another user than the one who enrolls"
	switch k.Settings.OwnerMismatch {
	case MismatchIgnore:
		return "", found(other + ", which is ignored")
	case MismatchWarn:
		return "", Step{Result: "warn", Detail: other}
	}
	return DenyUserMismatch, found(other)
}

func checkUserLimit(a Attempt, k Known) (Code, Step) {
	limit := k.Settings.DevicesPerUser
	switch {
	case limit == 0:
		return "", Step{Result: "skip", Detail: "there is no limit of devices for a user"}
	case CountedUser(a, k.Device) == "":
		return "", Step{Result: "skip", Detail: "the row belongs to nobody"}
	case enrollsAgain(k):
		return "", found("the device is counted already")
	case k.UserDevices >= limit:
		return DenyUserLimit, found("the user has %d or more devices enrolled or about to be, %d are allowed", k.UserDevices, limit)
	}
	return "", found("the user has %d of %d devices enrolled or about to be", k.UserDevices, limit)
}

// CountedUser is whose device it will be: the row's owner, else who has signed
// in to enroll it.
func CountedUser(a Attempt, row *Device) string {
	if row != nil && row.UserID != "" {
		return row.UserID
	}
	return a.UserID
}

func checkEvidence(a Attempt, k Known) (Code, Step) {
	wanted := k.Settings.WithDefaults().RequiredEvidence
	if r := wanted.rank(); r < 0 || a.Evidence.rank() < r {
		return DenyEvidenceTooWeak, found("the evidence %s is required, the device gave %s", wanted, a.Evidence)
	}
	return "", found("the evidence %s is required, the device gave %s", wanted, a.Evidence)
}
