package android

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"rollcall/policy/document"
)

// schemaFile is Google's discovery document of the Android Management API. It
// is read from beside the repository and not part of it.
const schemaFile = "../../../shared/data/amapi-schema.json"

// noSchema leaves the validation out on purpose.
const noSchema = "ROLLCALL_NO_SHARED"

// schema is one type of the discovery document, or a property.
type schema struct {
	Ref                  string `json:"$ref"`
	Type, Format         string
	Enum                 []string
	EnumDeprecated       []bool
	Deprecated, ReadOnly bool
	Items                *schema
	AdditionalProperties *schema
	Properties           map[string]*schema
}

var loadSchema = sync.OnceValues(func() (map[string]*schema, error) {
	data, err := os.ReadFile(schemaFile)
	if err != nil {
		return nil, err
	}
	var d struct {
		Revision string
		Schemas  map[string]*schema
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, err
	}
	if d.Revision != "20261102" {
		return nil, fmt.Errorf("the revision is %s; look at what changed since 20261102", d.Revision)
	}
	return d.Schemas, nil
})

func googleSchema(t *testing.T) map[string]*schema {
	t.Helper()
	s, err := loadSchema()
	if errors.Is(err, fs.ErrNotExist) && os.Getenv(noSchema) == "1" {
		t.Logf("%s is missing and %s=1: nothing was validated", schemaFile, noSchema)
		return nil
	}
	if err != nil {
		path, _ := filepath.Abs(schemaFile)
		t.Fatalf("Google's schema cannot be read (%v). It belongs at %s; set %s=1 to do without.", err, path, noSchema)
	}
	return s
}

var duration = regexp.MustCompile(`^-?\d+(\.\d{1,9})?s$`)

// check says what is wrong with a value as it goes over the wire.
func (s *schema) check(types map[string]*schema, at string, v any) []string {
	if s.Ref != "" {
		s = types[s.Ref]
	}
	if s.Type == "any" {
		return nil
	}
	var wrong []string
	add := func(format string, args ...any) { wrong = append(wrong, at+": "+fmt.Sprintf(format, args...)) }
	fits := false
	switch v := v.(type) {
	case map[string]any:
		fits = s.Type == "object"
		for k, e := range v {
			p := s.Properties[k]
			switch {
			case p == nil && s.AdditionalProperties == nil:
				add("Unknown name %q: cannot find field", k)
			case p == nil:
				wrong = append(wrong, s.AdditionalProperties.check(types, at+"."+k, e)...)
			default:
				if p.Deprecated || p.ReadOnly {
					add("%s is deprecated or cannot be written", k)
				}
				wrong = append(wrong, p.check(types, at+"."+k, e)...)
			}
		}
	case []any:
		fits = s.Type == "array"
		for i, e := range v {
			if s.Items != nil {
				wrong = append(wrong, s.Items.check(types, fmt.Sprintf("%s[%d]", at, i), e)...)
			}
		}
	case string:
		fits = s.Type == "string"
		switch s.Format {
		case "int64":
			if _, err := strconv.ParseInt(v, 10, 64); err != nil {
				add("%q is not an int64", v)
			}
		case "google-duration":
			if !duration.MatchString(v) {
				add("%q is not a duration", v)
			}
		}
		if i := slices.Index(s.Enum, v); s.Enum != nil && (i < 0 || strings.HasSuffix(v, "_UNSPECIFIED") || s.EnumDeprecated != nil && s.EnumDeprecated[i]) {
			add("%q is none of the values to write", v)
		}
	case bool:
		fits = s.Type == "boolean"
	case json.Number:
		_, err := v.Int64()
		fits = s.Type == "integer" && err == nil
	}
	if !fits {
		add("is %T and should be %s", v, s.Type)
	}
	return wrong
}

func checkPolicy(t *testing.T, types map[string]*schema, body Policy) []string {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return append((&schema{Ref: "Policy"}).check(types, "policy", v), checkNetworks(v.(map[string]any))...)
}

// checkNetworks holds the Open Network Configuration against the subset that
// Google documents; the schema calls it any.
func checkNetworks(policy map[string]any) []string {
	onc, ok := policy["openNetworkConfiguration"].(map[string]any)
	if !ok {
		return nil
	}
	var wrong []string
	only := func(at string, v any, keys ...string) map[string]any {
		m, _ := v.(map[string]any)
		for k := range m {
			if !slices.Contains(keys, k) {
				wrong = append(wrong, at+": "+k+" is not supported")
			}
		}
		return m
	}
	certificates := map[string]string{}
	list, _ := onc["Certificates"].([]any)
	for _, v := range list {
		m := only("certificate", v, "GUID", "Type", "X509", "PKCS12")
		certificates[fmt.Sprint(m["GUID"])] = fmt.Sprint(m["Type"])
	}
	guids := map[any]bool{}
	list, _ = onc["NetworkConfigurations"].([]any)
	for _, v := range list {
		n := only("network", v, "GUID", "Name", "Type", "WiFi", "ProxySettings")
		if guids[n["GUID"]] || n["Type"] != "WiFi" {
			wrong = append(wrong, "network: GUID or type")
		}
		guids[n["GUID"]] = true
		w := only("WiFi", n["WiFi"], "SSID", "Security", "Passphrase", "HiddenSSID", "AutoConnect", "EAP", "MACAddressRandomizationMode")
		if !slices.Contains([]any{"None", "WEP-PSK", "WPA-PSK", "WPA-EAP"}, w["Security"]) {
			wrong = append(wrong, fmt.Sprint("WiFi: security ", w["Security"]))
		}
		if n := len(fmt.Sprint(w["Passphrase"])); w["Security"] == "WEP-PSK" && n != 10 && n != 26 {
			wrong = append(wrong, "WiFi: a WEP key has 10 or 26 digits")
		}
		e := only("EAP", w["EAP"], "Outer", "Inner", "Identity", "AnonymousIdentity", "Password", "ClientCertType", "ClientCertRef", "ServerCARefs", "DomainSuffixMatch")
		if e["Outer"] == "EAP-TLS" && certificates[fmt.Sprint(e["ClientCertRef"])] != "Client" {
			wrong = append(wrong, "EAP: the client's certificate is missing")
		}
		roots, _ := e["ServerCARefs"].([]any)
		for _, r := range roots {
			if certificates[fmt.Sprint(r)] != "Authority" {
				wrong = append(wrong, "EAP: a root is missing")
			}
		}
	}
	return wrong
}

