package iphone

import (
	"crypto/x509"
	"encoding/pem"
	"maps"
	"slices"
	"strings"
	"time"

	"rollcall/sim/plist"
)

// valueType is the type of a property list value.
type valueType int

const (
	str valueType = iota
	integer
	real
	boolean
	data
	date
	array
	dictionary
)

// rule says what a key may hold. max 0 means no range, enum nil any value.
type rule struct {
	typ      valueType
	required bool
	min, max int64
	enum     []string
	inside   rules // of a dictionary; unknown keys refused
}

type rules map[string]rule

// commonKeys belong to every payload.
var commonKeys = rules{
	"PayloadType": {typ: str}, "PayloadVersion": {typ: integer}, "PayloadIdentifier": {typ: str}, "PayloadUUID": {typ: str},
	"PayloadDisplayName": {typ: str}, "PayloadDescription": {typ: str}, "PayloadOrganization": {typ: str},
}

// payloadRules are the payloads this phone looks into. strict ones refuse
// unknown keys; of the others only the keys listed are checked.
var payloadRules = map[string]struct {
	strict bool
	keys   rules
}{
	payloadMDM: {true, rules{
		"IdentityCertificateUUID": {typ: str, required: true}, "Topic": {typ: str, required: true},
		"ServerURL": {typ: str, required: true}, "CheckInURL": {typ: str}, "SignMessage": {typ: boolean},
		"AccessRights": {typ: integer}, "UseDevelopmentAPNS": {typ: boolean}, "ServerCapabilities": {typ: array},
		"CheckOutWhenRemoved": {typ: boolean}, "AssignedManagedAppleID": {typ: str},
		"EnrollmentMode":                   {typ: str, enum: []string{"BYOD", "ADDE"}},
		"ServerURLPinningCertificateUUIDs": {typ: array}, "CheckInURLPinningCertificateUUIDs": {typ: array},
		"PinningRevocationCheckRequired": {typ: boolean}, "RequiredAppIDForMDM": {typ: integer},
		"PromptUserToAllowBootstrapTokenForAuthentication": {typ: boolean},
	}},
	payloadSCEP: {true, rules{"PayloadContent": {typ: dictionary, required: true, inside: rules{
		"URL": {typ: str, required: true}, "Name": {typ: str}, "Subject": {typ: array}, "Challenge": {typ: str},
		"Keysize": {typ: integer}, "Key Type": {typ: str, enum: []string{"RSA"}}, "Key Usage": {typ: integer, min: 0, max: 5},
		"CAFingerprint": {typ: data}, "Retries": {typ: integer}, "RetryDelay": {typ: integer},
		"SubjectAltName": {typ: dictionary}, "KeyIsExtractable": {typ: boolean}, "AllowAllAppsAccess": {typ: boolean},
		"CertificateRenewalTimeInterval": {typ: integer},
	}}}},
	payloadRoot:                {true, certificateKeys},
	"com.apple.security.pkcs1": {true, certificateKeys},
	"com.apple.security.pem":   {true, certificateKeys},
	payloadP12:                 {true, rules{"PayloadContent": {typ: data, required: true}, "PayloadCertificateFileName": {typ: str}, "Password": {typ: str}, "AllowAllAppsAccess": {typ: boolean}, "KeyIsExtractable": {typ: boolean}}},
	"com.apple.applicationaccess": {false, rules{
		"ratingApps": {typ: integer, max: 1000}, "ratingMovies": {typ: integer, max: 1000}, "ratingTVShows": {typ: integer, max: 1000},
		"ratingRegion":        {typ: str, enum: []string{"us", "au", "ca", "de", "fr", "ie", "jp", "nz", "gb"}},
		"safariAcceptCookies": {typ: real}, "enforcedSoftwareUpdateDelay": {typ: integer, min: 1, max: 90},
		"allowListedAppBundleIDs": {typ: array}, "blockedAppBundleIDs": {typ: array},
		"whitelistedAppBundleIDs": {typ: array}, "blacklistedAppBundleIDs": {typ: array},
		"autonomousSingleAppModePermittedAppIDs": {typ: array},
	}},
	"com.apple.mobiledevice.passwordpolicy": {true, rules{
		"allowSimple": {typ: boolean}, "forcePIN": {typ: boolean}, "minLength": {typ: integer, max: 16},
		"requireAlphanumeric": {typ: boolean}, "minComplexChars": {typ: integer, max: 4}, "maxFailedAttempts": {typ: integer, min: 2, max: 11},
		"maxInactivity": {typ: integer, max: 15}, "maxPINAgeInDays": {typ: integer, max: 730}, "pinHistory": {typ: integer, min: 1, max: 50},
		"maxGracePeriod": {typ: integer}, "minutesUntilFailedLoginReset": {typ: integer}, "changeAtNextAuth": {typ: boolean}, "customRegex": {typ: dictionary},
	}},
	"com.apple.wifi.managed": {false, rules{
		"SSID_STR": {typ: str, required: true}, "HIDDEN_NETWORK": {typ: boolean}, "AutoJoin": {typ: boolean},
		"EncryptionType": {typ: str, enum: []string{"WEP", "WPA", "WPA2", "WPA3", "Any", "None"}}, "Password": {typ: str},
		"ProxyType": {typ: str, enum: []string{"None", "Manual", "Auto"}}, "ProxyServer": {typ: str},
		"ProxyServerPort": {typ: integer, max: 65535}, "PayloadCertificateUUID": {typ: str}, "EAPClientConfiguration": {typ: dictionary},
		"DisableAssociationMACRandomization": {typ: boolean},
	}},
	"com.apple.vpn.managed": {false, rules{
		"VPNType":         {typ: str, required: true, enum: []string{"VPN", "L2TP", "IPSec", "IKEv2", "AlwaysOn", "TransparentProxy"}},
		"UserDefinedName": {typ: str, required: true}, "IKEv2": {typ: dictionary}, "IPSec": {typ: dictionary}, "PPP": {typ: dictionary}, "VPN": {typ: dictionary},
	}},
	"com.apple.webcontent-filter": {false, rules{
		"FilterType": {typ: str, enum: []string{"BuiltIn", "Plugin"}}, "AutoFilterEnabled": {typ: boolean}, "PermittedURLs": {typ: array},
		"DenyListURLs": {typ: array}, "AllowListBookmarks": {typ: array}, "FilterBrowsers": {typ: boolean}, "FilterSockets": {typ: boolean},
	}},
	"com.apple.mail.managed": {false, rules{
		"EmailAccountType":                 {typ: str, required: true, enum: []string{"EmailTypeIMAP", "EmailTypePOP"}},
		"IncomingMailServerHostName":       {typ: str, required: true},
		"OutgoingMailServerHostName":       {typ: str, required: true},
		"IncomingMailServerAuthentication": {typ: str, required: true}, "OutgoingMailServerAuthentication": {typ: str, required: true},
		"IncomingMailServerPortNumber": {typ: integer, max: 65535}, "OutgoingMailServerPortNumber": {typ: integer, max: 65535},
	}},
}

