package mdm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
	"rollcall/mdm/plist"
)

const messages = "../testdata/mdm/messages"

// message reads a message as devices send it.
func message(t *testing.T, name string, into any) {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(messages, name+".plist"))
	if err != nil {
		t.Fatal(err)
	}
	if err := plist.Decode(body, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// The identifiers live in an embedded struct; a decoder that skips it would
// leave every message without a sender.
func TestSender(t *testing.T) {
	for name, want := range map[string]struct{ device, user string }{
		"authenticate-iphone":               {"00008130-001A2B3C4D5E6F70", ""},
		"authenticate-ipad-wifi":            {"8f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c", ""},
		"authenticate-mac":                  {"6A1B2C3D-0000-5000-8000-ABCDEF012345", ""},
		"authenticate-user-enrollment":      {"F5A1B2C3-1111-4222-8333-444455556666", ""},
		"token-update":                      {"00008130-001A2B3C4D5E6F70", ""},
		"token-update-shared-ipad-user":     {"00008130-001A2B3C4D5E6F70", "anna@appleid.example.com"},
		"token-update-mac-user":             {"6A1B2C3D-0000-5000-8000-ABCDEF012345", "0B1C2D3E-4F50-6172-8394-A5B6C7D8E9F0"},
		"token-update-user-enrollment-user": {"F5A1B2C3-1111-4222-8333-444455556666", "77777777-1111-4222-8333-444455556666"},
		"idle":                              {"00008130-001A2B3C4D5E6F70", ""},
	} {
		var m checkin
		message(t, name, &m)
		if err := m.sender.check(); err != nil || m.device() != want.device || m.user() != want.user {
			t.Errorf("%s: device %q, user %q, %v; want %+v", name, m.device(), m.user(), err, want)
		}
	}
	for name, s := range map[string]sender{
		"nobody":           {UserID: "u"},
		"a long UDID":      {UDID: strings.Repeat("x", maxIdentifier+1)},
		"a long user":      {UDID: "u", UserID: strings.Repeat("x", maxIdentifier+1)},
		"a long user name": {UDID: "u", UserID: sharedUserID, UserShortName: strings.Repeat("x", maxIdentifier+1)},
	} {
		if enroll.KindOf(s.check()) != enroll.KindInvalid {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestCheckInMessages(t *testing.T) {
	var m checkin
	message(t, "authenticate-iphone", &m)
	if m.MessageType != "Authenticate" || m.Topic == "" || m.SerialNumber != "C39XK1ABCD01" {
		t.Errorf("%+v", m)
	}
	want := enroll.Facts{UDID: "00008130-001A2B3C4D5E6F70", IMEI: "35 693803 000001 6", MEID: "35693803000001", Product: "iPhone17,2", OSVersion: "26.1", BuildVersion: "23B85"}
	if diff := cmp.Diff(want, m.facts()); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	for name, want := range map[string]*bool{"token-update": new(bool), "token-update-awaiting": ptr(true), "token-update-mac-user": nil} {
		var m checkin
		message(t, name, &m)
		if diff := cmp.Diff(want, m.AwaitingConfiguration); diff != "" {
			t.Errorf("%s: AwaitingConfiguration (-want +got):\n%s", name, diff)
		}
		if len(m.Token) != 32 || m.PushMagic == "" || (len(m.UnlockToken) > 0) != (name == "token-update") {
			t.Errorf("%s: %d bytes of token, %d of unlock token", name, len(m.Token), len(m.UnlockToken))
		}
	}
	var boot, token, status checkin
	message(t, "set-bootstrap-token", &boot)
	message(t, "get-token", &token)
	message(t, "declarative-status", &status)
	if string(boot.BootstrapToken) != "bootstrap token" || token.TokenServiceType != "com.apple.maid" || status.Endpoint != "status" {
		t.Errorf("%q %q %q", boot.BootstrapToken, token.TokenServiceType, status.Endpoint)
	}
	var a MachineInfo
	message(t, "ota-attributes", &a)
	if (a != MachineInfo{UDID: "00008130-001A2B3C4D5E6F70", Serial: "C39XK1ABCD01", Product: "iPhone17,2", Build: "23B85", IMEI: "35 693803 000001 6",
		MEID: "35693803000001", Language: "de_DE", Challenge: "the-secret-of-the-request"}) {
		t.Errorf("%+v", a)
	}
}

func ptr[T any](v T) *T { return &v }

func TestPlatformOf(t *testing.T) {
	for product, want := range map[string]enroll.Platform{
		"iPhone17,2": enroll.PlatformIOS, "iPad16,3": enroll.PlatformIOS, "iPod9,1": enroll.PlatformIOS,
		"Mac15,6": enroll.PlatformApple, "MacBookPro18,3": enroll.PlatformApple, "AppleTV14,1": enroll.PlatformApple, "Watch7,5": enroll.PlatformApple,
		"": enroll.PlatformApple, "iphone17,2": enroll.PlatformApple,
	} {
		if got := PlatformOf(product); got != want {
			t.Errorf("%q is %s; want %s", product, got, want)
		}
	}
}

// TestKnowsUnrecognized: who does not know the 403 has to be told 401.
func TestKnowsUnrecognized(t *testing.T) {
	for _, c := range []struct {
		product, version string
		want             bool
	}{
		{"iPhone17,2", "26.1", true}, {"iPhone12,1", "17.0", true}, {"iPhone10,6", "16.7.10", false}, {"iPad6,11", "9.3.5", false}, {"iPad16,3", "17", true},
		{"AppleTV14,1", "17.1", true}, {"AppleTV11,1", "16.6", false},
		{"Mac15,6", "14.0", true}, {"MacBookPro18,3", "13.6", false}, {"iMac21,1", "14.2", true},
		{"Watch7,5", "10.0", true}, {"Watch6,1", "9.6", false},
		{"iPhone17,2", "", false}, {"iPhone17,2", "unknown", false}, {"", "26.1", false}, {"RealityDevice14,1", "2.0", false},
	} {
		if got := knowsUnrecognized(c.product, c.version); got != c.want {
			t.Errorf("%s with %s: %v", c.product, c.version, got)
		}
	}
}

// TestFailure: what is kept of an answer are the device's own words.
func TestFailure(t *testing.T) {
	for name, want := range map[string]string{
		"idle":                            "Idle",
		"acknowledged-device-information": "",
		"acknowledged-security-info":      "",
		"settings-all-well":               "",
		"settings-item-failed":            "DeviceName: Error MCMDMErrorDomain 12053: The device is not supervised",
		"error-install-profile":           "MCInstallationErrorDomain 4001: Profile Installation Failed; MCPayloadErrorDomain 2002: The payload is invalid",
		"error-without-english":           "MCMDMErrorDomain 12021: Unbekannter Befehl",
		"error-without-chain":             "Error",
		"command-format-error":            "CommandFormatError",
		"install-application-rejected":    "Error: AppStoreDisabled",
		"install-application-refused":     "PurchaseMethodNotSupported",
	} {
		var a answer
		message(t, name, &a)
		if got := a.failure(); got != want {
			t.Errorf("%s: %q; want %q", name, got, want)
		}
	}
	long := words([]chainedError{{ErrorDomain: "D", ErrorCode: 1, USEnglishDescription: strings.Repeat("ü", maxErrorText)}})
	if len(long) > maxErrorText || !utf8.ValidString(long) {
		t.Errorf("%d bytes, valid %v", len(long), utf8.ValidString(long))
	}
}

func TestFactsOfAnswers(t *testing.T) {
	var a answer
	message(t, "acknowledged-device-information", &a)
	want := enroll.Facts{Product: "iPhone17,2", Model: "iPhone", OSVersion: "26.1", BuildVersion: "23B85", DeviceName: "iPhone", Supervised: ptr(true),
		Extra: map[string]string{"DeviceCapacity": "128", "AvailableDeviceCapacity": "97.52", "BatteryLevel": "0.8", "IsMultiUser": "false", "CellularTechnology": "1",
			"WiFiMAC": "a4:83:e7:01:02:03", "BluetoothMAC": "a4:83:e7:01:02:04", "TimeZone": "Europe/Berlin", "ModelNumber": "MX0A3LL/A"}}
	if diff := cmp.Diff(want, a.facts()); diff != "" {
		t.Errorf("device information (-want +got):\n%s", diff)
	}
	a = answer{}
	message(t, "acknowledged-security-info", &a)
	want = enroll.Facts{Extra: map[string]string{"HardwareEncryptionCaps": "3", "PasscodePresent": "true", "PasscodeCompliant": "true", "PasscodeCompliantWithProfiles": "false"}}
	if diff := cmp.Diff(want, a.facts()); diff != "" {
		t.Errorf("security info (-want +got):\n%s", diff)
	}
	a = answer{}
	message(t, "not-now", &a)
	if !a.facts().Empty() {
		t.Errorf("facts of a NotNow: %+v", a.facts())
	}
	a = answer{QueryResponses: map[string]any{"TimeZone": strings.Repeat("x", 257), "BatteryLevel": []any{1}, "IsSupervised": "yes"}}
	if f := a.facts(); !f.Empty() {
		t.Errorf("nonsense is kept: %+v", f)
	}
}

func TestCodes(t *testing.T) {
	a := answer{ErrorChain: []chainedError{{ErrorCode: 12007, LocalizedDescription: "Ann's iPhone"}}, Settings: []settingResult{{ErrorChain: []chainedError{{ErrorCode: 4001}}}}}
	if diff := cmp.Diff([]int64{12007, 4001}, a.codes()); diff != "" {
		t.Error(diff)
	}
}
