package policy

import (
	"strings"
	"time"

	"rollcall/enroll"
	"rollcall/policy/document"
)

// Policy is what a device is to have: a device name and Apple configuration
// profiles. It is bound to devices and groups, before or after they enroll.
type Policy struct {
	ID         string // UUIDv7
	Name       string // unique
	Version    int64  // grows by one with every change
	DeviceName string // wanted device name, "{serial}" stands for the serial; empty: leave it
	Profiles   []document.Profile
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// Check says everything that is wrong with a policy an admin gave, or nil.
func (p Policy) Check() error {
	bad := func(code, format string, args ...any) error {
		return enroll.Errorf(enroll.KindInvalid, code, format, args...)
	}
	if strings.TrimSpace(p.Name) == "" || len(p.Name) > enroll.MaxName {
		return bad("policy_name", "the policy needs a name of at most %d bytes", enroll.MaxName)
	}
	if err := document.CheckTexts(p.Name, p.DeviceName); err != nil {
		return bad("text", "%v", err)
	}
	if len(p.DeviceName) > enroll.MaxName {
		return bad("device_name", "the device name is longer than %d bytes", enroll.MaxName)
	}
	if rest := strings.ReplaceAll(p.DeviceName, "{serial}", ""); strings.ContainsAny(rest, "{}") {
		return bad("device_name_variable", "the device name %q has an unknown variable", p.DeviceName).(*enroll.Error).WithHint("The variable that can be used is {serial}.")
	}
	return document.CheckProfiles("profiles", p.Profiles)
}

// IdentifierPrefix starts the PayloadIdentifier of every profile that a policy
// installs; no other profile on a device is touched.
const IdentifierPrefix = "rollcall.policy."

// Identifier is the stable PayloadIdentifier of a profile on the device.
func (p Policy) Identifier(f document.Profile) string { return IdentifierPrefix + p.ID + "." + f.ID }
