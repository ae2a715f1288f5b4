package iphone

import (
	"crypto/x509"
	"net/url"
	"regexp"
	"slices"

	"rollcall/sim/cms"
	"rollcall/sim/plist"
)

const (
	profileService = "Profile Service"
	configuration  = "Configuration"

	payloadMDM  = "com.apple.mdm"
	payloadSCEP = "com.apple.security.scep"
	payloadRoot = "com.apple.security.root"
	payloadP12  = "com.apple.security.pkcs12"
	payloadACME = "com.apple.security.acme"
)

// profile is a configuration or OTA profile that passed validation.
type profile struct {
	kind             string // PayloadType
	identifier, uuid string
	dict             plist.Dict
	payloads         []payload
	signer           *x509.Certificate // nil if not signed
}

// payload is one entry of PayloadContent.
type payload struct {
	kind, identifier, uuid string
	dict                   plist.Dict
}

func (p *profile) find(kind string) *payload {
	for i := range p.payloads {
		if p.payloads[i].kind == kind {
			return &p.payloads[i]
		}
	}
	return nil
}

// parseProfile reads a profile, plain or signed. decrypt, if not nil, opens
// EncryptedPayloadContent. What it returns is valid as far as a profile can be
// judged by itself; the errors are ChainErrors.
func parseProfile(raw []byte, decrypt *identity) (*profile, error) {
	prof := &profile{}
	if len(raw) != 0 && raw[0] == 0x30 {
		signed, err := cms.Verify(raw, nil)
		if err != nil {
			return nil, profileError("its signature: %v", err)
		}
		raw, prof.signer = signed.Content, signed.Signer
	}
	dict, err := plist.UnmarshalDict(raw)
	if err != nil {
		return nil, profileError("%v", err)
	}
	prof.dict = dict
	if prof.kind, prof.identifier, prof.uuid, err = header(dict); err != nil {
		return nil, err
	}
	switch prof.kind {
	case profileService:
		return prof, checkProfileService(dict)
	case configuration:
		return prof, prof.readConfiguration(decrypt)
	default:
		return nil, profileError("PayloadType %q at the top", prof.kind)
	}
}

var uuidForm = regexp.MustCompile(`^[0-9A-Za-z]{8}-[0-9A-Za-z]{4}-[0-9A-Za-z]{4}-[0-9A-Za-z]{4}-[0-9A-Za-z]{12}$`)

// header reads the keys that every profile and payload has.
func header(dict plist.Dict) (kind, identifier, uuid string, err error) {
	for key, to := range map[string]*string{"PayloadType": &kind, "PayloadIdentifier": &identifier, "PayloadUUID": &uuid} {
		s, ok := dict[key].(string)
		if !ok || s == "" {
			return "", "", "", profileError("no %s", key)
		}
		*to = s
	}
	if !uuidForm.MatchString(uuid) {
		return "", "", "", profileError("PayloadUUID %q", uuid)
	}
	if v, ok := dict["PayloadVersion"].(int64); !ok || v != 1 {
		return "", "", "", profileError("PayloadVersion %v of %s", dict["PayloadVersion"], identifier)
	}
	return kind, identifier, uuid, nil
}

var otaAttributes = []string{"UDID", "VERSION", "PRODUCT", "SERIAL", "IMEI", "MEID", "ICCID", "DEVICE_NAME", "MAC_ADDRESS_EN0"}

func checkProfileService(dict plist.Dict) error {
	if err := checkKeys("profile", dict, rules{
		"PayloadType": {typ: str}, "PayloadVersion": {typ: integer}, "PayloadIdentifier": {typ: str}, "PayloadUUID": {typ: str},
		"PayloadDisplayName": {typ: str}, "PayloadDescription": {typ: str}, "PayloadOrganization": {typ: str},
		"PayloadContent": {typ: dictionary, required: true},
	}, true); err != nil {
		return err
	}
	content := dict["PayloadContent"].(plist.Dict)
	if err := checkKeys("PayloadContent", content, rules{
		"URL": {typ: str, required: true}, "DeviceAttributes": {typ: array, required: true}, "Challenge": {typ: str},
	}, true); err != nil {
		return err
	}
	if !absoluteURL(content["URL"], "http", "https") {
		return profileError("URL %q", content["URL"])
	}
	for _, a := range content["DeviceAttributes"].([]any) {
		if s, ok := a.(string); !ok || !slices.Contains(otaAttributes, s) {
			return profileError("device attribute %v", a)
		}
	}
	return nil
}

