package dep

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"rollcall/dep/cloud"
	"rollcall/enroll"
)

// ProfileSettings is what an admin says of a profile, with Apple's names and, where it
// is left out, Apple's defaults (Apple: Profile). The URLs are the server's.
type ProfileSettings struct {
	AllowPairing        *bool    `json:"allow_pairing,omitempty" doc:"Before iOS 13."`
	AutoAdvance         bool     `json:"auto_advance_setup,omitempty" doc:"A Mac or Apple TV on Ethernet goes through Setup Assistant by itself. Needs language and region."`
	AwaitConfigured     bool     `json:"await_device_configured,omitempty" doc:"The device waits in Setup Assistant until it has its policies."`
	Supervised          *bool    `json:"is_supervised,omitempty" doc:"Devices since iOS 13 are supervised in any case."`
	Mandatory           *bool    `json:"is_mandatory,omitempty" doc:"Since iOS 13 it is in any case."`
	MDMRemovable        *bool    `json:"is_mdm_removable,omitempty" doc:"false needs is_supervised."`
	MultiUser           bool     `json:"is_multi_user,omitempty" doc:"Shared iPad."`
	ReturnToService     bool     `json:"is_return_to_service,omitempty"`
	NoProfileFromBackup bool     `json:"do_not_use_profile_from_backup,omitempty"`
	AnchorCerts         []string `json:"anchor_certs,omitempty" maxItems:"20" doc:"DER in base64. Left out where the server's certificate is of its own CA: that CA."`
	SupervisingHosts    []string `json:"supervising_host_certs,omitempty" maxItems:"20" doc:"DER in base64."`
	Department          string   `json:"department,omitempty" doc:"125 characters at most."`
	Magic               string   `json:"org_magic,omitempty" doc:"256 characters at most."`
	Language            string   `json:"language,omitempty" doc:"ISO 639." example:"en"`
	Region              string   `json:"region,omitempty" doc:"ISO 3166." example:"US"`
	SupportPhone        string   `json:"support_phone_number,omitempty" doc:"50 characters at most."`
	SupportEmail        string   `json:"support_email_address,omitempty" doc:"250 characters at most."`
	SkipSetup           []string `json:"skip_setup_items,omitempty" maxItems:"100" doc:"Panes of Setup Assistant to leave out, by Apple's keys."`
}

// apple is the profile as Apple is told it.
func (s ProfileSettings) apple(name, entry, web string) cloud.Profile {
	return cloud.Profile{Name: name, URL: entry, WebURL: web, AnchorCerts: s.AnchorCerts, SupervisingHosts: s.SupervisingHosts, AllowPairing: s.AllowPairing,
		AutoAdvance: s.AutoAdvance, AwaitConfigured: s.AwaitConfigured, Supervised: s.Supervised, Mandatory: s.Mandatory, MDMRemovable: s.MDMRemovable,
		MultiUser: s.MultiUser, ReturnToService: s.ReturnToService, NoProfileFromBackup: s.NoProfileFromBackup, Department: s.Department, Magic: s.Magic,
		Language: s.Language, Region: s.Region, SupportPhone: s.SupportPhone, SupportEmail: s.SupportEmail, SkipSetup: s.SkipSetup}
}

// Profile is an ADE profile: what devices of an account find when they are
// activated. Apple does not change profiles, so each version is another one
// there, with a UUID of its own.
type Profile struct {
	ID             string // UUIDv7
	AccountID      string
	Name           string // unique in its account
	Settings       ProfileSettings
	Authentication Authentication
	MinimumOS      map[string]string // by family; missing: any

	Version   int64     // grows with what Apple has to be told
	UUID      string    // at Apple, of the newest version that it knows; empty: none
	Defined   int64     // that version
	DefinedAt time.Time // since when
	Problem   *Problem  // why Apple did not take Version; nil: it did, or was not asked

	CreatedAt time.Time
	UpdatedAt time.Time
}

// Pending says that Apple is to be told the newest version yet.
func (p Profile) Pending() bool { return p.Defined < p.Version && p.Problem == nil }

// Version is a version of a profile that Apple knows.
type Version struct {
	Version   int64
	UUID      string
	DefinedAt time.Time
	Devices   int // that have it
}

