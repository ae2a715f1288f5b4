package dep

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rollcall/enroll"
)

// SkipItem is a key of skip_setup_items.
type SkipItem struct {
	Only       Family // that has the pane; empty: several have
	Introduced string // since which OS, where Apple says so
	Removed    string // in which OS
	Deprecated bool   // the pane is gone, or is never shown
}

// SkipItems are the keys that Apple knows (SkipKeys, as of OS 27). Devices
// ignore those that their OS does not know.
var SkipItems = map[string]SkipItem{
	"Accessibility": {Only: FamilyMac}, "AccessibilityAppearance": {}, "ActionButton": {Only: FamilyIPhone}, "Android": {}, "Appearance": {}, "AppleID": {},
	"AppStore": {}, "Biometric": {}, "CameraButton": {Only: FamilyIPhone}, "DeviceToDeviceMigration": {}, "Diagnostics": {}, "DisplayTone": {Deprecated: true},
	"EnableLockdownMode": {}, "FileVault": {Only: FamilyMac}, "HomeButtonSensitivity": {Deprecated: true}, "iCloudDiagnostics": {Only: FamilyMac},
	"iCloudStorage": {Only: FamilyMac}, "iMessageAndFaceTime": {}, "Intelligence": {}, "Keyboard": {}, "LiquidGlass": {Introduced: "27"}, "Location": {},
	"MessagingActivationUsingPhoneNumber": {}, "Multitasking": {Introduced: "26"}, "OnBoarding": {Deprecated: true}, "OSShowcase": {Introduced: "26"},
	"Passcode": {}, "Payment": {}, "Privacy": {}, "Restore": {}, "RestoreCompleted": {}, "Safety": {}, "SafetyAndHandling": {Introduced: "18.4"},
	"ScreenSaver": {Only: FamilyAppleTV}, "ScreenTime": {}, "SIMSetup": {}, "Siri": {}, "SoftwareUpdate": {}, "SpokenLanguage": {}, "TapToSetup": {Only: FamilyAppleTV},
	"TermsOfAddress": {}, "Tips": {}, "TOS": {}, "TVHomeScreenSync": {Only: FamilyAppleTV}, "TVProviderSignIn": {Only: FamilyAppleTV}, "TVRoom": {Only: FamilyAppleTV},
	"UnlockWithWatch": {Only: FamilyMac}, "UpdateCompleted": {}, "Wallpaper": {Only: FamilyMac, Removed: "26"}, "WatchMigration": {}, "WebContentFiltering": {Introduced: "18.2", Removed: "26.2"},
	"Welcome": {}, "Zoom": {Deprecated: true},
}

// checkSkips refuses keys that Apple does not know. Apple takes them and shows
// the pane, which nobody understands in front of the device.
func checkSkips(items []string) error {
	seen := map[string]bool{}
	for _, item := range items {
		if _, known := SkipItems[item]; !known {
			e := enroll.Errorf(enroll.KindInvalid, "skip_item_unknown", "Setup Assistant has no pane %q", item)
			if i := slices.IndexFunc(slices.Sorted(maps.Keys(SkipItems)), func(k string) bool { return strings.EqualFold(k, item) }); i >= 0 {
				return e.WithHint("Write it as %s.", slices.Sorted(maps.Keys(SkipItems))[i])
			}
			return e.WithHint("docs/ade.md lists the keys.")
		}
		if seen[item] {
			return enroll.Errorf(enroll.KindInvalid, "skip_item_repeated", "the pane %s is named twice", item)
		}
		seen[item] = true
	}
	return nil
}

// Warnings are what an admin should know of a profile that is right for Apple:
// panes that some of its devices do not have, where the key does nothing.
func (p Profile) Warnings() []string {
	var out []string
	for _, key := range p.Settings.SkipSetup {
		item := SkipItems[key]
		switch {
		case item.Removed != "":
			out = append(out, fmt.Sprintf("skip_setup_items: there is no pane %s since OS %s; newer devices ignore the key.", key, item.Removed))
		case item.Deprecated:
			out = append(out, fmt.Sprintf("skip_setup_items: the pane %s is not shown any more.", key))
		}
		if item.Introduced != "" && p.admitsOlder(item) {
			out = append(out, fmt.Sprintf("skip_setup_items: there is a pane %s since OS %s only; older devices ignore the key. minimum_os keeps them out.", key, item.Introduced))
		}
	}
	return out
}

// admitsOlder says whether devices may enroll that are older than a pane.
func (p Profile) admitsOlder(item SkipItem) bool {
	return slices.ContainsFunc(Families, func(f Family) bool {
		minimum := p.MinimumOS[string(f)]
		return (item.Only == "" || item.Only == f) && (minimum == "" || enroll.OlderVersion(minimum, item.Introduced))
	})
}

// equalJSON says whether two values are the same on the wire.
func equalJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
