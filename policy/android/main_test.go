package android

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/enroll"
	"rollcall/policy/document"
)

var update = flag.Bool("update", false, "write the golden files anew")

func parse(t testing.TB, s string) document.Document {
	t.Helper()
	var d document.Document
	dec := json.NewDecoder(strings.NewReader(s))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return d
}

func everything(t testing.TB) document.Document {
	t.Helper()
	b, err := os.ReadFile("../../testdata/policy/everything.json")
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(b))
}

func target(mode document.Management) document.Target {
	return document.Target{Platform: enroll.PlatformAndroid, Management: mode, APILevel: 36}
}

const eap = `"server_names":["radius.example.com"]`

// features are documents that say one thing each. Certificates are taken from
// everything.json where a document names them.
var features = map[string]string{
	"empty":              `{}`,
	"allowed":            `{"restrictions":{"usb_transfer":"allow","backup":"allow","encrypted_backup":"optional","location":"user"}}`,
	"location_on":        `{"restrictions":{"location":"on"}}`,
	"one_direction":      `{"restrictions":{"managed_to_unmanaged":"deny"}}`,
	"other_direction":    `{"restrictions":{"unmanaged_to_managed":"deny"}}`,
	"safe_boot":          `{"restrictions":{"safe_boot":"deny"}}`,
	"unknown_sources":    `{"restrictions":{"unknown_sources":"deny"}}`,
	"passcode":           `{"passcode":{"required":true}}`,
	"passcode_length":    `{"passcode":{"required":true,"min_length":6,"history":5,"max_age_days":90,"max_failed_attempts":10,"lock_after_seconds":300}}`,
	"passcode_low":       `{"passcode":{"required":true,"complexity":"low"}}`,
	"passcode_medium":    `{"passcode":{"required":true,"complexity":"medium"}}`,
	"passcode_high":      `{"passcode":{"required":true,"complexity":"high"}}`,
	"passcode_detailed":  `{"passcode":{"required":true,"complexity":"high","min_length":6,"alphanumeric":true,"work_profile":true}}`,
	"passcode_banded":    `{"passcode":{"required":true,"complexity":"medium","min_length":3}}`,
	"passcode_simple":    `{"passcode":{"required":true,"simple":"deny"}}`,
	"passcode_symbols":   `{"passcode":{"required":true,"min_length":1,"min_complex_characters":3,"grace_seconds":0}}`,
	"passcode_optional":  `{"passcode":{"min_length":6,"complexity":"low","simple":"deny","alphanumeric":true,"min_complex_characters":1,"work_profile":true,"history":2}}`,
	"wifi":               `{"wifi":[{"ssid":"z","security":"open","hidden":true,"auto_join":false,"disable_private_address":true},{"ssid":"w","security":"wep","password":"abcde"},{"ssid":"p","security":"wpa2","password":"passphrase","proxy":{"server":"proxy","port":3128,"username":"u","password":"x"}},{"ssid":"q","security":"wpa3","password":"passphrase","proxy":{"pac_url":"https://x/p"}}]}`,
	"wifi_tls":           `{"wifi":[{"ssid":"o","security":"eap","eap":{"methods":["tls"],"identity":"me","certificate":"open","trusted_roots":["root"],` + eap + `}}]}`,
	"wifi_ttls":          `{"wifi":[{"ssid":"o","security":"eap","eap":{"methods":["leap","ttls","peap"],"identity":"me","anonymous_identity":"a","password":"secret","phase2":"pap","trusted_roots":["root"],` + eap + `}}]}`,
	"wifi_sim":           `{"wifi":[{"ssid":"o","security":"eap","eap":{"methods":["sim"]}}]}`,
	"wifi_unable":        `{"wifi":[{"ssid":"a","security":"eap","eap":{"methods":["fast"]}},{"ssid":"b","security":"eap","eap":{"methods":["peap"]}},{"ssid":"c","security":"eap","eap":{"methods":["ttls"],"phase2":"chap",` + eap + `}},{"ssid":"d","security":"eap","eap":{"methods":["tls"],"certificate":"identity",` + eap + `}}]}`,
	"vpn":                `{"vpn":[{"name":"a","android_package":"com.vpn","lockdown":true,"server":"s"},{"name":"b","server":"s"},{"name":"c","android_package":"com.other"}],"apps":{"required":[{"package":"com.vpn"}]}}`,
	"vpn_not_required":   `{"vpn":[{"name":"a","android_package":"com.vpn"}]}`,
	"apps":               `{"apps":{"required":[{"name":"M","bundle_id":"com.m","package":"com.m","removable":false,"configuration":{"a":{"b":[1,true,"x"]}}},{"package":"com.a","removable":true,"apk_url":"https://x/a.apk"},{"bundle_id":"com.apple"}],"blocked":[{"package":"com.z"},{"bundle_id":"com.q"}]}}`,
	"apps_allowed":       `{"apps":{"required":[{"package":"com.m"}],"allowed":[{"package":"com.n","apk_url":"https://x/n.apk","configuration":{"x":1}},{"bundle_id":"com.q"}]}}`,
	"apps_closed":        `{"apps":{"allowed":[]}}`,
	"app_install":        `{"restrictions":{"app_install":"deny"}}`,
	"app_install_needed": `{"restrictions":{"app_install":"deny"},"apps":{"required":[{"package":"com.m"}]}}`,
	"app_store":          `{"restrictions":{"app_store":"deny"}}`,
	"web_filter":         `{"web_filter":{"adult_content":"deny","permitted":["https://a"],"denied":["https://b"]}}`,
	"web_allow_only":     `{"web_filter":{"allow_only":[{"title":"A","url":"https://a"}]},"apps":{"required":[{"package":"com.android.chrome"}]}}`,
	"web_filter_blocked": `{"web_filter":{"denied":["https://b"]},"apps":{"blocked":[{"package":"com.android.chrome"}]}}`,
	"web_filter_own":     `{"web_filter":{"denied":["https://b"]},"apps":{"required":[{"package":"com.android.chrome","configuration":{"x":1}}]}}`,
	"lock_message":       `{"lock_message":"Call 1"}`,
	"os_update":          `{"os_update":{"mode":"automatic","defer_days":3,"target_version":"1","deadline":"2026-12-24T18:00:00","min_api_level":33}}`,
	"os_update_window":   `{"os_update":{"mode":"windowed","window_start_minute":0,"window_end_minute":60}}`,
	"os_update_postpone": `{"os_update":{"mode":"postpone"}}`,
	"kiosk":              `{"single_app":{"package":"com.k","apk_url":"https://x","configuration":{"a":1}},"apps":{"required":[{"package":"com.k","removable":true}]}}`,
	"kiosk_configured":   `{"single_app":{"package":"com.k"},"apps":{"required":[{"package":"com.k","configuration":{"a":1}}]}}`,
	"kiosk_apple":        `{"single_app":{"bundle_id":"com.k"}}`,
	"absent":             `{"device_name":"x","email":[{"name":"w","type":"imap","incoming":{"host":"h"},"outgoing":{"host":"h"}}],"web_clips":[{"name":"w","url":"https://w"}],"home_screen":{"dock":[{"package":"com.x"}]}}`,
	"raw":                `{"android":{"policy":{"funDisabled":true,"cameraAccess":"CAMERA_ACCESS_ENFORCED","maximumTimeToLock":"1","passwordPolicies":[]}},"restrictions":{"camera":"deny"},"passcode":{"required":true,"max_failed_attempts":5}}`,
}

