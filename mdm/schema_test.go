package mdm

import (
	"encoding/json"
	"strings"
	"testing"

	"rollcall/mdm/plist"
	"rollcall/policy/apple/schematest"
)

// wrongProfile says what is wrong with a configuration profile.
func wrongProfile(s *schematest.Schema, body []byte) []string {
	top, err := plist.DecodeDict(body)
	if err != nil {
		return []string{err.Error()}
	}
	return s.Profile(schematest.Newest, top)
}

// wrongCommand says what is wrong with a command as it goes over the wire, and
// with the profile in it.
func wrongCommand(s *schematest.Schema, body []byte) []string {
	top, err := plist.DecodeDict(body)
	if err != nil {
		return []string{err.Error()}
	}
	wrong := s.Command(schematest.Newest, top)
	inner, _ := top["Command"].(map[string]any)
	if payload, ok := inner["Payload"].([]byte); ok && inner["RequestType"] == "InstallProfile" {
		wrong = append(wrong, wrongProfile(s, payload)...)
	}
	return wrong
}

func TestProfilesAreValid(t *testing.T) {
	s := schematest.Load(t)
	if s == nil {
		return
	}
	for name, body := range everyProfile(t) {
		if name == "profile-service" {
			continue // not a configuration profile; see TestGolden
		}
		if wrong := wrongProfile(s, body); wrong != nil {
			t.Errorf("%s:\n  %s", name, strings.Join(wrong, "\n  "))
		}
	}
}

func TestCommandsAreValid(t *testing.T) {
	s := schematest.Load(t)
	if s == nil {
		return
	}
	for name, body := range everyCommand(t) {
		if wrong := wrongCommand(s, body); wrong != nil {
			t.Errorf("%s:\n  %s", name, strings.Join(wrong, "\n  "))
		}
	}
	for _, name := range steps {
		if everyCommand(t)[name] == nil {
			t.Errorf("the step %s was not looked at", name)
		}
	}
}

// TestRefusalIsValid holds the answer to a refused Authenticate against the
// error Apple describes.
func TestRefusalIsValid(t *testing.T) {
	s := schematest.Load(t)
	if s == nil {
		return
	}
	var dict map[string]any
	if err := json.Unmarshal(refusalBody(t), &dict); err != nil {
		t.Fatal(err)
	}
	if wrong := s.Dict(schematest.Newest, "error", dict, s.Errors["unrecognized.device"]); wrong != nil {
		t.Error(wrong)
	}
}

// TestValidatorRefuses keeps the validator honest.
func TestValidatorRefuses(t *testing.T) {
	s := schematest.Load(t)
	if s == nil {
		return
	}
	good := string(everyProfile(t)["enrollment"])
	for name, change := range map[string][2]string{
		"unknown key":          {"<key>Topic</key>", "<key>Topik</key>"},
		"wrong type":           {"<key>SignMessage</key><true/>", "<key>SignMessage</key><string>yes</string>"},
		"not an enum value":    {"<key>Keysize</key><integer>2048</integer>", "<key>Keysize</key><integer>3072</integer>"},
		"array element":        {"com.apple.mdm.bootstraptoken", "com.apple.mdm.bootstrap"},
		"form":                 {"<key>ServerURL</key><string>https://", "<key>ServerURL</key><string>http://"},
		"unknown payload type": {"com.apple.security.root", "com.apple.security.rot"},
		"broken reference":     {"<key>IdentityCertificateUUID</key><string>", "<key>IdentityCertificateUUID</key><string>0"},
		"key of macOS only":    {"<key>SignMessage</key>", "<key>PromptUserToAllowBootstrapTokenForAuthentication</key><true/><key>SignMessage</key>"},
	} {
		bad := strings.Replace(good, change[0], change[1], 1)
		if bad == good {
			t.Fatalf("%s: nothing was changed in\n%s", name, good)
		}
		if wrongProfile(s, []byte(bad)) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
