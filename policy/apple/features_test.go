package apple_test

import (
	"reflect"

	"rollcall/policy/document"
)

func ref[T any](v T) *T { return &v }

// features are documents that say one thing each, and all of it.
var features = map[string]document.Document{
	"empty":        {},
	"device_name":  {DeviceName: "Front desk"},
	"lock_message": {LockMessage: "Property of Example, call 555-0100"},
	"restrictions": {Restrictions: everyRestriction()},
	"usb_transfer": {Restrictions: &document.Restrictions{USBTransfer: document.Deny}},
	"host_pairing": {Restrictions: &document.Restrictions{HostPairing: document.Deny}},
	"passcode": {Passcode: &document.Passcode{Required: true, MinLength: 8, Complexity: "medium", Simple: document.Deny, Alphanumeric: true, MinComplexChars: 1,
		History: 5, MaxAgeDays: 365, MaxFailedAttempts: 10, LockAfterSeconds: 100, GraceSeconds: ref(90), WorkProfile: true}},
	"passcode_simple":   {Passcode: &document.Passcode{Required: true, Simple: document.Deny}},
	"passcode_required": {Passcode: &document.Passcode{Required: true}},
	"passcode_low":      {Passcode: &document.Passcode{Required: true, Complexity: "low"}},
	"passcode_high":     {Passcode: &document.Passcode{Required: true, Complexity: "high"}},
	"passcode_lock":     {Passcode: &document.Passcode{LockAfterSeconds: 3600, GraceSeconds: ref(0)}},
	"wifi": {WiFi: []document.WiFi{
		{SSID: "Guests", Security: "open", AutoJoin: ref(false)},
		{SSID: "Old", Security: "wep", Password: "abcde", Hidden: true},
		{SSID: "Office", Security: "wpa2", Password: "correct horse", PublicMAC: true,
			Proxy: &document.Proxy{Server: "proxy.example.com", Port: 3128, Username: "u", Password: "p"}},
		{SSID: "Büro 😀", Security: "wpa3", Password: "correct horse", Proxy: &document.Proxy{PACURL: "https://example.com/proxy.pac"}},
	}},
	"wifi_eap": {Certificates: testCertificates(), WiFi: []document.WiFi{
		{SSID: "Certificate", Security: "eap", EAP: &document.EAP{Methods: []string{"tls"}, Identity: "host/C39XK1ABCD01", Certificate: "Device", TrustedRoots: []string{"Root"}, ServerNames: []string{"radius.example.com"}}},
		{SSID: "Password", Security: "eap", EAP: &document.EAP{Methods: []string{"ttls", "peap"}, Identity: "ada", AnonymousIdentity: "anonymous", Password: "secret", Phase2: "mschapv2", TrustedRoots: []string{"Root", "Root"}}},
		{SSID: "Card", Security: "eap", EAP: &document.EAP{Methods: []string{"sim", "aka", "fast", "leap"}}},
	}},
	"vpn": {Certificates: testCertificates(), VPN: []document.VPN{
		{Name: "Secret", Server: "vpn.example.com", RemoteID: "vpn.example.com", LocalID: "ada", Authentication: "shared_secret", SharedSecret: "correct horse", OnDemand: true},
		{Name: "Certificate", Server: "vpn.example.com", RemoteID: "vpn.example.com", Authentication: "certificate", Certificate: "Device"},
		{Name: "Password", Server: "vpn.example.com", RemoteID: "vpn.example.com", Authentication: "password", Username: "ada", Password: "secret"},
		{Name: "App", AndroidPackage: "com.example.vpn", Lockdown: true},
	}},
	"email": {Email: []document.Email{
		{Name: "Office", Address: "ada@example.com", Type: "imap", PreventMove: true,
			Incoming: document.MailServer{Host: "imap.example.com", Port: 993, Username: "ada", Password: "secret", Authentication: "password"},
			Outgoing: document.MailServer{Host: "smtp.example.com", Port: 587, Username: "ada", Password: "secret", Authentication: "cram_md5"}},
		{Name: "Old", Type: "pop",
			Incoming: document.MailServer{Host: "pop.example.com", TLS: ref(false), Authentication: "ntlm"},
			Outgoing: document.MailServer{Host: "smtp.example.com", TLS: ref(false), Authentication: "none", Username: "x", Password: "other"}},
	}},
	"certificates": {Certificates: testCertificates()},
	"web_clips": {WebClips: []document.WebClip{
		{Name: "Help", URL: "https://help.example.com/C39XK1ABCD01", Icon: []byte("\x89PNG\r\n\x1a\n"), Removable: ref(false), FullScreen: true},
		{Name: "Canteen", URL: "https://example.com/canteen"},
	}},
	"apps": {Apps: &document.Apps{Required: []document.App{
		{Name: "Office", BundleID: "com.example.office", AppStoreID: 361309726, License: "device", NoBackup: true, Removable: ref(false),
			Configuration: document.Dict{"server": "https://example.com", "port": int64(443), "ratio": 0.5, "list": []any{true, document.Dict{"a": "b"}}}},
		{Name: "Own", BundleID: "com.example.own", ManifestURL: "https://example.com/own.plist", KeepOnRemoval: true},
		{AppStoreID: 1, License: "user"},
		{BundleID: "com.apple.mobilesafari", KeepOnRemoval: true, NoBackup: true},
		{Name: "Android only", Package: "com.example.android", APKURL: "https://example.com/a.apk"},
	}}},
	"apps_allowed": {
		WebClips: []document.WebClip{{Name: "Info", URL: "https://help.example.com"}},
		Apps: &document.Apps{Required: []document.App{{BundleID: "com.example.office"}, {BundleID: "com.example.own"}},
			Allowed: []document.App{{BundleID: "com.apple.mobilesafari"}, {BundleID: "com.example.own"}, {AppStoreID: 5, Package: "com.example.both"}, {Package: "com.example.android"}}}},
	"apps_allowed_none":     {Apps: &document.Apps{Allowed: []document.App{}}},
	"apps_blocked":          {Apps: &document.Apps{Blocked: []document.App{{BundleID: "com.example.game"}, {AppStoreID: 5, Package: "com.example.both"}, {Package: "com.example.android"}}}},
	"web_filter":            {WebFilter: &document.WebFilter{AdultContent: document.Deny, Permitted: []string{"https://example.com"}, Denied: []string{"https://bad.example.com"}}},
	"web_filter_allow_only": {WebFilter: &document.WebFilter{AllowOnly: []document.Bookmark{{Title: "Example", URL: "https://example.com"}}}},
	"web_filter_exceptions": {WebFilter: &document.WebFilter{Permitted: []string{"https://example.com"}}},
	"os_update_target":      {OSUpdate: &document.OSUpdate{TargetVersion: "26.2", Deadline: "2026-12-24T18:00:00", MinAPILevel: 33}},
	"os_update_automatic":   {OSUpdate: &document.OSUpdate{Mode: "automatic", DeferDays: 7}},
	"os_update_windowed":    {OSUpdate: &document.OSUpdate{Mode: "windowed", WindowStart: 60, WindowEnd: 240}},
	"os_update_postpone":    {OSUpdate: &document.OSUpdate{Mode: "postpone"}},
	"home_screen": {
		HomeScreen: &document.HomeScreen{
			Dock: []document.Icon{{BundleID: "com.apple.mobilephone"}, {Package: "com.example.android"}},
			Pages: [][]document.Icon{{{WebClip: "https://help.example.com"}, {Folder: "Tools", Icons: tenIcons()}, {Folder: "Android", Icons: []document.Icon{{Package: "a.b"}}}},
				{{BundleID: "com.apple.Preferences"}}}}},
	"single_app": {SingleApp: &document.App{Name: "Kiosk", BundleID: "com.example.kiosk"}},
	"raw": {Apple: &document.Apple{Profiles: []document.Profile{{ID: "01980000-0000-7000-8000-00000000000a.cellular", DisplayName: "Cellular", Payloads: []document.Payload{
		{Type: "com.apple.cellular", Identifier: "com.example.cellular", UUID: "CCCCCCCC-0000-4000-8000-000000000000", DisplayName: "APN", Content: document.Dict{"AttachAPN": document.Dict{"Name": "example"}}}}}}}},
}

func testCertificates() []document.Certificate {
	return []document.Certificate{
		{Name: "Root", Kind: "root", Data: []byte("-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n")},
		{Name: "Device", Kind: "pkcs12", Data: []byte("a pkcs12 file"), Password: "secret"},
	}
}

func tenIcons() []document.Icon {
	var out []document.Icon
	for _, c := range "abcdefghij" {
		out = append(out, document.Icon{BundleID: "com.example." + string(c)})
	}
	return out
}

// everyRestriction denies and requires everything.
func everyRestriction() *document.Restrictions {
	var r document.Restrictions
	v := reflect.ValueOf(&r).Elem()
	for i := range v.NumField() {
		switch v.Field(i).Interface().(type) {
		case document.Permission:
			v.Field(i).SetString(string(document.Deny))
		case document.Requirement:
			v.Field(i).SetString(string(document.Require))
		case document.Location:
			v.Field(i).SetString(string(document.LocationOff))
		}
	}
	return &r
}