// feature gives a document by its name, and everything.json by "everything".
func feature(t testing.TB, name string) document.Document {
	t.Helper()
	all := everything(t)
	if name == "everything" {
		return all
	}
	if name == "restrictions" {
		return document.Document{Restrictions: all.Restrictions}
	}
	d := parse(t, features[name])
	if strings.HasPrefix(name, "wifi_") {
		d.Certificates = append(all.Certificates, document.Certificate{Name: "open", Kind: "pkcs12", Data: all.Certificates[1].Data})
	}
	return d
}

func featureNames() []string {
	out := []string{"everything", "restrictions"}
	for name := range features {
		out = append(out, name)
	}
	return out
}

var modes = []document.Management{document.FullyManaged, document.CompanyWorkProfile, document.PersonalWorkProfile}

// TestGolden holds what each feature becomes; the notes stand below.
func TestGolden(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range featureNames() {
		d := feature(t, name)
		var b, last bytes.Buffer
		for _, mode := range modes {
			body, notes := Compile(d, target(mode))
			if name != "empty" {
				body = beyondEmpty(t, body, mode)
			}
			one := golden(t, body, notes)
			if bytes.Equal(one, last.Bytes()) {
				fmt.Fprintf(&b, "# %s: the same\n", mode)
				continue
			}
			fmt.Fprintf(&b, "# %s\n%s", mode, one)
			last.Reset()
			last.Write(one)
		}
		compare(t, name, b.Bytes())
		seen[name+".golden"] = true
	}
	agent, notes := Agent(everything(t), target(document.FullyManaged))
	compare(t, "agent", golden(t, agent, notes))
	seen["agent.golden"] = true
	files, err := filepath.Glob("../../testdata/policy/android/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !seen[filepath.Base(f)] {
			t.Errorf("%s belongs to no feature", f)
		}
	}
}

// beyondEmpty leaves out what the empty document has as well.
func beyondEmpty(t *testing.T, body Policy, mode document.Management) Policy {
	empty, _ := Compile(document.Document{}, target(mode))
	out := Policy{}
	for k, v := range body {
		a, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := json.Marshal(empty[k])
		if !bytes.Equal(a, b) {
			out[k] = v
		}
	}
	return out
}

func golden(t *testing.T, v any, notes []document.Note) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	for _, n := range notes {
		fmt.Fprintf(&b, "%s: %s: %s\n", n.Pointer, n.Code, n.Text)
	}
	return b.Bytes()
}

func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("../../testdata/policy/android", name+".golden")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run go test ./policy/android -update and look at the change", err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}
