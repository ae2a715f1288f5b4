package mdm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/mdm/plist"
)

// schemaFile describes profiles and commands in Apple's own terms (derived from
// github.com/apple/device-management, MIT). It is read from beside the
// repository and not part of it.
const schemaFile = "../../shared/data/apple-schema.json"

// noSchema leaves the validation out on purpose.
const noSchema = "ROLLCALL_NO_SHARED"

type schema struct {
	Profiles map[string]struct{ Keys []schemaKey }
	Commands map[string]struct{ Keys []schemaKey }
	Errors   map[string]struct{ Keys []schemaKey }
}

// schemaKey is a key that a dictionary may have.
type schemaKey struct {
	Name     string                                 `json:"k"`
	Type     string                                 `json:"t"`
	Required bool                                   `json:"req"`
	Enum     []any                                  `json:"enum"`
	Format   string                                 `json:"fmt"`
	Range    *struct{ Min, Max *float64 }           `json:"range"`
	OS       map[string]struct{ Introduced string } `json:"os"`
	Sub      []schemaKey                            `json:"sub"`
}

var loadSchema = sync.OnceValues(func() (*schema, error) {
	data, err := os.ReadFile(schemaFile)
	if err != nil {
		return nil, err
	}
	var s schema
	return &s, json.Unmarshal(data, &s)
})

// appleSchema gives the schema; nil where it was left out on purpose.
func appleSchema(t *testing.T) *schema {
	t.Helper()
	s, err := loadSchema()
	if errors.Is(err, fs.ErrNotExist) && os.Getenv(noSchema) == "1" {
		t.Logf("%s is missing and %s=1: nothing was validated", schemaFile, noSchema)
		return nil
	}
	if err != nil {
		path, _ := filepath.Abs(schemaFile)
		t.Fatalf("Apple's schema cannot be read (%v). It belongs at %s; set %s=1 to do without.", err, path, noSchema)
	}
	return s
}

// check holds a dictionary against its keys. Paths of what is wrong are
// collected in wrong.
func checkDict(at string, dict map[string]any, keys []schemaKey, wrong *[]string) {
	add := func(format string, args ...any) { *wrong = append(*wrong, at+": "+fmt.Sprintf(format, args...)) }
	known := map[string]schemaKey{}
	for _, k := range keys {
		if k.Name == "ANY" {
			return
		}
		known[k.Name] = k
		if _, there := dict[k.Name]; k.Required && !there && k.onPhones() {
			add("%s is required and missing", k.Name)
		}
	}
	for name, v := range dict {
		k, ok := known[name]
		switch {
		case !ok:
			add("%s is unknown", name)
		case !k.onPhones():
			add("%s is not for iPhones", name)
		default:
			k.check(at+"."+name, v, wrong)
		}
	}
}

func (k schemaKey) onPhones() bool { return k.OS["iOS"].Introduced != "n/a" }

func (k schemaKey) check(at string, v any, wrong *[]string) {
	add := func(format string, args ...any) { *wrong = append(*wrong, at+": "+fmt.Sprintf(format, args...)) }
	fits := true
	switch v := v.(type) {
	case string:
		fits = k.Type == "string"
		if k.Format != "" && !regexp.MustCompile(k.Format).MatchString(v) {
			add("%q is not of the form %s", v, k.Format)
		}
		// A string with sub-keys takes their names as values.
		if len(k.Sub) > 0 && !slices.ContainsFunc(k.Sub, func(s schemaKey) bool { return s.Name == v && s.onPhones() }) {
			add("%q is none of the values for iPhones", v)
		}
	case bool:
		fits = k.Type == "boolean"
	case int64:
		fits = k.Type == "integer" || k.Type == "real"
		if r := k.Range; r != nil && (r.Min != nil && float64(v) < *r.Min || r.Max != nil && float64(v) > *r.Max) {
			add("%d is out of range", v)
		}
	case float64:
		fits = k.Type == "real"
	case []byte:
		fits = k.Type == "data"
	case time.Time:
		fits = k.Type == "date"
	case []any:
		fits = k.Type == "array"
		for i, e := range v {
			k.checkElement(fmt.Sprintf("%s[%d]", at, i), e, wrong)
		}
	case map[string]any:
		fits = k.Type == "dictionary"
		if len(k.Sub) > 0 {
			checkDict(at, v, k.Sub, wrong)
		}
	}
	if !fits && k.Type != "any" {
		add("is %T and should be %s", v, k.Type)
	}
	if len(k.Enum) > 0 && !slices.ContainsFunc(k.Enum, func(e any) bool { return fmt.Sprint(e) == fmt.Sprint(v) }) {
		add("%v is none of %v", v, k.Enum)
	}
}