// ProfileStore keeps profiles. A missing account or profile is KindNotFound.
type ProfileStore interface {
	Profiles(ctx context.Context, account string) ([]Profile, error) // by name
	Profile(ctx context.Context, account, name string) (Profile, error)
	// ChangeProfile reads the profile (nil: there is none), lets change make
	// the new one and writes it. A new one gets the secret of its URL; its hash
	// is what Entry finds it by. The account becomes due.
	ChangeProfile(ctx context.Context, account, name, secret string, change func(old *Profile) (Profile, error)) (p Profile, created, changed bool, err error)
	// DeleteProfile is KindConflict while it is a default of its account, or
	// devices have it.
	DeleteProfile(ctx context.Context, account, name string) error
	ProfileVersions(ctx context.Context, account, name string) ([]Version, error) // newest first
}

// NoProfile is the error for a profile that does not exist.
func NoProfile(account, name string) *enroll.Error {
	return enroll.Errorf(enroll.KindNotFound, "ade_profile_unknown", "the DEP account %q has no profile %q", account, name)
}

// newSecret makes the secret of a profile's URL: 128 random bits.
func newSecret() string {
	var raw [16]byte
	rand.Read(raw[:])
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// version is an OS version as MinimumOS takes it.
var version = regexp.MustCompile(`^[0-9]{1,3}(\.[0-9]{1,3}){0,2}$`)

// check says what is wrong with a profile, or nil: what Apple would refuse, by
// Apple's codes, and what this server knows beyond.
func (p *Profile) check() error {
	if err := checkName("the profile", p.Name); err != nil {
		return err
	}
	if p.Authentication == "" {
		p.Authentication = AuthenticationNone
	}
	if !slices.Contains(Authentications, p.Authentication) {
		return enroll.Errorf(enroll.KindInvalid, "authentication_unknown", "the authentication %q does not exist", p.Authentication).WithHint("Use one of none, request, oidc.")
	}
	for family, v := range p.MinimumOS {
		if !slices.Contains(Families, Family(family)) {
			return enroll.Errorf(enroll.KindInvalid, "family_unknown", "the family %q does not exist", family).WithHint("Use one of iPhone, iPad, Mac, AppleTV.")
		}
		if !version.MatchString(v) {
			return enroll.Errorf(enroll.KindInvalid, "minimum_os_invalid", "%q is not a version of an operating system", v).WithHint("Write it as 26 or 26.1.")
		}
	}
	if p.Settings.AutoAdvance && (p.Settings.Language == "" || p.Settings.Region == "") {
		return enroll.Errorf(enroll.KindInvalid, "auto_advance_locale", "auto_advance_setup needs language and region: nobody is there to choose them")
	}
	if err := checkSkips(p.Settings.SkipSetup); err != nil {
		return err
	}
	return p.Settings.apple(p.Name, "https://localhost", "").Check()
}

// told is the profile as Apple is told it, with the URLs of this server.
func (p Profile) told(public, secret string, anchor []byte) cloud.Profile {
	web := ""
	if p.Authentication != AuthenticationNone {
		web = public + WebPath(secret)
	}
	a := p.Settings.apple(p.Name, public+EntryPath(secret), web)
	if len(a.AnchorCerts) == 0 && len(anchor) > 0 {
		a.AnchorCerts = []string{base64.StdEncoding.EncodeToString(anchor)}
	}
	return a
}

// sameForApple says whether Apple would be told the same of both.
func (p Profile) sameForApple(other Profile) bool {
	web := func(q Profile) string {
		if q.Authentication == AuthenticationNone {
			return ""
		}
		return "web"
	}
	return equalJSON(p.Settings.apple(p.Name, "", web(p)), other.Settings.apple(other.Name, "", web(other)))
}

// CheckDiscovery says what is wrong with a URL for account-driven discovery.
func CheckDiscovery(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" || u.Host == "" || len(raw) > 2000 || strings.ContainsAny(raw, " \t\r\n") {
		return enroll.Errorf(enroll.KindInvalid, "dep_mdm_service_discovery_url_not_valid", "%q is not an https URL", raw)
	}
	return nil
}