var certificateKeys = rules{"PayloadContent": {typ: data, required: true}, "PayloadCertificateFileName": {typ: str}}

// otherPayloads are installed without a look inside.
var otherPayloads = []string{
	"com.apple.eas.account", "com.apple.app.lock", "com.apple.webClip.managed", "com.apple.homescreenlayout",
	"com.apple.notificationsettings", "com.apple.proxy.http.global", "com.apple.shareddeviceconfiguration",
	"com.apple.profileRemovalPassword", "com.apple.dnsSettings.managed", "com.apple.dnsProxy.managed", "com.apple.cellular",
	"com.apple.caldav.account", "com.apple.carddav.account", "com.apple.subscribedcalendar.account", "com.apple.ldap.account",
	"com.apple.airprint", "com.apple.airplay", "com.apple.font", "com.apple.domains", "com.apple.google-oauth",
	"com.apple.vpn.managed.applayer", "com.apple.relay.managed", "com.apple.networkusagerules", "com.apple.sso",
	"com.apple.extensiblesso", "com.apple.security.certificatetransparency", "com.apple.security.certificaterevocation",
	payloadACME,
}

func checkPayload(pl payload) error {
	spec, ok := payloadRules[pl.kind]
	if !ok {
		if slices.Contains(otherPayloads, pl.kind) {
			return nil
		}
		return payloadError("unknown payload type %q", pl.kind)
	}
	all := maps.Clone(spec.keys)
	maps.Copy(all, commonKeys)
	if err := checkKeys(pl.kind, pl.dict, all, spec.strict); err != nil {
		return err
	}
	switch pl.kind {
	case payloadMDM:
		return checkMDM(pl.dict)
	case payloadSCEP:
		return checkSCEP(pl.dict["PayloadContent"].(plist.Dict))
	case "com.apple.applicationaccess":
		return checkRestrictions(pl.dict, spec.keys)
	case payloadRoot, "com.apple.security.pkcs1", "com.apple.security.pem":
		_, err := pl.certificate()
		return err
	}
	return nil
}

// certificate reads the content of a certificate payload, DER or PEM.
func (pl payload) certificate() (*x509.Certificate, error) {
	der := pl.dict["PayloadContent"].([]byte)
	if block, _ := pem.Decode(der); block != nil {
		der = block.Bytes
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, payloadError("%s: %v", pl.kind, err)
	}
	return cert, nil
}