// checkElement holds an element of an array against the one form it may have,
// or, where there are several, against that whose Item it names.
func (k schemaKey) checkElement(at string, v any, wrong *[]string) {
	if len(k.Sub) == 1 {
		k.Sub[0].check(at, v, wrong)
		return
	}
	d, _ := v.(map[string]any)
	for _, s := range k.Sub {
		if s.Name == d["Item"] {
			s.check(at, v, wrong)
			return
		}
	}
	*wrong = append(*wrong, fmt.Sprintf("%s: %v is none of the forms", at, v))
}

// profile says what is wrong with a configuration profile, its payloads and the
// references between them.
func (s *schema) profile(body []byte) []string {
	top, err := plist.DecodeDict(body)
	if err != nil {
		return []string{err.Error()}
	}
	var wrong []string
	checkDict("profile", top, s.Profiles["TopLevel"].Keys, &wrong)
	uuids := map[string]string{fmt.Sprint(top["PayloadUUID"]): "profile"}
	content, _ := top["PayloadContent"].([]any)
	for i, v := range content {
		d, _ := v.(map[string]any)
		payloadType := fmt.Sprint(d["PayloadType"])
		at := fmt.Sprintf("payload %d (%s)", i, payloadType)
		own, known := s.Profiles[payloadType]
		if !known {
			wrong = append(wrong, at+": the type is unknown")
			continue
		}
		checkDict(at, d, slices.Concat(s.Profiles["CommonPayloadKeys"].Keys, own.Keys), &wrong)
		id := fmt.Sprint(d["PayloadUUID"])
		if uuids[id] != "" {
			wrong = append(wrong, at+": its PayloadUUID is there twice")
		}
		uuids[id] = payloadType
	}
	for _, v := range content {
		d, _ := v.(map[string]any)
		if id, ok := d["IdentityCertificateUUID"].(string); ok && uuids[id] != "com.apple.security.scep" {
			wrong = append(wrong, "IdentityCertificateUUID refers to "+uuids[id])
		}
	}
	return wrong
}

// command says what is wrong with a command as it goes over the wire.
func (s *schema) command(body []byte) []string {
	top, err := plist.DecodeDict(body)
	if err != nil {
		return []string{err.Error()}
	}
	inner, _ := top["Command"].(map[string]any)
	requestType, _ := inner["RequestType"].(string)
	known, ok := s.Commands[requestType]
	if id, _ := top["CommandUUID"].(string); id == "" || len(top) != 2 || !ok {
		return []string{fmt.Sprintf("not {CommandUUID, Command{RequestType}}, or an unknown RequestType %q", requestType)}
	}
	delete(inner, "RequestType")
	var wrong []string
	checkDict(requestType, inner, known.Keys, &wrong)
	if payload, ok := inner["Payload"].([]byte); ok && requestType == "InstallProfile" {
		wrong = append(wrong, s.profile(payload)...)
	}
	return wrong
}

func TestProfilesAreValid(t *testing.T) {
	s := appleSchema(t)
	if s == nil {
		return
	}
	for name, body := range everyProfile(t) {
		if name == "profile-service" {
			continue // not a configuration profile; see TestGolden
		}
		if wrong := s.profile(body); wrong != nil {
			t.Errorf("%s:\n  %s", name, strings.Join(wrong, "\n  "))
		}
	}
}

func TestCommandsAreValid(t *testing.T) {
	s := appleSchema(t)
	if s == nil {
		return
	}
	for name, body := range everyCommand(t) {
		if wrong := s.command(body); wrong != nil {
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
	s := appleSchema(t)
	if s == nil {
		return
	}
	var dict map[string]any
	if err := json.Unmarshal(refusalBody(t), &dict); err != nil {
		t.Fatal(err)
	}
	var wrong []string
	checkDict("error", dict, s.Errors["unrecognized.device"].Keys, &wrong)
	if wrong != nil {
		t.Error(wrong)
	}
}

// TestValidatorRefuses keeps the validator honest.
func TestValidatorRefuses(t *testing.T) {
	s := appleSchema(t)
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
		if s.profile([]byte(bad)) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
