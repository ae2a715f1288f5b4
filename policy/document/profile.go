package document

import (
	"regexp"
	"strings"

	"rollcall/enroll"
)

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

// Bounds of the profiles of a policy.
const (
	MaxProfiles    = 100
	MaxPayloads    = 100     // in one profile
	MaxProfileSize = 1 << 20 // bytes of one profile's content as JSON
)

var profileID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// CheckProfiles says what is wrong with profiles that an admin gave, or nil; at
// is the JSON pointer of their list.
func CheckProfiles(at string, profiles []Profile) error {
	bad := func(code, format string, args ...any) error {
		return enroll.Errorf(enroll.KindInvalid, code, format, args...)
	}
	if len(profiles) > MaxProfiles {
		return bad("profiles_count", at+": the policy has %d profiles; at most %d are possible", len(profiles), MaxProfiles)
	}
	seen := map[string]bool{}
	for i, f := range profiles {
		at := element(at, i)
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
	list := at + "/payloads"
	badPayload := func(i int, code, format string, args ...any) error {
		return enroll.Errorf(enroll.KindInvalid, code, element(list, i)+": "+format, args...)
	}
	if n := len(f.Payloads); n == 0 || n > MaxPayloads {
		return bad("payloads_count", "the profile has %d payloads; 1 to %d are possible", n, MaxPayloads)
	}
	if err := CheckTexts(f.DisplayName); err != nil {
		return bad("text", "%v", err)
	}
	uuids := map[string]bool{}
	for i, p := range f.Payloads {
		if err := CheckTexts(p.Type, p.Identifier, p.UUID, p.DisplayName); err != nil {
			return badPayload(i, "text", "%v", err)
		}
		switch why, no := forbidden[p.Type]; {
		case p.Type == "":
			return badPayload(i, "payload_type", "the payload has no type")
		case no:
			return badPayload(i, "payload_forbidden", "the type %s cannot be part of a policy, since %s", p.Type, why)
		}
		if p.UUID != "" && uuids[strings.ToUpper(p.UUID)] {
			return badPayload(i, "payload_uuid_twice", "the UUID %s is there twice", p.UUID)
		}
		uuids[strings.ToUpper(p.UUID)] = p.UUID != ""
		for k := range p.Content {
			if envelope[k] {
				return badPayload(i, "payload_envelope", "the key %s belongs to the envelope, which is made by the server", k)
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
