package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"rollcall/enroll"
	"rollcall/policy/document"
)

// good is a policy without fault.
func good() Policy {
	return Policy{Name: "Wi-Fi", DeviceName: "ipad-{serial}", Profiles: []document.Profile{
		{ID: "wifi", Payloads: []document.Payload{{Type: "com.apple.wifi.managed", UUID: "11111111-AAAA-4AAA-8AAA-111111111111", Content: document.Dict{"SSID_STR": "corp"}}}},
		{ID: "a.B_c-9", Payloads: []document.Payload{{Type: "com.apple.applicationaccess", Content: document.Dict{"nested": document.Dict{"PayloadType": "fine here"}}}}},
	}}
}

func TestPolicyCheck(t *testing.T) {
	type change = func(*Policy)
	payload := func(f func(*document.Payload)) change { return func(p *Policy) { f(&p.Profiles[0].Payloads[0]) } }
	for _, c := range []struct {
		name   string
		change change
		code   string // empty: good
	}{
		{"as it is", func(*Policy) {}, ""},
		{"no profiles", func(p *Policy) { p.Profiles = nil }, ""},
		{"no device name", func(p *Policy) { p.DeviceName = "" }, ""},
		{"serial twice", func(p *Policy) { p.DeviceName = "{serial}{serial}" }, ""},
		{"longest name", func(p *Policy) { p.Name = strings.Repeat("n", enroll.MaxName) }, ""},
		{"most profiles", func(p *Policy) { p.Profiles = manyProfiles(document.MaxProfiles) }, ""},
		{"most payloads", func(p *Policy) { p.Profiles[0].Payloads = manyPayloads(document.MaxPayloads) }, ""},
		{"one UUID in two profiles", func(p *Policy) { p.Profiles[1].Payloads[0].UUID = p.Profiles[0].Payloads[0].UUID }, ""},

		{"no name", func(p *Policy) { p.Name = "" }, "policy_name"},
		{"blank name", func(p *Policy) { p.Name = " \t" }, "policy_name"},
		{"name too long", func(p *Policy) { p.Name = strings.Repeat("n", enroll.MaxName+1) }, "policy_name"},
		{"control character in the name", func(p *Policy) { p.Name = "a\x00" }, "text"},
		{"control character in the device name", func(p *Policy) { p.DeviceName = "a\x07" }, "text"},
		{"control character in a title", func(p *Policy) { p.Profiles[1].DisplayName = "\x1b[2J" }, "text"},
		{"control character in a type", payload(func(p *document.Payload) { p.Type = "com.apple.mdm\x00" }), "text"},
		{"control character in an identifier", payload(func(p *document.Payload) { p.Identifier = "a\x01" }), "text"},
		{"control character in a UUID", payload(func(p *document.Payload) { p.UUID = "a\x01" }), "text"},
		{"control character in a payload's title", payload(func(p *document.Payload) { p.DisplayName = "a\x01" }), "text"},
		{"device name too long", func(p *Policy) { p.DeviceName = strings.Repeat("n", enroll.MaxName+1) }, "device_name"},
		{"unknown variable", func(p *Policy) { p.DeviceName = "{name}" }, "device_name_variable"},
		{"variable inside a variable", func(p *Policy) { p.DeviceName = "{ser{serial}ial}" }, "device_name_variable"},
		{"open brace", func(p *Policy) { p.DeviceName = "{serial" }, "device_name_variable"},
		{"too many profiles", func(p *Policy) { p.Profiles = manyProfiles(document.MaxProfiles + 1) }, "profiles_count"},
		{"no profile id", func(p *Policy) { p.Profiles[1].ID = "" }, "profile_id"},
		{"profile id with a slash", func(p *Policy) { p.Profiles[1].ID = "a/b" }, "profile_id"},
		{"profile id with a line feed", func(p *Policy) { p.Profiles[1].ID = "a\n" }, "profile_id"},
		{"profile id starts with a dot", func(p *Policy) { p.Profiles[1].ID = ".a" }, "profile_id"},
		{"profile id too long", func(p *Policy) { p.Profiles[1].ID = strings.Repeat("a", 65) }, "profile_id"},
		{"profile id twice", func(p *Policy) { p.Profiles[1].ID = "wifi" }, "profile_id_twice"},
		{"no payloads", func(p *Policy) { p.Profiles[0].Payloads = nil }, "payloads_count"},
		{"too many payloads", func(p *Policy) { p.Profiles[0].Payloads = manyPayloads(document.MaxPayloads + 1) }, "payloads_count"},
		{"no type", payload(func(p *document.Payload) { p.Type = "" }), "payload_type"},
		{"another enrollment", payload(func(p *document.Payload) { p.Type = "com.apple.mdm" }), "payload_forbidden"},
		{"an envelope", payload(func(p *document.Payload) { p.Type = "Configuration" }), "payload_forbidden"},
		{"over-the-air enrollment", payload(func(p *document.Payload) { p.Type = "Profile Service" }), "payload_forbidden"},
		{"UUID twice in another case", func(p *Policy) {
			first := &p.Profiles[0].Payloads[0]
			twin := *first
			first.UUID = strings.ToLower(first.UUID)
			p.Profiles[0].Payloads = append(p.Profiles[0].Payloads, twin)
		}, "payload_uuid_twice"},
		{"content without a JSON form", payload(func(p *document.Payload) { p.Content["a"] = nil }), "payload_content"},
		{"too large", payload(func(p *document.Payload) { p.Content["a"] = strings.Repeat("a", document.MaxProfileSize) }), "profile_too_large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := good()
			c.change(&p)
			wantCode(t, p.Check(), c.code)
		})
	}
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Errorf("error %v, want none", err)
		}
		return
	}
	var e *enroll.Error
	if !errors.As(err, &e) || e.Code != code || e.Kind != enroll.KindInvalid || e.Text == "" {
		t.Errorf("error %#v, want %s with a text", err, code)
	}
}

func manyProfiles(n int) (fs []document.Profile) {
	for i := range n {
		fs = append(fs, document.Profile{ID: fmt.Sprint("p", i), Payloads: manyPayloads(1)})
	}
	return fs
}

func manyPayloads(n int) []document.Payload {
	ps := make([]document.Payload, n)
	for i := range ps {
		ps[i].Type = "com.apple.wifi.managed"
	}
	return ps
}
