package apple_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/enroll"
	"rollcall/mdm"
	"rollcall/mdm/plist"
	"rollcall/policy"
	"rollcall/policy/apple"
	"rollcall/policy/apple/schematest"
	"rollcall/policy/document"
)

var update = flag.Bool("update", false, "write the golden files anew")

const golden = "../../testdata/policy/apple"

var profiles = &mdm.Profiles{Organization: "Example"}

// wire is a plan as it goes to a device.
type wire struct {
	profiles     [][]byte
	settings     []byte
	apps         [][]byte
	declarations []apple.Declaration
}

func encode(t *testing.T, p apple.Plan) wire {
	t.Helper()
	var w wire
	command := func(s policy.Step) []byte {
		_, body, err := mdm.Encoder{Profiles: profiles}.Encode(t.Context(), "01980000-0000-7000-8000-000000000001", s)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	for _, f := range p.Profiles {
		body, err := profiles.Configuration(policy.IdentifierPrefix+f.Key, f.Profile)
		if err != nil {
			t.Fatal(err)
		}
		w.profiles = append(w.profiles, body)
	}
	if len(p.Settings) > 0 {
		w.settings = command(policy.Settings{Items: p.Settings})
	}
	for _, a := range p.Apps {
		w.apps = append(w.apps, command(policy.InstallApp{App: a}))
	}
	w.declarations = p.Declarations
	return w
}

// phone is a supervised iPhone.
func phone(version string) document.Target {
	return document.Target{Platform: enroll.PlatformIOS, Family: "iPhone", OSVersion: version, Supervised: ref(true)}
}

// TestGolden compares what a supervised iPhone gets of each feature, and what
// an old one gets that its owner enrolled, with what was looked through by hand
// (go test ./policy/apple -run TestGolden -update).
func TestGolden(t *testing.T) {
	byod := document.Target{Platform: enroll.PlatformIOS, Family: "iPhone", OSVersion: "14.4", Supervised: ref(false), UserEnrollment: true}
	for _, name := range slices.Sorted(maps.Keys(features)) {
		var out strings.Builder
		for _, to := range []struct {
			who    string
			target document.Target
		}{{"supervised, 26.1", phone("26.1")}, {"user enrollment, 14.4", byod}} {
			fmt.Fprintf(&out, "==== %s\n", to.who)
			p, notes := apple.Compile(features[name], to.target)
			write(t, &out, p, notes)
		}
		path := filepath.Join(golden, name+".golden")
		if *update {
			if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), out.String()); diff != "" {
			t.Errorf("%s (-golden +made):\n%s", name, diff)
		}
	}
	files, err := os.ReadDir(golden)
	if err != nil || len(files) != len(features) {
		t.Errorf("%d golden files for %d features (%v)", len(files), len(features), err)
	}
}

