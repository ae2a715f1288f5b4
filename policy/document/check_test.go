package document

import (
	"errors"
	"strings"
	"testing"

	"rollcall/enroll"
)

// checkFails wants an error of a code at a place, with a hint.
func checkFails(t *testing.T, d Document, code, pointer string) {
	t.Helper()
	var e *enroll.Error
	switch err := d.Check(); {
	case !errors.As(err, &e):
		t.Errorf("%s at %s: got %v", code, pointer, err)
	case e.Kind != enroll.KindInvalid || e.Code != code || !strings.HasPrefix(e.Text, pointer+": "):
		t.Errorf("got %s, %s: %s; want %s at %s", e.Kind, e.Code, e.Text, code, pointer)
	case e.Hint == "" && !strings.HasPrefix(pointer, "/apple/"):
		t.Errorf("%s at %s: no hint", code, pointer)
	}
}

func TestCheck(t *testing.T) {
	ok := ""
	wifi := func(s string) string { return `{"wifi":[{"ssid":"x",` + s + `}]}` }
	vpn := func(s string) string { return `{"vpn":[{"name":"x",` + s + `}]}` }
	app := func(s string) string { return `{"apps":{"required":[{` + s + `}]}}` }
	for _, c := range []struct{ doc, code, pointer string }{
		{`{}`, ok, ""},
		{`{"device_name":"a\u0007"}`, "text", "/device_name"},
		{`{"device_name":"{serial} {{serial}}"}`, ok, ""},
		{`{"device_name":"{seriel}"}`, "variable", "/device_name"},
		{`{"web_clips":[{"name":"a","url":"https://x/{user.mail}"}]}`, "variable", "/web_clips/0/url"},
		{app(`"package":"x","configuration":{"a":"{whatever}"}`), ok, ""},

		{`{"passcode":{"min_length":2,"min_complex_characters":3}}`, "passcode_contradiction", "/passcode/min_complex_characters"},
		{`{"passcode":{"simple":"allow","complexity":"medium"}}`, "passcode_contradiction", "/passcode/simple"},
		{`{"passcode":{"simple":"allow","complexity":"low"}}`, ok, ""},

		{`{"certificates":[{"name":"a","kind":"root","data":"AAAA"}]}`, "certificate_data", "/certificates/0/data"},
		{`{"certificates":[{"name":"a","kind":"pkcs12","data":"AAAA"}]}`, "certificate_data", "/certificates/0/data"},
		{`{"certificates":[{"name":"a","kind":"root","data":"AAAA","password":"x"}]}`, "certificate_password", "/certificates/0/password"},

		{`{"wifi":[{"ssid":"x","security":"open"},{"ssid":"x","security":"open"}]}`, "twice", "/wifi/1"},
		{`{"wifi":[{"ssid":"ääääääääääääääääääää","security":"open"}]}`, "wifi_ssid", "/wifi/0/ssid"},
		{wifi(`"security":"open","password":"x"`), "wifi_password", "/wifi/0/password"},
		{wifi(`"security":"wpa2"`), "wifi_password", "/wifi/0/password"},
		{wifi(`"security":"wpa2","password":"1234567"`), "wifi_password", "/wifi/0/password"},
		{wifi(`"security":"wpa3","password":"12345678"`), ok, ""},
		{wifi(`"security":"wpa2","password":"` + strings.Repeat("g", 64) + `"`), "wifi_password", "/wifi/0/password"},
		{wifi(`"security":"wpa2","password":"` + strings.Repeat("a", 64) + `"`), ok, ""},
		{wifi(`"security":"wpa2","password":"ääääääää"`), "wifi_password", "/wifi/0/password"},
		{wifi(`"security":"wep","password":"123456"`), "wifi_password", "/wifi/0/password"},
		{wifi(`"security":"wep","password":"0123456789"`), ok, ""},
		{wifi(`"security":"eap"`), "wifi_eap", "/wifi/0/eap"},
		{wifi(`"security":"open","eap":{"methods":["peap"]}`), "wifi_eap", "/wifi/0/eap"},
		{wifi(`"security":"eap","eap":{"methods":null}`), "wifi_eap", "/wifi/0/eap/methods"},
		{wifi(`"security":"eap","eap":{"methods":["tls"]}`), "wifi_certificate", "/wifi/0/eap/certificate"},
		{wifi(`"security":"eap","eap":{"methods":["tls"],"certificate":"x"}`), "certificate_unknown", "/wifi/0/eap/certificate"},
		{wifi(`"security":"eap","eap":{"methods":["peap"],"trusted_roots":["x"]}`), "certificate_unknown", "/wifi/0/eap/trusted_roots/0"},
		{wifi(`"security":"open","proxy":{}`), "wifi_proxy", "/wifi/0/proxy"},
		{wifi(`"security":"open","proxy":{"server":"x"}`), "wifi_proxy", "/wifi/0/proxy/port"},
		{wifi(`"security":"open","proxy":{"server":"x","port":1,"pac_url":"https://x"}`), "wifi_proxy", "/wifi/0/proxy"},

		{vpn(`"username":"x"`), "vpn_empty", "/vpn/0"},
		{vpn(`"server":"x"`), "vpn_authentication", "/vpn/0/authentication"},
		{vpn(`"server":"x","authentication":"shared_secret"`), "vpn_authentication", "/vpn/0/shared_secret"},
		{vpn(`"server":"x","authentication":"password"`), "vpn_authentication", "/vpn/0/username"},
		{vpn(`"server":"x","authentication":"password","username":"u"`), "vpn_remote_id", "/vpn/0/remote_id"},
		{vpn(`"server":"x","remote_id":"x","authentication":"certificate","certificate":"c"`), "certificate_unknown", "/vpn/0/certificate"},
		{vpn(`"server":"x","remote_id":"x","authentication":"password","username":"u","lockdown":true`), "vpn_lockdown", "/vpn/0/lockdown"},
		{`{"vpn":[{"name":"a","android_package":"x"},{"name":"b","android_package":"y"}]}`, "vpn_always_on", "/vpn/1/android_package"},

		{`{"web_clips":[{"name":"a","url":"x"}]}`, "url", "/web_clips/0/url"},
		{`{"web_clips":[{"name":"a","url":"javascript:alert(1)"}]}`, "url", "/web_clips/0/url"},
		{`{"web_clips":[{"name":"a","url":"https://x","icon":"AAAA"}]}`, "web_clip_icon", "/web_clips/0/icon"},
		{`{"web_clips":[{"name":"a","url":"https://x"},{"name":"a","url":"https://y"}]}`, "twice", "/web_clips/1"},

		{app(`"name":"x"`), "app_empty", "/apps/required/0"},
		{app(`"app_store_id":1,"manifest_url":"https://x"`), "app_source", "/apps/required/0/manifest_url"},
		{app(`"bundle_id":"x","license":"user"`), "app_license", "/apps/required/0/license"},
		{app(`"bundle_id":"x","apk_url":"https://x"`), "app_package", "/apps/required/0/apk_url"},
		{app(`"manifest_url":"http://x/y"`), "url", "/apps/required/0/manifest_url"},
		{`{"apps":{"allowed":[],"blocked":[{"package":"x"}]}}`, "apps_contradiction", "/apps/blocked"},
		{`{"apps":{"required":[{"bundle_id":"b","package":"x"}],"blocked":[{"package":"x"}]}}`, "apps_contradiction", "/apps/required/0"},
		{`{"apps":{"blocked":[{"package":"x"}]},"single_app":{"package":"x"}}`, "apps_contradiction", "/single_app"},
		{`{"apps":{"required":[{"package":"x"},{"bundle_id":"y","package":"x"}]}}`, "twice", "/apps/required/1"},
		{`{"apps":{"required":[{"package":"x"}],"allowed":[{"package":"x"}]}}`, ok, ""},

		{`{"web_filter":{"allow_only":[],"denied":["https://x"]}}`, "web_filter_contradiction", "/web_filter/denied"},
		{`{"web_filter":{"permitted":["https://x"],"denied":["https://x"]}}`, "web_filter_contradiction", "/web_filter/permitted/0"},
		{`{"web_filter":{"allow_only":[{"title":"a","url":"https://x"},{"title":"b","url":"https://x"}]}}`, "twice", "/web_filter/allow_only/1"},

		{`{"os_update":{"mode":"windowed"}}`, "os_update_window", "/os_update/window_end_minute"},
		{`{"os_update":{"mode":"automatic","window_end_minute":1}}`, "os_update_window", "/os_update/mode"},
		{`{"os_update":{"target_version":"26.1"}}`, "os_update_deadline", "/os_update/deadline"},
		{`{"os_update":{"target_version":"26.1","deadline":"2026-13-01T00:00:00"}}`, "os_update_deadline", "/os_update/deadline"},
		{`{"os_update":{"target_version":"latest","deadline":"2026-12-01T00:00:00"}}`, "os_update_version", "/os_update/target_version"},

		{`{"home_screen":{"dock":[{}]}}`, "icon", "/home_screen/dock/0"},
		{`{"home_screen":{"pages":[[{"bundle_id":"x","folder":"y"}]]}}`, "icon", "/home_screen/pages/0/0"},
		{`{"home_screen":{"pages":[[{"folder":"y"}]]}}`, "icon", "/home_screen/pages/0/0/icons"},
		{`{"home_screen":{"pages":[[{"folder":"y","icons":[{"folder":"z","icons":[{"bundle_id":"x"}]}]}]]}}`, "icon", "/home_screen/pages/0/0/icons/0/folder"},

		{`{"android":{"policy":{"name":"x"}}}`, "android_field", "/android/policy/name"},
		{`{"android":{"policy":{"a/b":null}}}`, "android_field", "/android/policy/a~1b"},
		{`{"apple":{"profiles":[{"id":"a b","payloads":[]}]}}`, "profile_id", "/apple/profiles/0"},
		{`{"apple":{"profiles":[{"id":"a","payloads":[{"type":"com.apple.mdm","content":{}}]}]}}`, "payload_forbidden", "/apple/profiles/0/payloads/0"},
	} {
		d := parse(t, c.doc)
		if c.code != ok {
			checkFails(t, d, c.code, c.pointer)
		} else if err := d.Check(); err != nil {
			t.Errorf("%s: %v", c.doc, err)
		}
	}
}

