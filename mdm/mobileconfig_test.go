package mdm

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/certs/cms"
	"rollcall/enroll"
	"rollcall/mdm/plist"
	"rollcall/policy"
	"rollcall/policy/document"
)

// mobileconfig is a profile as another product exports it.
func mobileconfig(t *testing.T, change func(top map[string]any)) []byte {
	t.Helper()
	top := map[string]any{"PayloadType": "Configuration", "PayloadVersion": 1, "PayloadIdentifier": "com.example.office", "PayloadUUID": "AAAAAAAA-0000-4000-8000-000000000000",
		"PayloadDisplayName": "Office", "PayloadOrganization": "Example", "PayloadContent": []any{
			map[string]any{"PayloadType": "com.apple.security.root", "PayloadVersion": 1, "PayloadIdentifier": "com.example.office.root", "PayloadUUID": "BBBBBBBB-0000-4000-8000-000000000000",
				"PayloadDisplayName": "Root", "PayloadDescription": "The root", "PayloadContent": []byte{1, 2, 3}},
			map[string]any{"PayloadType": "com.apple.wifi.managed", "PayloadVersion": 1, "PayloadIdentifier": "com.example.office.wifi", "PayloadUUID": "CCCCCCCC-0000-4000-8000-000000000000",
				"SSID_STR": "Example", "EAPClientConfiguration": map[string]any{"AcceptEAPTypes": []any{13}, "PayloadCertificateAnchorUUID": []any{"BBBBBBBB-0000-4000-8000-000000000000"}}},
		}}
	if change != nil {
		change(top)
	}
	body, err := plist.Encode(top)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func sign(t *testing.T, body []byte) []byte {
	t.Helper()
	der, err := cms.Sign(body, identityOf(t, "profile signer"), deviceKey())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestParseMobileconfig: what another product made is taken as it is; only the
// envelope becomes ours. Foreign identifiers and UUIDs are kept, since payloads
// refer to each other by them.
func TestParseMobileconfig(t *testing.T) {
	want := document.Profile{DisplayName: "Office", Payloads: []document.Payload{
		{Type: "com.apple.security.root", Identifier: "com.example.office.root", UUID: "BBBBBBBB-0000-4000-8000-000000000000", DisplayName: "Root",
			Content: document.Dict{"PayloadContent": []byte{1, 2, 3}}},
		{Type: "com.apple.wifi.managed", Identifier: "com.example.office.wifi", UUID: "CCCCCCCC-0000-4000-8000-000000000000", Content: document.Dict{"SSID_STR": "Example",
			"EAPClientConfiguration": map[string]any{"AcceptEAPTypes": []any{int64(13)}, "PayloadCertificateAnchorUUID": []any{"BBBBBBBB-0000-4000-8000-000000000000"}}}},
	}}
	plain := mobileconfig(t, nil)
	for name, body := range map[string][]byte{"plain": plain, "signed": sign(t, plain)} {
		got, err := ParseMobileconfig(body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		got.ID = "office"
		if err := (policy.Policy{Name: "P", Profiles: []document.Profile{got}}).Check(); err != nil {
			t.Errorf("%s is no policy: %v", name, err)
		}
		p, _ := testProfiles()
		made, err := p.Configuration("rollcall.policy.p-1.office", got)
		if err != nil {
			t.Fatal(err)
		}
		for _, kept := range []string{"com.example.office.wifi", "CCCCCCCC-0000-4000-8000-000000000000", "AQID"} {
			if !bytes.Contains(made, []byte(kept)) {
				t.Errorf("%s: %s is lost on the way to the device", name, kept)
			}
		}
		if bytes.Contains(made, []byte("AAAAAAAA-0000")) || !bytes.Contains(made, []byte("<string>rollcall.policy.p-1.office</string>")) {
			t.Errorf("%s: the envelope is not ours", name)
		}
	}
}

func TestParseMobileconfigRefuses(t *testing.T) {
	broken := sign(t, mobileconfig(t, nil))
	at := bytes.Index(broken, []byte("Example"))
	broken[at] ^= 1
	for code, body := range map[string][]byte{
		"mobileconfig_signature": broken,
		"mobileconfig_invalid":   []byte("0 not a profile"),
		"mobileconfig_encrypted": mobileconfig(t, func(top map[string]any) {
			delete(top, "PayloadContent")
			top["IsEncrypted"], top["EncryptedPayloadContent"] = true, []byte{1}
		}),
		"mobileconfig_type":      mobileconfig(t, func(top map[string]any) { top["PayloadType"] = "Profile Service" }),
		"mobileconfig_empty":     mobileconfig(t, func(top map[string]any) { top["PayloadContent"] = []any{} }),
		"mobileconfig_payload":   mobileconfig(t, func(top map[string]any) { top["PayloadContent"] = []any{"a payload"} }),
		"mobileconfig_too_large": bytes.Repeat([]byte(" "), maxMobileconfig+1),
	} {
		_, err := ParseMobileconfig(body)
		var known *enroll.Error
		if !errors.As(err, &known) || known.Code != code || known.Kind != enroll.KindInvalid {
			t.Errorf("%s: %v", code, err)
		}
	}
	for _, b := range []string{"", "not xml", "bplist00xxxx", "<plist><array/></plist>"} {
		if _, err := ParseMobileconfig([]byte(b)); enroll.KindOf(err) != enroll.KindInvalid {
			t.Errorf("%q: %v", b, err)
		}
	}
}

// TestMobileconfigCannotTakeTheDevice: an uploaded profile with an MDM payload
// is read, and then is no policy.
func TestMobileconfigCannotTakeTheDevice(t *testing.T) {
	f, err := ParseMobileconfig(mobileconfig(t, func(top map[string]any) {
		top["PayloadContent"] = []any{map[string]any{"PayloadType": "com.apple.mdm", "PayloadVersion": 1, "PayloadIdentifier": "x", "PayloadUUID": "y", "Topic": "t"}}
	}))
	if err != nil {
		t.Fatal(err)
	}
	f.ID = "takeover"
	var known *enroll.Error
	if err := (policy.Policy{Name: "P", Profiles: []document.Profile{f}}).Check(); !errors.As(err, &known) || known.Code != "payload_forbidden" {
		t.Errorf("error %v", err)
	}
}

func TestRawCommand(t *testing.T) {
	const envelope = `<plist version="1.0"><dict><key>CommandUUID</key><string>chosen-by-admin</string><key>Command</key><dict><key>RequestType</key><string>DeviceLock</string><key>Message</key><string>lost</string></dict></dict></plist>`
	const inner = `<plist version="1.0"><dict><key>RequestType</key><string>DeviceLock</string><key>Message</key><string>lost</string></dict></plist>`
	seen := map[string]bool{}
	for name, data := range map[string]string{"a whole command": envelope, "its inner dictionary": inner} {
		c, err := RawCommand([]byte(data))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := plist.DecodeDict(c.Body)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"CommandUUID": c.ID, "Command": map[string]any{"RequestType": "DeviceLock", "Message": "lost"}}
		if diff := cmp.Diff(want, got); diff != "" || c.RequestType != "DeviceLock" {
			t.Errorf("%s is %s (-want +got):\n%s", name, c.RequestType, diff)
		}
		if c.ID == "chosen-by-admin" || seen[c.ID] {
			t.Errorf("%s has the CommandUUID %s, which may be another's", name, c.ID)
		}
		seen[c.ID] = true
	}
	for name, data := range map[string]string{"nothing": "", "no property list": "{}", "no dictionary": "<plist><array/></plist>",
		"no RequestType": "<plist><dict><key>Command</key><dict/></dict></plist>", "a number": strings.Replace(inner, "<string>DeviceLock</string>", "<integer>1</integer>", 1)} {
		if _, err := RawCommand([]byte(data)); enroll.KindOf(err) != enroll.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