func TestPoliciesAreValid(t *testing.T) {
	types := googleSchema(t)
	if types == nil {
		return
	}
	for _, name := range featureNames() {
		for _, mode := range append(modes, "") {
			for _, level := range []int{0, 26, 36} {
				body, _ := Compile(feature(t, name), document.Target{Management: mode, APILevel: level})
				if wrong := checkPolicy(t, types, body); wrong != nil {
					t.Errorf("%s, %s:\n  %s", name, mode, strings.Join(wrong, "\n  "))
				}
			}
		}
	}
}

// TestAnyMixtureIsValid: restrictions and passcode rules that write into the
// same fields, in any mixture, for any target.
func TestAnyMixtureIsValid(t *testing.T) {
	types := googleSchema(t)
	if types == nil {
		return
	}
	rapid.Check(t, func(r *rapid.T) {
		d := document.Document{Restrictions: &document.Restrictions{}, Passcode: &document.Passcode{
			Required: rapid.Bool().Draw(r, "required"), MinLength: rapid.IntRange(0, 16).Draw(r, "length"), Complexity: rapid.SampledFrom([]string{"", "low", "medium", "high"}).Draw(r, "complexity"),
			Simple: rapid.SampledFrom([]document.Permission{"", document.Deny}).Draw(r, "simple"), Alphanumeric: rapid.Bool().Draw(r, "alphanumeric"),
			MinComplexChars: rapid.IntRange(0, 4).Draw(r, "complex"), WorkProfile: rapid.Bool().Draw(r, "profile"),
		}}
		v := reflect.ValueOf(d.Restrictions).Elem()
		for i := range v.NumField() {
			words := strings.Split(v.Type().Field(i).Tag.Get("enum"), ",")
			v.Field(i).SetString(rapid.SampledFrom(append(words, "")).Draw(r, v.Type().Field(i).Name))
		}
		to := document.Target{Management: rapid.SampledFrom(append(modes, "")).Draw(r, "mode"), APILevel: rapid.SampledFrom([]int{0, 24, 27, 30, 34, 36}).Draw(r, "level")}
		body, notes := Compile(d, to)
		if wrong := checkPolicy(t, types, body); wrong != nil {
			r.Fatal(wrong)
		}
		for _, n := range notes {
			if n.Pointer == "" || n.Code == "" || n.Text == "" {
				r.Fatalf("the note %+v", n)
			}
		}
		// No list asks for two things of one scope.
		entries, _ := body["passwordPolicies"].([]any)
		for i, e := range entries {
			if scope := e.(map[string]any)["passwordScope"]; scope != []string{"SCOPE_DEVICE", "SCOPE_PROFILE"}[i] {
				r.Fatalf("entry %d has %v", i, scope)
			}
		}
	})
}

// TestValidatorRefuses keeps the validator honest.
func TestValidatorRefuses(t *testing.T) {
	types := googleSchema(t)
	if types == nil {
		return
	}
	for name, body := range map[string]Policy{
		"unknown field":   {"cameraAcess": "CAMERA_ACCESS_DISABLED"},
		"unknown value":   {"playStoreMode": "ALLOWLIST"},
		"unspecified":     {"playStoreMode": "PLAY_STORE_MODE_UNSPECIFIED"},
		"deprecated":      {"cameraDisabled": true},
		"old value":       {"locationMode": "OFF"},
		"wrong type":      {"funDisabled": "yes"},
		"not a text":      {"maximumTimeToLock": 1000},
		"not an int64":    {"maximumTimeToLock": "1s"},
		"not a duration":  {"passwordPolicies": []any{map[string]any{"passwordExpirationTimeout": "1 day"}}},
		"fraction":        {"minimumApiLevel": 1.5},
		"deep":            {"applications": []any{map[string]any{"name": "x"}}},
		"unknown ONC key": {"openNetworkConfiguration": map[string]any{"Certificates": []any{map[string]any{"TrustBits": []any{}}}}},
	} {
		if checkPolicy(t, types, body) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestTableIsGoogles holds each field of the table against the schema.
func TestTableIsGoogles(t *testing.T) {
	types := googleSchema(t)
	if types == nil {
		return
	}
	for _, r := range Restrictions {
		for _, v := range []any{r.Value, r.Open} {
			if v == nil {
				continue
			}
			c := &compiler{body: Policy{}, by: map[string][]string{}}
			if r.List {
				v = []any{v}
			}
			c.set("", r.Field, v)
			if wrong := checkPolicy(t, types, c.body); wrong != nil {
				t.Errorf("%s: %v", r.Name, wrong)
			}
		}
	}
}
