package document

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const rawSecrets = `{"apple":{"profiles":[{"id":"p","payloads":[
	{"type":"com.apple.security.pkcs12","content":{"PayloadContent":{"$data":"cDEyLWZpbGU="},"Password":"raw-1"}},
	{"type":"com.apple.wifi.managed","content":{"SSID_STR":"x","EAPClientConfiguration":{"UserPassword":"raw-2","list":[{"SharedSecret":"raw-3"}]}}}]}]},
	"android":{"policy":{"openNetworkConfiguration":{"NetworkConfigurations":[{"WiFi":{"Passphrase":"raw-4","SSID":"x"}}],"Certificates":[{"PKCS12":"raw-5"}]},"passwordPolicies":[{"passwordQuality":"SOMETHING"}],"funDisabled":true,"minimumApiLevel":30}},
	"apps":{"allowed":[{"bundle_id":"com.x","configuration":{"apiKey":"raw-6","keep":"y"}}]},"single_app":{"bundle_id":"com.k","configuration":{"deep":{"token":"raw-7"}}}}`

func TestRedacted(t *testing.T) {
	for _, doc := range []string{everything, rawSecrets} {
		d := parse(t, doc)
		before, _ := json.Marshal(d)
		redacted, err := json.Marshal(d.Redacted())
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"home-secret", "proxy-secret", "eap-secret", "vpn-secret", "vpn-password", "imap-secret", "smtp-secret", "p12-secret", "app-secret",
			"raw-", "cDEyLWZpbGU=", "MIIEQQIBAzCCA"} {
			if strings.Contains(string(redacted), secret) {
				t.Errorf("%s can be read in %s", secret, redacted)
			}
		}
		for _, said := range []string{`"guest"`, "proxy.example.com", `"funDisabled":true`, `"passwordQuality":"SOMETHING"`} {
			if strings.Contains(doc, strings.ReplaceAll(said, `":`, `": `)) && !strings.Contains(string(redacted), said) {
				t.Errorf("%s is gone", said)
			}
		}
		if after, _ := json.Marshal(d); string(after) != string(before) {
			t.Error("the document itself was changed")
		}
		var sent Document
		if err := json.Unmarshal(redacted, &sent); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(asJSON(t, d), asJSON(t, sent.WithKept(d))); diff != "" {
			t.Errorf("sent back (-want +got):\n%s", diff)
		}
	}
}

// TestEverySecretIsRedacted looks for fields of the type that the function does
// not know.
func TestEverySecretIsRedacted(t *testing.T) {
	d := parse(t, everything).Redacted()
	found := map[string]bool{}
	var walk func(v reflect.Value, path string)
	walk = func(v reflect.Value, path string) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem(), path)
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i), path)
			}
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i), path+"."+v.Type().Field(i).Name)
			}
		case reflect.String:
			if v.Type() == reflect.TypeFor[Secret]() && v.String() != "" {
				found[path] = true
				if v.String() != Kept {
					t.Errorf("%s can be read", path)
				}
			}
		}
	}
	walk(reflect.ValueOf(d), "")
	if len(found) != 8 {
		t.Errorf("everything.json has secrets at %v; want each of the eight fields", found)
	}
}

func TestWithKept(t *testing.T) {
	old := parse(t, everything)
	d := parse(t, everything).Redacted()
	slices.Reverse(d.WiFi)
	d.WiFi[0].EAP.Identity = "else"
	d.VPN = d.VPN[1:]
	d.VPN[0].SharedSecret = "new"
	got := d.WithKept(old)
	if got.WiFi[2].Password != "home-secret" || got.WiFi[0].EAP.Password != "eap-secret" || got.WiFi[0].EAP.Identity != "else" || got.VPN[0].SharedSecret != "new" || got.VPN[1].Password != "vpn-password" {
		t.Errorf("got %+v", got)
	}
	if err := got.Check(); err != nil {
		t.Error(err)
	}
	d.WiFi[2].SSID = "renamed"
	checkFails(t, d.WithKept(old), "secret_missing", "/wifi/2/password")
	checkFails(t, parse(t, `{"certificates":[{"name":"a","kind":"pkcs12","data":"KioqKioqKio="}]}`), "secret_missing", "/certificates/0/data")
	checkFails(t, parse(t, `{"apple":{"profiles":[{"id":"p","payloads":[{"type":"x","content":{"Password":"********"}}]}]}}`), "secret_missing", "/apple/profiles/0/payloads/0/content/Password")
	checkFails(t, parse(t, `{"android":{"policy":{"a":{"Passphrase":"********"}}}}`), "secret_missing", "/android/policy/a")
}