// checkKeys holds a dictionary against its rules.
func checkKeys(where string, dict plist.Dict, known rules, strict bool) error {
	for key, r := range known {
		if _, ok := dict[key]; r.required && !ok {
			return payloadError("%s: required key %s is missing", where, key)
		}
	}
	for key, v := range dict {
		r, ok := known[key]
		if !ok {
			if strict {
				return payloadError("%s: unknown key %s", where, key)
			}
			continue
		}
		if !r.holds(v) {
			return payloadError("%s: %s has the value %v (%T)", where, key, v, v)
		}
		if r.inside != nil {
			if err := checkKeys(where+"."+key, v.(plist.Dict), r.inside, true); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r rule) holds(v any) bool {
	switch v := v.(type) {
	case string:
		return r.typ == str && (r.enum == nil || slices.Contains(r.enum, v)) && !(r.required && v == "")
	case int64:
		return r.typ == real || r.typ == integer && (r.max == 0 || v >= r.min && v <= r.max)
	case float64:
		return r.typ == real
	case bool:
		return r.typ == boolean
	case []byte:
		return r.typ == data
	case time.Time:
		return r.typ == date
	case []any:
		return r.typ == array
	case plist.Dict:
		return r.typ == dictionary
	}
	return false
}

// The access rights of com.apple.mdm this phone looks at.
const (
	rightInspectProfiles = 1
	rightInstallProfiles = 2
	rightLock            = 4
	rightErase           = 8
	rightDeviceInfo      = 16
	rightNetworkInfo     = 32
	rightInspectProv     = 64
	rightInstallProv     = 128
	rightInspectApps     = 256
	rightRestrictions    = 512
	rightSecurity        = 1024
	rightSettings        = 2048
	rightApps            = 4096
	rightsAll            = 8191

	// rightsOfUser is what a server may do in a user enrollment, whatever the
	// profile says.
	rightsOfUser = rightInspectProfiles | rightInstallProfiles | rightInspectApps | rightSecurity | rightSettings | rightApps
)

var serverCapabilities = []string{"com.apple.mdm.per-user-connections", "com.apple.mdm.bootstraptoken", "com.apple.mdm.token"}

func checkMDM(d plist.Dict) error {
	if !uuidForm.MatchString(d["IdentityCertificateUUID"].(string)) {
		return payloadError("com.apple.mdm: IdentityCertificateUUID %q", d["IdentityCertificateUUID"])
	}
	if topic := d["Topic"].(string); !strings.HasPrefix(topic, "com.apple.mgmt.") {
		return mdmError(12022, "com.apple.mdm: invalid topic %q", topic)
	}
	for _, key := range []string{"ServerURL", "CheckInURL"} {
		if v, ok := d[key]; ok && !absoluteURL(v, "https") {
			return payloadError("com.apple.mdm: %s %q is not https", key, v)
		}
	}
	mode, _ := d["EnrollmentMode"].(string)
	if account, _ := d["AssignedManagedAppleID"].(string); (mode == "") != (account == "") {
		return payloadError("com.apple.mdm: EnrollmentMode and AssignedManagedAppleID belong together")
	}
	rights, ok := d["AccessRights"].(int64)
	switch {
	case mode == modeBYOD && ok:
		return mdmError(12000, "com.apple.mdm: AccessRights in a user enrollment")
	case mode == modeBYOD:
	case !ok || rights <= 0 || rights > rightsAll,
		rights&rightInstallProfiles != 0 && rights&rightInspectProfiles == 0,
		rights&rightInstallProv != 0 && rights&rightInspectProv == 0:
		return mdmError(12000, "com.apple.mdm: AccessRights %v", d["AccessRights"])
	}
	if list, ok := d["ServerCapabilities"].([]any); ok {
		for _, c := range list {
			if s, ok := c.(string); !ok || !slices.Contains(serverCapabilities, s) {
				return payloadError("com.apple.mdm: server capability %v", c)
			}
		}
	}
	return nil
}

func checkSCEP(d plist.Dict) error {
	if !absoluteURL(d["URL"], "http", "https") {
		return payloadError("com.apple.security.scep: URL %q", d["URL"])
	}
	if size, ok := d["Keysize"].(int64); ok && size != 1024 && size != 2048 && size != 4096 {
		return payloadError("com.apple.security.scep: Keysize %d", size)
	}
	return nil
}

// checkRestrictions: apart from the keys with a rule, every allow... and
// force... restriction is a boolean.
func checkRestrictions(d plist.Dict, ruled rules) error {
	for key, v := range d {
		if _, ok := ruled[key]; ok || !strings.HasPrefix(key, "allow") && !strings.HasPrefix(key, "force") {
			continue
		}
		if _, ok := v.(bool); !ok {
			return payloadError("com.apple.applicationaccess: %s has the value %v", key, v)
		}
	}
	return nil
}
