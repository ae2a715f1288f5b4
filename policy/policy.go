package policy

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"rollcall/enroll"
)

// Policy is what a device is to have: a device name and Apple configuration
// profiles. It is bound to devices and groups, before or after they enroll.
type Policy struct {
	ID         string // UUIDv7
	Name       string // unique
	Version    int64  // grows by one with every change
	DeviceName string // wanted device name, "{serial}" stands for the serial; empty: leave it
	Profiles   []Profile
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// Profile is one configuration profile of a policy, installed and removed as a
// whole. Payloads that refer to each other by UUID belong into one profile.
type Profile struct {
	ID          string    `json:"id"` // unique in the policy, stable; part of the PayloadIdentifier
	DisplayName string    `json:"display_name,omitempty"`
	Payloads    []Payload `json:"payloads"`
}

// Payload is one payload of a profile. Content has the keys of Apple's payload
// reference without the envelope (PayloadType, PayloadVersion, ...).
type Payload struct {
	Type        string `json:"type"` // "com.apple.wifi.managed"
	Identifier  string `json:"identifier,omitempty"`
	UUID        string `json:"uuid,omitempty"` // given where another payload refers to it; else derived from the content
	DisplayName string `json:"display_name,omitempty"`
	Content     Dict   `json:"content"`
}

// Bounds of a policy.
const (
	MaxProfiles    = 100
	MaxPayloads    = 100     // in one profile
	MaxProfileSize = 1 << 20 // bytes of one profile's content as JSON
)

var profileID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Check says everything that is wrong with a policy an admin gave, or nil.
func (p Policy) Check() error {
	bad := func(code, format string, args ...any) error {
		return enroll.Errorf(enroll.KindInvalid, code, format, args...)
	}
	if strings.TrimSpace(p.Name) == "" || len(p.Name) > enroll.MaxName {
		return bad("policy_name", "the policy needs a name of at most %d bytes", enroll.MaxName)
	}
	if err := checkTexts(p.Name, p.DeviceName); err != nil {
		return bad("text", "%v", err)
	}
	if len(p.DeviceName) > enroll.MaxName {
		return bad("device_name", "the device name is longer than %d bytes", enroll.MaxName)
	}
	if rest := strings.ReplaceAll(p.DeviceName, "{serial}", ""); strings.ContainsAny(rest, "{}") {
		return bad("device_name_variable", "the device name %q has an unknown variable", p.DeviceName).(*enroll.Error).WithHint("The variable that can be used is {serial}.")
	}
	if len(p.Profiles) > MaxProfiles {
		return bad("profiles_count", "the policy has %d profiles; at most %d are possible", len(p.Profiles), MaxProfiles)
	}
	seen := map[string]bool{}
	for i, f := range p.Profiles {
		at := fmt.Sprintf("profiles[%d]", i)
		if !profileID.MatchString(f.ID) {
			return bad("profile_id", "%s: the id %q is not made of 1 to 64 letters, digits, dots, dashes and underscores", at, f.ID)
		}
		if seen[f.ID] {
			return bad("profile_id_twice", "%s: the id %q is there twice", at, f.ID)
		}
		seen[f.ID] = true
		if err := f.check(at); err != nil {
			return err
		}
	}
	return nil
}

// forbidden are payloads that would take the device away from this server, or
// identify it anew; they are not a policy's to give.
var forbidden = map[string]string{
	"com.apple.mdm":   "it would replace the enrollment itself",
	"Configuration":   "it is the envelope of a profile",
	"Profile Service": "it would start another enrollment",
}

func (f Profile) check(at string) error {
	bad := func(code, format string, args ...any) error {
		return enroll.Errorf(enroll.KindInvalid, code, at+": "+format, args...)
	}
	if n := len(f.Payloads); n == 0 || n > MaxPayloads {
		return bad("payloads_count", "the profile has %d payloads; 1 to %d are possible", n, MaxPayloads)
	}
	if err := checkTexts(f.DisplayName); err != nil {
		return bad("text", "%v", err)
	}
	uuids := map[string]bool{}
	for i, p := range f.Payloads {
		if err := checkTexts(p.Type, p.Identifier, p.UUID, p.DisplayName); err != nil {
			return bad("text", "payloads[%d]: %v", i, err)
		}
		switch why, no := forbidden[p.Type]; {
		case p.Type == "":
			return bad("payload_type", "payloads[%d] has no type", i)
		case no:
			return bad("payload_forbidden", "payloads[%d]: the type %s cannot be part of a policy, since %s", i, p.Type, why)
		}
		if p.UUID != "" && uuids[strings.ToUpper(p.UUID)] {
			return bad("payload_uuid_twice", "payloads[%d]: the UUID %s is there twice", i, p.UUID)
		}
		uuids[strings.ToUpper(p.UUID)] = p.UUID != ""
		for k := range p.Content {
			if envelope[k] {
				return bad("payload_envelope", "payloads[%d]: the key %s belongs to the envelope, which is made by the server", i, k)
			}
		}
	}
	size, err := f.size()
	if err != nil {
		return bad("payload_content", "%v", err)
	}
	if size > MaxProfileSize {
		return bad("profile_too_large", "the profile has %d bytes; at most %d are possible", size, MaxProfileSize)
	}
	return nil
}

var envelope = map[string]bool{"PayloadType": true, "PayloadVersion": true, "PayloadIdentifier": true, "PayloadUUID": true,
	"PayloadDisplayName": true, "PayloadDescription": true, "PayloadOrganization": true}

// IdentifierPrefix starts the PayloadIdentifier of every profile that a policy
// installs; no other profile on a device is touched.
const IdentifierPrefix = "rollcall.policy."

// Identifier is the stable PayloadIdentifier of a profile on the device.
func (p Policy) Identifier(f Profile) string { return IdentifierPrefix + p.ID + "." + f.ID }
