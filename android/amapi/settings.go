package amapi

import (
	"slices"

	"rollcall/enroll"
	"rollcall/policy/document"
)

// Mode is how much of which device is managed. Dedicated is fully managed
// without a user.
type Mode string

// The modes.
const (
	FullyManaged    = Mode(document.FullyManaged)
	CompanyProfile  = Mode(document.CompanyWorkProfile)
	PersonalProfile = Mode(document.PersonalWorkProfile)
	Dedicated       = Mode("dedicated")
)

// Modes lists the modes in the order the documentation names them.
var Modes = []Mode{FullyManaged, CompanyProfile, Dedicated, PersonalProfile}

// Management is the mode as policies know it.
func (m Mode) Management() document.Management {
	if m == Dedicated {
		return document.FullyManaged
	}
	return document.Management(m)
}

// usage is what a token for the mode says of personal use.
func (m Mode) usage() string {
	switch m {
	case CompanyProfile, PersonalProfile:
		return PersonalAllowed
	case Dedicated:
		return PersonalUserless
	}
	return PersonalDisallowed
}

// modeOf is the mode of a device; Google does not tell a dedicated one.
func modeOf(management, ownership string) Mode {
	switch {
	case management == DeviceOwner:
		return FullyManaged
	case ownership == PersonallyOwned:
		return PersonalProfile
	}
	return CompanyProfile
}

// GateWay is how a device of a mode comes to the gate.
type GateWay string

// The ways. A bound token is good in all but GateOff.
const (
	GateSignIn       GateWay = "sign_in"      // at the sign-in page, before it enrolls, by what Google tells of it
	GateNotification GateWay = "notification" // once it has enrolled, by what Google tells of it
	GateToken        GateWay = "token"        // only with a token that is bound to its row
	GateOff          GateWay = "off"          // not at all
)

// Refusal is what becomes of a device that has enrolled and is refused.
type Refusal string

// Quarantine holds it on a policy that lets it do next to nothing, until it is
// admitted or removed; Remove makes Google wipe it, of a personal device the
// work profile only.
const (
	Quarantine Refusal = "quarantine"
	Remove     Refusal = "remove"
)

// ModeSettings are the settings of one mode.
type ModeSettings struct {
	Gate    GateWay `json:"gate" enum:"sign_in,notification,token,off" doc:"How a device comes to the gate: sign_in (before it enrolls, by the serial number or IMEI that Google tells), notification (once it has enrolled), token (only with a token bound to its row), off."`
	Refused Refusal `json:"refused" enum:"quarantine,remove" doc:"What becomes of a device that has enrolled although the gate refuses it: it is held on a policy that allows next to nothing, or it is removed, which wipes a company-owned device."`
}

// Settings are those of all modes.
type Settings map[Mode]ModeSettings

// DefaultSettings are those of a new organization.
func DefaultSettings() Settings {
	return Settings{FullyManaged: {GateSignIn, Quarantine}, CompanyProfile: {GateSignIn, Quarantine}, Dedicated: {GateOff, Quarantine}, PersonalProfile: {GateToken, Remove}}
}

// Check refuses what cannot work, and says why.
func (s Settings) Check() error {
	refuse := func(m Mode, hint, format string, args ...any) error {
		return enroll.Errorf(enroll.KindInvalid, "amapi_setting_impossible", string(m)+": "+format, args...).WithHint("%s", hint)
	}
	for m, set := range s {
		switch {
		case !slices.Contains(Modes, m):
			return enroll.Errorf(enroll.KindInvalid, "amapi_mode_unknown", "the mode %q does not exist", m)
		case !slices.Contains([]GateWay{GateSignIn, GateNotification, GateToken, GateOff}, set.Gate):
			return refuse(m, "Use sign_in, notification, token or off.", "the gate %q does not exist", set.Gate)
		case set.Refused != Quarantine && set.Refused != Remove:
			return refuse(m, "Use quarantine or remove.", "what becomes of refused devices cannot be %q", set.Refused)
		case m == PersonalProfile && (set.Gate == GateSignIn || set.Gate == GateNotification):
			return refuse(m, "Use token, and give each owner a token that is bound to the row.",
				"Google tells no serial number and no IMEI of a personal device, so none could ever be found on the roll")
		case m == PersonalProfile && set.Refused == Quarantine:
			return refuse(m, "Use remove, which takes the work profile away and leaves everything else.",
				"a quarantine would hold a profile on somebody's own device that nobody ever admits")
		case m == Dedicated && set.Gate == GateSignIn:
			return refuse(m, "Use notification, or token.",
				"a dedicated device has no user, and Google promises no sign-in page on it")
		}
	}
	return nil
}

// of are the settings of a mode.
func (s Settings) of(m Mode) ModeSettings {
	if set, ok := s[m]; ok {
		return set
	}
	return DefaultSettings()[m]
}

// quarantine is the policy of devices that wait: they report, and can do next
// to nothing else.
var quarantine = map[string]any{
	"playStoreMode": "WHITELIST", "applications": []any{}, "kioskCustomLauncherEnabled": true, "installAppsDisabled": true, "modifyAccountsDisabled": true,
	"screenCaptureDisabled": true, "cameraAccess": "CAMERA_ACCESS_DISABLED", "bluetoothDisabled": true,
	"deviceConnectivityManagement": map[string]any{"usbDataAccess": "DISALLOW_USB_FILE_TRANSFER"},
	"deviceOwnerLockScreenInfo":    map[string]any{"defaultMessage": "Waiting for approval"},
	"statusReportingSettings":      map[string]any{"softwareInfoEnabled": true, "networkInfoEnabled": true, "deviceSettingsEnabled": true, "memoryInfoEnabled": true},
}

// The policies that are there besides those of devices. Default is what Google
// gives a device whose token names none: the same.
const (
	quarantinePolicy = "quarantine"
	defaultPolicy    = "default"
)

func policyName(enterprise, id string) string { return enterprise + "/policies/" + id }