var configurationRules = rules{
	"PayloadType": {typ: str}, "PayloadVersion": {typ: integer}, "PayloadIdentifier": {typ: str}, "PayloadUUID": {typ: str},
	"PayloadDisplayName": {typ: str}, "PayloadDescription": {typ: str}, "PayloadOrganization": {typ: str},
	"PayloadContent": {typ: array}, "PayloadScope": {typ: str, enum: []string{"System", "User"}},
	"PayloadRemovalDisallowed": {typ: boolean}, "RemovalDate": {typ: date}, "DurationUntilRemoval": {typ: real},
	"PayloadExpirationDate": {typ: date}, "ConsentText": {typ: dictionary}, "TargetDeviceType": {typ: integer, min: 0, max: 6},
	"IsEncrypted": {typ: boolean}, "EncryptedPayloadContent": {typ: data}, "HasRemovalPasscode": {typ: boolean},
}

func (p *profile) readConfiguration(decrypt *identity) error {
	if err := checkKeys("profile", p.dict, configurationRules, true); err != nil {
		return err
	}
	content, ok := p.dict["PayloadContent"].([]any)
	if encrypted, _ := p.dict["IsEncrypted"].(bool); encrypted {
		var err error
		if content, err = p.openContent(decrypt); err != nil {
			return err
		}
		ok = true
	}
	if !ok || len(content) == 0 {
		return profileError("no PayloadContent")
	}
	seen := map[string]bool{p.uuid: true}
	for _, entry := range content {
		dict, ok := entry.(plist.Dict)
		if !ok {
			return profileError("a payload is a %T", entry)
		}
		pl := payload{dict: dict}
		var err error
		if pl.kind, pl.identifier, pl.uuid, err = header(dict); err != nil {
			return err
		}
		if seen[pl.uuid] {
			return profileError("PayloadUUID %s twice", pl.uuid)
		}
		seen[pl.uuid] = true
		if err := checkPayload(pl); err != nil {
			return err
		}
		p.payloads = append(p.payloads, pl)
	}
	return p.checkReferences()
}

func (p *profile) openContent(decrypt *identity) ([]any, error) {
	sealed, ok := p.dict["EncryptedPayloadContent"].([]byte)
	if !ok || decrypt == nil {
		return nil, profileError("it is encrypted, and not to this device")
	}
	plain, err := cms.Decrypt(sealed, decrypt.cert, decrypt.key)
	if err != nil {
		return nil, profileError("EncryptedPayloadContent: %v", err)
	}
	v, err := plist.Unmarshal(plain)
	if err != nil {
		return nil, profileError("EncryptedPayloadContent: %v", err)
	}
	content, ok := v.([]any)
	if !ok {
		return nil, profileError("EncryptedPayloadContent holds a %T", v)
	}
	return content, nil
}

// checkReferences checks what payloads of one profile say about each other.
func (p *profile) checkReferences() error {
	byUUID := map[string]string{}
	mdms := 0
	for _, pl := range p.payloads {
		byUUID[pl.uuid] = pl.kind
		if pl.kind == payloadMDM {
			mdms++
		}
	}
	if mdms > 1 {
		return profileError("%d com.apple.mdm payloads", mdms)
	}
	if mdms == 1 {
		ref := p.find(payloadMDM).dict["IdentityCertificateUUID"].(string)
		if kind := byUUID[ref]; kind != payloadSCEP && kind != payloadP12 && kind != payloadACME {
			return payloadError("com.apple.mdm: IdentityCertificateUUID %s is no identity of this profile", ref)
		}
	}
	return nil
}

func absoluteURL(v any, schemes ...string) bool {
	s, ok := v.(string)
	u, err := url.Parse(s)
	return ok && err == nil && u.Host != "" && slices.Contains(schemes, u.Scheme)
}

// clone copies a property list value deeply.
func clone(v any) any {
	switch v := v.(type) {
	case plist.Dict:
		out := plist.Dict{}
		for k, e := range v {
			out[k] = clone(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = clone(e)
		}
		return out
	case []byte:
		return slices.Clone(v)
	default:
		return v
	}
}
