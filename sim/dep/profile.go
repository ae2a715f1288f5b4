package dep

import (
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// Profile is Apple's Profile object: what a device is told at activation.
type Profile struct {
	ProfileName               string   `json:"profile_name"`
	URL                       string   `json:"url"`
	ConfigurationWebURL       string   `json:"configuration_web_url,omitempty"`
	AnchorCerts               []string `json:"anchor_certs,omitempty"`           // DER in base64
	SupervisingHostCerts      []string `json:"supervising_host_certs,omitempty"` // DER in base64
	AllowPairing              bool     `json:"allow_pairing"`
	AutoAdvanceSetup          bool     `json:"auto_advance_setup"`
	AwaitDeviceConfigured     bool     `json:"await_device_configured"`
	IsSupervised              bool     `json:"is_supervised"`
	IsMandatory               bool     `json:"is_mandatory"`
	IsMDMRemovable            bool     `json:"is_mdm_removable"`
	IsMultiUser               bool     `json:"is_multi_user"`
	IsReturnToService         bool     `json:"is_return_to_service"`
	DoNotUseProfileFromBackup bool     `json:"do_not_use_profile_from_backup"`
	Department                string   `json:"department,omitempty"`
	OrgMagic                  string   `json:"org_magic,omitempty"`
	Language                  string   `json:"language,omitempty"` // ISO 639-1
	Region                    string   `json:"region,omitempty"`   // ISO 3166-1
	SupportPhoneNumber        string   `json:"support_phone_number,omitempty"`
	SupportEmailAddress       string   `json:"support_email_address,omitempty"`
	SkipSetupItems            []string `json:"skip_setup_items,omitempty"`
}

type profile struct {
	uuid string
	Profile
}

// definition is the body of POST /profile. What is absent keeps Apple's
// default.
type definition struct {
	Profile
	Devices []string `json:"devices"`
}

var (
	languagePattern = regexp.MustCompile(`^[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?$`)
	regionPattern   = regexp.MustCompile(`^[A-Z]{2}$`)
)

// defineProfile is POST /profile. Each definition is a new profile.
func (c *Cloud) defineProfile(q *request) (any, *refusal) {
	in := definition{Profile: Profile{AllowPairing: true, IsMDMRemovable: true}}
	if bad := q.decode(&in); bad != nil {
		return nil, bad
	}
	if code := in.invalid(); code != "" {
		return nil, refuse(code)
	}
	if len(in.Devices) > c.options.PageLimit {
		return nil, refuse(malformed)
	}
	p := &profile{uuid: random(16), Profile: in.Profile}
	q.account.profiles[p.uuid] = p
	out := q.account.assign(p, in.Devices, q.version)
	out["profile_uuid"] = p.uuid
	return out, nil
}

// invalid returns Apple's code against the first bad value, empty for none.
func (p Profile) invalid() string {
	longer := func(s string, n int) bool { return utf8.RuneCountInString(s) > n }
	switch {
	case strings.TrimSpace(p.ProfileName) == "":
		return "CONFIG_NAME_REQUIRED"
	case longer(p.ProfileName, 125):
		return "CONFIG_NAME_INVALID"
	case p.URL == "":
		return "CONFIG_URL_REQUIRED"
	case !goodURL(p.URL), p.ConfigurationWebURL != "" && !goodURL(p.ConfigurationWebURL):
		return "CONFIG_URL_INVALID"
	case longer(p.Department, 125):
		return "DEPARTMENT_INVALID"
	case !p.IsMDMRemovable && !p.IsSupervised:
		return "FLAGS_INVALID"
	case p.Language != "" && !languagePattern.MatchString(p.Language), p.Region != "" && !regionPattern.MatchString(p.Region):
		return "LOCALE_INVALID"
	case longer(p.OrgMagic, 256):
		return "MAGIC_INVALID"
	case longer(p.SupportEmailAddress, 250):
		return "SUPPORT_EMAIL_INVALID"
	case longer(p.SupportPhoneNumber, 50):
		return "SUPPORT_PHONE_INVALID"
	case !certificates(p.AnchorCerts), !certificates(p.SupervisingHostCerts):
		return malformed
	}
	return ""
}

func goodURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != "" && len(s) <= 2000
}

func certificates(encoded []string) bool {
	for _, s := range encoded {
		der, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return false
		}
		if _, err := x509.ParseCertificate(der); err != nil {
			return false
		}
	}
	return true
}

// showProfile is GET /profile?profile_uuid=.
func (c *Cloud) showProfile(q *request) (any, *refusal) {
	id := q.http.URL.Query().Get("profile_uuid")
	if id == "" {
		return nil, refuse("PROFILE_UUID_REQUIRED")
	}
	p := q.account.profiles[id]
	if p == nil {
		return nil, &refusal{http.StatusNotFound, "NOT_FOUND"}
	}
	return p.Profile, nil
}

// Configuration is what a device gets from Apple at activation.
type Configuration struct {
	Account     string // name of the device management service
	ProfileUUID string
	Profile
}

// Activate is a device that comes out of its box, or out of a wipe, and asks
// Apple which server to enroll with: it gets the profile that is assigned to
// it, which is pushed from then on. False where there is none: the device goes
// on as anybody's.
func (c *Cloud) Activate(serial string) (Configuration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.devices[serial]
	if d == nil || d.account == nil || d.profile == nil {
		return Configuration{}, false
	}
	d.status, d.pushedAt = ProfilePushed, c.now().Truncate(time.Second)
	d.account.log(d, modified)
	return Configuration{Account: d.account.name, ProfileUUID: d.profile.uuid, Profile: d.profile.Profile}, true
}
