package cloud

import (
	"encoding/base64"
	"net/url"
	"unicode/utf8"

	"rollcall/enroll"
)

// Profile is an ADE profile as Apple takes it (Apple: Profile). Pointers that
// are nil leave Apple's default.
type Profile struct {
	Name                string   `json:"profile_name"`
	URL                 string   `json:"url"`
	WebURL              string   `json:"configuration_web_url,omitempty"`
	AnchorCerts         []string `json:"anchor_certs,omitempty"`           // DER in base64
	SupervisingHosts    []string `json:"supervising_host_certs,omitempty"` // DER in base64
	AllowPairing        *bool    `json:"allow_pairing,omitempty"`
	AutoAdvance         bool     `json:"auto_advance_setup,omitempty"`
	AwaitConfigured     bool     `json:"await_device_configured,omitempty"`
	Supervised          *bool    `json:"is_supervised,omitempty"`
	Mandatory           *bool    `json:"is_mandatory,omitempty"`
	MDMRemovable        *bool    `json:"is_mdm_removable,omitempty"`
	MultiUser           bool     `json:"is_multi_user,omitempty"`
	ReturnToService     bool     `json:"is_return_to_service,omitempty"`
	NoProfileFromBackup bool     `json:"do_not_use_profile_from_backup,omitempty"`
	Department          string   `json:"department,omitempty"`
	Magic               string   `json:"org_magic,omitempty"`
	Language            string   `json:"language,omitempty"`
	Region              string   `json:"region,omitempty"`
	SupportPhone        string   `json:"support_phone_number,omitempty"`
	SupportEmail        string   `json:"support_email_address,omitempty"`
	SkipSetup           []string `json:"skip_setup_items,omitempty"`
	Devices             []string `json:"devices,omitempty"`
}

// profileCodes are Apple's codes for what is wrong with a profile, worded.
var profileCodes = map[Code]string{
	"CONFIG_NAME_REQUIRED":   "the profile has no name",
	"CONFIG_NAME_INVALID":    "the profile's name is longer than 125 characters",
	"CONFIG_URL_REQUIRED":    "the profile has no URL",
	"CONFIG_URL_INVALID":     "the profile's URL is not an https URL of 2,000 characters at most",
	"DEPARTMENT_INVALID":     "the department is longer than 125 characters",
	"FLAGS_INVALID":          "an MDM profile that cannot be removed needs a supervised device",
	"LOCALE_INVALID":         "language and region are not those of a locale",
	"MAGIC_INVALID":          "org_magic is longer than 256 characters",
	"SUPPORT_EMAIL_INVALID":  "the support e-mail address is longer than 250 characters",
	"SUPPORT_PHONE_INVALID":  "the support phone number is longer than 50 characters",
	"MALFORMED_REQUEST_BODY": "the profile holds what Apple cannot read",
}

// Check says what Apple would refuse, with Apple's own code in lower case after
// "dep_": an *enroll.Error of KindInvalid. Everything that Apple documents can
// be told here, before it is too late for whoever writes the profile.
func (p Profile) Check() error {
	long := func(s string, most int) bool { return utf8.RuneCountInString(s) > most }
	switch {
	case p.Name == "":
		return invalid("CONFIG_NAME_REQUIRED")
	case long(p.Name, 125):
		return invalid("CONFIG_NAME_INVALID")
	case p.URL == "":
		return invalid("CONFIG_URL_REQUIRED")
	case !secure(p.URL), p.WebURL != "" && !secure(p.WebURL):
		return invalid("CONFIG_URL_INVALID")
	case long(p.Department, 125):
		return invalid("DEPARTMENT_INVALID")
	case p.MDMRemovable != nil && !*p.MDMRemovable && (p.Supervised == nil || !*p.Supervised):
		return invalid("FLAGS_INVALID")
	case !letters(p.Language, 2, 3), !letters(p.Region, 2, 2):
		return invalid("LOCALE_INVALID")
	case long(p.Magic, 256):
		return invalid("MAGIC_INVALID")
	case long(p.SupportEmail, 250):
		return invalid("SUPPORT_EMAIL_INVALID")
	case long(p.SupportPhone, 50):
		return invalid("SUPPORT_PHONE_INVALID")
	}
	for _, c := range append(append([]string(nil), p.AnchorCerts...), p.SupervisingHosts...) {
		if _, err := base64.StdEncoding.DecodeString(c); err != nil || c == "" {
			return invalid("MALFORMED_REQUEST_BODY")
		}
	}
	return nil
}

func invalid(c Code) error {
	return enroll.Errorf(enroll.KindInvalid, PublicCode(c), "%s (%s)", profileCodes[c], c)
}

func secure(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && u.Scheme == "https" && u.Host != "" && utf8.RuneCountInString(raw) <= 2000
}

// letters says whether s is empty or an ISO code of some letters.
func letters(s string, least, most int) bool {
	if s == "" {
		return true
	}
	for _, c := range []byte(s) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return false
		}
	}
	return len(s) >= least && len(s) <= most
}