func write(t *testing.T, out *strings.Builder, p apple.Plan, notes []document.Note) {
	t.Helper()
	w := encode(t, p)
	plain := func(body []byte) string {
		_, body, _ = bytes.Cut(body, []byte(`<plist version="1.0">`))
		return strings.TrimSpace(strings.ReplaceAll(string(body), "><", ">\n<")) + "\n"
	}
	for _, s := range p.Settings {
		fmt.Fprintf(out, "-- setting %s: %s (%s)\n", s.Key, s.Title, s.Pointer)
	}
	if w.settings != nil {
		out.WriteString(plain(w.settings))
	}
	for i, f := range p.Profiles {
		fmt.Fprintf(out, "-- profile %s: %s (%s)\n%s", f.Key, f.Title, f.Pointer, plain(w.profiles[i]))
	}
	for i, a := range p.Apps {
		fmt.Fprintf(out, "-- app %s: %s (%s)\n%s", a.Key, a.Title, a.Pointer, plain(w.apps[i]))
	}
	for _, d := range p.Declarations {
		body, err := json.MarshalIndent(map[string]any{"Type": d.Type, "Identifier": d.Identifier, "Payload": d.Payload}, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(out, "-- %s: %s (%s)\n%s\n", d.Kind, d.Title, d.Pointer, body)
	}
	for _, n := range notes {
		fmt.Fprintf(out, "-- note %s %s: %s\n", n.Pointer, n.Code, n.Text)
	}
}

// everything is all features in one document.
func everything() document.Document {
	var d document.Document
	for _, name := range slices.Sorted(maps.Keys(features)) {
		f := features[name]
		d.WiFi, d.VPN, d.Email = append(d.WiFi, f.WiFi...), append(d.VPN, f.VPN...), append(d.Email, f.Email...)
		d.WebClips = append(d.WebClips, f.WebClips...)
	}
	d.DeviceName, d.LockMessage, d.Certificates = features["device_name"].DeviceName, features["lock_message"].LockMessage, testCertificates()
	d.Restrictions, d.Passcode = everyRestriction(), features["passcode"].Passcode
	d.Apps = &document.Apps{Required: features["apps"].Apps.Required, Allowed: features["apps_allowed"].Apps.Allowed}
	d.WebFilter, d.HomeScreen, d.SingleApp, d.Apple = features["web_filter"].WebFilter, features["home_screen"].HomeScreen, features["single_app"].SingleApp, features["raw"].Apple
	d.OSUpdate = &document.OSUpdate{Mode: "automatic", DeferDays: 7, TargetVersion: "26.2", Deadline: "2026-12-24T18:00:00"}
	return d
}

// TestPlansAreValid holds everything any device gets against Apple's schema:
// each feature on each version where something changes, supervised or not, and
// in user enrollment.
func TestPlansAreValid(t *testing.T) {
	s := schematest.Load(t)
	if s == nil {
		return
	}
	all := maps.Clone(features)
	all["everything"] = everything()
	for _, version := range []string{"12.0", "14.4", "14.5", "15.0", "16.0", "16.2", "17.0", "17.4", "18.0", "18.2", "26.4"} {
		for _, device := range []schematest.Device{{OS: version, Supervised: true}, {OS: version}, {OS: version, UserEnrollment: true}} {
			target := document.Target{Platform: enroll.PlatformIOS, Family: "iPhone", OSVersion: version, Supervised: &device.Supervised, UserEnrollment: device.UserEnrollment}
			for name, d := range all {
				p, _ := apple.Compile(d, target)
				for _, w := range wrong(t, s, device, p) {
					if !strings.Contains(w, "com.apple.cellular") { // what an admin wrote is sent as it is
						t.Errorf("%s on %+v: %s", name, device, w)
					}
				}
			}
		}
	}
}

// TestMacsAreValid: what a Mac gets is understood by Macs.
func TestMacsAreValid(t *testing.T) {
	s := schematest.Load(t)
	if s == nil {
		return
	}
	for _, mac := range []schematest.Device{{System: "macOS", OS: "15.0", Supervised: true}, {System: "macOS", OS: "12.0", UserEnrollment: true}} {
		p, notes := apple.Compile(everything(), document.Target{Platform: enroll.PlatformApple, Family: "Mac", OSVersion: mac.OS, Supervised: &mac.Supervised, UserEnrollment: mac.UserEnrollment})
		if len(p.Profiles) == 0 || len(notes) == 0 || len(p.Declarations) > 0 || len(p.Apps) > 0 {
			t.Errorf("%+v: %d profiles, %d notes, %d declarations, %d apps", mac, len(p.Profiles), len(notes), len(p.Declarations), len(p.Apps))
		}
		for _, w := range wrong(t, s, mac, p) {
			if !strings.Contains(w, "com.apple.cellular") { // what an admin wrote is sent as it is
				t.Errorf("%+v: %s", mac, w)
			}
		}
	}
}

// wrong says what is wrong with a plan for a device.
func wrong(t *testing.T, s *schematest.Schema, device schematest.Device, p apple.Plan) []string {
	t.Helper()
	var all []string
	decode := func(body []byte) map[string]any {
		top, err := plist.DecodeDict(body)
		if err != nil {
			t.Fatal(err)
		}
		return top
	}
	w := encode(t, p)
	for _, body := range w.profiles {
		all = append(all, s.Profile(device, decode(body))...)
	}
	for _, body := range w.apps {
		all = append(all, s.Command(device, decode(body))...)
	}
	if w.settings != nil {
		all = append(all, s.Command(device, decode(w.settings))...)
	}
	configurations := map[string]bool{}
	for _, d := range w.declarations {
		if d.Identifier == "" || len(d.Identifier) > 64 || configurations[d.Identifier] {
			all = append(all, "the identifier "+d.Identifier)
		}
		configurations[d.Identifier] = d.Kind == apple.KindConfiguration
		// Through a property list the values are of the types the schema knows.
		body, err := plist.Encode(map[string]any(plainDict(d.Payload)))
		if err != nil {
			t.Fatal(err)
		}
		payload := decode(body)
		all = append(all, s.Declaration(device, d.Type, payload)...)
		if d.Kind == apple.KindActivation {
			for _, id := range payload["StandardConfigurations"].([]any) {
				if !configurations[id.(string)] {
					all = append(all, fmt.Sprintf("the activation names %v, which is no configuration before it", id))
				}
			}
		}
		if items, ok := payload["StatusItems"].([]any); ok {
			for _, i := range items {
				name := i.(map[string]any)["Name"].(string)
				item, known := s.Status[name]
				if !known {
					all = append(all, "there is no status item "+name)
				}
				all = append(all, s.Dict(device, name, map[string]any{}, schematest.Part{OS: item.OS})...)
			}
		}
	}
	return all
}

// plainDict takes the document's own dictionary type out of a value.
func plainDict(d document.Dict) map[string]any {
	var plain func(v any) any
	plain = func(v any) any {
		switch v := v.(type) {
		case document.Dict:
			return plainDict(v)
		case []any:
			out := make([]any, len(v))
			for i, e := range v {
				out[i] = plain(e)
			}
			return out
		}
		return v
	}
	out := map[string]any{}
	for k, v := range d {
		out[k] = plain(v)
	}
	return out
}
