package mdm

import (
	"slices"
	"strings"
	"time"

	"rollcall/certs/cms"
	"rollcall/enroll"
	"rollcall/mdm/plist"
	"rollcall/policy/document"
)

// maxMobileconfig bounds an uploaded profile, in bytes.
const maxMobileconfig = 8 << 20

// ParseMobileconfig takes an uploaded configuration profile apart into one of a
// policy: its payloads with their types and content. A signature is checked for
// integrity and then dropped, since the profile is written anew under
// identifiers of ours; of the UUIDs those are kept by which payloads refer to
// each other. What a policy must not contain is told by document.CheckProfiles.
// Errors are *enroll.Error of KindInvalid.
func ParseMobileconfig(data []byte) (document.Profile, error) {
	var f document.Profile
	if len(data) > maxMobileconfig {
		return f, bad("mobileconfig_too_large", "the profile has more than %d bytes", maxMobileconfig)
	}
	if len(data) > 0 && data[0] == 0x30 {
		signed, err := cms.ParseSigned(data)
		if err != nil {
			return f, bad("mobileconfig_invalid", "the file is neither a property list nor a signed profile")
		}
		if _, err := signed.Verify(); err != nil {
			return f, bad("mobileconfig_signature", "the signature of the profile does not fit its content")
		}
		data = signed.Content
	}
	top, err := plist.DecodeDict(data)
	if err != nil {
		return f, bad("mobileconfig_invalid", "the profile cannot be read: %v", err)
	}
	if top["PayloadType"] != "Configuration" {
		return f, bad("mobileconfig_type", "the file is not a configuration profile (PayloadType is not Configuration)")
	}
	if b, _ := top["IsEncrypted"].(bool); b || top["EncryptedPayloadContent"] != nil {
		return f, enroll.Errorf(enroll.KindInvalid, "mobileconfig_encrypted", "the profile is encrypted for one device").WithHint("Upload the profile as it was before it was encrypted.")
	}
	if ends(top) {
		return f, enroll.Errorf(enroll.KindInvalid, "mobileconfig_ends", "the profile removes itself after some time").WithHint("Take RemovalDate and DurationUntilRemoval out: a policy stays until it is taken away.")
	}
	f.DisplayName, _ = top["PayloadDisplayName"].(string)
	content, _ := top["PayloadContent"].([]any)
	for i, v := range content {
		d, ok := v.(map[string]any)
		if !ok {
			return f, bad("mobileconfig_payload", "PayloadContent[%d] is not a dictionary", i)
		}
		f.Payloads = append(f.Payloads, payloadOf(d))
	}
	if len(f.Payloads) == 0 {
		return f, bad("mobileconfig_empty", "the profile has no payloads")
	}
	for i := range f.Payloads {
		p := &f.Payloads[i]
		if !slices.ContainsFunc(f.Payloads, func(other document.Payload) bool { return mentions(other.Content, p.UUID) }) {
			p.UUID = ""
		}
	}
	return f, nil
}

// ends says whether a profile removes itself (Apple: TopLevel, RemovalDate and
// DurationUntilRemoval; 0 is none).
func ends(top map[string]any) bool {
	if _, dated := top["RemovalDate"].(time.Time); dated {
		return true
	}
	switch seconds := top["DurationUntilRemoval"].(type) {
	case int64:
		return seconds > 0
	case float64:
		return seconds > 0
	}
	return false
}

// payloadOf takes a payload out of its envelope; d is not kept whole.
func payloadOf(d map[string]any) document.Payload {
	var p document.Payload
	p.Type, _ = d["PayloadType"].(string)
	p.UUID, _ = d["PayloadUUID"].(string)
	p.DisplayName, _ = d["PayloadDisplayName"].(string)
	for _, k := range []string{"PayloadType", "PayloadVersion", "PayloadIdentifier", "PayloadUUID", "PayloadDisplayName", "PayloadDescription", "PayloadOrganization"} {
		delete(d, k)
	}
	p.Content = document.Dict(d)
	return p
}

// mentions says whether a UUID stands somewhere in the content of a payload.
func mentions(v any, id string) bool {
	switch v := v.(type) {
	case string:
		return strings.EqualFold(v, id)
	case document.Dict:
		return mentions(map[string]any(v), id)
	case map[string]any:
		for _, e := range v {
			if mentions(e, id) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, func(e any) bool { return mentions(e, id) })
	}
	return false
}
