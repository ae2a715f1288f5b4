package mdm

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/certs/cms"
	"rollcall/enroll"
	"rollcall/mdm/plist"
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
// envelope becomes ours, so that nothing on a device is taken for somebody
// else's. UUIDs by which payloads refer to each other are kept.
func TestParseMobileconfig(t *testing.T) {
	want := document.Profile{DisplayName: "Office", Payloads: []document.Payload{
		{Type: "com.apple.security.root", UUID: "BBBBBBBB-0000-4000-8000-000000000000", DisplayName: "Root",
			Content: document.Dict{"PayloadContent": []byte{1, 2, 3}}},
		{Type: "com.apple.wifi.managed", Content: document.Dict{"SSID_STR": "Example",
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
		if err := document.CheckProfiles("profiles", []document.Profile{got}); err != nil {
			t.Errorf("%s is no policy: %v", name, err)
		}
		p, _ := testProfiles()
		made, err := p.Configuration("rollcall.policy.p-1.office", got)
		if err != nil {
			t.Fatal(err)
		}
		for _, kept := range []string{"<string>BBBBBBBB-0000-4000-8000-000000000000</string>", "AQID", "<string>rollcall.policy.p-1.office</string>",
			"<string>rollcall.policy.p-1.office.1</string>", "<string>rollcall.policy.p-1.office.2</string>"} {
			if !bytes.Contains(made, []byte(kept)) {
				t.Errorf("%s: %s is not in what the device gets", name, kept)
			}
		}
		for _, foreign := range []string{"AAAAAAAA-0000", "CCCCCCCC-0000", "com.example"} {
			if bytes.Contains(made, []byte(foreign)) {
				t.Errorf("%s: the device gets the foreign %s", name, foreign)
			}
		}
		if n := bytes.Count(made, []byte("BBBBBBBB-0000-4000-8000-000000000000")); n != 2 {
			t.Errorf("%s: the reference by UUID is there %d times, want the certificate and the network", name, n)
		}
	}
}

func TestParseMobileconfigRefuses(t *testing.T) {
	broken := sign(t, mobileconfig(t, nil))
	at := bytes.Index(broken, []byte("Example"))
	broken[at] ^= 1
	encrypted := mobileconfig(t, func(top map[string]any) {
		delete(top, "PayloadContent")
		top["EncryptedPayloadContent"] = []byte{1}
	})
	if _, err := ParseMobileconfig(sign(t, encrypted)); err == nil || !strings.Contains(err.Error(), "encrypted") {
		t.Errorf("signed around encrypted: %v", err)
	}
	for code, body := range map[string][]byte{
		"mobileconfig_signature": broken,
		"mobileconfig_invalid":   []byte("0 not a profile"),
		"mobileconfig_encrypted": mobileconfig(t, func(top map[string]any) {
			delete(top, "PayloadContent")
			top["IsEncrypted"], top["EncryptedPayloadContent"] = true, []byte{1}
		}),
		"mobileconfig_type":      mobileconfig(t, func(top map[string]any) { top["PayloadType"] = "Profile Service" }),
		"mobileconfig_ends":      mobileconfig(t, func(top map[string]any) { top["DurationUntilRemoval"] = 3600.5 }),
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

// TestMobileconfigIsNoPolicy: what is read from a file and then cannot be part
// of a policy.
func TestMobileconfigIsNoPolicy(t *testing.T) {
	payload := func(more map[string]any) func(map[string]any) {
		d := map[string]any{"PayloadVersion": 1, "PayloadIdentifier": "x", "PayloadUUID": "DDDDDDDD-0000-4000-8000-000000000000"}
		maps.Copy(d, more)
		return func(top map[string]any) {
			top["PayloadContent"] = append(top["PayloadContent"].([]any), d)
		}
	}
	for name, c := range map[string]struct {
		change func(top map[string]any)
		code   string // of the error; empty: it is a policy
	}{
		"an MDM payload":                       {payload(map[string]any{"PayloadType": "com.apple.mdm", "Topic": "t"}), "payload_forbidden"},
		"a profile in the profile":             {payload(map[string]any{"PayloadType": "Configuration"}), "payload_forbidden"},
		"a payload without type":               {payload(nil), "payload_type"},
		"a type that is no text":               {payload(map[string]any{"PayloadType": 5}), "payload_type"},
		"our own identifiers":                  {payload(map[string]any{"PayloadType": "com.apple.wifi.managed", "PayloadIdentifier": EnrollmentIdentifier + ".mdm"}), ""},
		"the enrollment's envelope":            {func(top map[string]any) { top["PayloadIdentifier"] = EnrollmentIdentifier }, ""},
		"two of one UUID that are referred to": {payload(map[string]any{"PayloadType": "com.apple.security.root", "PayloadUUID": "bbbbbbbb-0000-4000-8000-000000000000"}), "payload_uuid_twice"},
		"two of one UUID":                      {payload(map[string]any{"PayloadType": "com.apple.security.root", "PayloadUUID": "cccccccc-0000-4000-8000-000000000000"}), ""},
		"never removed":                        {func(top map[string]any) { top["DurationUntilRemoval"] = 0 }, ""},
	} {
		f, err := ParseMobileconfig(mobileconfig(t, c.change))
		if err != nil {
			t.Errorf("%s is not read: %v", name, err)
			continue
		}
		f.ID = "upload"
		var known *enroll.Error
		err = document.CheckProfiles("profiles", []document.Profile{f})
		if code := ""; errors.As(err, &known) {
			if code = known.Code; code != c.code {
				t.Errorf("%s: error %v", name, err)
			}
			continue
		}
		if c.code != "" || err != nil {
			t.Errorf("%s: error %v, want %s", name, err, c.code)
			continue
		}
		p, _ := testProfiles()
		made, err := p.Configuration("rollcall.policy.p-1.upload", f)
		if err != nil || bytes.Contains(made, []byte(EnrollmentIdentifier)) {
			t.Errorf("%s reaches the device as part of the enrollment (%v)", name, err)
		}
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
