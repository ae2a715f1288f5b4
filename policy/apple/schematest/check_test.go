package schematest

import (
	"maps"
	"strings"
	"testing"
)

// TestRefuses keeps the validator honest about what depends on the device.
func TestRefuses(t *testing.T) {
	s := Load(t)
	if s == nil {
		return
	}
	access := func(key string, v any) map[string]any { return map[string]any{key: v} }
	settings := func(item map[string]any) map[string]any {
		return map[string]any{"CommandUUID": "1", "Command": map[string]any{"RequestType": "Settings", "Settings": []any{item}}}
	}
	restrictions := s.Profiles["com.apple.applicationaccess"]
	for _, c := range []struct {
		name  string
		check func(Device) []string
		good  Device
		bad   Device
		text  string
	}{
		{"version", func(d Device) []string { return s.Dict(d, "", access("allowNFC", false), restrictions) },
			Device{OS: "14.2", Supervised: true}, Device{OS: "14.1", Supervised: true}, "14.2 and later"},
		{"supervision", func(d Device) []string { return s.Dict(d, "", access("allowNFC", false), restrictions) },
			Device{OS: "17", Supervised: true}, Device{OS: "17"}, "supervised"},
		{"user enrollment", func(d Device) []string { return s.Dict(d, "", access("allowCamera", false), restrictions) },
			Device{OS: "17"}, Device{OS: "17", UserEnrollment: true}, "user enrollment"},
		{"newer than the schema", func(d Device) []string {
			return s.Dict(d, "", access("allowExternalIntelligenceIntegrations", false), restrictions)
		}, Device{OS: "18.2", UserEnrollment: true}, Device{OS: "18.1"}, "18.2 and later"},
		{"item of a command", func(d Device) []string {
			return s.Command(d, settings(map[string]any{"Item": "Bluetooth", "Enabled": false}))
		}, Device{OS: "11.3", Supervised: true}, Device{OS: "11.2", Supervised: true}, "11.3 and later"},
		{"whole payload", func(d Device) []string {
			return s.Profile(d, profile(map[string]any{"PayloadType": "com.apple.app.lock", "App": map[string]any{"Identifier": "a"}}))
		}, Device{OS: "17", Supervised: true}, Device{OS: "17"}, "supervised"},
		{"enrollment of a declaration", func(d Device) []string {
			return s.Declaration(d, "com.apple.configuration.softwareupdate.enforcement.specific", map[string]any{"TargetOSVersion": "26.1", "TargetLocalDateTime": "2026-12-24T18:00:00"})
		}, Device{OS: "17"}, Device{OS: "17", UserEnrollment: true}, "enrollments"},
		{"key of a declaration", func(d Device) []string {
			return s.Declaration(d, "com.apple.configuration.passcode.settings", map[string]any{"RequireAlphanumericPasscode": true})
		}, Device{OS: "16.2"}, Device{OS: "16.1"}, "16.2 and later"},
	} {
		if wrong := c.check(c.good); wrong != nil {
			t.Errorf("%s on %+v: %v", c.name, c.good, wrong)
		}
		if wrong := strings.Join(c.check(c.bad), "\n"); !strings.Contains(wrong, c.text) {
			t.Errorf("%s on %+v: %q", c.name, c.bad, wrong)
		}
	}
}

func TestRefusesReferences(t *testing.T) {
	s := Load(t)
	if s == nil {
		return
	}
	root := map[string]any{"PayloadType": "com.apple.security.root", "PayloadContent": []byte{1}}
	network := func(key string, value any) map[string]any {
		eap := map[string]any{"AcceptEAPTypes": []any{int64(13)}}
		d := map[string]any{"PayloadType": "com.apple.wifi.managed", "SSID_STR": "a", "EAPClientConfiguration": eap}
		if key == "PayloadCertificateAnchorUUID" {
			eap[key] = value
		} else {
			d[key] = value
		}
		return d
	}
	for _, c := range []struct {
		name string
		last map[string]any
		good bool
	}{
		{"an anchor that is a root", network("PayloadCertificateAnchorUUID", []any{uuid(0)}), true},
		{"an anchor that is not there", network("PayloadCertificateAnchorUUID", []any{uuid(7)}), false},
		{"an identity that is a root", network("PayloadCertificateUUID", uuid(0)), false},
		{"a reference to itself", network("PayloadCertificateUUID", uuid(1)), false},
	} {
		if wrong := s.Profile(Newest, profile(maps.Clone(root), c.last)); (wrong == nil) != c.good {
			t.Errorf("%s: %v", c.name, wrong)
		}
	}
	twice := profile(maps.Clone(root), maps.Clone(root))
	for _, key := range []string{"PayloadUUID", "PayloadIdentifier"} {
		last := twice["PayloadContent"].([]any)[1].(map[string]any)
		was := last[key]
		last[key] = twice["PayloadContent"].([]any)[0].(map[string]any)[key]
		if wrong := s.Profile(Newest, twice); len(wrong) != 1 || !strings.Contains(wrong[0], "twice") {
			t.Errorf("%s is there twice: %v", key, wrong)
		}
		last[key] = was
	}
}

func uuid(i int) string { return "00000000-0000-4000-8000-00000000000" + string(rune('0'+i)) }

// profile puts an envelope around payloads.
func profile(payloads ...map[string]any) map[string]any {
	content := []any{}
	for i, p := range payloads {
		p["PayloadVersion"], p["PayloadUUID"], p["PayloadIdentifier"] = int64(1), uuid(i), "p."+uuid(i)
		content = append(content, p)
	}
	return map[string]any{"PayloadType": "Configuration", "PayloadVersion": int64(1), "PayloadIdentifier": "p", "PayloadUUID": uuid(9), "PayloadContent": content}
}