// TestCertificateKind: what refers to a certificate says what kind it has to be.
func TestCertificateKind(t *testing.T) {
	d := parse(t, everything)
	d.WiFi[2].EAP.Certificate = "root"
	checkFails(t, d, "certificate_kind", "/wifi/2/eap/certificate")
	d = parse(t, everything)
	d.WiFi[2].EAP.TrustedRoots = []string{"identity"}
	checkFails(t, d, "certificate_kind", "/wifi/2/eap/trusted_roots/0")
}

func TestWarnings(t *testing.T) {
	for _, c := range []struct {
		doc  string
		want string
	}{
		{`{}`, ""},
		{`{"passcode":{"min_length":4}}`, "/passcode/required"},
		{`{"passcode":{"required":true,"min_length":4}}`, ""},
		{`{"wifi":[{"ssid":"x","security":"wep","password":"12345"}]}`, "/wifi/0/security"},
		{`{"wifi":[{"ssid":"x","security":"eap","eap":{"methods":["peap"]}}]}`, "/wifi/0/eap"},
		{`{"email":[{"name":"a","type":"imap","incoming":{"host":"h"},"outgoing":{"host":"h","tls":false}}]}`, "/email/0/outgoing/tls"},
		{`{"apps":{"allowed":[{"package":"x"}]}}`, "/apps/allowed"},
		{`{"apps":{"allowed":[{"package":"x"}],"required":[{"bundle_id":"x"}]}}`, ""},
		{`{"web_filter":{"permitted":["https://x"]}}`, "/web_filter/permitted"},
		{`{"home_screen":{"pages":[[{"web_clip":"https://x"}]]}}`, "/home_screen/pages/0/0/web_clip"},
	} {
		var got []string
		for _, n := range parse(t, c.doc).Warnings() {
			if n.Code != NoteDoubtful || n.Text == "" {
				t.Errorf("%s: %+v", c.doc, n)
			}
			got = append(got, n.Pointer)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: warnings at %v, want %q", c.doc, got, c.want)
		}
	}
}
